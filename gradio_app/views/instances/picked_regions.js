/** A concept by example: regions that a person clicks in opened images, and a name for them. */

import { button } from "../../browser/controls.js";
import { h, setText } from "../../browser/elements.js";
import { call } from "../../browser/server.js";
import { act } from "../../browser/steps.js";

/** @typedef {import("../../browser/payloads").PickedRegion} PickedRegion */

const HOW =
  "Click regions that show the concept, in one image or several. Shift-click regions that do not show it.";

/** Regions picked so far. @type {{image: string, region: number, cells: string, shows: boolean}[]} */
let picked = [];
let picking = false;
/** Is called when the picked regions change. @type {() => void} */
let changed = () => {};

const line = h("span", { class: "muted", role: "status" });
const name = h("input", {
  type: "text",
  maxlength: 80,
  placeholder: "name of the concept",
  "aria-label": "Name of the concept",
});
const add = button("Add", { kind: "primary", onclick: addConcept });
const cancel = button("Cancel", { kind: "quiet", onclick: () => start(false) });
export const bar = h("div", { class: "picked-bar", hidden: true }, line, name, add, cancel);
export const pick = button("Pick regions…", {
  icon: "plus",
  iconOnly: true,
  kind: "quiet",
  title: "Make a concept from regions that you click",
  "aria-pressed": "false",
  onclick: () => start(!picking),
});

/** Return whether clicks on the picture pick regions. */
export const isPicking = () => picking;

/** @param {() => void} run */
export const onPicked = (run) => {
  changed = run;
};

/** @param {boolean} on */
function start(on) {
  picking = on;
  picked = [];
  name.value = "";
  bar.hidden = !on;
  pick.setAttribute("aria-pressed", String(on));
  describe();
}

function describe() {
  const shows = picked.filter((one) => one.shows).length;
  const not = picked.length - shows;
  setText(line, picked.length ? `${shows} shown, ${not} not shown` : HOW);
  line.title = HOW;
  add.disabled = !shows;
  changed();
}

/**
 * Pick the region of an image at a place, or drop it if it is picked.
 * @param {string} image
 * @param {number} x Share of the width.
 * @param {number} y
 * @param {boolean} shows
 */
export async function pickAt(image, x, y, shows) {
  const response = await call("region_at", { image, x, y });
  /** @type {PickedRegion | undefined} */
  const found = response.picked;
  if (!found || !picking) return;
  const others = picked.filter((one) => one.image !== found.image || one.region !== found.region);
  if (others.length === picked.length) others.push({ ...found, shows });
  picked = others;
  describe();
}

/**
 * Return the cells of the picked regions of an image, or undefined if none is picked.
 * @param {string} image
 */
export function pickedCells(image) {
  const own = picked.filter((one) => one.image === image && one.shows).map((one) => one.cells);
  if (!own.length) return undefined;
  return Array.from(own[0], (_, i) => (own.some((cells) => cells[i] === "1") ? "1" : "0")).join("");
}

async function addConcept() {
  if (!name.value.trim()) return name.focus();
  const regions = (/** @type {boolean} */ shows) =>
    picked.filter((one) => one.shows === shows).map((one) => [one.image, one.region]);
  const examples = [{ name: name.value.trim(), shown: regions(true), not_shown: regions(false) }];
  const step = await act("choose_words", { examples });
  if (step && !step.error) start(false);
}
