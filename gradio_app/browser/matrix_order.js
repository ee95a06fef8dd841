/** The class × concept matrix in memory: its cells, and the orders of its rows and columns. */

import { unpackFloats, unpackIntegers } from "./columns.js";

/** @typedef {import("./payloads").ClassMatrix} Payload */

/**
 * @typedef {object} Matrix
 * @property {string[]} classes
 * @property {string[]} concepts
 * @property {Float32Array} weights Class by class.
 * @property {Int32Array} sharing Classes that use each concept.
 * @property {Int32Array} sizes Concepts that each class uses.
 * @property {Float64Array} strength Sum of the absolute weights of each concept.
 * @property {Int32Array} confused Held-out images of each class that are called another class.
 * @property {Int32Array} classOrder Similar classes near each other.
 * @property {Int32Array} conceptOrder
 * @property {string[]} groups
 * @property {number} largest The largest absolute weight.
 */

export const CLASS_ORDERS = /** @type {const} */ ({
  similar: "similar",
  project: "project",
  name: "name",
  confused: "confused",
  concepts: "concepts",
});
export const CONCEPT_ORDERS = /** @type {const} */ ({
  shared: "shared",
  similar: "similar",
  weight: "weight",
  name: "name",
  group: "group",
});

/**
 * Unpack a matrix.
 * @param {Payload} payload
 * @returns {Matrix}
 */
export function unpacked(payload) {
  const { classes, concepts, groups, pairs } = payload;
  const rows = unpackIntegers(payload.rows);
  const columns = unpackIntegers(payload.columns);
  const values = unpackFloats(payload.weights);
  const weights = new Float32Array(classes.length * concepts.length);
  const sharing = new Int32Array(concepts.length);
  const sizes = new Int32Array(classes.length);
  const strength = new Float64Array(concepts.length);
  let largest = 0;
  values.forEach((weight, i) => {
    weights[rows[i] * concepts.length + columns[i]] = weight;
    sharing[columns[i]]++;
    sizes[rows[i]]++;
    strength[columns[i]] += Math.abs(weight);
    largest = Math.max(largest, Math.abs(weight));
  });
  const confused = new Int32Array(classes.length);
  const at = new Map(classes.map((name, i) => [name, i]));
  for (const pair of pairs) confused[at.get(pair.actual) ?? 0] += pair.images;
  const classOrder = unpackIntegers(payload.class_order);
  const conceptOrder = unpackIntegers(payload.concept_order);
  const orders = { classOrder, conceptOrder };
  return { classes, concepts, groups, weights, sharing, sizes, strength, confused, largest, ...orders };
}

/**
 * Return the classes in an order.
 * @param {Matrix} matrix
 * @param {keyof typeof CLASS_ORDERS} by
 */
export function orderedClasses(matrix, by) {
  const { classes, confused, sizes } = matrix;
  const all = classes.map((_, i) => i);
  if (by === "similar") return [...matrix.classOrder];
  if (by === "name") return all.sort((a, b) => classes[a].localeCompare(classes[b]));
  if (by === "confused") return all.sort((a, b) => confused[b] - confused[a] || a - b);
  if (by === "concepts") return all.sort((a, b) => sizes[b] - sizes[a] || a - b);
  return all;
}

/**
 * Return the concepts in an order.
 * @param {Matrix} matrix
 * @param {keyof typeof CONCEPT_ORDERS} by
 */
export function orderedConcepts(matrix, by) {
  const { concepts, groups, sharing, strength } = matrix;
  const all = concepts.map((_, i) => i);
  if (by === "similar") return [...matrix.conceptOrder];
  if (by === "name") return all.sort((a, b) => concepts[a].localeCompare(concepts[b]));
  if (by === "weight") return all.sort((a, b) => strength[b] - strength[a]);
  if (by === "group")
    return all.sort((a, b) => groups[a].localeCompare(groups[b]) || concepts[a].localeCompare(concepts[b]));
  return all.sort((a, b) => sharing[b] - sharing[a] || strength[b] - strength[a]);
}
