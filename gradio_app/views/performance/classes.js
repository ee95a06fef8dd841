/** Order and scale of the classes' rows. */

/** @typedef {import("../../browser/payloads").ClassLine} ClassLine */
/** @typedef {import("../../browser/payloads").Counts} Counts */
/** @typedef {"ap" | "balanced_agreement" | "f1"} Measure */

/** Subsets in the order of the bars, with the words that name them.
 * @type {[id: keyof Counts, name: string][]} */
export const SUBSETS = [
  ["agree-pos", "both yes"],
  ["missed", "missed"],
  ["extra", "extra"],
  ["agree-neg", "both no"],
];

/** @type {Record<Measure, {name: string, short: string}>} */
export const MEASURES = {
  ap: { name: "average precision", short: "AP" },
  balanced_agreement: { name: "balanced agreement", short: "bal." },
  f1: { name: "F1", short: "F1" },
};

export const ORDERS = /** @type {const} */ (["class", "fidelity", "accuracy", "NEC", "images"]);

/** Above every share, so that classes without a value come last. */
const UNKNOWN = 2;

/**
 * Sort classes by what a column shows, the worst first. "class" is the project's own order.
 * @param {ClassLine[]} classes
 * @param {typeof ORDERS[number]} order
 * @param {Measure} measure
 */
export function sortedClasses(classes, order, measure) {
  /** @type {Record<typeof ORDERS[number], (line: ClassLine) => number>} */
  const keys = {
    class: () => 0,
    fidelity: (line) => line[measure].value ?? UNKNOWN,
    accuracy: (line) => line.truth?.student ?? UNKNOWN,
    NEC: (line) => -line.nec,
    images: (line) => -line.counts.missed - line.counts.extra,
  };
  const key = keys[order];
  return [...classes].sort((a, b) => key(a) - key(b));
}

/**
 * Return the relative widths of the subsets: square roots, so that small subsets stay visible.
 * @param {Counts} counts
 */
export function subsetShares(counts) {
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0) || 1;
  const entries = SUBSETS.map(([id]) => [id, Math.sqrt(counts[id] / total)]);
  return /** @type {Record<keyof Counts, number>} */ (Object.fromEntries(entries));
}
