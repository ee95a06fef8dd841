/** The dialog that overrides the teacher's response for one image. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h } from "./elements.js";
import { percent } from "./format.js";
import { state } from "./state.js";
import { act } from "./steps.js";

const HELD_OUT = "This image is held out. It never enters a fit, so only the metrics change.";
const TRAINING =
  "The target of this image changes and the class is refitted. The step is added to the provenance.";

/**
 * Ask what an opened image shows, and record the answer as a step.
 * @param {NonNullable<import("./payloads").Parts["instances.opened"]>} opened
 */
export function openOverride(opened) {
  const { cls } = state.selection;
  const answer = (/** @type {string} */ label, /** @type {number | null} */ value) =>
    button(label, {
      onclick: () => {
        dialog.close();
        act("override", { cls, image: opened.id, value });
      },
    });
  const name = (/** @type {string | null} */ text) => h("b", { "data-name": "" }, text);
  const response = ["The teacher gives ", name(cls), ` ${percent(opened.teacher)} in `, name(opened.id), "."];
  const dialog = openDialog(
    "What does this image show?",
    [
      h("p", {}, response, " You can override it:"),
      h("p", { class: "muted" }, opened.validation ? HELD_OUT : TRAINING),
    ],
    {
      buttons: [
        answer("It shows the class", 1),
        answer("It does not", 0),
        answer("Use the teacher's response", null),
      ],
    },
  );
}
