/** The dialog "Concepts without words": groups of regions that explain what the words leave over. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h } from "./elements.js";
import { watchJob } from "./jobs.js";
import { call } from "./server.js";
import { act } from "./steps.js";

/** @typedef {import("./payloads").FoundConcept} FoundConcept */

const ABOUT =
  "Each row is a group of similar regions that would improve a class. The crops are the concept. " +
  "If they show one thing, type a name for it; the suggested names are words near the group. " +
  "Rows without a name are left out.";
const NONE = "No group of regions explains what the words leave over.";

/**
 * Look for concepts without words and show them.
 * @param {string} [cls] Only what this class lacks.
 */
export async function openDiscovery(cls) {
  const box = h("div", { class: "stack-form" }, h("p", { class: "muted" }, "Grouping regions…"));
  const add = button("Add the named concepts", { kind: "primary", disabled: true });
  const dialog = openDialog("Concepts without words", box, { wide: true, buttons: [add] });
  const response = await call("start_discovery", cls === undefined ? {} : { cls });
  if (!response.job)
    return box.replaceChildren(h("p", { class: "bad" }, response.error || "The search could not start."));
  /** @type {{found: FoundConcept[]} | null} */
  const result = await watchJob(response.job, box);
  if (!result) return;
  if (!result.found.length) return box.replaceChildren(h("p", { class: "muted" }, NONE));
  const names = result.found.map((one, i) =>
    h("input", {
      type: "text",
      maxlength: 80,
      placeholder: "name",
      "aria-label": `Name of concept ${i + 1}, for ${one.cls}`,
    }),
  );
  /** @type {HTMLElement[]} */
  const rows = [];
  result.found.forEach((one, i) => {
    if (one.cls !== result.found[i - 1]?.cls) rows.push(h("h3", { "data-name": "" }, one.cls));
    rows.push(row(one, names[i]));
  });
  box.replaceChildren(h("p", { class: "muted" }, ABOUT), ...rows);
  add.disabled = false;
  add.addEventListener("click", async () => {
    const examples = result.found
      .map((one, i) => ({ name: names[i].value.trim(), shown: one.shown }))
      .filter(({ name }) => name);
    if (!examples.length) return names[0].focus();
    add.disabled = true;
    const step = await act("choose_words", { examples });
    add.disabled = false;
    if (step && !step.error) dialog.close();
  });
}

/**
 * @param {FoundConcept} one
 * @param {HTMLInputElement} name
 */
function row(one, name) {
  const crops = one.crops.map((source) => h("img", { src: source, alt: "", loading: "lazy" }));
  const suggested = one.names.map((word) =>
    button(word, {
      kind: "quiet",
      onclick: () => {
        name.value = word;
      },
    }),
  );
  return h(
    "div",
    { class: "word-row" },
    h("div", { class: "found-name" }, name, suggested),
    h("span", { class: "muted" }, one.text),
    h("div", { class: "word-crops" }, crops),
  );
}
