// How the scripts here talk with peers/node.py: a JSON command per line in, a JSON answer per line
// out, in order. Bytes are base64. An answer is {"ok": ...} or {"error": "..."}.

import { createInterface } from "node:readline";

/** Answer commands by the functions of that name until stdin ends. */
export async function answer(commands) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answerTo(JSON.parse(line), commands)) + "\n");
  }
}

async function answerTo({ cmd, ...parameters }, commands) {
  try {
    return { ok: (await commands[cmd](parameters)) ?? null };
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}
