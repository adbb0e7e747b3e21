// The content scanner client of bots (matrix-bot-sdk), for tests/end_to_end/test_bot_sdk.py.
//
// A call is answered with what the library gave or threw, and with what stood on the wire: one of
// its methods drops the bytes that it fetched.

import Module, { createRequire } from "node:module";
import { answer } from "./answering.mjs";

const require = createRequire(import.meta.url);

// The library wants its native crypto on loading. An install script would fetch it; here none runs,
// and nothing below needs it.
const native = require.resolve("@matrix-org/matrix-sdk-crypto-nodejs");
require.cache[native] = Object.assign(new Module(native), { exports: {}, loaded: true });

const { LogLevel, LogService, MatrixClient, getRequestFn, setRequestFn } = require("@vector-im/matrix-bot-sdk");

LogService.setLevel(LogLevel.ERROR);
LogService.setLogger({ info() {}, warn() {}, error() {}, debug() {}, trace() {} }); // stdout is ours

let wire = null;
const send = getRequestFn();
setRequestFn((parameters, done) =>
  send(parameters, (error, response, body) => {
    wire = response && {
      method: parameters.method,
      url: parameters.uri,
      status: response.statusCode,
      body: Buffer.from(body).toString("base64"),
    };
    done(error, response, body);
  }),
);

await answer({
  /** Call a method of the library: of MatrixClient, or of its content scanner. */
  async call({ url, token, on, method, argument }) {
    const client = new MatrixClient(url, token, undefined, undefined, { enableContentScanner: true });
    const target = on === "scanner" ? client.contentScannerInstance : client;
    wire = null;
    try {
      return { returned: plain(await target[method](argument)), wire };
    } catch (error) {
      return { thrown: described(error), wire };
    }
  },
});

function described(error) {
  const { message, body, statusCode } = error; // refused downloads throw the response itself
  return { class: error.constructor.name, message, body: plain(body), statusCode };
}

/** Return a value as JSON can hold it. */
function plain(value) {
  if (Buffer.isBuffer(value)) return { base64: value.toString("base64") };
  if (value === undefined) return { undefined: true };
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}
