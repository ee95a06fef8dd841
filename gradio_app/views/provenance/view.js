/** View 6, Provenance: the tree of steps, newest first, with the change that each made. */

import { drawing, label, offerChart, title } from "../../browser/charts.js";
import { button } from "../../browser/controls.js";
import { openDialog } from "../../browser/dialogs.js";
import { childrenOf, h, itemOf, reconcile, s, setAttribute, setText } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { exportFile } from "../../browser/export_dialog.js";
import { rovingFocus, setTabStop } from "../../browser/focus.js";
import { openComparison } from "../../browser/late.js";
import { act } from "../../browser/steps.js";
import { colour } from "../../browser/theme.js";
import { dot, edges, graphWidth, HEIGHT, TALL } from "./graph.js";

/** @typedef {import("../../browser/payloads").StepNode} StepNode */

/** @type {import("../../browser/payloads").Tree} */
let data = { nodes: [], current: "", can_undo: false, can_redo: false, lanes: 1 };
/** Whether the change of each step is clear; it arrives after the tree.
 * @type {Record<string, import("../../browser/payloads").StepChange>} */
let changes = {};
/** The steps chosen for a comparison, or null while none is being made. @type {string[] | null} */
let compared = null;

const undo = button("Undo", { icon: "undo", title: "Undo (Ctrl+Z)", onclick: () => act("undo") });
const redo = button("Redo", { icon: "redo", title: "Redo (Ctrl+Shift+Z)", onclick: () => act("redo") });
const compare = button("Compare", {
  icon: "compare",
  iconOnly: true,
  "aria-pressed": "false",
  title: "Compare two steps",
  onclick: () => setCompared(compared ? null : []),
});
const recipe = button("Recipe", {
  icon: "export",
  iconOnly: true,
  title: "Export the steps as a recipe",
  onclick: () => exportFile("recipe"),
});
const hint = h("p", { class: "compare-hint muted", hidden: true, role: "status" });
const list = h("div", { class: "step-rows scroll", role: "list", "aria-label": "Steps" });

/** @param {import("../../browser/view.js").View} view */
export function setup(view) {
  view.tools.append(undo, redo, compare, recipe);
  view.body.append(hint, list);
  rovingFocus(list, ".step-row > .step-button");
  view.part("provenance.tree", (now) => {
    data = now;
    draw();
  });
  view.part("provenance.changes", (now) => {
    changes = now.changes;
    draw();
  });
  on("acting", (acting) => {
    for (const node of [undo, redo]) node.toggleAttribute("data-busy", acting);
  });
  offerChart("provenance", drawChart);
}

function draw() {
  undo.disabled = !data.can_undo;
  redo.disabled = !data.can_redo;
  compare.disabled = data.nodes.length < 2;
  reconcile(list, data.nodes, (node) => node.id, createRow, updateRow);
  const current = list.querySelector('[aria-current="true"]');
  setTabStop(list.querySelectorAll(".step-button"), (node) => node.parentElement === current);
  if (list.scrollHeight > list.clientHeight) current?.scrollIntoView({ block: "nearest" });
}

/** @param {StepNode} node */
function createRow(node) {
  const onclick = () => {
    if (compared) choose(node.id);
    else if (node.id !== data.current) act("checkout", { node: node.id });
  };
  const step = h(
    "button",
    { type: "button", class: "step-button", onclick },
    h("span", { class: "step-text" }, h("span", { "data-name": "" }), h("small")),
    h("b", { class: "step-mark" }),
    h("span", { class: "step-gain" }),
  );
  const name = button("Name this step", {
    icon: "pencil",
    iconOnly: true,
    kind: "quiet small",
    onclick: () => openRename(itemOf(row)),
  });
  const row = h(
    "div",
    { class: "step-row", role: "listitem", "data-node": node.id },
    s("svg", { class: "graph", "aria-hidden": "true" }),
    step,
    name,
  );
  return row;
}

/**
 * @param {HTMLElement} row
 * @param {StepNode} node
 */
function updateRow(row, node) {
  const [graph, step] = childrenOf(row);
  const [text, mark, gain] = childrenOf(step);
  const [title, details] = childrenOf(text);
  const isCurrent = node.id === data.current;
  const change = changes[node.id];
  const explanation = change?.more || node.gain_more;
  // The server sends UTC; the page shows the person's own time.
  const when = node.when ? new Date(node.when) : null;
  const time = when?.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const name = node.name || node.text;
  const more = time ? `${node.more} · ${time}` : node.more;
  setText(title, name);
  setText(details, more);
  text.title = when ? `${node.text}\n${when.toLocaleString()}` : node.text;
  const letter = compared ? "AB".charAt(compared.indexOf(node.id)) : "";
  setText(mark, letter);
  setText(gain, node.gain);
  gain.className = `step-gain ${!change?.clear ? "muted" : change.better ? "good" : "bad"}`;
  gain.dataset.tip = explanation;
  setAttribute(row, "aria-current", isCurrent ? "true" : null);
  const where = isCurrent ? " The current step." : "";
  step.setAttribute("aria-label", `${name}. ${more}. ${explanation || node.gain}${where}`);
  row.classList.toggle("aside", !node.on_branch);
  setAttribute(graph, "width", graphWidth(data.lanes));
  row.style.paddingLeft = `${graphWidth(data.lanes)}px`;
  const state = isCurrent ? "here" : node.on_branch ? "on" : "";
  graph.replaceChildren(
    ...edges(node, (current) => ({ class: current ? "on" : "" }), TALL),
    dot(node, { r: isCurrent ? 5.5 : 4, class: state }),
  );
}

/** @param {StepNode} node */
function openRename(node) {
  const input = h("input", { type: "text", maxlength: 120, "aria-label": "Name of the step" });
  input.value = node.name || "";
  const form = h(
    "form",
    { class: "stack-form" },
    h("label", { class: "field" }, `A name for “${node.text}”`, input),
  );
  const save = button("Save", { kind: "primary", onclick: () => form.requestSubmit() });
  const dialog = openDialog("Name this step", form, { buttons: [save] });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    act("rename", { node: node.id, text: input.value.trim() });
  });
  input.focus();
}

/** @param {string[] | null} chosen */
function setCompared(chosen) {
  compared = chosen;
  setAttribute(compare, "aria-pressed", chosen ? "true" : "false");
  hint.hidden = !chosen;
  setText(hint, chosen?.length ? "Choose step B." : "Choose step A.");
  draw();
}

/** @param {string} id */
function choose(id) {
  const chosen = compared ?? [];
  if (chosen.includes(id)) setCompared(chosen.filter((one) => one !== id));
  else if (chosen.length === 0) setCompared([id]);
  else {
    setCompared(null);
    openComparison(chosen[0], id);
  }
}

function drawChart() {
  const left = graphWidth(data.lanes) + 14;
  const heading = title("Steps of the tuning, newest first");
  const svg = drawing(640, HEIGHT * data.nodes.length + 40, heading);
  data.nodes.forEach((node, i) => {
    const fill = colour(node.id === data.current ? "accent" : "panel");
    const stroke = colour(node.on_branch ? "ink" : "edge");
    const line = (/** @type {boolean} */ current) => ({
      fill: "none",
      stroke: colour(current ? "ink" : "edge"),
      "stroke-width": 1.5,
    });
    const y = HEIGHT / 2 + 4;
    svg.append(
      s(
        "g",
        { transform: `translate(8 ${30 + HEIGHT * i})` },
        edges(node, line),
        dot(node, { r: 4.5, fill, stroke, "stroke-width": 1.8 }),
        label(left, y, (node.name || node.text).slice(0, 62)),
        label(620, y, node.gain, { size: 11, anchor: "end" }),
      ),
    );
  });
  return svg;
}
