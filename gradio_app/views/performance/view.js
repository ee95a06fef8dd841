/** View 2, Student performance: per class, how well the student follows its teacher and where it does not. */

import { bar, drawing, heading, label, offerChart } from "../../browser/charts.js";
import { segmented, term } from "../../browser/controls.js";
import {
  childrenOf,
  closest,
  h,
  itemOf,
  keyOf,
  queryAll,
  reconcile,
  setAttribute,
  setText,
} from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { rovingFocus, setTabStop } from "../../browser/focus.js";
import { compact, number, plural } from "../../browser/format.js";
import { select } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { choice, settings } from "../../browser/storage.js";
import { MEASURES, ORDERS, SUBSETS, sortedClasses, subsetShares } from "./classes.js";
import { confusion, confusionButton, watchConfusion } from "./confusion.js";
import { drawSlices, slices } from "./slices.js";

/** @typedef {import("../../browser/payloads").ClassLine} ClassLine */
/** @typedef {import("./classes.js").Measure} Measure */

const measures = /** @type {Measure[]} */ (Object.keys(MEASURES));
let measure = choice("measure", measures, "ap");
let order = choice("classes-order", ORDERS, "class");
/** @type {import("../../browser/payloads").Table} */
let table = { classes: [], labelled: false };

const legend = h(
  "div",
  { class: "legend" },
  SUBSETS.map(([id, name]) => h("span", { class: "key" }, h("i", { class: `fill-${id}` }), term(id, name))),
);
const head = h("div", { class: "perf-head", role: "group", "aria-label": "Order of the classes" });
const rows = h("div", { class: "perf-rows scroll", role: "grid", "aria-label": "Classes" });

/** @param {import("../../browser/view.js").View} view */
export function setup(view) {
  view.body.append(legend, head, rows, confusion, slices);
  const measureControl = segmented(measures.map(measureOption), measure, setMeasure, "Measure of fidelity");
  view.tools.append(measureControl, confusionButton);
  rovingFocus(rows, ".perf-row");
  view.part("performance.table", (data) => {
    table = data;
    view.root.classList.toggle("labelled", data.labelled);
    draw();
  });
  view.part("performance.slices", drawSlices);
  watchConfusion(view, (shown) => {
    for (const node of [legend, head, rows, measureControl]) node.hidden = shown;
  });
  on("select", markSelection);
  on("select", markUnapplied);
  on("pending", markUnapplied);
  offerChart("student performance", drawChart);
}

/**
 * @param {Measure} id
 * @returns {[string, string, object]}
 */
const measureOption = (id) => [id, MEASURES[id].short, { "data-tip": `Fidelity as ${MEASURES[id].name}` }];

/** @param {Measure} id */
function setMeasure(id) {
  measure = id;
  settings.set("measure", id);
  draw();
}

function draw() {
  drawHead();
  reconcile(rows, sortedClasses(table.classes, order, measure), (line) => line.name, createRow, updateRow);
  markSelection();
}

function drawHead() {
  /** @type {{id: typeof order, shown: string, term: string}[]} */
  const columns = [
    { id: "class", shown: "class", term: "own order" },
    { id: "fidelity", shown: `fidelity (${MEASURES[measure].short})`, term: "fidelity" },
    { id: "accuracy", shown: "acc. T · S", term: "accuracy" },
    { id: "NEC", shown: "NEC", term: "NEC" },
    { id: "images", shown: "images", term: "subsets" },
  ];
  reconcile(
    head,
    columns.filter(({ id }) => id !== "accuracy" || table.labelled),
    ({ id }) => id,
    ({ id, term: key }) =>
      h("button", { type: "button", class: `perf-${id}`, "data-term": key, onclick: () => setOrder(id) }),
    (node, { id, shown }) => {
      setText(node, shown);
      setAttribute(node, "aria-pressed", id === order ? "true" : "false");
      setAttribute(node, "aria-label", `Order by ${id}`);
    },
  );
}

/** @param {typeof order} id */
function setOrder(id) {
  order = id;
  settings.set("classes-order", id);
  draw();
}

/** @param {ClassLine} line */
function createRow(line) {
  const cell = (/** @type {string} */ name, /** @type {any[]} */ ...content) =>
    h("span", { class: name, role: "gridcell" }, ...content);
  const track = h("span", { class: "track" }, h("i", { class: "level" }), h("i", { class: "interval" }));
  const stack = SUBSETS.map(([id]) =>
    h("button", { type: "button", tabindex: "-1", class: `fill-${id}`, "data-subset": id }),
  );
  const name = cell("perf-name");
  name.dataset.name = "";
  const row = h(
    "div",
    { class: "perf-row", role: "row", "data-class": line.name },
    name,
    cell("perf-fid", track, h("b")),
    cell("perf-acc"),
    cell("perf-nec"),
    cell("stack", stack),
  );
  row.addEventListener("click", (event) => {
    const subset = closest(event, "[data-subset]")?.dataset.subset;
    if (subset) toggleSubset(itemOf(row).name, subset);
    else selectClass(row);
  });
  row.addEventListener("keydown", (event) => onRowKey(event, row));
  return row;
}

/** @param {HTMLElement} row */
const selectClass = (row) => select({ cls: itemOf(row).name, subset: null, slice: null });

/**
 * @param {string} cls
 * @param {string} subset
 */
function toggleSubset(cls, subset) {
  const { selection } = state;
  const isSelected = selection.cls === cls && selection.subset === subset;
  select({ cls, subset: isSelected ? null : subset, slice: null });
}

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement} row
 */
function onRowKey(event, row) {
  if (event.key === "Escape") row.focus();
  else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    event.preventDefault();
    const parts = queryAll(row, "[data-subset]:not([hidden])");
    const at = event.target instanceof HTMLElement ? parts.indexOf(event.target) : -1;
    const to = Math.min(at + (event.key === "ArrowRight" ? 1 : -1), parts.length - 1);
    (to < 0 ? row : parts[to]).focus();
  } else if (event.target === row && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    selectClass(row);
  }
}

/**
 * @param {HTMLElement} row
 * @param {ClassLine} line
 */
function updateRow(row, line) {
  const [name, fidelity, accuracy, nec, stack] = childrenOf(row);
  setText(name, line.name);
  name.title = line.name;
  drawFidelity(fidelity, line);
  accuracy.hidden = !table.labelled;
  const { truth } = line;
  setText(accuracy, truth && `${compact(truth.teacher)} · ${compact(truth.student)}`);
  if (truth)
    accuracy.dataset.tip =
      `Average precision against the labels: teacher ${number(truth.teacher, 3)}, ` +
      `student ${number(truth.student, 3)}`;
  setText(nec, line.nec);
  nec.dataset.tip = `${line.nec} concept${plural(line.nec)} with a weight`;
  const shares = subsetShares(line.counts);
  const total = Object.values(line.counts).reduce((sum, n) => sum + n, 0);
  SUBSETS.forEach(([id, shown], i) => {
    const part = childrenOf(stack)[i];
    const n = line.counts[id];
    part.hidden = n === 0;
    part.style.flexGrow = String(shares[id]);
    setAttribute(part, "aria-label", `${line.name}: ${n} ${shown}`);
    part.dataset.tip = `${n} of ${total} images: ${shown}`;
  });
  const { missed, extra } = line.counts;
  row.setAttribute(
    "aria-label",
    `${line.name}: ${MEASURES[measure].name} ${number(line[measure].value)}, ${missed} missed, ` +
      `${extra} extra, ${line.nec} concept${plural(line.nec)}`,
  );
}

/**
 * @param {HTMLElement} cell
 * @param {ClassLine} line
 */
function drawFidelity(cell, line) {
  const [track, text] = childrenOf(cell);
  const [level, interval] = childrenOf(track);
  const { value, low, high } = line[measure];
  level.style.width = `${100 * Math.max(0, Math.min(1, value ?? 0))}%`;
  const hasInterval = low !== null && high !== null;
  interval.hidden = !hasInterval;
  if (hasInterval) {
    interval.style.left = `${100 * low}%`;
    interval.style.width = `${100 * Math.max(0, high - low)}%`;
  }
  setText(text, compact(value));
  const range = hasInterval ? `, 95 % interval ${number(low)} to ${number(high)}` : "";
  cell.dataset.tip =
    value === null
      ? "Fidelity is not defined: the teacher says yes to no held-out image"
      : `Fidelity, ${MEASURES[measure].name} to the teacher: ${number(value, 3)}${range}`;
}

function markSelection() {
  const { cls, subset } = state.selection;
  for (const row of childrenOf(rows)) {
    const isSelected = keyOf(row) === cls;
    setAttribute(row, "aria-selected", isSelected ? "true" : "false");
    for (const part of queryAll(row, "[data-subset]"))
      setAttribute(part, "aria-pressed", isSelected && part.dataset.subset === subset ? "true" : "false");
    if (isSelected && rows.scrollHeight > rows.clientHeight) row.scrollIntoView({ block: "nearest" });
  }
  setTabStop(rows.children, (row) => row.getAttribute("aria-selected") === "true");
}

/** Mark the classes that have pending actions. */
function markUnapplied() {
  for (const row of childrenOf(rows)) {
    const name = childrenOf(row)[0];
    setAttribute(
      name,
      "data-unapplied",
      state.unapplied.has(itemOf(row).name) ? "changes not applied" : null,
    );
  }
}

function drawChart() {
  const height = 26 * table.classes.length + 74;
  const { name } = MEASURES[measure];
  const svg = drawing(
    640,
    height,
    heading(
      "Fidelity of each student to its teacher, on held-out images",
      [
        [10, "class"],
        [180, `fidelity (${name}), 95 % interval`],
        [400, "images (square-root scale)"],
      ],
      SUBSETS.map(([id, shown]) => [id, shown]),
    ),
  );
  table.classes.forEach((line, i) => {
    const y = 66 + 26 * i;
    const { value, low, high } = line[measure];
    const level = bar(180, y + 2, 160 * (value ?? 0), "accent");
    level.setAttribute("fill-opacity", "0.72");
    svg.append(label(10, y + 13, line.name.slice(0, 24)), bar(180, y + 2, 160, "raise"), level);
    if (low !== null && high !== null) svg.append(bar(180 + 160 * low, y + 8, 160 * (high - low), "ink", 2));
    svg.append(label(348, y + 13, number(value)));
    const shares = subsetShares(line.counts);
    const total = Object.values(shares).reduce((sum, share) => sum + share, 0) || 1;
    let x = 400;
    for (const [id] of SUBSETS) {
      const width = (230 * shares[id]) / total;
      svg.append(bar(x, y + 2, width, id));
      x += width;
    }
  });
  return svg;
}
