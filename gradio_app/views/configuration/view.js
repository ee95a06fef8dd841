/** View 1, Configuration: the data set and its models, and what a person adds: a concept or an image. */

import { bar, drawing, label, offerChart, title } from "../../browser/charts.js";
import { button, term } from "../../browser/controls.js";
import { childrenOf, closest, h, keyOf, reconcile, setText } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { count } from "../../browser/format.js";
import { icon } from "../../browser/icons.js";
import { openWords } from "../../browser/late.js";
import { classifyFile } from "../../browser/own_image_dialog.js";
import { openProject } from "../../browser/projects.js";
import { pickConcept, select } from "../../browser/selection.js";
import { openSettings } from "../../browser/settings_dialog.js";
import { state } from "../../browser/state.js";
import { act } from "../../browser/steps.js";
import { page } from "../../browser/topbar.js";

const OWN_IMAGE =
  "See the teacher's and the student's response to an image of yours: choose one, or drop it here.";

const facts = h("dl", { class: "facts" });
const bars = h("div", { class: "class-bars", role: "img" });
const barsTitle = h("p", { class: "muted bars-title" });
const word = h("input", {
  type: "text",
  placeholder: "add a concept",
  "aria-label": "Add a concept by typing a word",
  maxlength: 80,
  autocomplete: "off",
});
const addForm = h(
  "form",
  { class: "add-word" },
  word,
  button("Add", { icon: "plus", iconOnly: true, type: "submit" }),
);
const added = h("div", { class: "added" });
const words = button("Words", {
  "aria-label": "Which words?",
  title: "Which words should the students use?",
  onclick: openWords,
});
const picker = h("input", {
  type: "file",
  accept: "image/*",
  class: "visually-hidden",
  "aria-label": "Choose your own image",
  tabindex: "-1",
});
const drop = h(
  "button",
  { type: "button", class: "drop", "aria-label": "Try your own image", "data-tip": OWN_IMAGE },
  icon("image"),
  h("span", {}, "Try an image"),
);
const chooser = h("select", { "aria-label": "Project", class: "chooser" });

/** @param {import("../../browser/view.js").View} view */
export function setup(view) {
  const gear = button("Settings", {
    icon: "gear",
    iconOnly: true,
    kind: "quiet",
    onclick: () => openSettings(page.localFolders),
  });
  view.tools.append(chooser, gear);
  view.body.append(
    facts,
    h("div", { class: "bars-box" }, barsTitle, bars),
    h("div", { class: "bring" }, h("div", { class: "bring-row" }, addForm, words, drop), added, picker),
  );
  chooser.addEventListener("change", () => openProject(chooser.value));
  addForm.addEventListener("submit", addConcept);
  drop.addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => classify(picker.files?.[0]));
  document.addEventListener("dragover", onDrag);
  document.addEventListener("drop", onDrag);
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) showDropTarget(false);
  });
  on("select", markClass);
  view.part("configuration.facts", draw);
  offerChart("images per class", drawChart);
}

/** @param {Event} event */
async function addConcept(event) {
  event.preventDefault();
  const text = word.value.trim();
  if (!text) return;
  addForm.toggleAttribute("data-busy", true);
  const response = await act("add_concept", { word: text });
  addForm.removeAttribute("data-busy");
  if (!response || response.error) return;
  word.value = "";
  pickConcept(response.concept);
}

/** @param {File | undefined} file */
async function classify(file) {
  if (!file) return;
  const text = /** @type {Element} */ (drop.lastElementChild);
  drop.setAttribute("data-busy", "");
  setText(text, "Classifying…");
  await classifyFile(file);
  setText(text, "Try an image");
  drop.removeAttribute("data-busy");
  picker.value = "";
}

/** @param {DragEvent} event */
function onDrag(event) {
  if (!event.dataTransfer?.types.includes("Files") || closest(event, "dialog")) return;
  event.preventDefault();
  showDropTarget(event.type === "dragover");
  if (event.type === "drop") classify(event.dataTransfer.files[0]);
}

/** @param {boolean} shown */
function showDropTarget(shown) {
  drop.toggleAttribute("data-over", shown);
  document.body.classList.toggle("dropping", shown);
}

/** @param {import("../../browser/payloads").Facts} data */
function draw(data) {
  reconcile(
    facts,
    data.facts,
    (fact) => fact.label,
    (fact) =>
      h(
        "div",
        {},
        h("dt", {}, fact.term ? term(fact.term, fact.label) : fact.label),
        h("dd", { class: "cut" }),
      ),
    (node, fact) => {
      const [, value] = childrenOf(node);
      setText(value, fact.value);
      value.title = fact.more || fact.value;
    },
  );
  drawBars(data);
  reconcile(added, data.added, (concept) => concept, createAdded, setAdded);
  reconcile(
    chooser,
    data.projects,
    (project) => project.key,
    (project) => h("option", { value: project.key }),
    (node, project) => setText(node, project.name),
  );
  chooser.title = data.name;
  chooser.value = data.project;
}

/** @param {import("../../browser/payloads").Facts} data */
function drawBars(data) {
  setText(barsTitle, data.bars_title);
  const largest = Math.max(1, ...data.bars.map((one) => one.n));
  const values = data.bars.map((one) => `${one.name} ${one.n}`).join(", ");
  bars.setAttribute("aria-label", `${data.bars_title}: ${values}`);
  reconcile(
    bars,
    data.bars,
    (one) => one.name,
    (one) => h("i", { onclick: () => select({ cls: one.name }) }),
    (node, one) => {
      node.style.height = `${Math.max(6, (100 * one.n) / largest)}%`;
      node.dataset.tip = `${one.name}: ${count(one.n)}`;
    },
  );
  markClass();
}

function markClass() {
  for (const node of bars.children) node.classList.toggle("on", keyOf(node) === state.selection.cls);
}

/** @param {string} concept */
function createAdded(concept) {
  const remove = h(
    "button",
    {
      type: "button",
      class: "chip-x",
      "aria-label": `Drop ${concept}`,
      onclick: () => act("drop_concept", { concept }),
    },
    icon("close"),
  );
  return h("span", { class: "chip" }, h("span", { class: "cut", "data-name": "" }), remove);
}

/**
 * @param {HTMLElement} node
 * @param {string} concept
 */
const setAdded = (node, concept) => setText(/** @type {Element} */ (node.firstElementChild), concept);

function drawChart() {
  const data = state.parts["configuration.facts"];
  const list = data?.bars ?? [];
  const svg = drawing(560, 24 * list.length + 44, title(data?.bars_title ?? ""));
  const largest = Math.max(1, ...list.map((one) => one.n));
  list.forEach((one, i) => {
    const y = 34 + 24 * i;
    const width = (270 * one.n) / largest;
    svg.append(
      label(10, y + 13, one.name.slice(0, 32)),
      bar(230, y + 2, width, "agree-pos"),
      label(236 + width, y + 13, count(one.n), { size: 11 }),
    );
  });
  return svg;
}
