/** The map of the images: a panel of view 5, linked to all views. */

import { unpackBytes, unpackIntegers, unpackShares } from "../../browser/columns.js";
import { h, oncePerFrame, setAttribute, setText } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { count, plural } from "../../browser/format.js";
import { watchJob } from "../../browser/jobs.js";
import { onPart } from "../../browser/parts.js";
import { select } from "../../browser/selection.js";
import { call } from "../../browser/server.js";
import { state } from "../../browser/state.js";
import { choice, settings } from "../../browser/storage.js";
import { decodeValues, highlightOf } from "./highlight.js";
import { canvas, pan, pixelOf, redraw, scene, showAll, statistics, thumbnails, zoom } from "./map_canvas.js";
import { legendOf, meaning, NONE, paletteOf } from "./map_colours.js";
import { gestures } from "./map_gestures.js";
import { formatArea, parseArea } from "./map_lasso.js";
import {
  bubble,
  clear,
  colouring,
  cover,
  KINDS,
  legend,
  line,
  mode,
  panel,
  panelActions,
  placeEnlarged,
  setEnlarged,
  stage,
} from "./map_panel.js";
import { FAINT, FULL, HIDDEN, indexed } from "./map_points.js";
import { clearTiles } from "./map_tiles.js";
import { nameOf } from "./sheets.js";

/** @typedef {import("../../browser/payloads").MapColours} Colours */

/** Fields of the selection that the colours depend on. */
const COLOUR_FIELDS = ["cls", "slice", "concepts"];
/** Strength of a highlighted concept from which an image is drawn in full colour. */
const STRONG = 0.6;

let layout = "";
let about = "";
/** @type {Int32Array} */
let heldOut = new Int32Array(0);
/** Rows of the images that view 5 shows. @type {Int32Array} */
let selected = new Int32Array(0);
/** @type {((row: number) => number) | null} */
let strength = null;
/** @type {Colours | null} */
let colours = null;
/** @type {number | null} */
let only = null;
/** @type {typeof KINDS[number]} */
let by = choice("map-colours", KINDS, "subset");
let loaded = false;
let requests = 0;

/** @type {HTMLElement | null} */
let opener = null;
/** @type {import("./highlight.js").Values | null} */
let values = null;

/** @param {import("../../browser/payloads").Gallery} gallery */
function setSelected(gallery) {
  values = null; // They belong to the images before.
  selected = unpackIntegers(gallery.rows);
  if (!panel.hidden) refreshLevels();
}

/** Highlight the images of a hovered concept or of a brush. */
function highlight() {
  strength = highlightOf(values, state.brush, state.hover);
  if (!panel.hidden) refreshLevels();
}

/** @param {import("../../browser/payloads").GalleryIndex} index */
function setIndex(index) {
  heldOut = unpackIntegers(index.held_out);
  loaded = false;
  clearTiles();
  if (!panel.hidden) load();
}

/**
 * Show the map.
 * @param {HTMLElement} host Where its panel is put.
 * @param {HTMLElement} toggle The button that shows and hides it.
 */
export function startMap(host, toggle) {
  opener = toggle;
  host.append(panel);
  // What tests and benchmarks read.
  const inspection = { scene, indexed, statistics, pan, thumbnails, pixelOf, zoom, redraw, showAll };
  Object.assign(/** @type {any} */ (window).inficond, { map: inspection });
  panelActions.onClose = () => setOpen(false);
  toggle.addEventListener("click", () => setOpen(panel.hidden !== false));
  colouring.value = by;
  colouring.addEventListener("change", () => {
    by = /** @type {typeof by} */ (colouring.value);
    settings.set("map-colours", by);
    only = null;
    readColours();
  });
  gestures.onArea = (corners) => select({ area: corners && formatArea(layout, corners) });
  gestures.onOpen = (row) => {
    const id = nameOf(row);
    if (id) select({ image: id === state.selection.image ? null : id });
  };
  gestures.onLassoKey = () => {
    const next = gestures.lasso ? "move" : "lasso";
    /** @type {HTMLElement | null} */ (mode.querySelector(`[data-value="${next}"]`))?.click();
    canvas.focus();
  };
  gestures.onHover = showBubble;
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !panel.classList.contains("enlarged")) return;
    setEnlarged(false);
    event.preventDefault();
    event.stopPropagation();
  });
  on("select", ({ changed }) => {
    if (panel.hidden) return;
    if (changed.some((/** @type {string} */ field) => COLOUR_FIELDS.includes(field))) readColours();
    followSelection();
  });
  on("node", () => !panel.hidden && readColours());
  on("theme", () => !panel.hidden && colours && drawColours());
  on("hover-image", (row) => {
    if (panel.hidden || scene.hovered === (row ?? -1)) return;
    scene.hovered = row ?? -1;
    redraw();
  });
  addEventListener("resize", oncePerFrame(placeEnlarged));
  onPart("instances.index", setIndex);
  onPart("instances.gallery", setSelected);
  onPart("instances.values", (data) => {
    values = decodeValues(data);
    if (state.hover || state.brush) highlight();
  });
  on("hover", highlight);
  on("brush", highlight);
  setOpen(true);
}

/** @param {boolean} shown */
function setOpen(shown) {
  panel.hidden = !shown;
  if (opener) setAttribute(opener, "aria-pressed", shown ? "true" : "false");
  settings.set("map", shown ? "shown" : "hidden");
  if (!shown) {
    setEnlarged(false);
    opener?.focus();
    if (state.selection.area) select({ area: null });
    return;
  }
  load();
}

async function load() {
  if (loaded || !state.token) return;
  loaded = true;
  cover.replaceChildren(h("p", { class: "muted" }, "Reading the map…"));
  cover.hidden = false;
  try {
    const response = await call("map", {});
    if (response.error) return fail(response.error);
    const found = response.map ?? (await watchJob(response.job, cover));
    if (found) show(found);
    else loaded = false;
  } catch {
    fail("The map could not be read: the connection was lost. Close the map and open it again.");
  }
}

/** @param {string} reason */
function fail(reason) {
  loaded = false;
  cover.replaceChildren(h("p", { class: "bad" }, reason));
}

/** @param {import("../../browser/payloads").ImageMap} found */
function show(found) {
  panel.classList.toggle("without-map", Boolean(found.unavailable));
  if (found.unavailable) {
    cover.replaceChildren(h("h3", {}, "No map yet"), h("p", {}, found.unavailable));
    setText(line, "");
    return;
  }
  cover.hidden = true;
  layout = found.layout;
  scene.points = indexed(unpackShares(found.x), unpackShares(found.y));
  about = found.about;
  for (const option of colouring.options) option.hidden = option.value === "label-class" && !found.labelled;
  if (by === "label-class" && !found.labelled) colouring.value = by = "subset";
  showAll();
  followSelection();
  readColours();
}

/** Read the colours for the present selection. */
async function readColours() {
  if (!scene.points) return;
  const mine = ++requests;
  const { selection } = state;
  const concept = selection.concepts[selection.concepts.length - 1] ?? null;
  const response = await call("map_colours", { selection, by, concept }, { quiet: true }).catch(() => null);
  if (mine !== requests || !response) return;
  if (response.error) return setText(line, response.error);
  colours = /** @type {Colours} */ (response.colours);
  drawColours();
}

function drawColours() {
  if (!scene.points || !colours) return;
  const palette = paletteOf(colours);
  const codes = unpackBytes(colours.codes);
  const levels = scene.look?.levels ?? new Uint8Array(codes.length);
  const { full, faint, shapes, ranks, background } = palette;
  scene.look = { codes, levels, full, faint, shapes, ranks, background };
  scene.css = palette.css;
  refreshLevels();
  performance.mark("inficond-map");
}

/** Decide how strongly each image is drawn: it is in scope, in the selection, highlighted. */
function refreshLevels() {
  const { look } = scene;
  if (!look || !colours) return;
  const { levels, codes } = look;
  const counts = new Uint32Array(256);
  const everything = state.selection.scope === "all";
  levels.fill(everything ? FAINT : HIDDEN);
  if (!everything) for (const row of heldOut) levels[row] = FAINT;
  for (const row of selected) {
    counts[codes[row]]++;
    if (only !== null && codes[row] !== only) continue;
    if (strength && strength(row) < STRONG) continue;
    levels[row] = FULL;
  }
  scene.n = everything ? levels.length : heldOut.length;
  const setOnly = (/** @type {number | null} */ code) => {
    only = code;
    refreshLevels();
    /** @type {HTMLElement | null} */ (legend.querySelector(`[data-code="${code}"]`))?.focus();
  };
  const palette = { ...look, css: scene.css };
  legend.replaceChildren(...legendOf(colours, palette, counts, only, setOnly));
  describe(counts[NONE]);
  redraw();
}

/** @param {number} without Images of the selection without a category. */
function describe(without) {
  const n = selected.length;
  const images = `${count(n)} image${plural(n)}`;
  const where = state.selection.area ? "in the area" : "in colour";
  const more = scene.n > n ? `, ${count(scene.n - n)} others faint` : "";
  const none = colours?.kind === "categories" && without ? `, ${count(without)} without a colour` : "";
  setText(line, `${images} ${where}${more}${none}. ${about}`);
}

/** Draw area and opened image of the selection. */
function followSelection() {
  const { area, image } = state.selection;
  scene.area = parseArea(area, layout);
  clear.hidden = !area;
  scene.opened = image ? rowOf(image) : -1;
  redraw();
}

/** @param {string} id */
function rowOf(id) {
  const { "instances.opened": opened, "instances.ids": names } = state.parts;
  return opened?.id === id ? opened.row : (names?.ids.indexOf(id) ?? -1);
}

/** @param {number} row */
function showBubble(row) {
  bubble.hidden = row < 0 || !scene.look || !colours;
  if (bubble.hidden || !scene.look || !colours) return;
  const [x, y] = pixelOf(row);
  const name = nameOf(row) ?? "image";
  bubble.replaceChildren(
    h("b", { "data-name": "" }, name.split("/").pop() ?? name),
    h("span", {}, meaning(colours, scene.look.codes[row])),
  );
  const { clientWidth, clientHeight } = stage;
  const right = x > clientWidth / 2;
  bubble.style.left = right ? "" : `${x + 14}px`;
  bubble.style.right = right ? `${clientWidth - x + 14}px` : "";
  bubble.style.top = `${Math.max(4, Math.min(clientHeight - 44, y - 18))}px`;
}
