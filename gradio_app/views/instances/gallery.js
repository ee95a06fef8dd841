/** The gallery: a grid of thumbnails of which only the visible ones are in the document. */

import { childrenOf, closest, h, oncePerFrame, setAttribute, setText } from "../../browser/elements.js";
import { emit, on } from "../../browser/events.js";
import { select } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { ordered } from "./order.js";
import { hasIndex, hasNames, nameOf, showThumbnail } from "./sheets.js";

const GAP = 4;
/** Width at which the number of columns aims, in pixels. */
const TILE_WIDTH = 84;
const LEAST_COLUMNS = 3;
/** Rows that are drawn above and below the visible ones. */
const SPARE_ROWS = 2;
/** Rows that Page Up and Page Down move by. */
const PAGE_ROWS = 4;
/** Opacity of images in which a concept is absent. */
const FAINT = 0.16;

/** @typedef {import("./order.js").Images} Images */
/** @typedef {import("./order.js").Order} Order */

const spacer = h("div", { class: "gallery-space", role: "presentation" });
export const gallery = h(
  "div",
  { class: "gallery scroll", role: "listbox", "aria-label": "Images", tabindex: "-1" },
  spacer,
);

/** @type {Images | null} */
let images = null;
/** Indices into `images`, in the order shown. @type {number[]} */
let shown = [];
/** @type {Order} */
let order = "disagreement";
/**
 * Share of the highest value of the highlighted concept in an image. @type {((row: number) => number) |
 * null}
 */
let strength = null;
let side = 78;
let columns = 5;
let focused = 0;
/** Tiles by their position in the gallery. @type {Map<number, HTMLElement>} */
const tiles = new Map();

/** @param {HTMLElement} tile */
const positionOf = (tile) => Number(tile.dataset.at);
/** @param {number} at */
const rowAt = (at) => (images ? images.rows[shown[at]] : -1);

/**
 * Show other images.
 * @param {Images} now
 */
export function setImages(now) {
  images = now;
  sort();
}

/**
 * Order the images.
 * @param {Order} now
 */
export function setOrder(now) {
  order = now;
  sort();
}

/**
 * Highlight images; null ends it.
 * @param {((row: number) => number) | null} now
 */
export function setHighlight(now) {
  strength = now;
  highlight();
}

/**
 * Scroll to the first image for which `wanted` holds, unless one is visible.
 * @param {(row: number) => boolean} wanted
 */
export function scrollToFirst(wanted) {
  if ([...tiles.keys()].some((at) => wanted(rowAt(at)))) return;
  const at = shown.findIndex((i) => images && wanted(images.rows[i]));
  if (at < 0) return;
  gallery.scrollTop = Math.floor(at / columns) * (side + GAP);
  paint();
}

/** Draw all visible tiles again. */
export const repaint = () => paint(true);

/** Mark the tile of the opened image. */
export function markOpened() {
  for (const [at, tile] of tiles) setAttribute(tile, "aria-selected", isOpen(rowAt(at)) ? "true" : "false");
}

/** @param {number} row */
const isOpen = (row) => nameOf(row) !== null && nameOf(row) === state.selection.image;

function sort() {
  if (!images || !hasIndex()) return;
  shown = ordered(images, order === "name" && !hasNames() ? "disagreement" : order, nameOf);
  gallery.scrollTop = 0;
  focused = 0;
  paint(true);
}

/** Compute the size of the tiles; return whether the gallery is visible. */
function measure() {
  const width = gallery.clientWidth;
  if (!width) return false;
  columns = Math.max(LEAST_COLUMNS, Math.round(width / TILE_WIDTH));
  side = Math.floor((width - GAP * (columns - 1)) / columns);
  return true;
}

/**
 * Draw the visible tiles.
 * @param {boolean} [all] Draw those again that are drawn already.
 */
function paint(all = false) {
  gallery.hidden = Boolean(images) && !shown.length;
  if (!hasIndex() || !images || !measure()) return;
  const step = side + GAP;
  spacer.style.height = `${Math.max(0, Math.ceil(shown.length / columns) * step - GAP)}px`;
  const first = Math.max(0, Math.floor(gallery.scrollTop / step) - SPARE_ROWS) * columns;
  const lastRow = Math.ceil((gallery.scrollTop + gallery.clientHeight) / step) + SPARE_ROWS;
  const last = Math.min(shown.length, lastRow * columns);
  const spare = [];
  for (const [at, tile] of tiles)
    if (at < first || at >= last) {
      tiles.delete(at);
      spare.push(tile);
    }
  for (let at = first; at < last; at++) {
    const known = tiles.get(at);
    const tile = known ?? spare.pop() ?? createTile();
    tiles.set(at, tile);
    if (!tile.isConnected) spacer.append(tile);
    if (!known || all) updateTile(tile, at, step);
  }
  for (const tile of spare) tile.remove();
  highlight();
}

const createTile = () =>
  h("div", { class: "tile", role: "option" }, h("span", { class: "tile-text" }, h("span"), h("span")));

/**
 * @param {HTMLElement} tile
 * @param {number} at
 * @param {number} step
 */
function updateTile(tile, at, step) {
  if (!images) return;
  const i = shown[at];
  const row = images.rows[i];
  const id = nameOf(row);
  const teacher = Math.round(100 * images.teacher[i]);
  const student = Math.round(100 * images.student[i]);
  const [teacherText, studentText] = childrenOf(childrenOf(tile)[0]);
  tile.dataset.at = String(at);
  tile.style.transform = `translate(${(at % columns) * step}px, ${Math.floor(at / columns) * step}px)`;
  tile.style.width = `${side}px`;
  tile.style.height = `${side}px`;
  tile.className = `tile code-${images.codes[i]}`;
  showThumbnail(tile, row, side);
  setAttribute(tile, "data-image", id);
  setAttribute(tile, "aria-selected", isOpen(row) ? "true" : "false");
  setAttribute(tile, "tabindex", at === focused ? "0" : "-1");
  setAttribute(tile, "aria-setsize", shown.length);
  setAttribute(tile, "aria-posinset", at + 1);
  setAttribute(tile, "aria-label", `${id ?? "image"}: teacher ${teacher} %, student ${student} %`);
  setText(teacherText, `T ${teacher}`);
  setText(studentText, `S ${student}`);
}

function highlight() {
  gallery.classList.toggle("lighting", Boolean(strength));
  for (const [at, tile] of tiles) {
    const opacity = strength ? FAINT + (1 - FAINT) * Math.min(1, strength(rowAt(at))) : null;
    const text = opacity === null ? "" : opacity.toFixed(2);
    if (tile.style.opacity !== text) tile.style.opacity = text;
  }
}

/** @param {number} at */
function open(at) {
  focused = at;
  const id = nameOf(rowAt(at));
  if (id) select({ image: id === state.selection.image ? null : id });
}

/** @param {number} at */
function focusTile(at) {
  focused = at;
  const top = Math.floor(at / columns) * (side + GAP);
  if (top < gallery.scrollTop) gallery.scrollTop = top;
  else if (top + side > gallery.scrollTop + gallery.clientHeight)
    gallery.scrollTop = top + side - gallery.clientHeight;
  paint(true);
  tiles.get(at)?.focus({ preventScroll: true });
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const tile = closest(event, ".tile");
  if (!tile) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    open(positionOf(tile));
    return;
  }
  /** @type {Record<string, number>} */
  const steps = {
    ArrowRight: 1,
    ArrowLeft: -1,
    ArrowDown: columns,
    ArrowUp: -columns,
    PageDown: PAGE_ROWS * columns,
    PageUp: -PAGE_ROWS * columns,
    Home: -Infinity,
    End: Infinity,
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const to = Math.max(0, Math.min(shown.length - 1, positionOf(tile) + steps[event.key]));
  focusTile(to);
  const id = nameOf(rowAt(to));
  if (state.selection.image && id) select({ image: id }); // The next image opens in place of the open one.
}

gallery.addEventListener(
  "scroll",
  oncePerFrame(() => paint()),
  { passive: true },
);
gallery.addEventListener("click", (event) => {
  const tile = closest(event, ".tile");
  if (tile) open(positionOf(tile));
});
gallery.addEventListener("mouseover", (event) => {
  const tile = closest(event, ".tile");
  if (tile) emit("hover-image", rowAt(positionOf(tile)));
});
gallery.addEventListener("mouseleave", () => emit("hover-image", null));
gallery.addEventListener("keydown", onKey);
new ResizeObserver(oncePerFrame(repaint)).observe(gallery);
on("select", markOpened);
