/** The dialog "Which words?": proposals class by class, with crops; accept, reject, rename, type your own. */

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
  "word if the images show what it names. If they show something else, rename it: it keeps its images and " +
  "weights, and is called “new name (was old name)”.";

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
  const names = result.words.map((one, i) =>
    h("input", {
      type: "text",
      maxlength: 80,
      hidden: true,
      "aria-label": `New name of ${one.word}`,
      oninput: () => {
        boxes[i].checked = true;
      },
    }),
  );
  /** @type {HTMLElement[]} */
  const rows = [];
  result.words.forEach((one, i) => {
    if (one.cls !== result.words[i - 1]?.cls) rows.push(h("h3", { "data-name": "" }, one.cls));
    rows.push(row(one, boxes[i], names[i]));
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
    /** @type {Map<string, string>} */
    const renamed = new Map();
    result.words.forEach((one, i) => {
      const name = newName(one, names[i]);
      if (name && boxes[i].checked) renamed.set(one.word, name);
    });
    const chosen = (/** @type {boolean} */ wanted) =>
      result.words.filter((one, i) => boxes[i].checked === wanted && one.concept !== wanted);
    const accept = chosen(true)
      .map((one) => one.word)
      .filter((word) => !renamed.has(word));
    const reject = chosen(false).map((one) => one.word);
    if (!accept.length && !reject.length && !typed.length && !renamed.size) return dialog.close();
    use.disabled = true;
    const request = { accept: [...new Set([...accept, ...typed])], reject, rename: [...renamed] };
    const step = await act("choose_words", request);
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
 * Return the name that a person typed for a word; empty if it keeps its name.
 * @param {ProposedWord} one
 * @param {HTMLInputElement} name
 */
function newName(one, name) {
  const typed = name.value.trim().replace(/\s+/g, " ");
  return name.hidden || typed === one.label ? "" : typed;
}

/**
 * @param {ProposedWord} one
 * @param {HTMLInputElement} box
 * @param {HTMLInputElement} name The field for a new name, hidden at first.
 */
function row(one, box, name) {
  const edit = (/** @type {boolean} */ open) => {
    name.hidden = !open;
    rename.setAttribute("aria-expanded", String(open));
    if (!open) return rename.focus();
    name.value = one.label;
    name.select();
    name.focus();
  };
  const rename = button(`Rename ${one.word}`, {
    icon: "pencil",
    iconOnly: true,
    kind: "quiet",
    "aria-expanded": "false",
    onclick: () => edit(Boolean(name.hidden)),
  });
  name.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault(); // closes the field, not the dialog
    edit(false);
  });
  return h(
    "div",
    { class: "word-row" },
    h(
      "div",
      { class: "word-head" },
      h("label", {}, box, h("b", { "data-name": "" }, one.word), h("span", { class: "muted" }, one.text)),
      rename,
      name,
    ),
    h("div", { class: "word-crops" }, h("span", { class: "muted" }, "looking for images…")),
  );
}
