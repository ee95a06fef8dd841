/** The dialog "How good is this student?". */

import { table, term } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h } from "./elements.js";
import { watchJob } from "./jobs.js";
import { call } from "./server.js";

/** Measure the students and show the result. */
export async function openSummary() {
  const box = h("div", { class: "stack-form" }, h("p", { class: "muted" }, "Measuring…"));
  openDialog("How good is this student?", box, { wide: true });
  const response = await call("start_report", {});
  if (!response.job)
    return box.replaceChildren(
      h("p", { class: "bad" }, response.error || "The measurement could not start."),
    );
  const result = await watchJob(response.job, box);
  if (!result) return;
  const lines = result.summary.map((/** @type {string} */ line) => h("li", {}, line));
  box.replaceChildren(
    h("ul", { class: "summary" }, lines),
    table(result.head, result.rows),
    h(
      "p",
      { class: "muted" },
      "All numbers are measured on held-out images. “",
      term("random concepts", "Random concepts"),
      "” is the same fit on random directions instead of words. If a student does not beat it, its words do ",
      "not explain its predictions.",
    ),
  );
}
