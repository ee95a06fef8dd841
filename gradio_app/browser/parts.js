/** Parts of the views' data, read from the server when the fields change on which they depend. */

import { delay, idle } from "./elements.js";
import { emit, on } from "./events.js";
import { call } from "./server.js";
import { setSelection, state } from "./state.js";

/** Number of the last request for each part: only its response is drawn.
 * @type {Record<string, number>} */
const latest = {};
let requests = 0;
let drawn = 0;

/** @typedef {keyof import("./payloads").Parts} PartName */

/**
 * Draw a part whenever it arrives, and at once if it is there.
 * @template {PartName} N
 * @param {N} name
 * @param {(data: import("./payloads").Parts[N]) => void} draw
 */
export function onPart(name, draw) {
  on(`part:${name}`, draw);
  const data = state.parts[name];
  if (data !== undefined) draw(data);
}

/**
 * Store a part and notify the view that draws it.
 * @param {string} name
 * @param {any} data
 */
export function setPart(name, data) {
  latest[name] = ++requests;
  /** @type {Record<string, any>} */ (state.parts)[name] = data;
  emit(`part:${name}`, data);
}

/** Notify listeners that a set of parts is drawn. */
export const announceDrawn = () => emit("drawn", ++drawn);

/**
 * Return the names of parts.
 * @param {(part: import("./payloads").PartInfo) => boolean} wanted
 */
export const partsWhere = (wanted) =>
  Object.keys(state.catalogue).filter((name) => wanted(state.catalogue[name]));

/**
 * Return the names of the parts that depend on one of the fields.
 * @param {string[]} fields
 */
export const partsDependingOn = (fields) =>
  partsWhere((part) => part.depends.some((field) => fields.includes(field)));

/**
 * Read parts. Slow ones are requested after the others, so that they delay nothing.
 * @param {string[]} names
 */
export async function read(names) {
  if (!names.length) return;
  const quick = names.filter((name) => !state.catalogue[name].slow);
  for (const name of names) if (state.catalogue[name].slow) due.add(name);
  if (quick.length) await fetchParts(quick).then(announceDrawn, ignoreLostConnection);
  readSlowParts();
}

/** A lost connection is shown by the banner. */
const ignoreLostConnection = () => {};

/**
 * Slow parts that wait for their turn. Each is read for the selection of that time, so that a person who
 * clicks through ten classes does not queue ten searches.
 * @type {Set<string>} */
const due = new Set();
let readingSlowParts = false;

/** @param {string} name */
const slowness = (name) => state.catalogue[name].slow;

/** Read the slow parts that are due, the least slow first; those that are equally slow in one request. */
async function readSlowParts() {
  if (readingSlowParts) return;
  readingSlowParts = true;
  await idle(60);
  while (due.size) {
    const least = Math.min(...[...due].map(slowness));
    const names = [...due].filter((name) => slowness(name) === least);
    for (const name of names) due.delete(name);
    const response = await fetchParts(names).catch(() => ({}));
    if (response.later) {
      for (const name of names) {
        due.add(name);
        emit(`postponed:${name}`, response.later);
      }
      await delay(1000 * response.seconds);
    }
  }
  readingSlowParts = false;
}

/** @param {string[]} names */
async function fetchParts(names) {
  const mine = ++requests;
  for (const name of names) latest[name] = mine;
  emit("busy", names);
  const requested = state.selection;
  let response;
  try {
    response = await call("read", { parts: names, selection: requested });
  } finally {
    emit("settled", names);
  }
  const isCurrent = (/** @type {string} */ name) =>
    latest[name] === mine && !(state.catalogue[name].slow && due.has(name));
  if (response.selection && state.selection === requested) adoptSelection(response.selection);
  for (const name of names.filter(isCurrent)) {
    if (name in (response.parts ?? {})) setPart(name, response.parts[name]);
    if (name in (response.failed ?? {})) emit(`failed:${name}`, response.failed[name]);
  }
  return response;
}

/**
 * Take over the server's valid form of the selection: an outdated link is corrected there.
 * @param {import("./payloads").Selection} valid
 */
export const adoptSelection = (valid) => setSelection({ ...state.selection, ...valid });
