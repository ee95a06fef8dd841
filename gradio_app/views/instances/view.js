/** View 5, Instances: the selected images, and one of them opened. */

import { offerChart } from "../../browser/charts.js";
import { unpackBytes, unpackIntegers, unpackShares } from "../../browser/columns.js";
import { button, term } from "../../browser/controls.js";
import { childrenOf, h, reconcile, setAttribute, setText } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { rovingFocus } from "../../browser/focus.js";
import { count } from "../../browser/format.js";
import { icon } from "../../browser/icons.js";
import { select } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { choice, settings } from "../../browser/storage.js";
import { emptyState } from "../../browser/view.js";
import { gallery, repaint, scrollToFirst, setHighlight, setImages, setOrder } from "./gallery.js";
import { decodeValues, highlightOf } from "./highlight.js";
import { mapButton, mapHost, offerMap } from "./map_button.js";
import { drawChart, panel, showOpened } from "./opened.js";
import { setIndex, setNames } from "./sheets.js";

const SUBSETS = {
  "": "all",
  missed: "missed",
  extra: "extra",
  "agree-pos": "both yes",
  "agree-neg": "both no",
};
const ORDERS = /** @type {const} */ (["disagreement", "teacher", "student", "name"]);
const ORDER_NAMES = {
  disagreement: "disagreement",
  teacher: "teacher's yes",
  student: "student's yes",
  name: "name",
};

/** @type {import("./highlight.js").Values | null} */
let values = null;

const subsets = h("div", { class: "segmented subsets", role: "radiogroup", "aria-label": "Subset" });
const order = h(
  "select",
  { "aria-label": "Order of the images" },
  ORDERS.map((id) => h("option", { value: id }, ORDER_NAMES[id])),
);
const scope = h(
  "select",
  { "aria-label": "Which images" },
  h("option", { value: "" }, "held out"),
  h("option", { value: "all" }, "all images"),
);
const label = h("select", { "aria-label": "True label", hidden: true });
const filters = h("span", { class: "filters" });
const captionLine = h("span", { class: "cut" });
const key = h("span", { class: "gallery-key" }, term("T and S", "T, S"), " in %");
const caption = h(
  "div",
  { class: "gallery-caption muted", "aria-live": "polite" },
  captionLine,
  filters,
  label,
  key,
);
const showAll = button("Show all images of this class", {
  onclick: () => select({ subset: null, slice: null, actual: null, predicted: null, area: null }),
});
const nothing = emptyState("No image: teacher and student do not disagree in this way.", showAll);

/** @param {import("../../browser/view.js").View} view */
export function setup(view) {
  for (const [id, name] of Object.entries(SUBSETS)) subsets.append(subsetButton(id, name));
  rovingFocus(subsets, "button", "both");
  order.value = choice("instances-order", ORDERS, "disagreement");
  setOrder(/** @type {typeof ORDERS[number]} */ (order.value));
  order.addEventListener("change", () => {
    settings.set("instances-order", order.value);
    setOrder(/** @type {typeof ORDERS[number]} */ (order.value));
  });
  scope.addEventListener("change", () => select({ scope: scope.value || null }));
  label.addEventListener("change", () => select({ actual: label.value || null, reference: null }));
  view.tools.append(scope, order, mapButton);
  view.body.append(subsets, caption, mapHost, gallery, panel);
  view.root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.selection.image && !event.defaultPrevented) select({ image: null });
  });
  on("hover", updateHighlight);
  on("brush", (brush) => {
    updateHighlight();
    if (brush?.rows.size) scrollToFirst((row) => brush.rows.has(row));
  });
  on("select", markSubset);
  view.part("instances.index", (data) => {
    setIndex(data);
    setOrder(/** @type {typeof ORDERS[number]} */ (order.value));
  });
  view.part("instances.ids", ({ ids }) => {
    setNames(ids);
    if (order.value === "name") setOrder("name");
    else repaint();
  });
  view.part("instances.gallery", drawGallery);
  view.part("instances.values", (data) => {
    values = decodeValues(data);
    if (state.hover || state.brush) updateHighlight(); // They were set while the values were on their way.
  });
  view.part("instances.opened", showOpened);
  offerChart("contributions", drawChart);
  offerMap();
}

/**
 * @param {string} id
 * @param {string} name
 */
function subsetButton(id, name) {
  const onclick = () => select({ subset: id || null, slice: null });
  const dot = id && h("i", { class: `dot fill-${id}` });
  const props = { type: "button", role: "radio", "data-choose": id, onclick };
  return h("button", props, dot, h("span", {}, name), h("b"));
}

/** @param {import("../../browser/payloads").Gallery} data */
function drawGallery(data) {
  values = null; // They belong to the images before; the new ones arrive later.
  for (const choice of childrenOf(subsets)) {
    const id = /** @type {keyof typeof SUBSETS} */ (choice.dataset.choose);
    const n = id === "" ? data.total : data.counts[id];
    setText(/** @type {Element} */ (choice.lastElementChild), count(n));
    setAttribute(choice, "aria-label", `${SUBSETS[id]}: ${n}`);
  }
  setText(captionLine, data.caption);
  captionLine.title = data.caption;
  scope.value = state.selection.scope ?? "";
  drawLabels(data.labels);
  drawFilters(data.filters);
  const rows = unpackIntegers(data.rows);
  if (rows.length) nothing.remove();
  else gallery.before(nothing);
  setImages({
    rows,
    teacher: unpackShares(data.teacher),
    student: unpackShares(data.student),
    codes: unpackBytes(data.codes),
  });
  markSubset();
}

/**
 * Offer the labels to filter by.
 * @param {string[]} labels
 */
function drawLabels(labels) {
  const { actual, reference } = state.selection;
  label.hidden = !labels.length || Boolean(actual);
  reconcile(
    label,
    ["", ...labels],
    (name) => name,
    (name) => h("option", { value: name }, name ? `label: ${name}` : "any label"),
    () => {},
  );
  label.value = reference === "teacher" ? "" : (actual ?? "");
}

/**
 * Draw the active filters, each with a button that removes it.
 * @param {import("../../browser/payloads").Gallery["filters"]} list
 */
function drawFilters(list) {
  const chips = list.map(({ field, text }) => {
    const remove = { type: "button", class: "chip-x", "aria-label": `Remove the filter ${text}` };
    const onclick = () => select({ [field]: null });
    const name = h("span", { class: "cut", "data-name": "" }, text);
    return h("span", { class: "chip" }, name, h("button", { ...remove, onclick }, icon("close")));
  });
  filters.replaceChildren(...chips);
}

const updateHighlight = () => setHighlight(highlightOf(values, state.brush, state.hover));

function markSubset() {
  const { subset, slice } = state.selection;
  for (const choice of childrenOf(subsets)) {
    const id = choice.dataset.choose || null;
    const checked = id === subset && !slice;
    setAttribute(choice, "aria-checked", checked ? "true" : "false");
    setAttribute(choice, "tabindex", checked || (slice && !id) ? "0" : "-1");
  }
}
