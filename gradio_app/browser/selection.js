/** Changes of the selection. A view never addresses another view: all of them follow the selection. */

import { oncePerFrame } from "./elements.js";
import { emit } from "./events.js";
import { partsDependingOn, read } from "./parts.js";
import { withChange } from "./permalink.js";
import { setSelection, state } from "./state.js";
import { switchClass } from "./tuning.js";

/**
 * Change some fields of the selection and read the parts that depend on them.
 * @param {Partial<import("./payloads").Selection>} change
 */
export async function select(change) {
  const previous = state.selection.cls;
  const next = withChange(state.selection, change);
  const changed = setSelection(next, (fields) => {
    if (fields.includes("cls")) switchClass(previous);
    if (fields.some((field) => ["cls", "subset", "slice", "scope"].includes(field))) clearMarks();
  });
  if (changed.length) await read(partsDependingOn(changed));
}

/**
 * Add a concept to the selection or remove it.
 * @param {string} name
 */
export function toggleConcept(name) {
  const { concepts } = state.selection;
  const kept = concepts.filter((concept) => concept !== name);
  return select({ concepts: kept.length < concepts.length ? kept : [...concepts, name] });
}

/**
 * Select a concept as the most recent one.
 * @param {string} name
 */
export const pickConcept = (name) =>
  select({ concepts: [...state.selection.concepts.filter((concept) => concept !== name), name] });

/** Highlight the images that show a concept; null ends it. No request is sent. */
export const hover = oncePerFrame((/** @type {string | null} */ concept) => {
  if (concept === state.hover) return;
  state.hover = concept;
  emit("hover", concept);
});

/** Highlight the images within a range of a concept's values; null ends it. No request is sent. */
export const brush = oncePerFrame((/** @type {import("./payloads").Brush | null} */ range) => {
  state.brush = range;
  emit("brush", range);
});

/** End hover and brush: they belong to images that are no longer shown. */
export function clearMarks() {
  const { hover: hovered, brush: brushed } = state;
  state.hover = null;
  state.brush = null;
  if (hovered) emit("hover", null);
  if (brushed) emit("brush", null);
}
