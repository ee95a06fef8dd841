/** Layout of the dots of a concept's values, one strip per concept, and the range of a brush on it. */

import { unpackBytes, unpackIntegers } from "../../browser/columns.js";

/** Sides of a strip: agreeing images above its line, misaligned ones below. */
export const SIDES = ["agree", "missed", "extra"];

/** Width of a strip, in units of its drawing. */
const WIDTH = 100;
const MARGIN = 1.5;
const SPAN = WIDTH - 2 * MARGIN;
const BIN = 1.6;
const BINS = 64;

/** @typedef {{x: Float32Array, y: Float32Array, low: number, high: number}} Strip */

/**
 * @typedef {object} Dots
 * @property {Int32Array} rows The image of each dot.
 * @property {Uint8Array} sides The index of its side in `SIDES`.
 * @property {Map<string, Strip>} strips By concept.
 */

/**
 * Lay out the dots. Dots of similar value are stacked away from the line.
 * @param {import("../../browser/payloads").Points} points
 * @returns {Dots}
 */
export function layOut(points) {
  const rows = unpackIntegers(points.rows);
  const sides = unpackBytes(points.sides);
  const bytes = unpackBytes(points.values.bytes);
  const n = rows.length;
  const strips = new Map();
  points.concepts.forEach((concept, k) => {
    const x = Float32Array.from(bytes.subarray(k * n, (k + 1) * n), (byte) => MARGIN + (SPAN * byte) / 255);
    strips.set(concept, { x, y: stack(x, sides), low: points.values.low[k], high: points.values.high[k] });
  });
  return { rows, sides, strips };
}

/**
 * @param {Float32Array} x
 * @param {Uint8Array} sides
 */
function stack(x, sides) {
  const above = new Uint16Array(BINS);
  const below = new Uint16Array(BINS);
  return x.map((value, i) => {
    const bin = Math.min(BINS - 1, Math.floor(value / BIN));
    return sides[i] === 0 ? 13 - (above[bin]++ % 5) * 2.6 : 16.4 + (below[bin]++ % 4) * 2.6;
  });
}

/**
 * Return the path that draws some of the dots of a strip.
 * @param {Strip} strip
 * @param {(i: number) => boolean} wanted
 * @param {(x: number, y: number) => [number, number]} [place] From units of the strip to those of the
 *   drawing.
 */
export function pathOf(strip, wanted, place = (x, y) => [x, y]) {
  let path = "";
  strip.x.forEach((x, i) => {
    if (!wanted(i)) return;
    const [left, top] = place(x, strip.y[i]);
    path += `M${left.toFixed(1)} ${top.toFixed(1)}h0`;
  });
  return path;
}

/**
 * Return the values and the images of a brushed range.
 * @param {Dots} dots
 * @param {string} concept
 * @param {[from: number, to: number]} at In units of the strip.
 * @returns {import("../../browser/payloads").Brush | null}
 */
export function brushRange(dots, concept, at) {
  const strip = dots.strips.get(concept);
  if (!strip) return null;
  const [from, to] = at;
  const value = (/** @type {number} */ x) => strip.low + ((x - MARGIN) / SPAN) * (strip.high - strip.low);
  const rows = new Set(dots.rows.filter((_, i) => strip.x[i] >= from && strip.x[i] <= to));
  return { concept, low: value(from), high: value(to), at, rows };
}
