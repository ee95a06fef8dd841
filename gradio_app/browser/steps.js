/** Steps of the history: apply, undo, redo and all other requests that change the students. */

import { emit } from "./events.js";
import { adoptSelection, announceDrawn, partsWhere, read, setPart } from "./parts.js";
import { asRequest } from "./pending.js";
import { clearMarks } from "./selection.js";
import { call } from "./server.js";
import { state } from "./state.js";
import { dropPending } from "./tuning.js";

/** @typedef {import("./payloads").PartInfo} PartInfo */

const dependsOnNode = (/** @type {PartInfo} */ part) => part.depends.includes("node");
const dependsOnSelection = (/** @type {string} */ name) =>
  state.catalogue[name].depends.some((field) => field !== "node");

let acting = false;

/** Return whether a step is on its way. */
export const isActing = () => acting;

/** @type {Promise<any>} */
let turn = Promise.resolve();

/**
 * Take a step. Undo and redo wait for their turn. Any other step is dropped while one is on its way: a second
 * click on Apply is not a second step.
 * @param {string} command The name of the server's function.
 * @param {object} [request]
 * @returns {Promise<any>} The response, or null.
 */
export function act(command, request = {}) {
  if (acting && command !== "undo" && command !== "redo") return Promise.resolve(null);
  turn = turn.then(() => take(command, request));
  return turn;
}

/** Apply the pending actions. */
export async function apply() {
  const { pending, focus, selection } = state;
  return pending.length ? act("apply", { cls: selection.cls, actions: asRequest(pending), focus }) : null;
}

/**
 * @param {string} command
 * @param {object} request
 */
async function take(command, request) {
  acting = true;
  emit("acting", true);
  const requested = state.selection;
  const parts = partsWhere((part) => !part.slow && dependsOnNode(part));
  try {
    // The note of the response is shown together with the step.
    const response = await call(command, { ...request, selection: requested, parts }, { notes: false });
    if (!response.error) showStep(command, requested, response);
    return response;
  } catch {
    return null;
  } finally {
    acting = false;
    emit("acting", false);
  }
}

/**
 * @param {string} command
 * @param {import("./payloads").Selection} requested
 * @param {any} response
 */
function showStep(command, requested, response) {
  if (requested.cls === state.selection.cls) dropPending();
  else if (state.unapplied.delete(requested.cls)) emit("pending");
  clearMarks();
  const current = state.selection === requested;
  if (current && response.selection) adoptSelection(response.selection);
  const received = Object.keys(response.parts ?? {});
  const outdated = current ? [] : received.filter(dependsOnSelection);
  for (const name of received) if (!outdated.includes(name)) setPart(name, response.parts[name]);
  read(outdated);
  emit("node", { ...response, command });
  announceDrawn();
  read(partsWhere((part) => part.slow > 0 && dependsOnNode(part)));
}
