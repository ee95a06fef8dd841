/** Brushing of a strip by pointer and by key. */

import { brush } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { brushRange } from "./dots.js";

/** A pointer that moves less than this, in units of the strip, clicks. */
const LEAST_DRAG = 1.5;
/** Ranges of a strip that the key B brushes in turn. @type {[number, number][]} */
const BRUSH_RANGES = [
  [75, 100],
  [0, 25],
];

let dragged = false;

/** Return whether the last press on a strip was a drag: the click that follows it selects nothing. */
export const endedDrag = () => dragged;

/**
 * Brush while the pointer moves.
 * @param {PointerEvent} event
 * @param {SVGSVGElement} strip
 * @param {string} concept
 * @param {import("./dots.js").Dots} dots
 */
export function startBrush(event, strip, concept, dots) {
  if (event.button !== 0) return;
  const box = strip.getBoundingClientRect();
  const at = (/** @type {PointerEvent} */ e) =>
    Math.max(0, Math.min(100, (100 * (e.clientX - box.left)) / box.width));
  const from = at(event);
  let moved = false;
  const move = (/** @type {PointerEvent} */ e) => {
    const to = at(e);
    moved ||= Math.abs(to - from) >= LEAST_DRAG;
    if (moved) brush(brushRange(dots, concept, [Math.min(from, to), Math.max(from, to)]));
  };
  const end = () => {
    strip.removeEventListener("pointermove", move);
    strip.removeEventListener("pointerup", end);
    strip.removeEventListener("pointercancel", end);
    dragged = moved;
    if (!moved) brush(null);
  };
  strip.setPointerCapture(event.pointerId);
  strip.addEventListener("pointermove", move);
  strip.addEventListener("pointerup", end);
  strip.addEventListener("pointercancel", end);
}

/**
 * Brush the next of the fixed ranges.
 * @param {string} concept
 * @param {import("./dots.js").Dots} dots
 */
export function brushByKey(concept, dots) {
  const range = state.brush;
  const at = range?.concept === concept ? BRUSH_RANGES.findIndex(([from]) => from === range.at[0]) : -1;
  const next = BRUSH_RANGES[at + 1];
  brush(next ? brushRange(dots, concept, next) : null);
}
