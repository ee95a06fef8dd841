/** Suggested actions, and words that are worth adding as concepts. */

import { term } from "../../browser/controls.js";
import { h } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { icon } from "../../browser/icons.js";
import { act } from "../../browser/steps.js";
import { proposeAll } from "../../browser/tuning.js";

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

/** @param {{suggestions: import("../../browser/payloads").Suggestion[]}} data */
function drawSuggestions({ suggestions: list }) {
  if (!list.length) {
    showLine("No suggestion for this class.");
    return;
  }
  const buttons = list.map((one, i) =>
    h(
      "button",
      {
        type: "button",
        class: "suggestion",
        "aria-label": `Suggestion: ${one.text}, ${one.gain}`,
        "data-suggestion": i,
        "data-tip": one.more,
        onclick: () => proposeAll(one.actions),
      },
      h("span", { class: "cut", "data-name": "" }, one.text),
      h("b", { class: one.clear ? "good" : "muted" }, one.gain),
    ),
  );
  suggested.replaceChildren(h("span", { class: "muted" }, term("suggestion", "Try")), ...buttons);
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
  if (buttons.length) missing.replaceChildren(title, h("div", { class: "suggestion-stack" }, buttons));
  else missing.replaceChildren();
}
