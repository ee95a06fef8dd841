/** The elements of the map's panel: tools, canvas, legend, and their arrangement on the page. */

import { button, segmented } from "../../browser/controls.js";
import { h, setAttribute } from "../../browser/elements.js";
import { select } from "../../browser/selection.js";
import { canvas, showAll, zoom } from "./map_canvas.js";
import { gestures } from "./map_gestures.js";

export const COLOURINGS = /** @type {const} */ ({
  subset: "subset",
  slice: "slices",
  "teacher-class": "teacher's class",
  "student-class": "student's class",
  "label-class": "label",
  teacher: "teacher's probability",
  student: "student's probability",
  concept: "concept value",
});
export const KINDS = /** @type {(keyof typeof COLOURINGS)[]} */ (Object.keys(COLOURINGS));

/** What the buttons of the panel do. */
export const panelActions = { onClose: () => {} };

export const colouring = h(
  "select",
  { "aria-label": "Colour of the images on the map" },
  KINDS.map((id) => h("option", { value: id }, COLOURINGS[id])),
);
export const mode = segmented(
  [
    ["move", "Move"],
    ["lasso", "Lasso"],
  ],
  "move",
  (id) => setLasso(id === "lasso"),
  "Dragging on the map",
);
const enlarge = button("Enlarge the map", {
  icon: "enlarge",
  iconOnly: true,
  "aria-pressed": "false",
  onclick: () => setEnlarged(!panel.classList.contains("enlarged")),
});
export const clear = button("Clear the area", {
  onclick: () => select({ area: null }),
  hidden: true,
  kind: "quiet",
});
const tools = h(
  "div",
  { class: "map-tools" },
  colouring,
  mode,
  clear,
  h("span", { class: "space" }),
  button("Zoom in", { icon: "plus", iconOnly: true, onclick: () => zoom(1.6) }),
  button("Zoom out", { icon: "minus", iconOnly: true, onclick: () => zoom(1 / 1.6) }),
  button("Show the whole map", { icon: "fit", iconOnly: true, onclick: showAll }),
  enlarge,
  button("Close the map", { icon: "close", iconOnly: true, onclick: () => panelActions.onClose() }),
);
export const bubble = h("div", { class: "map-bubble", hidden: true });
export const cover = h("div", { class: "map-cover", "aria-live": "polite" });
export const stage = h("div", { class: "map-stage" }, canvas, bubble, cover);
export const legend = h("div", { class: "map-legend", role: "group", "aria-label": "Colours of the map" });
export const line = h("p", { class: "map-line muted cut", "aria-live": "polite" });
export const panel = h(
  "section",
  { class: "image-map", "aria-label": "Map of the images", hidden: true },
  tools,
  stage,
  legend,
  line,
);

/** @param {boolean} on */
function setLasso(on) {
  gestures.lasso = on;
  canvas.classList.toggle("lasso", on);
}

/** @param {boolean} on */
export function setEnlarged(on) {
  panel.classList.toggle("enlarged", on);
  setAttribute(enlarge, "aria-pressed", on ? "true" : "false");
  placeEnlarged();
}

/** Lay the enlarged map over views 3 and 4, or over the window if it is small. */
export function placeEnlarged() {
  if (!panel.classList.contains("enlarged")) {
    panel.removeAttribute("style");
    return;
  }
  const boxes = ["influence", "tuning"].map((name) =>
    document.getElementById(`view-${name}`)?.getBoundingClientRect(),
  );
  const [upper, lower] = boxes;
  const wide = innerWidth >= 1000 && upper && lower;
  const style = wide
    ? { left: upper.left, top: upper.top, width: upper.width, height: lower.bottom - upper.top }
    : { left: 6, top: 6, width: innerWidth - 12, height: innerHeight - 12 };
  for (const [name, value] of Object.entries(style)) panel.style.setProperty(name, `${value}px`);
}
