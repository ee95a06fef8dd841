/** Calls to the functions of `rpc.py`. */

import { emit } from "./events.js";
import { remember, state } from "./state.js";

/** @type {Record<string, (request: object) => Promise<string>>} */
let functions = {};
/** @type {(file: File) => Promise<{path: string}>} */
let uploader = () => Promise.reject(new Error("the page has not started"));
let online = true;

/**
 * Set the functions that Gradio provides to the page.
 * @param {typeof functions} server
 * @param {typeof uploader} upload
 */
export function setServer(server, upload) {
  functions = server;
  uploader = upload;
}

/** Return whether the last call reached the server. */
export const isOnline = () => online;

/**
 * Send a file to the server.
 * @param {File} file
 */
export const upload = (file) => uploader(file);

/**
 * Call a function of the server. A rejected request resolves to `{error}` and is shown as a message unless
 * `quiet`; the promise rejects only if the server cannot be reached.
 * @param {string} name
 * @param {object} [request]
 * @param {{quiet?: boolean, notes?: boolean}} [options] `notes`: whether to show the notes of the response.
 * @returns {Promise<any>}
 */
export async function call(name, request = {}, { quiet = false, notes = !quiet } = {}) {
  const sent = state.token;
  let response;
  try {
    response = JSON.parse(await functions[name]({ token: sent, ...request }));
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

/** @param {boolean} now */
function setOnline(now) {
  if (now === online) return;
  online = now;
  emit("online", now);
}
