/**
 * State of the page: the selection and what the server returned for it. Views read it and never change it.
 */

import { emit } from "./events.js";
import { changedFields, EMPTY, toFragment } from "./permalink.js";
import { tab } from "./storage.js";

/** @type {import("./payloads").State} */
export const state = {
  selection: { ...EMPTY },
  parts: {},
  catalogue: {},
  info: { glossary: {}, project: "", demo: false, oneHistory: false, fresh: false },
  token: null,
  hover: null,
  brush: null,
  pending: [],
  unapplied: new Map(),
  focus: null,
  preview: null,
};

/**
 * Replace the selection, write it to the address and notify the views.
 * @param {import("./payloads").Selection} selection
 * @param {(changed: string[]) => void} [before] Called after the change, before the views are notified.
 * @returns {(keyof import("./payloads").Selection)[]} The fields that changed.
 */
export function setSelection(selection, before) {
  const changed = changedFields(selection, state.selection);
  if (!changed.length) return changed;
  state.selection = selection;
  before?.(changed);
  remember();
  emit("select", { changed });
  return changed;
}

/** Write the selection to the address and the visitor's token to the tab's storage. */
export function remember() {
  const fragment = toFragment(state.selection);
  if (location.hash.replace(/^#/, "") !== fragment) history.replaceState(null, "", `#${fragment}`);
  if (state.token) tab.set("token", state.token);
}

/** Return an address that opens the page with the present selection. */
export const permalink = () =>
  `${location.origin}${location.pathname}${location.search}#${toFragment(state.selection)}`;
