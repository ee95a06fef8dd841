/** Suggested actions, and words that are worth adding as concepts. */

import { term } from "../../browser/controls.js";
import { h } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { icon } from "../../browser/icons.js";
import { openDiscovery } from "../../browser/late.js";
import { state } from "../../browser/state.js";
import { act } from "../../browser/steps.js";
import { settings } from "../../browser/storage.js";
import { proposeAll } from "../../browser/tuning.js";

/** @type {import("../../browser/payloads").Parts["tuning.suggestions"] | null} */
let data = null;
const harmless = h("input", {
  type: "checkbox",
  checked: settings.get("harmless") === "on",
  "aria-label": "Only suggestions that harm nobody clearly",
});
harmless.addEventListener("change", () => {
  settings.set("harmless", harmless.checked ? "on" : "off");
  if (data) drawSuggestions(data);
});
const filter = h(
  "label",
  { class: "harmless", "data-tip": "Only suggestions by which no class, slice or group clearly loses" },
  harmless,
  h("span", {}, "harmless"),
);
const suggested = h("div", { class: "suggestion-row" });
const missing = h("div", { class: "suggestion-row" });
export const suggestions = h("div", { class: "suggestions" }, suggested, missing);

/** @param {import("../../browser/view.js").View} view */
export function watchSuggestions(view) {
  showLine("Searching for suggestions…");
  view.part("tuning.suggestions", drawSuggestions);
  view.part("tuning.missing", drawMissing);
  on("postponed:tuning.suggestions", showLine);
  on("select", ({ changed }) => {
    if (!changed.includes("cls")) return;
    showLine("Searching for suggestions…");
    missing.replaceChildren();
  });
}

/** @param {string} line */
const showLine = (line) => suggested.replaceChildren(h("span", { class: "muted" }, line));

/** @param {NonNullable<typeof data>} now */
function drawSuggestions(now) {
  data = now;
  const list = harmless.checked ? now.harmless : now.suggestions;
  if (!list.length) {
    showLine(harmless.checked ? "No suggestion that harms nobody clearly." : "No suggestion for this class.");
    if (now.suggestions.length) suggested.append(filter);
    return;
  }
  const buttons = list.map((one, i) =>
    h(
      "button",
      {
        type: "button",
        class: "suggestion",
        "aria-label": `Suggestion: ${one.text}, ${one.gain}${losses(one)}`,
        "data-suggestion": i,
        "data-tip": [one.more, ...one.costs.map(({ line }) => `Clearly loses: ${line}`)].join("\n"),
        onclick: () => proposeAll(one.actions),
      },
      h("span", { class: "cut", "data-name": "" }, one.text),
      h(
        "b",
        { class: one.clear ? "good" : "muted" },
        one.gain,
        one.costs.length > 0 && h("span", { class: "bad" }, losses(one)),
      ),
    ),
  );
  suggested.replaceChildren(h("span", { class: "muted" }, term("suggestion", "Try")), ...buttons, filter);
}

/** @param {import("../../browser/payloads").Suggestion} one */
function losses({ costs }) {
  if (!costs.length) return "";
  return `, ${costs.length} ${costs.length === 1 ? "loses" : "lose"}`;
}

/** @param {{words: {word: string, more: string}[]}} data */
function drawMissing({ words }) {
  const buttons = words.map(({ word, more }) =>
    h(
      "button",
      {
        type: "button",
        class: "suggestion add",
        "data-tip": more,
        "aria-label": `Add the missing concept ${word}`,
        onclick: () => act("add_concept", { word }),
      },
      icon("plus"),
      h("span", { class: "cut", "data-name": "" }, word),
    ),
  );
  const title = h("span", { class: "muted" }, term("missing", "Add"));
  const regions = h(
    "button",
    {
      type: "button",
      class: "suggestion add",
      "data-tip": "No word of the vocabulary explains the errors of this class: look for regions that do",
      onclick: () => openDiscovery(state.selection.cls ?? undefined),
    },
    icon("plus"),
    h("span", {}, "regions without a word…"),
  );
  missing.replaceChildren(
    title,
    h("div", { class: "suggestion-stack" }, buttons.length ? buttons : [regions]),
  );
}
