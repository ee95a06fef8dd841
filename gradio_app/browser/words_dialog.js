/** The dialog "Which words?": proposals class by class, with crops; accept, reject, type your own. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h } from "./elements.js";
import { followJob, watchJob } from "./jobs.js";
import { openDiscovery } from "./late.js";
import { call } from "./server.js";
import { act } from "./steps.js";

/** @typedef {import("./payloads").ProposedWord} ProposedWord */

const ABOUT =
  "The students use the checked words. For each word you see images of the class with large values that " +
  "show it most clearly: with the evidence region in colour where it is clear, otherwise whole. Keep a " +
  "word if the images show what it names.";

/** Words whose crops are requested together. */
const CROPS_TOGETHER = 4;

/** Look for words and show them. */
export async function openWords() {
  const box = h("div", { class: "stack-form" }, h("p", { class: "muted" }, "Looking for words…"));
  const own = h("input", {
    type: "text",
    "aria-label": "Words of your own, separated by commas",
    maxlength: 400,
  });
  const use = button("Use these words", { kind: "primary", disabled: true });
  const discover = button("Concepts without words…", {
    kind: "quiet",
    onclick: () => {
      dialog.close();
      openDiscovery();
    },
  });
  const dialog = openDialog("Which words?", box, { wide: true, buttons: [discover, use] });
  const response = await call("start_words", {});
  if (!response.job)
    return box.replaceChildren(h("p", { class: "bad" }, response.error || "The search could not start."));
  /** @type {{words: ProposedWord[]} | null} */
  const result = await watchJob(response.job, box);
  if (!result) return;
  const boxes = result.words.map((one) =>
    h("input", { type: "checkbox", checked: one.concept, "aria-label": `Use ${one.word}` }),
  );
  /** @type {HTMLElement[]} */
  const rows = [];
  result.words.forEach((one, i) => {
    if (one.cls !== result.words[i - 1]?.cls) rows.push(h("h3", { "data-name": "" }, one.cls));
    rows.push(row(one, boxes[i]));
  });
  own.placeholder = "words of your own, separated by commas";
  box.replaceChildren(h("p", { class: "muted" }, ABOUT), ...rows, own);
  use.disabled = false;
  loadCrops(
    result.words,
    rows.filter((one) => one.matches(".word-row")),
    () => dialog.isConnected,
  );
  use.addEventListener("click", async () => {
    const typed = own.value
      .split(",")
      .map((word) => word.trim())
      .filter(Boolean);
    const accept = result.words.filter((one, i) => boxes[i].checked && !one.concept).map((one) => one.word);
    const reject = result.words.filter((one, i) => !boxes[i].checked && one.concept).map((one) => one.word);
    if (!accept.length && !reject.length && !typed.length) return dialog.close();
    use.disabled = true;
    const step = await act("choose_words", { accept: [...new Set([...accept, ...typed])], reject });
    use.disabled = false;
    if (step && !step.error) dialog.close();
  });
}

/**
 * Wait for the crops of a job; the job is cancelled once the dialog is closed.
 * @param {string} id
 * @param {() => boolean} isOpen
 * @returns {Promise<any>}
 */
async function cropsOf(id, isOpen) {
  let cancelled = false;
  const { job } = await followJob(id, () => {
    if (cancelled || isOpen()) return;
    cancelled = true;
    call("cancel_job", { job: id }, { quiet: true }).catch(() => null);
  });
  return job?.state === "done" ? job.result : null;
}

/**
 * Fill in the crops of the words, from the first to the last.
 * @param {ProposedWord[]} words
 * @param {HTMLElement[]} rows
 * @param {() => boolean} isOpen
 */
async function loadCrops(words, rows, isOpen) {
  for (let first = 0; first < words.length && isOpen(); first += CROPS_TOGETHER) {
    const some = words.slice(first, first + CROPS_TOGETHER);
    const request = { crops_of: some.map(({ word, cls }) => [word, cls]) };
    const response = await call("start_words", request, { quiet: true }).catch(() => null);
    /** @type {{crops: string[][]} | null} */
    const result = response?.job ? await cropsOf(response.job, isOpen) : null;
    some.forEach((_, i) => {
      const crops = result?.crops[i].map((source) => h("img", { src: source, alt: "" })) ?? [];
      const missing = h("span", { class: "muted" }, "no images");
      rows[first + i].querySelector(".word-crops")?.replaceChildren(...(crops.length ? crops : [missing]));
    });
  }
}

/**
 * @param {ProposedWord} one
 * @param {HTMLInputElement} box
 */
function row(one, box) {
  return h(
    "div",
    { class: "word-row" },
    h("label", {}, box, h("b", { "data-name": "" }, one.word), h("span", { class: "muted" }, one.text)),
    h("div", { class: "word-crops" }, h("span", { class: "muted" }, "looking for images…")),
  );
}
