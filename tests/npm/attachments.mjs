// The crypto of real Matrix clients for peers/node.py.
//
// matrix-encrypt-attachment has two implementations: WebCrypto, as browsers run it, and Node's own,
// as bots run it ("native": true). They decrypt differently where a counter overflows.

import { webcrypto } from "node:crypto";
import Olm from "@matrix-org/olm";
import native from "matrix-encrypt-attachment/lib/nodejs.js";
import browser from "matrix-encrypt-attachment/lib/webcrypto.js";
import { answer } from "./answering.mjs";

await Olm.init();
globalThis.window = { crypto: webcrypto, atob, btoa }; // only now: Olm would take it for a browser

await answer({
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
  pickle({ secret, passphrase }) { // a legacy scanner's key file; without a secret, as at its first start
    const decryption = new Olm.PkDecryption();
    try {
      const key = secret && Buffer.from(secret, "base64");
      const public_key = key ? decryption.init_with_private_key(key) : decryption.generate_key();
      return { public_key, text: decryption.pickle(passphrase) };
    } finally {
      decryption.free();
    }
  },
  unpickle({ text, passphrase }) { // as a legacy scanner reads its key file: the public key
    const decryption = new Olm.PkDecryption();
    try {
      return decryption.unpickle(passphrase, text);
    } finally {
      decryption.free();
    }
  },
  pickle_account({ passphrase }) { // what else libolm pickles
    const account = new Olm.Account();
    try {
      account.create();
      return account.pickle(passphrase);
    } finally {
      account.free();
    }
  },
});

function library(own) {
  return own ? native : browser;
}
