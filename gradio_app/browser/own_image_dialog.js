/** The teacher's and the student's responses to an image of the person's own. */

import { drawContributions, drawEvidence, drawLogit } from "./contributions.js";
import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { childrenOf, h, itemOf, setAttribute, setText } from "./elements.js";
import { emit } from "./events.js";
import { number, percent } from "./format.js";
import { startOwnConcept } from "./late.js";
import { call, upload } from "./server.js";

const MOST_MEGABYTES = 24;

/** @typedef {import("./payloads").OwnImage} OwnImage */
/** @typedef {OwnImage["rows"][number]} Row */
/** @typedef {import("./payloads").Bar} Bar */

/**
 * Upload an image and show what teacher and student say about it.
 * @param {File} file
 */
export async function classifyFile(file) {
  const fail = (/** @type {string} */ reason) =>
    emit("message", { line: `“${file.name}” ${reason}`, tone: "bad" });
  if (file.size > MOST_MEGABYTES * 2 ** 20)
    return fail(`is larger than ${MOST_MEGABYTES} MB: choose a smaller image.`);
  let sent;
  try {
    sent = await upload(file);
  } catch (error) {
    return fail(`could not be uploaded: ${error instanceof Error ? error.message : error}.`);
  }
  const response = await call("classify", { path: sent.path, name: file.name });
  if (response.prediction) show(response.prediction);
}

/** @param {OwnImage} image */
function show(image) {
  const picture = h("img", { src: image.url, alt: image.name, class: "own-picture" });
  const overlay = h("canvas", { class: "own-overlay", "aria-hidden": "true" });
  const evidenceLine = h("p", { class: "evidence-line muted" });
  const contributions = h("div", { role: "list", "aria-label": "Contributions to the logit" });
  const logit = h("p", { class: "logit-line" });
  const heading = h("h3", {});
  let selected = image.rows[0];

  const showEvidence = (/** @type {Bar | undefined} */ bar) => {
    const found = bar?.absence === undefined ? image.evidence[bar?.name ?? ""] : undefined;
    const size = { width: picture.clientWidth, height: picture.clientHeight };
    drawEvidence(overlay, size, found?.cells, image.grid, image.crop);
    const where = found ? `“${bar?.name}” is strongest here: cosine ${number(found.score)}` : "";
    setText(evidenceLine, bar?.absence ?? bar?.unclear ?? where);
    for (const node of contributions.children)
      node.classList.toggle("seen", bar !== undefined && itemOf(node).name === bar.name);
  };
  const createRow = () => {
    const node = h("div", { role: "listitem" });
    const look = () => itemOf(node).kind === "concept" && showEvidence(itemOf(node));
    node.addEventListener("mouseenter", look);
    node.addEventListener("focus", look);
    return node;
  };
  const select = (/** @type {Row} */ row) => {
    selected = row;
    for (const [i, choice] of childrenOf(list).entries())
      setAttribute(choice, "aria-pressed", image.rows[i] === row ? "true" : "false");
    setText(heading, `Why the student gives “${row.name}” ${percent(row.student)}`);
    drawContributions(contributions, row.bars, createRow);
    drawLogit(logit, row.bars);
    showEvidence(row.bars.find((bar) => bar.kind === "concept"));
  };
  const list = h(
    "div",
    { class: "own-classes" },
    image.rows.map((row) => classButton(row, select)),
  );
  const stage = h("div", { class: "own-stage" }, picture, overlay);
  const picker = h("div", { class: "own-concept stack-form", hidden: true });
  const pick = button("Make a concept from regions…", {
    icon: "plus",
    onclick: async () => {
      const begun = await startOwnConcept(image, stage, picker, () => dialog.close(), endPicking);
      if (!begun) return; // a message says that the script could not be loaded
      showPicker(true);
      picker.querySelector("button")?.focus();
    },
  });
  const showPicker = (/** @type {boolean} */ shown) => {
    overlay.hidden = evidenceLine.hidden = pick.hidden = answer.hidden = shown;
    picker.hidden = !shown;
  };
  const endPicking = () => {
    showPicker(false);
    pick.focus();
  };
  const head = ["class", "teacher", "student"].map((text) => h("span", {}, text));
  const answer = h(
    "div",
    {},
    h("div", { class: "own-head muted", "aria-hidden": "true" }, head),
    list,
    heading,
    contributions,
    logit,
  );
  const dialog = openDialog(
    `Your image: ${image.name}`,
    [
      h("div", { class: "own-image" }, h("div", {}, stage, evidenceLine, pick), h("div", {}, answer, picker)),
      h("p", { class: "muted" }, image.line),
    ],
    { wide: true, onclose: () => call("discard_image", {}, { quiet: true }).catch(() => {}) },
  );
  select(selected);
  // The evidence is laid over the picture, which has a size only after it is decoded.
  picture
    .decode()
    .catch(() => {})
    .then(() => select(selected));
}

/**
 * @param {Row} row
 * @param {(row: Row) => void} select
 */
const classButton = (row, select) =>
  h(
    "button",
    { type: "button", class: "own-class", onclick: () => select(row) },
    h("span", { class: "cut", "data-name": "" }, row.name),
    h("span", {}, percent(row.teacher)),
    h("b", {}, percent(row.student)),
  );
