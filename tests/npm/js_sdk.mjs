// A client on matrix-js-sdk, as web clients are, for tests/end_to_end/test_js_sdk.py. One session.

import { MatrixClient, MatrixError, createClient } from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";
import { answer } from "./answering.mjs";

logger.disableAll(); // stdout is ours

const PREFIX = "/_matrix/media_proxy/unstable";
let client = new MatrixClient({ baseUrl: "http://nowhere.invalid" });

await answer({
  async login({ homeserver, user, password }) {
    const session = await createClient({ baseUrl: homeserver }).loginRequest({
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password,
    });
    client = createClient({
      baseUrl: homeserver,
      accessToken: session.access_token,
      userId: session.user_id,
      deviceId: session.device_id,
    });
    return session.user_id;
  },
  async logout() {
    await client.logout(true);
  },
  async upload({ data, type, name }) {
    const file = new Blob([Buffer.from(data, "base64")], { type });
    return (await client.uploadContent(file, { name, type })).content_uri;
  },
  /** Where the library finds a media, and behind the gateway: the same path under its prefix. */
  url({ scanner, mxc, width, height, method }) {
    const url = new URL(client.mxcUrlToHttp(mxc, width, height, method, false, true, true));
    const moved = url.pathname.replace("/_matrix/client/v1/media", PREFIX) + url.search;
    return { homeserver: url.href, scanner: new URL(moved, scanner).href };
  },
  /** Fetch with the library's own HTTP layer and this session's token; bytes unless `json`. */
  async fetch({ url, method = "GET", body, json = false }) {
    const { origin, pathname, searchParams } = new URL(url);
    const options = { baseUrl: origin, prefix: "", ...(json ? {} : { rawResponseBody: true }) };
    try {
      const answered = await client.http.authedRequest(
        method, pathname, Object.fromEntries(searchParams), body, options);
      return { returned: json ? answered : Buffer.from(await answered.arrayBuffer()).toString("base64") };
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error;
      const { errcode, error: text, httpStatus, data } = error;
      return { thrown: { errcode, text, httpStatus, data } };
    }
  },
});
