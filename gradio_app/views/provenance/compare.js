/** The dialog that compares two steps. */

import { table } from "../../browser/controls.js";
import { openDialog } from "../../browser/dialogs.js";
import { h } from "../../browser/elements.js";
import { signed } from "../../browser/format.js";
import { call } from "../../browser/server.js";
import { state } from "../../browser/state.js";

/** @typedef {import("../../browser/payloads").Comparison} Comparison */
/** @typedef {import("../../browser/payloads").Change} Change */

/**
 * Compare two steps for the selected class.
 * @param {string} a
 * @param {string} b
 */
export async function compareSteps(a, b) {
  const response = await call("compare", { a, b, cls: state.selection.cls });
  if (response.compare) show(response.compare);
}

/** @param {Comparison} found */
function show(found) {
  const mark = (/** @type {string} */ letter) => h("b", { class: "step-mark" }, letter);
  const steps = h(
    "p",
    { class: "compared" },
    mark("A"),
    h("span", { "data-name": "" }, found.a),
    mark("B"),
    h("span", { "data-name": "" }, found.b),
  );
  const content = [steps, ...metricsOf(found), ...weightsOf(found)];
  openDialog("Two steps compared", content, { wide: true });
}

/** @param {Comparison} found */
function metricsOf(found) {
  if (!found.metrics.length) return [h("p", { class: "muted" }, "No metric differs.")];
  const rows = found.metrics.map((m) => ({ cells: [m.label, m.before, m.after, difference(m)] }));
  return [
    h("h3", {}, `Held-out images of “${found.cls}”`),
    table(["metric", "A", "B", "difference, 95 % interval"], rows),
    h("p", { class: "muted" }, found.moved),
  ];
}

/** @param {Change} change */
function difference(change) {
  if (change.count) return "images";
  return change.clear ? `${change.delta} ${change.range}` : "no clear change";
}

/** @param {Comparison} found */
function weightsOf(found) {
  const shown = found.weights.length;
  const title =
    found.n_weights > shown
      ? `Weights that differ most (${shown} of ${found.n_weights})`
      : "Weights that differ";
  const rows = found.weights.map((w) => ({
    cells: [w.concept, signed(w.before), signed(w.after), signed(w.change), w.cls],
  }));
  const head = ["concept", "A", "B", "difference", "class"];
  return [h("h3", {}, title), shown ? table(head, rows) : h("p", { class: "muted" }, "None.")];
}
