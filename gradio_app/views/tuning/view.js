/** View 4, Concept tuning: pending actions, the preview of their effect, and suggestions. */

import { bar, drawing, label, offerChart, title } from "../../browser/charts.js";
import { button, table } from "../../browser/controls.js";
import { openDialog } from "../../browser/dialogs.js";
import { childrenOf, h, keyOf, reconcile, s, setAttribute, setText } from "../../browser/elements.js";
import { emit, on } from "../../browser/events.js";
import { signed, withoutLeadingZeros } from "../../browser/format.js";
import { showMessage } from "../../browser/messages.js";
import { pickConcept } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { apply } from "../../browser/steps.js";
import { colour } from "../../browser/theme.js";
import { dropPending, setFocus } from "../../browser/tuning.js";
import {
  BOUND_NAMES,
  drawSliders,
  isVisibleChange,
  predictedWeight,
  sliderState,
  sliders,
} from "./sliders.js";
import { suggestions, watchSuggestions } from "./suggestions.js";

/** @type {import("../../browser/payloads").Tuning | null} */
let data = null;
/** @type {string[]} */
let vocabulary = [];
/** What the server receives for each choice of a focus.
 * @type {Map<string, import("../../browser/payloads").Focus>} */
let focuses = new Map();

const applyButton = button("Apply", { kind: "primary", disabled: true, onclick: () => apply() });
const reset = button("Reset", {
  disabled: true,
  title: "Discard the changes that are not applied yet",
  onclick: () => {
    dropPending();
    emit("preview", null);
  },
});
const focus = h("select", { "aria-label": "Focus of the refit", "data-term": "focus" });
const find = h("input", {
  type: "search",
  placeholder: "tune a word",
  "aria-label": "Find a concept to tune",
  list: "all-concepts",
  autocomplete: "off",
});
const allConcepts = h("datalist", { id: "all-concepts" });
const effect = h("div", { class: "effect", role: "status", "aria-live": "polite" });

/** @param {import("../../browser/view.js").View} view */
export function setup(view) {
  view.tools.append(find, focus, reset, applyButton);
  view.body.append(effect, suggestions, sliders, allConcepts);
  focus.addEventListener("change", () => setFocus(focuses.get(focus.value) ?? null));
  find.addEventListener("change", findConcept);
  view.part("tuning.state", (now) => {
    data = now;
    drawFocus(now);
    draw();
  });
  view.part("tuning.words", ({ names }) => {
    if (names.join("\n") === vocabulary.join("\n")) return;
    vocabulary = names;
    allConcepts.replaceChildren(...names.map((value) => h("option", { value })));
  });
  watchSuggestions(view);
  on("pending", draw);
  on("preview", draw);
  // Until the next preview arrives, the shown one belongs to an earlier position of the slider.
  on("preview-due", (due) => {
    effect.toggleAttribute("data-old", due);
    sliders.toggleAttribute("data-old", due);
    setAttribute(effect, "aria-busy", due ? "true" : null);
  });
  on("acting", (acting) => applyButton.toggleAttribute("data-busy", acting));
  offerChart("concept tuning", drawChart);
}

async function findConcept() {
  const name = find.value.trim();
  if (!name) return;
  if (!vocabulary.includes(name)) {
    showMessage(`“${name}” is not a concept of this project. Add it in view 1.`);
    return;
  }
  find.value = "";
  await pickConcept(name);
  const row = childrenOf(sliders).find((node) => keyOf(node) === name);
  /** @type {HTMLElement | null | undefined} */
  const slider = row?.querySelector(".slider");
  if (document.activeElement === find) slider?.focus();
}

/** @param {import("../../browser/payloads").Tuning} now */
function drawFocus(now) {
  focuses = new Map(now.focuses.map((choice) => [choice.id, choice.focus]));
  reconcile(
    focus,
    [{ id: "", label: "no focus", usable: true }, ...now.focuses],
    (choice) => choice.id,
    (choice) => h("option", { value: choice.id }),
    (node, choice) => {
      setText(node, choice.label);
      node.disabled = !choice.usable;
    },
  );
  const wanted = JSON.stringify(state.focus);
  const current = now.focuses.find((choice) => choice.usable && JSON.stringify(choice.focus) === wanted);
  focus.value = current?.id ?? "";
  // The focus was on a slice that is no longer selected, or on a subset that is empty now.
  if (!current && state.focus) setFocus(null);
}

function draw() {
  if (!data) return;
  drawSliders(data);
  drawEffect(data);
}

/** @param {import("../../browser/payloads").Tuning} now */
function drawEffect(now) {
  const { pending, preview } = state;
  applyButton.disabled = !pending.length;
  reset.disabled = !pending.length;
  const focused = state.focus && now.focuses.find((choice) => choice.id === focus.value);
  if (!pending.length && focused) effect.replaceChildren(h("p", { class: "focus-hint" }, focused.hint));
  else if (!pending.length) effect.replaceChildren(...now.now.map(metricNow));
  else if (!preview) effect.replaceChildren(h("span", { class: "muted" }, "Computing the effect…"));
  else if (preview.error) effect.replaceChildren(h("span", { class: "bad" }, preview.error));
  else effect.replaceChildren(...(preview.changes ?? []).map(metricChange), costsOf(preview.costs ?? []));
}

/**
 * Create the chip of the classes, slices and groups that clearly lose; it opens the list.
 * @param {import("../../browser/payloads").CostRow[]} costs
 */
function costsOf(costs) {
  const content = [h("small", {}, "clear losses"), h("b", {}, costs.length || "none")];
  if (!costs.length) return h("span", { class: "change costs unclear", "data-costs": 0 }, content);
  const tip = costs.map(({ line }) => line).join("\n");
  return h(
    "button",
    {
      type: "button",
      class: "change costs bad",
      "data-costs": costs.length,
      "data-tip": tip,
      "aria-label": `${costs.length} clear losses: show them`,
      onclick: () => openCosts(costs),
    },
    content,
  );
}

/** @param {import("../../browser/payloads").CostRow[]} costs */
function openCosts(costs) {
  const head = ["who loses", "images", "lost · gained", "change", "95 % interval"];
  const body = h(
    "div",
    { class: "stack-form" },
    h(
      "p",
      { class: "muted" },
      "Held-out images, before the step is applied. A slice or group is listed if the interval of its ",
      "agreement with the teacher excludes 0; slices are corrected for the number compared.",
    ),
    table(
      head,
      costs.map(({ cells }) => ({ cells, strong: false })),
    ),
  );
  openDialog("What this step costs elsewhere", body, { wide: true });
}

/** @param {import("../../browser/payloads").Tuning["now"][number]} metric */
const metricNow = (metric) =>
  h(
    "span",
    { class: "now", "data-term": metric.term },
    h("small", {}, metric.label),
    h("b", {}, metric.value),
  );

/** @param {import("../../browser/payloads").Change} change */
function metricChange(change) {
  const [delta, range] = [change.delta, change.range].map(withoutLeadingZeros);
  const interval = [delta, h("span", { class: "range" }, ` ${range}`)];
  const note = change.clear ? interval : "no clear change";
  const tone = !change.clear ? "unclear" : change.better ? "good" : "bad";
  return h(
    "span",
    { class: `change ${change.count ? "count" : tone}`, "data-tip": change.more },
    h("small", {}, change.label),
    h("b", {}, `${change.before} → ${change.after}`),
    !change.count && h("small", {}, note),
  );
}

function drawChart() {
  const { rows, limit } = sliderState();
  const x = (/** @type {number} */ weight) => 340 + 170 * Math.max(-1, Math.min(1, weight / limit));
  const suffix = state.pending.length ? ", now and as predicted (dashed)" : "";
  const svg = drawing(640, 24 * rows.length + 48, title(`Weights of “${data?.cls}”${suffix}`));
  rows.forEach((row, i) => {
    const y = 38 + 24 * i;
    const predicted = predictedWeight(row);
    const changed = isVisibleChange(row);
    const [from, to] = [x(0), x(row.weight)];
    const bound = row.bound ? ` (${BOUND_NAMES[row.bound.kind] ?? row.bound.kind})` : "";
    const text = signed(row.weight) + (changed ? ` → ${signed(predicted)}` : "") + bound;
    svg.append(
      label(10, y + 12, row.name.slice(0, 26)),
      s("line", { x1: 170, x2: 510, y1: y + 8, y2: y + 8, stroke: colour("line"), "stroke-width": 3 }),
      s("line", { x1: 340, x2: 340, y1: y, y2: y + 16, stroke: colour("edge") }),
      bar(Math.min(from, to), y + 3, Math.abs(to - from), row.weight < 0 ? "neg" : "pos", 10),
      label(630, y + 12, text, { size: 11, anchor: "end" }),
    );
    const dashed = { fill: "none", stroke: colour("ink"), "stroke-dasharray": "3 2" };
    if (changed) svg.append(s("circle", { cx: x(predicted), cy: y + 8, r: 6, ...dashed }));
  });
  return svg;
}
