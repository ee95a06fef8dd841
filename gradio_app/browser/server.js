/** Calls to the remote procedures of `rpc.py`. */

import { emit } from "./events.js";
import { remember, state } from "./state.js";
import { settings } from "./storage.js";

let online = true;

/** Return whether the last call reached the server. */
export const isOnline = () => online;

/** Store the owner key of an address that the command printed, and remove it from the address. */
export function takeOwnerKey() {
  const query = new URLSearchParams(location.hash.slice(1));
  const key = query.get("owner");
  if (!key) return;
  settings.set("owner", key);
  query.delete("owner");
  history.replaceState(null, "", `#${query}`);
}

/**
 * Send a file to the server.
 * @param {File} file
 * @returns {Promise<{path: string}>} The address of the upload, for other calls.
 */
export async function upload(file) {
  const body = new FormData();
  body.append("files", file);
  const headers = { "x-inficond-token": state.token ?? "" };
  const response = await fetch("gradio_api/upload", { method: "POST", headers, body });
  if (!response.ok) throw new Error(await response.text());
  const [path] = await response.json();
  return { path };
}

/**
 * Call a remote procedure. A rejected request resolves to `{error}` and is shown as a message unless `quiet`;
 * the promise rejects only if the server cannot be reached.
 * @param {string} name
 * @param {object} [request]
 * @param {{quiet?: boolean, notes?: boolean}} [options] `notes`: whether to show the notes of the response.
 * @returns {Promise<any>}
 */
export async function call(name, request = {}, { quiet = false, notes = !quiet } = {}) {
  const sent = state.token;
  const key = settings.get("owner");
  const owner = key ? { owner_key: key } : {};
  let response;
  try {
    response = await post(name, { token: sent, ...owner, ...request });
  } catch (error) {
    setOnline(false);
    throw error;
  }
  setOnline(true);
  // A late response to an earlier visit must not bring its token back.
  if (response.token && response.token !== state.token && sent === state.token) {
    state.token = response.token;
    remember();
  }
  if (response.error && !quiet) emit("message", { line: response.error, tone: "bad" });
  if (response.note && notes) emit("message", { line: response.note });
  return response;
}

/**
 * @param {string} name
 * @param {object} request
 * @returns {Promise<any>}
 */
async function post(name, request) {
  const headers = { "Content-Type": "application/json" };
  const response = await fetch(`rpc/${name}`, { method: "POST", headers, body: JSON.stringify(request) });
  if (response.ok) return response.json();
  const reason = await response.text();
  if (response.status >= 500) throw new Error(reason);
  return { error: reason };
}

/** @param {boolean} now */
function setOnline(now) {
  if (now === online) return;
  online = now;
  emit("online", now);
}
