/** Start of the page, and its connection to the server. */

import { closest, delay } from "./elements.js";
import { emit, on } from "./events.js";
import { adoptSelection, announceDrawn, partsWhere, read, setPart } from "./parts.js";
import { fromFragment } from "./permalink.js";
import { select } from "./selection.js";
import { call, isOnline, takeOwnerKey } from "./server.js";
import { state } from "./state.js";
import { act, isActing } from "./steps.js";
import { tab } from "./storage.js";

const PING_MILLISECONDS = 10_000;
/** Where several tabs and the command line write one history, their steps are looked for more often. */
const LOOK_MILLISECONDS = 2000;
const RETRY_MILLISECONDS = 2000;

/** Connect to the server and draw all views. */
export async function connect() {
  takeOwnerKey();
  state.token = tab.get("token");
  state.selection = fromFragment(location.hash);
  addEventListener("hashchange", () => select(fromFragment(location.hash)));
  document.addEventListener("keydown", undoByKey);
  while (!(await tryToStart(false))) await delay(1000);
  on("online", (online) => !online && reconnect());
  on("node", (response) => setRevision(response.revision));
  setInterval(ping, state.info.oneHistory ? LOOK_MILLISECONDS : PING_MILLISECONDS);
  document.addEventListener("visibilitychange", ping);
}

let revision = "";

/** @param {string | undefined} seen */
const setRevision = (seen) => {
  revision = seen ?? revision;
};

/** Keep the visit alive, and draw everything again if its history was changed elsewhere. */
async function ping() {
  if (document.visibilityState !== "visible" || !isOnline() || isActing()) return;
  const seen = revision;
  const response = await call("ping", {}, { quiet: true }).catch(() => null);
  const changed = response?.revision && response.revision !== seen;
  // A step of this tab that arrived in the meantime is drawn already.
  if (state.info.oneHistory && changed && seen === revision && !isActing()) await tryToStart(true);
}

async function reconnect() {
  while (!(await tryToStart(true))) await delay(RETRY_MILLISECONDS);
}

/**
 * Request all quick parts and draw them.
 * @param {boolean} quiet
 */
async function tryToStart(quiet) {
  let response;
  try {
    response = await call("hello", { selection: state.selection }, { quiet });
  } catch {
    return false;
  }
  start(response);
  return true;
}

/** @param {any} response */
function start(response) {
  state.catalogue = response.catalogue;
  state.info = response.info;
  setRevision(response.revision);
  if (response.selection) adoptSelection(response.selection);
  for (const [name, data] of Object.entries(response.parts)) setPart(name, data);
  // Benchmarks read this mark: all views are drawn for the first time.
  if (!performance.getEntriesByName("inficond-drawn").length) performance.mark("inficond-drawn");
  emit("start", response);
  announceDrawn();
  read(partsWhere((part) => part.slow > 0));
}

/** @param {KeyboardEvent} event */
function undoByKey(event) {
  const typing = closest(event, "input, textarea, select, [contenteditable]");
  if (!(event.ctrlKey || event.metaKey) || event.altKey || typing) return;
  const key = event.key.toLowerCase();
  const command = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : null;
  if (!command) return;
  event.preventDefault();
  act(command);
}
