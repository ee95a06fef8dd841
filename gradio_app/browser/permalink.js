/** Conversion between a selection and the fragment of the page's address. */

const MOST_CONCEPTS = 40;

/** @type {import("./payloads").Selection} */
export const EMPTY = {
  cls: null,
  subset: null,
  slice: null,
  concepts: [],
  image: null,
  scope: null,
  actual: null,
  predicted: null,
  reference: null,
  moved: null,
  area: null,
};

/** @type {(keyof import("./payloads").Selection)[]} */
export const FIELDS = /** @type {any} */ (Object.keys(EMPTY));

/** Fields with a single value, which the address holds under their own names. @type {(keyof Names)[]} */
const NAMES = ["subset", "slice", "image", "scope", "actual", "predicted", "reference", "moved", "area"];
/** @typedef {Omit<import("./payloads").Selection, "cls" | "concepts">} Names */

/**
 * Write a selection as an address fragment, without the leading "#".
 * @param {import("./payloads").Selection} selection
 */
export function toFragment(selection) {
  const query = new URLSearchParams();
  if (selection.cls) query.set("class", selection.cls);
  for (const concept of selection.concepts) query.append("concept", concept);
  for (const name of NAMES) {
    const value = selection[name];
    if (value) query.set(name, value);
  }
  return query.toString();
}

/**
 * Read a selection from an address fragment. The server validates the values.
 * @param {string} fragment
 * @returns {import("./payloads").Selection}
 */
export function fromFragment(fragment) {
  const query = new URLSearchParams(fragment.replace(/^#/, ""));
  const names = NAMES.map((name) => [name, query.get(name)]);
  return {
    ...EMPTY,
    ...Object.fromEntries(names),
    cls: query.get("class"),
    concepts: query.getAll("concept").slice(0, MOST_CONCEPTS),
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
 * Apply a change to a selection. A new class clears subset, slice and filters unless the change sets them. A
 * slice excludes a subset and the filters by actual and predicted class and by a comparison.
 * @param {import("./payloads").Selection} selection
 * @param {Partial<import("./payloads").Selection>} change
 */
export function withChange(selection, change) {
  const next = { ...selection, ...change };
  /** @type {("subset" | "slice" | "actual" | "predicted" | "moved")[]} */
  const narrowing = ["subset", "slice", "actual", "predicted", "moved"];
  const clear = (/** @type {typeof narrowing} */ fields) => {
    for (const field of fields) if (!(field in change)) next[field] = null;
  };
  if ("cls" in change && change.cls !== selection.cls) clear(narrowing);
  if (change.slice) clear(["subset", "actual", "predicted", "moved"]);
  if (change.subset || change.actual || change.predicted || change.moved) clear(["slice"]);
  return next;
}

/**
 * Return the fields in which two selections differ.
 * @param {import("./payloads").Selection} a
 * @param {import("./payloads").Selection} b
 */
export const changedFields = (a, b) => FIELDS.filter((field) => !sameValue(a[field], b[field]));
