/** The slices of the selected class: groups of misaligned images that share concepts. */

import { term } from "../../browser/controls.js";
import { h, queryAll, setAttribute } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { percent } from "../../browser/format.js";
import { select } from "../../browser/selection.js";
import { state } from "../../browser/state.js";

export const slices = h("div", { class: "slices" });

/** @param {import("../../browser/payloads").Slices} data */
export function drawSlices(data) {
  const list = data.slices.map((found) =>
    h(
      "button",
      {
        type: "button",
        class: "slice",
        "data-slice": found.id,
        "data-tip": found.text,
        onclick: () => select({ slice: state.selection.slice === found.id ? null : found.id, subset: null }),
      },
      h("i", { class: `dot fill-${found.side}` }),
      h("span", { class: "cut", "data-name": "" }, found.short),
      h("span", { class: "muted" }, found.size),
      h("b", {}, percent(found.agreement)),
      h("span", { class: "muted" }, `vs ${percent(found.rest)}`),
    ),
  );
  slices.replaceChildren(
    h(
      "h3",
      {},
      term("slice", "Slices"),
      h("span", { class: "muted cut" }, " of misaligned images"),
      list.length > 0 && h("span", { class: "muted right" }, "images, agreement"),
    ),
    list.length
      ? h("div", { class: "slice-list scroll" }, list)
      : h("p", { class: "muted none" }, "No significant slice for this class."),
  );
  markSlice();
}

function markSlice() {
  for (const item of queryAll(slices, "[data-slice]"))
    setAttribute(item, "aria-pressed", item.dataset.slice === state.selection.slice ? "true" : "false");
}

on("select", markSlice);
