// The crypto of real Matrix clients for peers/node.py: a JSON command per line in, a JSON answer per
// line out, in order. Bytes are base64. An answer is {"ok": ...} or {"error": "..."}.
//
// matrix-encrypt-attachment has two implementations: WebCrypto, as browsers run it, and Node's own,
// as bots run it ("native": true). They decrypt differently where a counter overflows.

import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";
import Olm from "@matrix-org/olm";
import native from "matrix-encrypt-attachment/lib/nodejs.js";
import browser from "matrix-encrypt-attachment/lib/webcrypto.js";

await Olm.init();
globalThis.window = { crypto: webcrypto, atob, btoa }; // only now: Olm would take it for a browser

const commands = {
  async encrypt({ data, native: own }) {
    const encrypted = await library(own).encryptAttachment(Buffer.from(data, "base64"));
    return { data: Buffer.from(encrypted.data).toString("base64"), info: encrypted.info };
  },
  async decrypt({ data, info, native: own }) {
    const plain = await library(own).decryptAttachment(Buffer.from(data, "base64"), info);
    return Buffer.from(plain).toString("base64");
  },
  seal({ public_key, plaintext }) {
    const encryption = new Olm.PkEncryption();
    try {
      encryption.set_recipient_key(public_key);
      return { ...encryption.encrypt(plaintext) };
    } finally {
      encryption.free();
    }
  },
  public_key({ secret }) {
    const decryption = new Olm.PkDecryption();
    try {
      return decryption.init_with_private_key(Buffer.from(secret, "base64"));
    } finally {
      decryption.free();
    }
  },
};

function library(own) {
  return own ? native : browser;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { cmd, ...parameters } = JSON.parse(line);
    answer = { ok: await commands[cmd](parameters) };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
