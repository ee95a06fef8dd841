/** Values of the cells of the confusion table. */

/** @typedef {import("../../browser/payloads").ConfusionTable} Table */

/** Shade of the faintest cell that is not empty. */
const FAINTEST = 0.12;

/**
 * Return the shade of a cell, from 0 to 1: the share of the images of its actual class.
 * @param {number} n
 * @param {number} total
 */
export const cellShade = (n, total) => (n > 0 ? FAINTEST + (1 - FAINTEST) * (n / total) : 0);

/**
 * Return what the rows of the table are.
 * @param {Table} table
 */
export const actualName = (table) => (table.reference === "teacher" ? "teacher" : "label");

/**
 * Return the cells of confused classes, the largest first.
 * @param {Table} table
 * @param {number} most
 */
export const largestConfusions = (table, most) =>
  table.cells
    .filter((cell) => cell.actual !== cell.predicted)
    .sort((a, b) => b.n - a.n)
    .slice(0, most);
