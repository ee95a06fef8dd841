/** The dialog "Side by side": two steps, students, teachers or projects on the same images. */

import { openDialog } from "./dialogs.js";
import { h } from "./elements.js";
import { signed } from "./format.js";
import { showMessage } from "./messages.js";
import { select } from "./selection.js";
import { call } from "./server.js";
import { state } from "./state.js";

/** @typedef {import("./payloads").Comparison} Comparison */
/** @typedef {import("./payloads").ComparedMetric} ComparedMetric */

/** The sides that were chosen last, also before the response arrives. @type {{a?: string, b?: string}} */
let chosen = {};

/**
 * Open the dialog.
 * @param {string} [a] The sides; by default those shown last.
 * @param {string} [b]
 */
export async function openComparison(a = chosen.a, b = chosen.b) {
  const box = h(
    "div",
    { class: "comparison", "aria-live": "polite" },
    h("p", { class: "muted" }, "Comparing…"),
  );
  const dialog = openDialog("Side by side", box, { wide: true });
  dialog.classList.add("comparing");
  chosen = { a, b };
  await read(dialog, box, state.selection.cls);
}

/** Number of the last request: only its response is drawn. */
let latest = 0;

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLElement} box
 * @param {string | null} cls
 */
async function read(dialog, box, cls) {
  const mine = ++latest;
  const response = await call("compare", { ...chosen, cls });
  if (mine !== latest) return;
  if (!response.compare) {
    box.replaceChildren(h("p", { class: "bad" }, response.error || "The comparison could not be made."));
    return;
  }
  draw(dialog, box, response.compare);
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {HTMLElement} box
 * @param {Comparison} found
 */
function draw(dialog, box, found) {
  chosen = { a: found.a, b: found.b };
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : null;
  const pick = (/** @type {{a?: string, b?: string}} */ side) => {
    chosen = { ...chosen, ...side };
    read(dialog, box, found.cls);
  };
  const showClass = (/** @type {string} */ cls) => read(dialog, box, cls);
  const sides = h(
    "div",
    { class: "compared-sides" },
    sideSelect("A", found, (id) => pick({ a: id })),
    sideSelect("B", found, (id) => pick({ b: id })),
  );
  if (found.problem) box.replaceChildren(sides, problem(found.problem));
  else {
    const about = h("p", { class: "muted" }, `${found.lines.join(". ")}.`.replace("..", "."));
    const figures = h("section", { class: "compared-figures" }, ...metrics(found), ...weights(found));
    const images = h("section", { class: "compared-images" }, ...changed(found, dialog, showClass));
    box.replaceChildren(sides, about, h("div", { class: "compared-columns" }, images, figures));
  }
  if (focused)
    /** @type {HTMLElement | null} */ (box.querySelector(`[data-key="${CSS.escape(focused)}"]`))?.focus();
}

/**
 * @param {"A" | "B"} letter
 * @param {Comparison} found
 * @param {(id: string) => void} onPick
 */
function sideSelect(letter, found, onPick) {
  const value = letter === "A" ? found.a : found.b;
  const groups = [...new Set(found.sides.map((side) => side.group))];
  const list = h(
    "select",
    { "data-key": `side ${letter}`, "aria-label": `Side ${letter}`, onchange: () => onPick(list.value) },
    groups.map((group) =>
      h(
        "optgroup",
        { label: group },
        found.sides
          .filter((side) => side.group === group)
          .map((side) => h("option", { value: side.id }, side.text)),
      ),
    ),
  );
  list.value = value;
  list.title = found.sides.find((side) => side.id === value)?.text ?? "";
  return h("label", { class: "compared-side" }, h("b", { class: "step-mark" }, letter), list);
}

/** @param {string} line */
const problem = (line) =>
  h(
    "div",
    { class: "compared-problem", role: "status" },
    h("h3", {}, "Nothing to compare"),
    h("p", {}, `${line.charAt(0).toUpperCase()}${line.slice(1)}.`),
  );

/** @param {Comparison} found */
function metrics(found) {
  const several = found.changed.length > 1;
  const section = (/** @type {string} */ name, /** @type {ComparedMetric[]} */ rows) => [
    h("tr", {}, h("th", { scope: "rowgroup", colspan: 4, class: "group", "data-name": "" }, name)),
    ...rows.map(metricRow),
  ];
  const rows = [
    ...(found.metrics.length ? section(found.cls, found.metrics) : []),
    ...(several && found.mean.length ? section("mean of all classes", found.mean) : []),
  ];
  if (!rows.length)
    return [
      h("h3", {}, "Metrics"),
      h(
        "p",
        { class: "muted" },
        "Without labels, a student and a teacher are compared by their answers only.",
      ),
    ];
  return [h("h3", {}, "Metrics, with 95 % intervals"), grid(["", "A", "B", "difference"], rows, "Metrics")];
}

/** @param {ComparedMetric} row */
function metricRow(row) {
  const tone = row.verdict === "better" ? "good" : row.verdict === "worse" ? "bad" : "muted";
  const text = row.verdict && row.verdict !== "no clear change" ? row.verdict : row.verdict && "not clear";
  return h(
    "tr",
    {},
    h("td", {}, row.label),
    h("td", { class: "number" }, row.a),
    h("td", { class: "number" }, row.b),
    h(
      "td",
      { class: "number" },
      h("b", { class: tone }, row.delta),
      text && h("span", { class: tone }, ` ${text}`),
      h("small", { class: "muted" }, row.range),
    ),
  );
}

/**
 * @param {Comparison} found
 * @param {HTMLDialogElement} dialog
 * @param {(cls: string) => void} showClass
 */
function changed(found, dialog, showClass) {
  const rows = found.changed.map((row) => {
    const current = row.cls === found.cls;
    const name = h(
      "button",
      {
        type: "button",
        class: "compared-class",
        "data-key": `class ${row.cls}`,
        "aria-pressed": String(current),
        title: `Show metrics and weights of ${row.cls}`,
        onclick: () => showClass(row.cls),
      },
      h("span", { "data-name": "" }, row.cls),
    );
    const cells = row.counts.map((n, i) => h("td", { class: "number" }, cell(found, row.cls, i, n, dialog)));
    return h(
      "tr",
      { class: current ? "current" : "" },
      h("th", { scope: "row" }, name),
      cells,
      h("td", { class: "number muted" }, row.same),
    );
  });
  const heads = found.kinds.map((kind) => h("abbr", { title: kind.meaning }, kind.label));
  return [
    h("h3", {}, "Images that changed from A to B"),
    grid(["class", ...heads, "same answer"], rows, "Images that changed"),
    h("p", { class: "muted" }, "A number selects its images in all views."),
  ];
}

/**
 * @param {Comparison} found
 * @param {string} cls
 * @param {number} i
 * @param {number} n
 * @param {HTMLDialogElement} dialog
 */
function cell(found, cls, i, n, dialog) {
  if (!n) return h("span", { class: "muted" }, "0");
  const kind = found.kinds[i];
  const label = `${cls}, ${kind.label}: ${n} image${n === 1 ? "" : "s"}`;
  const onclick = () => {
    dialog.close();
    const moved = `${found.a}~${found.b}~${kind.id}`;
    select({ cls, moved, subset: null, slice: null, actual: null, predicted: null });
    const back = /** @type {[string, () => void]} */ (["Back to the comparison", () => openComparison()]);
    showMessage(`${label}. ${kind.meaning}.`, { action: back, slot: "compare" });
  };
  return h(
    "button",
    { type: "button", class: "compared-count", "aria-label": label, "data-moved": kind.id, onclick },
    n,
  );
}

/** @param {Comparison} found */
function weights(found) {
  if (!found.weights.length) return [];
  const shown = found.weights.length;
  const number = (/** @type {number | null} */ x) =>
    h("td", { class: "number" }, x === null ? "–" : signed(x));
  const rows = found.weights.map((w) =>
    h("tr", {}, h("td", { "data-name": "" }, w.concept), number(w.a), number(w.b), number(w.change)),
  );
  const more = found.n_weights > shown ? `, the ${shown} largest of ${found.n_weights}` : "";
  return [
    h("h3", {}, `Weights of ${found.cls} that differ${more}`),
    grid(["concept", "A", "B", "difference"], rows, "Weights"),
  ];
}

/**
 * @param {(string | HTMLElement)[]} head
 * @param {HTMLElement[]} rows
 * @param {string} label
 */
function grid(head, rows, label) {
  const header = head.map((text, i) => h("th", { class: i ? "number" : "", scope: "col" }, text));
  return h(
    "div",
    { class: "table-box", tabindex: "0", role: "group", "aria-label": label },
    h("table", {}, h("thead", {}, h("tr", {}, header)), h("tbody", {}, rows)),
  );
}
