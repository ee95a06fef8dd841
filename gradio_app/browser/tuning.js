/** Tuning actions that are not applied yet, and the preview of their effect. */

import { emit } from "./events.js";
import { affects, asRequest, withAction, withSuggestion } from "./pending.js";
import { call } from "./server.js";
import { state } from "./state.js";

/** @typedef {import("./payloads").PendingAction} PendingAction */

/** Change the pending actions, the focus or both, and request a preview.
 * @param {{pending?: PendingAction[], focus?: import("./payloads").Focus}} change */
function update(change) {
  Object.assign(state, change);
  emit("pending");
  requestPreview();
}

/** Discard the pending actions. */
export function dropPending() {
  const had = state.pending.length || state.preview;
  state.pending = [];
  state.preview = null;
  if (had) emit("pending");
  emit("preview-due", false);
}

/**
 * Return the pending action on a concept, alone or as a member of its group.
 * @param {string} concept
 */
export const pendingOn = (concept) => state.pending.find((action) => affects(action, concept));

/**
 * Set the pending action on one concept; null removes it.
 * @param {string} concept
 * @param {Omit<PendingAction, "concept"> | null} action
 */
export const propose = (concept, action) => update({ pending: withAction(state.pending, concept, action) });

/**
 * Add the actions of a suggestion.
 * @param {PendingAction[]} actions
 */
export const proposeAll = (actions) => update({ pending: withSuggestion(state.pending, actions) });

/**
 * Choose the subset of images that the refit emphasizes.
 * @param {import("./payloads").Focus} focus
 */
export const setFocus = (focus) => update({ focus });

/**
 * Keep the pending actions of the class that was selected and restore those of the class that is selected
 * now.
 * @param {string | null} left
 */
export function switchClass(left) {
  const { cls } = state.selection;
  if (state.pending.length) state.unapplied.set(left, { pending: state.pending, focus: state.focus });
  const restored = state.unapplied.get(cls) ?? { pending: [], focus: null };
  state.unapplied.delete(cls);
  dropPending();
  if (restored.pending.length || state.focus) update(restored);
}

let previewing = false;
let previewDue = false;

async function requestPreview() {
  if (!state.pending.length) {
    state.preview = null;
    previewDue = false;
    emit("preview", null);
    emit("preview-due", false);
    return;
  }
  if (state.preview) emit("preview-due", true);
  previewDue = previewing; // Only the latest state is requested after the request that is on its way.
  if (previewing) return;
  previewing = true;
  const { cls } = state.selection;
  try {
    const request = { cls, actions: asRequest(state.pending), focus: state.focus };
    const response = await call("preview", request, { quiet: true });
    if (cls === state.selection.cls && state.pending.length) {
      state.preview = response.error ? { error: response.error } : response.preview;
      emit("preview", state.preview);
    }
  } catch {
    // A lost connection is shown by the banner.
  }
  previewing = false;
  if (previewDue) requestPreview();
  else emit("preview-due", false);
}
