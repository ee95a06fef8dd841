/** A concept from regions of an own image: drag a box over them, click them, or choose them by number. */

import { button, segmented } from "./controls.js";
import { h, setText } from "./elements.js";
import { drawBox, drawPicked, regionsIn } from "./region_picture.js";
import { act } from "./steps.js";

/** @typedef {import("./payloads").OwnImage} OwnImage */
/** @typedef {import("./region_picture.js").Point} Point */

const HOW =
  "Drag a box over what shows the concept, click single regions, or choose them by number. The concept is " +
  "the mean of the regions that show it, relative to those that do not.";
const KEPT =
  "The concept keeps numbers that describe these regions. The picture is not kept: wherever the page shows " +
  "the concept, its crops are from the images of the project.";
/** A drag that is shorter is a click, as a share of the picture. */
const CLICK = 0.015;

/**
 * Let a person choose regions of the opened own image and name them.
 * @param {OwnImage} image
 * @param {HTMLElement} stage Holds the picture.
 * @param {HTMLElement} panel Receives the controls.
 * @param {() => void} close Closes the dialog, after a concept was made.
 * @param {() => void} cancel Shows the answer to the image again.
 * @returns {true}
 */
export function startOwnConcept(image, stage, panel, close, cancel) {
  const count = Math.max(...image.regions) + 1;
  /** Whether a region shows the concept, for the picked ones. @type {Map<number, boolean>} */
  const picked = new Map();
  let shows = true;
  /** @type {{from: Point, to: Point} | null} */
  let box = null;
  /** The region whose button has the focus or the pointer. @type {number | null} */
  let looked = null;

  const canvas = h("canvas", { class: "own-picker", "aria-hidden": "true" });
  const line = h("span", { class: "muted", role: "status" });
  const name = h("input", {
    type: "text",
    maxlength: 80,
    placeholder: "name of the concept",
    "aria-label": "Name of the concept",
  });
  const add = button("Add", { kind: "primary", onclick: addConcept });
  const stop = button("Cancel", {
    kind: "quiet",
    onclick: () => {
      canvas.remove();
      panel.replaceChildren();
      cancel();
    },
  });
  const numbers = Array.from({ length: count }, (_, region) => {
    const look = (/** @type {number | null} */ at) => () => {
      looked = at;
      draw();
    };
    return h(
      "button",
      {
        type: "button",
        class: "button own-region",
        onclick: () => {
          toggle(region);
          update();
        },
        onfocus: look(region),
        onblur: look(null),
        onmouseenter: look(region),
        onmouseleave: look(null),
      },
      String(region + 1),
    );
  });
  const kinds = segmented(
    [
      ["yes", "shows it"],
      ["no", "does not show it"],
    ],
    "yes",
    (kind) => {
      shows = kind === "yes";
    },
    "What the next regions do",
  );

  /** @param {number} region */
  function toggle(region) {
    if (picked.get(region) === shows) picked.delete(region);
    else picked.set(region, shows);
  }

  function update() {
    const shown = [...picked.values()].filter(Boolean).length;
    setText(line, `${shown} shown, ${picked.size - shown} not shown`);
    add.disabled = !shown;
    for (const [region, node] of numbers.entries()) {
      const kind = picked.get(region);
      const state = kind === undefined ? "not picked" : kind ? "shows it" : "does not show it";
      node.setAttribute("aria-label", `Region ${region + 1}: ${state}`);
      node.setAttribute("data-shows", kind === undefined ? "" : kind ? "yes" : "no");
    }
    draw();
  }

  /** @param {PointerEvent} event @returns {Point} */
  const pointOf = (event) => {
    const frame = canvas.getBoundingClientRect();
    const share = (/** @type {number} */ at, /** @type {number} */ size) =>
      Math.min(Math.max(at / size, 0), 1);
    return {
      x: share(event.clientX - frame.left, frame.width),
      y: share(event.clientY - frame.top, frame.height),
    };
  };
  const isClick = () => box && Math.hypot(box.to.x - box.from.x, box.to.y - box.from.y) < CLICK;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    box = { from: pointOf(event), to: pointOf(event) };
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!box) return;
    box.to = pointOf(event);
    draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (!box) return;
    const found = regionsIn(image, box.from, box.to);
    if (isClick()) found.forEach(toggle);
    else for (const region of found) picked.set(region, shows);
    box = null;
    update();
  });
  canvas.addEventListener("pointercancel", () => {
    box = null;
    draw();
  });

  function draw() {
    const preview = box && !isClick() ? regionsIn(image, box.from, box.to) : [];
    const kindOf = (/** @type {number} */ region) => (preview.includes(region) ? shows : picked.get(region));
    drawPicked(canvas, image, kindOf, looked);
    if (box && !isClick()) drawBox(canvas, box.from, box.to);
  }

  async function addConcept() {
    if (!name.value.trim()) return name.focus();
    const regions = (/** @type {boolean} */ kind) =>
      [...picked].filter(([, shown]) => shown === kind).map(([region]) => [image.key, region]);
    add.disabled = true;
    const examples = [{ name: name.value.trim(), shown: regions(true), not_shown: regions(false) }];
    const step = await act("choose_words", { examples });
    add.disabled = false;
    if (step && !step.error) close();
  }

  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !add.disabled) addConcept();
  });
  stage.append(canvas);
  panel.replaceChildren(
    h("h3", {}, "A concept from regions"),
    h("p", { class: "muted" }, HOW),
    kinds,
    h("div", { class: "own-numbers", role: "group", "aria-label": "Regions" }, numbers),
    line,
    h("div", { class: "own-pick" }, name, add, stop),
    h("p", { class: "muted" }, KEPT),
  );
  new ResizeObserver(draw).observe(canvas);
  update();
  return true;
}
