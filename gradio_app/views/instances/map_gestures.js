/** Gestures of the map: pointer, wheel and keys. */

import { emit } from "../../browser/events.js";
import { canvas, pan, placeOf, redraw, rowAt, scene, showAll, windowCorners, zoom } from "./map_canvas.js";
import { LEAST_CORNERS, simplified } from "./map_lasso.js";

const STEP = 48;
const KEY_ZOOM = 1.35;
/** A pointer that moves less than this is a click. */
const CLICK_PIXELS = 4;
const LEAST_DISTANCE = 3;

/** @typedef {import("./map_lasso.js").Corner} Corner */

/** What the map does on gestures. */
export const gestures = {
  lasso: false,
  /** @type {(corners: Corner[] | null) => void} */
  onArea: () => {},
  /** @type {(row: number) => void} */
  onOpen: () => {},
  onLassoKey: () => {},
  /** @type {(row: number) => void} */
  onHover: () => {},
};

/** Pointers that are down, by id. @type {Map<number, Corner>} */
const down = new Map();
/** @type {"pan" | "lasso" | null} */
let mode = null;
/** @type {Corner} */
let began = [0, 0];
let moved = false;

/**
 * @param {PointerEvent | WheelEvent | MouseEvent} event
 * @returns {Corner}
 */
function pixel(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  const at = pixel(event);
  down.set(event.pointerId, at);
  began = at;
  moved = false;
  mode = down.size > 1 || gestures.lasso === event.shiftKey ? "pan" : "lasso";
  scene.path = mode === "lasso" ? [at] : [];
});

canvas.addEventListener("pointermove", (event) => {
  const at = pixel(event);
  const before = down.get(event.pointerId);
  if (!before) return hover(rowAt(...at));
  moved ||= Math.hypot(at[0] - began[0], at[1] - began[1]) > CLICK_PIXELS;
  if (down.size > 1) pinch(event.pointerId, before, at);
  else if (mode === "pan") pan(at[0] - before[0], at[1] - before[1]);
  else {
    const [x, y] = scene.path[scene.path.length - 1];
    if (Math.hypot(at[0] - x, at[1] - y) >= LEAST_DISTANCE) scene.path.push(at);
    redraw();
  }
  down.set(event.pointerId, at);
});

/**
 * @param {number} id
 * @param {Corner} before
 * @param {Corner} at
 */
function pinch(id, before, at) {
  const other = [...down].find(([key]) => key !== id)?.[1];
  if (!other) return;
  const distance = (/** @type {Corner} */ p) => Math.max(8, Math.hypot(p[0] - other[0], p[1] - other[1]));
  zoom(distance(at) / distance(before), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
  pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
}

/** @param {PointerEvent} event */
function release(event) {
  if (!down.delete(event.pointerId) || down.size) return;
  const path = scene.path;
  scene.path = [];
  redraw();
  if (event.type === "pointercancel") return;
  if (!moved) {
    const row = rowAt(...pixel(event));
    if (row >= 0) gestures.onOpen(row);
  } else if (mode === "lasso") {
    const corners = simplified(path.map(([x, y]) => placeOf(x, y)));
    if (corners.length >= LEAST_CORNERS) gestures.onArea(corners);
  }
}
canvas.addEventListener("pointerup", release);
canvas.addEventListener("pointercancel", release);
canvas.addEventListener("pointerleave", () => hover(-1));
canvas.addEventListener("dblclick", (event) => zoom(2, ...pixel(event)));
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 300), ...pixel(event));
  },
  { passive: false },
);

/** @param {number} row */
function hover(row) {
  if (row === scene.hovered) return;
  scene.hovered = row;
  gestures.onHover(row);
  emit("hover-image", row >= 0 ? row : null);
  redraw();
}

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  /** @type {Record<string, () => void>} */
  const actions = {
    ArrowLeft: () => pan(STEP, 0),
    ArrowRight: () => pan(-STEP, 0),
    ArrowUp: () => pan(0, STEP),
    ArrowDown: () => pan(0, -STEP),
    "+": () => zoom(KEY_ZOOM),
    "=": () => zoom(KEY_ZOOM),
    "-": () => zoom(1 / KEY_ZOOM),
    0: showAll,
    l: gestures.onLassoKey,
    L: gestures.onLassoKey,
    Enter: () => gestures.onArea(windowCorners()),
  };
  if (event.key === "Escape" && scene.area) gestures.onArea(null);
  else if (event.key in actions) actions[event.key]();
  else return;
  event.preventDefault();
  event.stopPropagation();
});
