/** The list of keyboard shortcuts, and the keys that go to a view. */

import { openDialog } from "./dialogs.js";
import { h, queryAll } from "./elements.js";

/** @type {[where: string, rows: [keys: string[], effect: string][]][]} */
const SHORTCUTS = [
  [
    "Anywhere",
    [
      [["1", "…", "6"], "go to the view of that number"],
      [["Tab"], "go from view to view, and to every button"],
      [["Ctrl Z"], "undo"],
      [["Ctrl Shift Z", "Ctrl Y"], "redo"],
      [["?"], "show this list"],
    ],
  ],
  [
    "Classes",
    [
      [["↑", "↓"], "go from class to class"],
      [["Enter"], "select the class"],
      [["←", "→"], "go to its subsets"],
    ],
  ],
  [
    "Concepts",
    [
      [["↑", "↓"], "go from word to word and highlight its images"],
      [["Enter"], "select the word; its slider is listed first"],
      [["+", "−", "M", "L"], "tune the word, as at its slider"],
      [["B"], "brush the upper quarter, the lower quarter, nothing"],
    ],
  ],
  [
    "Sliders",
    [
      [["←", "→", "PgUp", "PgDn", "Home", "End", "0"], "set the weight"],
      [["+", "−"], "raise, lower"],
      [["M", "L"], "mute, lock"],
      [["F"], "free: remove the bound in force"],
      [["Del"], "discard the change that is not applied yet"],
      [["Enter"], "apply"],
    ],
  ],
  [
    "Images",
    [
      [
        ["←", "→", "↑", "↓", "PgUp", "PgDn", "Home", "End"],
        "go from image to image; an open image changes too",
      ],
      [["Enter"], "open the image"],
      [["Esc"], "close the image"],
    ],
  ],
  [
    "Map of the images",
    [
      [["←", "→", "↑", "↓"], "move"],
      [["+", "−", "0"], "zoom in, zoom out, show all"],
      [["L"], "switch the lasso on or off"],
      [["Enter"], "select the images in view"],
      [["Esc"], "clear the area"],
    ],
  ],
  [
    "Provenance",
    [
      [["↑", "↓"], "go from step to step"],
      [["Enter"], "check out the step; the next step starts a branch"],
      [["Tab"], "go to the button that names the step"],
    ],
  ],
];

/** Open the list of keyboard shortcuts. */
export function openShortcuts() {
  const keyList = (/** @type {string[]} */ keys) =>
    keys.map((key) => (key === "…" ? key : h("kbd", {}, key)));
  const sections = SHORTCUTS.map(([where, rows]) =>
    h(
      "section",
      {},
      h("h3", {}, where),
      h(
        "dl",
        { class: "keys-list" },
        rows.map(([keys, effect]) => [h("dt", {}, keyList(keys)), h("dd", {}, effect)]),
      ),
    ),
  );
  openDialog("Keyboard", h("div", { class: "keys" }, sections), { wide: true });
}

const STOPS = '[role="row"], [role="option"], [role="slider"], .step-button';

/**
 * Move the focus to a view: to its selected element, or to its first one. Returns whether there is one.
 * @param {string} number
 */
export function goToView(number) {
  const view = document.getElementById(`view-title-${number}`)?.closest(".view");
  if (!view) return false;
  const all = queryAll(view, '.view-body :is([tabindex="0"], input, button)');
  const reachable = all.filter(
    (node) => node.offsetParent && !node.matches("dfn, :disabled") && node.tabIndex >= 0,
  );
  const target = reachable.find((node) => node.matches(STOPS)) ?? reachable[0];
  target?.focus();
  target?.scrollIntoView({ block: "nearest" });
  return Boolean(target);
}
