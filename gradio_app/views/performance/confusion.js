/** The confusion table: held-out images by actual class (rows) and by the student's class (columns). */

import { button, segmented, term } from "../../browser/controls.js";
import { h, queryAll, setAttribute } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { percent } from "../../browser/format.js";
import { select } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { settings } from "../../browser/storage.js";
import { actualName, cellShade, largestConfusions } from "./confusion_cells.js";

/** @typedef {import("../../browser/payloads").ConfusionTable} Table */

/** More classes than this are listed by pairs instead. */
const MOST_COLUMNS = 20;
const MOST_PAIRS = 60;

export const confusion = h("div", { class: "confusion", hidden: true });
/** @type {Table | null} */
let data = null;
/** @type {(shown: boolean) => void} */
let onToggle = () => {};

export const confusionButton = button("Confusion", {
  icon: "table",
  iconOnly: true,
  title: "Confusion table",
  hidden: true,
  "aria-pressed": "false",
  onclick: () => toggle(confusion.hidden !== false),
});

/**
 * Draw the table and its button.
 * @param {import("../../browser/view.js").View} view
 * @param {(shown: boolean) => void} toggled Called when the table is shown or hidden.
 */
export function watchConfusion(view, toggled) {
  onToggle = toggled;
  view.part("performance.confusion", (table) => {
    data = table;
    confusionButton.hidden = !table;
    toggle(Boolean(table) && settings.get("confusion") === "shown", false);
    if (table) draw(table);
  });
  on("select", mark);
}

/**
 * @param {boolean} shown
 * @param {boolean} [remember]
 */
function toggle(shown, remember = true) {
  confusion.hidden = !shown;
  setAttribute(confusionButton, "aria-pressed", shown ? "true" : "false");
  if (remember) settings.set("confusion", shown ? "shown" : "hidden");
  onToggle(shown);
}

/** @param {Table} table */
function draw(table) {
  const names = { label: "labels", teacher: "teacher" };
  const options = table.references.map((id) => /** @type {[string, string]} */ ([id, names[id]]));
  const pick = (/** @type {string} */ id) => select({ reference: id === table.references[0] ? null : id });
  const reference = options.length > 1 && segmented(options, table.reference, pick, "Actual classes by");
  confusion.replaceChildren(
    h(
      "div",
      { class: "confusion-head" },
      h(
        "p",
        {},
        term("top-1", "Top-1"),
        " ",
        h("b", {}, percent(table.accuracy)),
        ` of ${table.n} images`,
        h("br"),
        h("span", { class: "muted" }, `no class says yes: ${percent(table.without_class)}`),
      ),
      reference,
    ),
    table.classes.length <= MOST_COLUMNS ? tableOf(table) : pairsOf(table),
  );
  mark();
}

/** @param {Table} table */
function tableOf(table) {
  const columns = table.classes.map((name, i) =>
    h("th", { scope: "col" }, filterButton(table, null, i, String(i + 1), `student: ${name}`)),
  );
  const corner = h("th", { class: "muted" }, `${actualName(table)} \\ student`);
  const counts = new Map(table.cells.map((cell) => [`${cell.actual} ${cell.predicted}`, cell.n]));
  const rows = table.classes.map((name, i) => {
    const cells = table.classes.map((other, j) => {
      const n = counts.get(`${i} ${j}`) ?? 0;
      const shade = cellShade(n, table.totals[i]);
      const kind = i === j ? "correct" : "confused";
      const line = `${actualName(table)} ${name}, student ${other}: ${n} image${n === 1 ? "" : "s"}`;
      const content = n > 0 && filterButton(table, i, j, String(n), line);
      return h("td", { class: kind, style: `--shade: ${shade}` }, content);
    });
    const label = `${actualName(table)}: ${name}`;
    const number = h("span", { class: "muted" }, i + 1);
    const text = h("span", { class: "cut", "data-name": "" }, name);
    return h("tr", {}, h("th", { scope: "row" }, number, filterButton(table, i, null, text, label)), cells);
  });
  return h(
    "div",
    { class: "confusion-box scroll" },
    h("table", { "aria-label": "Confusion table" }, h("tr", {}, corner, columns), rows),
  );
}

/** @param {Table} table */
function pairsOf(table) {
  const pairs = largestConfusions(table, MOST_PAIRS).map(({ actual, predicted, n }) => {
    const [from, to] = [table.classes[actual], table.classes[predicted]];
    const line = `${actualName(table)} ${from}, student ${to}: ${n} image${n === 1 ? "" : "s"}`;
    const text = h("span", { class: "cut", "data-name": "" }, `${from} → ${to}`);
    return h("li", {}, filterButton(table, actual, predicted, text, line), h("b", {}, n));
  });
  return h("ul", { class: "confusion-pairs scroll", "aria-label": "Largest confusions" }, pairs);
}

/**
 * Create a button that selects the images of an actual class, of a predicted class, or of both.
 * @param {Table} table
 * @param {number | null} actual
 * @param {number | null} predicted
 * @param {string | HTMLElement} content
 * @param {string} label
 */
function filterButton(table, actual, predicted, content, label) {
  const names = {
    actual: actual === null ? null : table.classes[actual],
    predicted: predicted === null ? null : table.classes[predicted],
  };
  const onclick = () => {
    const { selection } = state;
    const isSelected = selection.actual === names.actual && selection.predicted === names.predicted;
    if (isSelected) select({ actual: null, predicted: null });
    else select({ ...names, cls: names.actual ?? names.predicted, subset: null, slice: null });
  };
  const attributes = { "data-actual": names.actual, "data-predicted": names.predicted };
  return h(
    "button",
    { type: "button", onclick, "aria-label": label, "data-tip": label, ...attributes },
    content,
  );
}

function mark() {
  if (!data) return;
  const { actual, predicted } = state.selection;
  for (const node of queryAll(confusion, "[data-actual], [data-predicted]")) {
    const isSelected =
      (node.dataset.actual ?? null) === actual && (node.dataset.predicted ?? null) === predicted;
    setAttribute(node, "aria-pressed", isSelected ? "true" : "false");
  }
}
