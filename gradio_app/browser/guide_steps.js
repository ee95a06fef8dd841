/** The steps of the guided scenario: find a failure, see why, tune, see the effect, export. */

import { exportFile } from "./export_dialog.js";
import { select } from "./selection.js";
import { state } from "./state.js";
import { apply } from "./steps.js";
import { proposeAll } from "./tuning.js";

/**
 * @typedef {object} Step
 * @property {string} at Selector of the element that the step is about.
 * @property {string} title
 * @property {string} text
 * @property {string} task What the person is asked to do.
 * @property {(seen: Set<string>, hovered: number) => boolean} [done] Whether the task is done; without it,
 *   only "Next"
 *   goes on. `seen`: what happened during the step; `hovered`: for how many checks a word was hovered.
 * @property {() => void} next Does the task for the person.
 */

/** Class on which the demo's scenario is based. */
const DEMO_CLASS = "water bird";
/** A word is read, not just passed over, if it was hovered at this many checks. */
const ENOUGH_HOVERS = 10;

/** Choose the class and the subset that the scenario is about. */
function scenario() {
  const classes = state.parts["performance.table"]?.classes ?? [];
  const demo = state.info.demo ? classes.find((line) => line.name === DEMO_CLASS) : undefined;
  if (demo) return { cls: demo.name, subset: "extra", demo: true };
  const line = classes.find((one) => one.name === state.selection.cls) ?? classes[0];
  return { cls: line.name, subset: line.counts.missed > line.counts.extra ? "missed" : "extra", demo: false };
}

const suggestions = () => state.parts["tuning.suggestions"]?.suggestions ?? [];

/**
 * Return the steps for the present project.
 * @returns {Step[]}
 */
export function guideSteps() {
  const { cls, subset, demo } = scenario();
  const extra = subset === "extra";
  const row = `#view-performance [data-class="${CSS.escape(cls)}"]`;
  return [
    {
      at: "#view-performance",
      title: "A student imitates a teacher",
      text:
        "Each row is a class: a small model over words that imitates a large classifier. The bar shows how " +
        "well it follows the teacher. On grey images both agree; on magenta and gold ones they do not.",
      task: "Look at the rows, then press Next.",
      next: () => {},
    },
    {
      at: row,
      title: "A class with errors",
      text: demo
        ? `The student of “${cls}” has the lowest fidelity.`
        : `The student of “${cls}” disagrees with its teacher most often.`,
      task: `Click “${cls}”.`,
      done: (seen) => state.selection.cls === cls && (seen.has("cls") || seen.has("click")),
      next: () => select({ cls, subset: null, slice: null }),
    },
    {
      at: `${row} [data-subset="${subset}"]`,
      title: extra ? "Images with an extra yes" : "Images that are missed",
      text: extra
        ? "Gold images are extra: the student says yes, the teacher no. Click the colour to select them."
        : "Magenta images are missed: the teacher says yes, the student no. Click the colour to select them.",
      task: `Click the ${extra ? "gold" : "magenta"} part of the bar.`,
      done: () => state.selection.subset === subset,
      next: () => select({ cls, subset }),
    },
    {
      at: "#view-instances",
      title: "Look at the images",
      text:
        "What do these images have in common? The bars of an open image sum to the student's logit, " +
        "and the lit region is the evidence for a word.",
      task: "Click an image.",
      done: () => Boolean(state.selection.image),
      next: () =>
        /** @type {HTMLElement | null} */ (document.querySelector("#view-instances .tile"))?.click(),
    },
    {
      at: "#view-influence",
      title: demo ? "The student uses the scenery" : "The words of the student",
      text:
        "These are the words of the student, largest weight first. Point at a word to highlight the " +
        "images that show it. A word for the place instead of the object is a shortcut.",
      task: "Point at a few words.",
      done: (_, hovered) => hovered > ENOUGH_HOVERS,
      next: () => {},
    },
    {
      at: "#view-tuning .suggestions",
      title: "Tune the student",
      text:
        "The sensitivities of the fit show which few actions would help most. A click previews a " +
        "suggestion and changes nothing yet.",
      task: "Click the first suggestion, or drag a slider.",
      done: () => state.pending.length > 0,
      next: () => {
        const [suggestion] = suggestions();
        if (suggestion) proposeAll(suggestion.actions);
      },
    },
    {
      at: "#view-tuning .effect",
      title: "See the effect",
      text:
        "Before → after on held-out images, with the 95 % interval of the difference. A change " +
        "within the interval is shown as no clear change.",
      task: "You can drag more sliders. Then press Apply.",
      done: () => Boolean(state.parts["provenance.tree"]?.can_undo),
      next: () => apply(),
    },
    {
      at: "#view-provenance",
      title: "Every step is kept",
      text:
        "Each step is recorded with the change that it made. Ctrl+Z undoes it; a click checks out " +
        "any step of the tree.",
      task: "Look at the steps, then press Next.",
      next: () => {},
    },
    {
      at: "#shell .menu",
      title: "Export the student",
      text:
        "The student can be exported as one ONNX file: pixels in, probabilities out. “inficond " +
        "predict” runs it.",
      task: "Export the student as ONNX.",
      done: (seen) => seen.has("exported"),
      next: () => exportFile("onnx"),
    },
  ];
}
