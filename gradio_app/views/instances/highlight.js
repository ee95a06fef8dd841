/** The images that a hovered concept or a brush highlights. */

import { unpackBytes, unpackIntegers } from "../../browser/columns.js";

/** @typedef {import("../../browser/payloads").Quantised} Quantised */

/**
 * Values of concepts in images, as bytes.
 * @typedef {object} Values
 * @property {Map<string, number>} concepts The index of each concept.
 * @property {Map<number, number>} images The index of each image.
 * @property {Uint8Array} bytes Concept by concept.
 * @property {number[]} low
 * @property {number[]} high
 */

/**
 * Decode values of concepts.
 * @param {{rows: string, concepts: string[], values: Quantised}} data
 * @returns {Values}
 */
export const decodeValues = (data) => ({
  concepts: new Map(data.concepts.map((concept, k) => [concept, k])),
  images: new Map(Array.from(unpackIntegers(data.rows), (row, i) => [row, i])),
  bytes: unpackBytes(data.values.bytes),
  low: data.values.low,
  high: data.values.high,
});

/**
 * Return how strongly each image is highlighted, from 0 to 1, or null if nothing is.
 * @param {Values | null} values
 * @param {import("../../browser/payloads").Brush | null} brush
 * @param {string | null} hover
 * @returns {((row: number) => number) | null}
 */
export function highlightOf(values, brush, hover) {
  const concept = brush?.concept ?? hover;
  const k = concept === null ? undefined : values?.concepts.get(concept);
  if (!values || k === undefined) return brush && ((row) => Number(brush.rows.has(row)));
  const n = values.images.size;
  const shareOf = (/** @type {number} */ row) => {
    const i = values.images.get(row);
    return i === undefined ? undefined : values.bytes[k * n + i] / 255;
  };
  if (!brush) return (row) => shareOf(row) ?? 0;
  const span = values.high[k] - values.low[k];
  const rounding = span / 510; // Half a step of the bytes.
  return (row) => {
    const share = shareOf(row);
    if (share === undefined) return 0;
    const value = values.low[k] + span * share;
    return Number(value >= brush.low - rounding && value <= brush.high + rounding);
  };
}
