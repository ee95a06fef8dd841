/** The opened image: its contributions, its evidence regions, and its nearest images. */

import { bar, drawing, label, title } from "../../browser/charts.js";
import { drawContributions, drawEvidence, drawLogit } from "../../browser/contributions.js";
import { button } from "../../browser/controls.js";
import { openDialog } from "../../browser/dialogs.js";
import {
  childrenOf,
  h,
  itemOf,
  oncePerFrame,
  reconcile,
  setAttribute,
  setText,
} from "../../browser/elements.js";
import { emit, on } from "../../browser/events.js";
import { number, percent, signed } from "../../browser/format.js";
import { openOverride } from "../../browser/override_dialog.js";
import { hover, select, toggleConcept } from "../../browser/selection.js";
import { call } from "../../browser/server.js";
import { state } from "../../browser/state.js";
import { isPicking, onPicked, pick, pickAt, bar as pickedBar, pickedCells } from "./picked_regions.js";
import { nameOf, showThumbnail } from "./sheets.js";

const SIMILAR_SIDE = 96;

/** @type {import("../../browser/payloads").Opened | null} */
let opened = null;
/** The concept whose evidence is shown. @type {string | null} */
let evidenceOf = null;

const picture = h("img", { alt: "", draggable: "false" });
const overlay = h("canvas", { class: "evidence", "aria-hidden": "true" });
const stage = h("div", { class: "stage" }, picture, overlay);
const classes = h("div", { class: "open-classes scroll" });
const classesHead = h(
  "div",
  { class: "open-classes-head muted", "aria-hidden": "true" },
  ["class", "T %", "S %"].map((text) => h("span", {}, text)),
);
const name = h("b", { class: "cut", "data-name": "" });
const probabilities = h("span", { class: "probs" });
const contributions = h("div", {
  class: "contributions scroll",
  role: "list",
  "aria-label": "Contributions to the logit",
});
const logit = h("p", { class: "logit-line" });
const evidenceLine = h("p", { class: "evidence-line muted" });
const close = button("Close the image", {
  icon: "close",
  iconOnly: true,
  kind: "quiet",
  onclick: () => select({ image: null }),
});
const similar = button("More like this", { icon: "grid", kind: "quiet", onclick: openSimilar });
const override = button("Teacher is wrong…", {
  kind: "quiet",
  onclick: () => opened && openOverride(opened),
});
export const panel = h(
  "section",
  { class: "opened", "aria-label": "The opened image", hidden: true },
  h("div", { class: "open-picture" }, stage, classesHead, classes),
  h(
    "div",
    { class: "open-side" },
    h("div", { class: "open-head" }, h("div", { class: "open-title" }, name, probabilities), close),
    contributions,
    logit,
  ),
  h("div", { class: "open-foot" }, evidenceLine, pick, similar, override),
  pickedBar,
);

/**
 * Show an image, or close the panel.
 * @param {import("../../browser/payloads").Opened | null} data
 */
export function showOpened(data) {
  opened = data;
  evidenceOf = null;
  panel.hidden = !data;
  setAttribute(panel, "data-open-image", data?.id);
  if (!data) return;
  picture.src = data.url;
  picture.alt = data.id;
  setText(name, data.id);
  name.title = data.id;
  const truth = data.label === null ? "" : ` · label ${data.label ? "yes" : "no"}`;
  drawClasses(data.classes);
  setText(probabilities, `T ${percent(data.teacher)} · S ${percent(data.student)}${truth}`);
  drawContributions(contributions, data.bars, createRow);
  drawLogit(logit, data.bars);
  showEvidence(data.first);
}

/** @param {import("../../browser/payloads").Opened["classes"]} list */
function drawClasses(list) {
  reconcile(
    classes,
    list,
    (one) => one.name,
    (one) => {
      const onclick = () => select({ cls: one.name });
      const texts = [h("span", { class: "cut", "data-name": "" }), h("span"), h("span")];
      return h("button", { type: "button", class: "open-class", onclick }, texts);
    },
    (node, one) => {
      const [text, teacher, student] = childrenOf(node);
      setText(text, one.name);
      node.title = one.label ? `${one.name}: the label of this image` : one.name;
      node.classList.toggle("labelled", one.label);
      setText(teacher, Math.round(100 * one.teacher));
      setText(student, Math.round(100 * one.student));
      setAttribute(node, "aria-pressed", one.name === state.selection.cls ? "true" : "false");
      const label = one.label ? ", label" : "";
      const responses = `teacher ${percent(one.teacher)}, student ${percent(one.student)}`;
      setAttribute(node, "aria-label", `${one.name}: ${responses}${label}`);
    },
  );
}

function createRow() {
  const node = h("div", { role: "listitem" });
  const ifConcept = (/** @type {(name: string) => void} */ run) => {
    const item = itemOf(node);
    if (item.kind === "concept") run(item.name);
  };
  const look = () =>
    ifConcept((concept) => {
      showEvidence(concept);
      hover(concept);
    });
  node.addEventListener("mouseenter", look);
  node.addEventListener("focus", look);
  node.addEventListener("mouseleave", () => hover(null));
  node.addEventListener("click", () => ifConcept(toggleConcept));
  node.addEventListener("keydown", (event) => event.key === "Enter" && ifConcept(toggleConcept));
  return node;
}

/**
 * Show the evidence region of a concept.
 * @param {string | null} concept
 */
function showEvidence(concept) {
  if (!opened) return;
  const found = concept === null ? undefined : opened.evidence[concept];
  const shown = opened.bars.find((bar) => bar.kind === "concept" && bar.name === concept);
  evidenceOf = concept;
  const where = found ? `“${concept}” is strongest here: cosine ${number(found.score)}` : "no region shown";
  const line = shown?.absence ?? shown?.unclear ?? where;
  setText(evidenceLine, line);
  evidenceLine.title = line;
  for (const node of contributions.children) {
    const item = itemOf(node);
    node.classList.toggle("seen", item.kind === "concept" && item.name === evidenceOf);
  }
  layOutEvidence();
}

/** Fit the picture into its stage and lay the evidence over it. */
function layOutEvidence() {
  const cells =
    opened && isPicking()
      ? pickedCells(opened.id)
      : evidenceOf === null
        ? undefined
        : opened?.evidence[evidenceOf]?.cells;
  const room = stage.getBoundingClientRect();
  const { naturalWidth, naturalHeight } = picture;
  const scale = Math.min(room.width / (naturalWidth || 1), room.height / (naturalHeight || 1));
  const size = { width: Math.floor(naturalWidth * scale), height: Math.floor(naturalHeight * scale) };
  picture.style.width = `${size.width}px`;
  picture.style.height = `${size.height}px`;
  if (opened) drawEvidence(overlay, size, cells, opened.grid, opened.crop);
  overlay.style.left = `${picture.offsetLeft}px`;
  overlay.style.top = `${picture.offsetTop}px`;
  overlay.toggleAttribute("data-on", Boolean(cells));
  stage.classList.toggle("picking", isPicking());
}

/** Open a dialog with the images nearest to the selected one. */
async function openSimilar() {
  const { image } = state.selection; // The panel may still show the image before it.
  if (!image) return;
  const response = await call("similar", { image });
  if (!response.rows) return;
  const tiles = response.rows.map((/** @type {number} */ row) => {
    const onclick = () => {
      dialog.close();
      select({ image: nameOf(row) });
    };
    const tile = h("button", { type: "button", class: "tile still", "aria-label": nameOf(row), onclick });
    showThumbnail(tile, row, SIMILAR_SIDE);
    return tile;
  });
  const about = h("p", { class: "muted" }, "Nearest by their concepts. Click an image to open it.");
  const content = [about, h("div", { class: "similar-grid" }, tiles)];
  const dialog = openDialog(`Images most like ${image}`, content, { wide: true });
  emit("hover-image", null);
}

/** Draw the contributions as a chart. */
export function drawChart() {
  const list = opened?.bars ?? [];
  const heading = opened
    ? `${opened.id}: contributions to “${state.selection.cls}”`
    : "Open an image to draw its contributions";
  const svg = drawing(560, 24 * list.length + 44, title(heading));
  const largest = Math.max(0.1, ...list.map((one) => Math.abs(one.value)));
  list.forEach((one, i) => {
    const y = 34 + 24 * i;
    const width = (140 * Math.abs(one.value)) / largest;
    const negative = one.value < 0;
    svg.append(
      label(10, y + 13, one.name.slice(0, 28)),
      bar(negative ? 350 - width : 350, y + 2, width, negative ? "neg" : "pos"),
      label(552, y + 13, signed(one.value), { anchor: "end" }),
    );
  });
  return svg;
}

picture.addEventListener("load", layOutEvidence);
picture.addEventListener("click", (event) => {
  if (!opened || !isPicking()) return;
  const box = picture.getBoundingClientRect();
  const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  pickAt(opened.id, Math.min(Math.max(x, 0), 1), Math.min(Math.max(y, 0), 1), !event.shiftKey);
});
onPicked(layOutEvidence);
new ResizeObserver(oncePerFrame(layOutEvidence)).observe(stage);
on("hover", (concept) => {
  if (opened?.bars.some((bar) => bar.kind === "concept" && bar.name === concept)) showEvidence(concept);
  for (const node of contributions.children) {
    const item = itemOf(node);
    node.classList.toggle("hovered", item.kind === "concept" && item.name === concept);
  }
});
on("select", () => {
  if (!state.selection.image) showOpened(null);
});
