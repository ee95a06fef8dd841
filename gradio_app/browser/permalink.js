/** Conversion between a selection and the fragment of the page's address. */

const MOST_CONCEPTS = 40;

/** @type {import("./payloads").Selection} */
export const EMPTY = { cls: null, subset: null, slice: null, concepts: [], image: null, scope: null };

/** @type {(keyof import("./payloads").Selection)[]} */
export const FIELDS = ["cls", "subset", "slice", "concepts", "image", "scope"];

/**
 * Write a selection as an address fragment, without the leading "#".
 * @param {import("./payloads").Selection} selection
 */
export function toFragment(selection) {
  const query = new URLSearchParams();
  if (selection.cls) query.set("class", selection.cls);
  if (selection.subset) query.set("subset", selection.subset);
  if (selection.slice) query.set("slice", selection.slice);
  for (const concept of selection.concepts) query.append("concept", concept);
  if (selection.image) query.set("image", selection.image);
  if (selection.scope) query.set("scope", selection.scope);
  return query.toString();
}

/**
 * Read a selection from an address fragment. The server validates the values.
 * @param {string} fragment
 * @returns {import("./payloads").Selection}
 */
export function fromFragment(fragment) {
  const query = new URLSearchParams(fragment.replace(/^#/, ""));
  return {
    cls: query.get("class"),
    subset: query.get("subset"),
    slice: query.get("slice"),
    concepts: query.getAll("concept").slice(0, MOST_CONCEPTS),
    image: query.get("image"),
    scope: query.get("scope"),
  };
}

/**
 * Return whether two values of one field of a selection are equal.
 * @param {unknown} a
 * @param {unknown} b
 */
export const sameValue = (a, b) =>
  a === b || (Array.isArray(a) && Array.isArray(b) && a.join("\n") === b.join("\n"));

/**
 * Apply a change to a selection. A new class clears the subset and the slice unless the change sets them, and
 * a subset and a slice exclude each other.
 * @param {import("./payloads").Selection} selection
 * @param {Partial<import("./payloads").Selection>} change
 */
export function withChange(selection, change) {
  const next = { ...selection, ...change };
  if ("cls" in change && change.cls !== selection.cls) {
    if (!("slice" in change)) next.slice = null;
    if (!("subset" in change)) next.subset = null;
  }
  if (change.subset && !("slice" in change)) next.slice = null;
  if (change.slice && !("subset" in change)) next.subset = null;
  return next;
}

/**
 * Return the fields in which two selections differ.
 * @param {import("./payloads").Selection} a
 * @param {import("./payloads").Selection} b
 */
export const changedFields = (a, b) => FIELDS.filter((field) => !sameValue(a[field], b[field]));
