/** View 3, Concept influence: the signed weights of one class, and each concept's values in the images. */

import { offerChart } from "../../browser/charts.js";
import { button, segmented, term } from "../../browser/controls.js";
import {
  childrenOf,
  closest,
  h,
  itemOf,
  keyOf,
  reconcile,
  s,
  setAttribute,
  setText,
} from "../../browser/elements.js";
import { emit, on } from "../../browser/events.js";
import { rovingFocus, setTabStop } from "../../browser/focus.js";
import { axisLimit, number, signed } from "../../browser/format.js";
import { openMatrix } from "../../browser/late.js";
import { brush, hover, toggleConcept } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { choice, settings } from "../../browser/storage.js";
import { brushByKey, endedDrag, startBrush } from "./brushing.js";
import { drawChart } from "./chart.js";
import { layOut, pathOf, SIDES } from "./dots.js";

/** @typedef {import("../../browser/payloads").InfluenceRow} Row */

const ORDERS = /** @type {const} */ (["weight", "gap", "name"]);
const WITHOUT_WEIGHT = "without weight: words that separate misaligned from agreeing images, by gap";
/** Changes below this share of the axis are not drawn. */
const VISIBLE = 0.004;
const ALL_ROWS = 40;

/** @type {import("../../browser/payloads").Influence} */
let data = { cls: "", part: "", rows: [], n_active: 0, n_concepts: 0, points: null };
let dots = /** @type {import("./dots.js").Dots} */ ({
  rows: new Int32Array(0),
  sides: new Uint8Array(0),
  strips: new Map(),
});
let order = choice("influence-order", ORDERS, "weight");
let scale = 1;

const chip = h("span", { class: "chip" }, h("span", { class: "cut", "data-name": "" }));
const legend = SIDES.map((side) =>
  h("span", { class: "key" }, h("i", { class: `fill-${side === "agree" ? "agree-pos" : side} round` }), side),
);
const head = h(
  "div",
  { class: "inf-head" },
  h("span", {}, "concept"),
  h("span", { class: "centre" }, "− ", term("weight"), " +"),
  h("span", { class: "keys" }, term("activation", "values"), legend),
  h("span", { class: "right" }, term("gap")),
);
const list = h("div", {
  class: "inf-rows scroll",
  role: "listbox",
  "aria-multiselectable": "true",
  "aria-label": "Concepts",
});
const footLine = h("span", { role: "status" });
const clearBrush = button("Clear the brush", {
  kind: "quiet",
  hidden: true,
  title: "Clear the brush (Escape)",
  onclick: () => brush(null),
});
const foot = h("div", { class: "inf-foot muted" }, footLine, clearBrush);

/** @param {import("../../browser/view.js").View} view */
export function setup(view) {
  const options = ORDERS.map((id) => /** @type {[string, string]} */ ([id, id]));
  const title = "All classes × concepts";
  const all = button("All classes", { icon: "grid", iconOnly: true, title, onclick: openMatrix });
  view.tools.append(all, chip, segmented(options, order, setOrder, "Order of the concepts"));
  view.body.append(head, list, foot);
  rovingFocus(list, ".inf-row");
  on("brush", onBrush);
  on("hover-image", (row) => highlight(row === null ? (state.brush?.rows ?? null) : new Set([row])));
  on("hover", (concept) => {
    for (const row of list.children) row.classList.toggle("hovered", keyOf(row) === concept);
  });
  on("preview", () => {
    for (const row of list.children) drawGhost(childrenOf(row)[1], itemOf(row));
  });
  on("select", markSelection);
  view.part("influence.rows", (now) => {
    data = now;
    if (now.points) dots = layOut(now.points);
    draw();
  });
  offerChart("concept influence", () => drawChart(data, childrenOf(list).map(itemOf), dots, scale));
}

/** @param {typeof order} id */
function setOrder(id) {
  order = id;
  settings.set("influence-order", id);
  draw();
}

function draw() {
  const name = data.cls + (data.part ? ` · ${data.part}` : "");
  setText(childrenOf(chip)[0], name);
  chip.title = name;
  scale = axisLimit(Math.max(0.05, ...data.rows.map((row) => Math.abs(row.weight))));
  const picked = new Set(state.selection.concepts);
  const all = order !== "weight" || data.rows.length <= ALL_ROWS;
  const shown = sortedRows().filter((row) => all || row.weight !== 0 || picked.has(row.name) || row.added);
  reconcile(list, shown, (row) => row.name, createRow, updateRow);
  const idle = order === "weight" ? shown.find((row) => row.weight === 0) : undefined;
  for (const row of list.children)
    setAttribute(row, "data-heading", keyOf(row) === idle?.name ? WITHOUT_WEIGHT : null);
  drawFoot();
  markSelection();
}

function sortedRows() {
  const gap = (/** @type {Row} */ row) => Math.abs(row.gap ?? 0);
  const compare = {
    name: (/** @type {Row} */ a, /** @type {Row} */ b) => a.name.localeCompare(b.name),
    gap: (/** @type {Row} */ a, /** @type {Row} */ b) => gap(b) - gap(a),
    weight: (/** @type {Row} */ a, /** @type {Row} */ b) =>
      Math.abs(b.weight) - Math.abs(a.weight) || gap(b) - gap(a),
  };
  return [...data.rows].sort(compare[order]);
}

/** @param {Row} item */
function createRow(item) {
  const strip = s(
    "svg",
    { class: "strip", viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("line", { x1: 0, x2: 100, y1: 14, y2: 14, class: "base" }),
    SIDES.map((side) => s("path", { class: `dots ${side}` })),
    s("path", { class: "dots lit" }),
    s("rect", { class: "brush", y: 1, height: 24, width: 0 }),
  );
  const bar = h(
    "span",
    { class: "bar" },
    h("i", { class: "fill" }),
    h("i", { class: "ghost", hidden: true }),
    h("b"),
  );
  const row = h(
    "div",
    { class: "inf-row", role: "option", "data-concept": item.name, tabindex: "-1" },
    h("span", { class: "inf-name cut", "data-name": "" }),
    bar,
    strip,
    h("span", { class: "right gap" }),
  );
  row.addEventListener("click", (event) => {
    if (!closest(event, ".strip") || !endedDrag()) toggleConcept(item.name);
  });
  for (const type of ["mouseenter", "focus"]) row.addEventListener(type, () => hover(item.name));
  for (const type of ["mouseleave", "blur"]) row.addEventListener(type, () => hover(null));
  row.addEventListener("keydown", (event) => onKey(event, row));
  strip.addEventListener("pointerdown", (event) => startBrush(event, strip, item.name, dots));
  return row;
}

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement} row
 */
function onKey(event, row) {
  /** @type {Row} */
  const { name } = itemOf(row);
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    toggleConcept(name);
  } else if (event.key === "b") brushByKey(name, dots);
  else if (event.key === "Escape") brush(null);
  else if (!event.ctrlKey && !event.metaKey && !event.altKey) emit("tune-key", { concept: name, event });
}

/**
 * @param {HTMLElement} row
 * @param {Row} item
 */
function updateRow(row, item) {
  const [name, bar, strip, gap] = childrenOf(row);
  const [fill, , text] = childrenOf(bar);
  setText(name, item.name);
  name.title = item.group ? `${item.name} (group ${item.group})` : item.name;
  setAttribute(row, "data-weight", item.weight);
  placeBar(fill, item.weight);
  fill.className = `fill ${item.weight < 0 ? "neg" : "pos"}`;
  setText(text, item.weight === 0 ? "0" : signed(item.weight));
  row.classList.toggle("zero", item.weight === 0);
  drawGhost(bar, item);
  const found = dots.strips.get(item.name);
  const paths = childrenOf(strip);
  SIDES.forEach((_, side) => {
    setAttribute(paths[1 + side], "d", found ? pathOf(found, (i) => dots.sides[i] === side) : "");
  });
  setAttribute(paths[4], "d", "");
  setText(gap, signed(item.gap));
  row.setAttribute("aria-label", `${item.name}: weight ${signed(item.weight)}, gap ${signed(item.gap)}`);
}

/**
 * Draw a bar from the middle to a weight.
 * @param {HTMLElement} node
 * @param {number} weight
 * @param {number} [least]
 */
function placeBar(node, weight, least = 0) {
  const share = Math.max(least, Math.min(1, Math.abs(weight) / scale)).toFixed(4);
  node.style.left = weight < 0 ? `calc(50% - ${share} * var(--reach))` : "50%";
  node.style.width = `calc(${share} * var(--reach))`;
}

/**
 * Draw the predicted weight as a dashed bar. The number stands behind the longer of the two bars.
 * @param {HTMLElement} bar
 * @param {Row} item
 */
function drawGhost(bar, item) {
  const [, ghost, text] = childrenOf(bar);
  const predicted = state.preview?.weights?.[item.name];
  const shown = predicted !== undefined && Math.abs(predicted - item.weight) > VISIBLE * scale;
  ghost.hidden = !shown;
  const sameSide = shown && predicted < 0 === item.weight < 0;
  const reach = Math.max(Math.abs(item.weight), sameSide ? Math.abs(predicted) : 0);
  const end = `calc(50% + ${Math.min(1, reach / scale).toFixed(4)} * var(--reach) + 4px)`;
  text.style.left = item.weight < 0 ? "auto" : end;
  text.style.right = item.weight < 0 ? end : "auto";
  if (!shown) return;
  placeBar(ghost, predicted, 0.012);
  ghost.className = `ghost ${predicted < 0 ? "neg" : "pos"}`;
}

/** Show the range of the brush, or what the list holds and what can be done in it. */
function drawFoot() {
  const range = state.brush;
  const line = range
    ? `${range.rows.size} of the dots: “${range.concept}” from ${number(range.low)} to ${number(range.high)}`
    : `${data.n_active} of ${data.n_concepts} concepts have a weight for ${data.cls}. ` +
      "Click a word to tune it, drag over the dots to brush.";
  setText(footLine, line);
  footLine.title = line;
  clearBrush.hidden = !range;
  foot.classList.toggle("brushed", Boolean(range));
}

function markSelection() {
  const picked = new Set(state.selection.concepts);
  for (const row of list.children)
    setAttribute(row, "aria-selected", picked.has(keyOf(row) ?? "") ? "true" : "false");
  setTabStop(list.children, (row) => row === document.activeElement);
}

/** @param {import("../../browser/payloads").Brush | null} range */
function onBrush(range) {
  for (const row of list.children) {
    const rectangle = childrenOf(childrenOf(row)[2])[5];
    const [from, to] = range && range.concept === keyOf(row) ? range.at : [0, 0];
    setAttribute(rectangle, "x", from);
    setAttribute(rectangle, "width", to - from);
  }
  highlight(range?.rows ?? null);
  drawFoot();
}

/**
 * Highlight the dots of some images in all strips.
 * @param {Set<number> | null} rows
 */
function highlight(rows) {
  const active = rows?.size ? rows : null;
  list.classList.toggle("dimmed", Boolean(active));
  for (const row of list.children) {
    const strip = active ? dots.strips.get(keyOf(row) ?? "") : undefined;
    const path = strip ? pathOf(strip, (i) => Boolean(active?.has(dots.rows[i]))) : "";
    setAttribute(childrenOf(childrenOf(row)[2])[4], "d", path);
  }
}
