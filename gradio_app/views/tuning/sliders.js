/** The sliders of the concepts: one row per concept with its weight, its bound and its pending action. */

import { button } from "../../browser/controls.js";
import {
  childrenOf,
  h,
  itemOf,
  keyOf,
  oncePerFrame,
  reconcile,
  setAttribute,
  setText,
} from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { axisLimit, signed } from "../../browser/format.js";
import { requestedWeight } from "../../browser/pending.js";
import { hover } from "../../browser/selection.js";
import { state } from "../../browser/state.js";
import { apply } from "../../browser/steps.js";
import { pendingOn, propose } from "../../browser/tuning.js";
import { step, toggle, tuneByKey } from "./actions.js";

/** @typedef {import("../../browser/payloads").TuningRow} Row */

/** @type {Record<string, string>} */
export const BOUND_NAMES = { up: "raised", down: "lowered", mute: "muted", lock: "locked", set: "fixed" };

/** Half the width of a slider, in multiples of the largest weight. */
const HEADROOM = 1.4;
/** Weights this near to zero, as a share of the limit, snap to it. */
const SNAP = 0.02;
/** Predicted weights this near to the requested ones, as a share of the limit, are not drawn. */
const VISIBLE = 0.004;
/** A pointer that moves less than this, in pixels, only takes hold of the thumb. */
const LEAST_DRAG = 2;
/** Keyboard steps from zero to the limit. */
const STEPS = 50;

export const sliders = h("div", { class: "tune-rows scroll" });
let limit = 1;
/** @type {import("../../browser/payloads").Strengths} */
let strengthsWithoutWeight = { up: [], down: [] };

/** Return the rows and the weight at the ends of the sliders. */
export const sliderState = () => ({ rows: childrenOf(sliders).map(rowOf), limit });

/** @param {Element} node */
const rowOf = (node) => /** @type {Row} */ (itemOf(node));

/**
 * Return the weight of a concept after the pending actions, as predicted.
 * @param {Row} row
 */
export const predictedWeight = (row) => state.preview?.weights?.[row.name] ?? row.weight;

/**
 * Return whether the predicted weight differs from the present one in the digits shown.
 * @param {Row} row
 */
export const isVisibleChange = (row) => Math.abs(predictedWeight(row) - row.weight) >= 0.005;

/**
 * Draw the sliders of the rows, and of concepts with a pending action that are not among them.
 * @param {import("../../browser/payloads").Tuning} data
 */
export function drawSliders(data) {
  limit = axisLimit(HEADROOM * Math.max(0.1, ...data.rows.map((row) => Math.abs(row.weight))));
  strengthsWithoutWeight = data.strengths;
  const known = new Set(data.rows.map((row) => row.name));
  const others = state.pending.filter((action) => !action.members && !known.has(action.concept));
  const extra = others.map((action) => rowWithoutWeight(action.concept));
  reconcile(sliders, [...extra, ...data.rows], (row) => row.name, createRow, updateRow);
}

/**
 * @param {string} name
 * @returns {Row}
 */
const rowWithoutWeight = (name) => ({ name, weight: 0, bound: null, strengths: strengthsWithoutWeight });

/** @param {Row} row */
function createRow(row) {
  const { name } = row;
  const slider = h(
    "div",
    {
      class: "slider",
      role: "slider",
      tabindex: "0",
      "aria-label": `weight of ${name}`,
      "aria-keyshortcuts": "+ - M L F Delete Enter",
    },
    h("i", { class: "rail" }),
    h("i", { class: "allowed", hidden: true }),
    h("i", { class: "zero" }),
    h("i", { class: "moved", hidden: true }),
    h("i", { class: "was" }),
    h("i", { class: "ghost", hidden: true }),
    h("i", { class: "thumb" }),
  );
  const small = (
    /** @type {string} */ label,
    /** @type {import("../../browser/icons.js").IconName} */ icon,
    /** @type {(row: Row) => void} */ run,
  ) =>
    button(`${label} ${name}`, {
      icon,
      iconOnly: true,
      kind: "quiet small",
      tabindex: "-1",
      onclick: () => run(rowOf(node)),
    });
  const node = h(
    "div",
    { class: "tune-row", "data-concept": name },
    h(
      "span",
      { class: "tune-named" },
      h("span", { class: "tune-name cut", "data-name": "" }),
      h("small", { class: "tune-bound" }),
    ),
    small("Lower", "minus", (one) => step(one, "down")),
    slider,
    small("Raise", "plus", (one) => step(one, "up")),
    small("Mute", "mute", (one) => toggle(one, "mute")),
    small("Lock", "lock", (one) => toggle(one, "lock")),
    h("span", { class: "tune-value" }),
  );
  slider.addEventListener("pointerdown", (event) => startDrag(event, slider, node));
  slider.addEventListener("keydown", (event) => onSliderKey(event, rowOf(node)));
  slider.addEventListener("dblclick", () => propose(name, null));
  slider.addEventListener("focus", () => hover(name));
  slider.addEventListener("blur", () => hover(null));
  node.addEventListener("mouseenter", () => hover(name));
  node.addEventListener("mouseleave", () => hover(null));
  return node;
}

/**
 * Return the position of a weight on its slider, in percent.
 * @param {number} weight
 */
const position = (weight) => 50 + 50 * Math.max(-1, Math.min(1, weight / limit));

/**
 * @param {HTMLElement} node
 * @param {Row} row
 */
function updateRow(node, row) {
  const [named, , slider, , mute, lock, value] = childrenOf(node);
  const [name, tag] = childrenOf(named);
  const action = pendingOn(row.name);
  const { bound } = row;
  setText(name, row.name);
  name.title = row.name;
  drawSlider(slider, row, action);
  setText(tag, !action && bound ? (BOUND_NAMES[bound.kind] ?? bound.kind) : "");
  tag.hidden = !tag.textContent;
  tag.title = bound ? `bound in force: ${bound.text}. F removes it.` : "";
  const kind = action?.kind ?? bound?.kind;
  setAttribute(mute, "aria-pressed", kind === "mute" ? "true" : "false");
  setAttribute(lock, "aria-pressed", kind === "lock" ? "true" : "false");
  node.classList.toggle("changed", Boolean(action));
  node.classList.toggle("bounded", Boolean(bound));
  setAttribute(node, "data-heading", row.heading);
  const arrow = action || isVisibleChange(row) ? ` → ${signed(predictedWeight(row))}` : "";
  setText(value, signed(row.weight) + arrow);
}

/**
 * @param {HTMLElement} slider
 * @param {Row} row
 * @param {import("../../browser/payloads").PendingAction | undefined} action
 */
function drawSlider(slider, row, action) {
  const [, allowed, , moved, was, ghost, thumb] = childrenOf(slider);
  const { bound, weight } = row;
  const requested = action ? requestedWeight(action, row.name) : weight;
  const predicted = predictedWeight(row);
  thumb.style.left = `${position(requested)}%`;
  was.style.left = `${position(weight)}%`;
  const from = position(Math.min(requested, weight));
  moved.hidden = Math.abs(requested - weight) < 1e-9;
  moved.style.left = `${from}%`;
  moved.style.width = `${position(Math.max(requested, weight)) - from}%`;
  moved.className = `moved ${requested > weight ? "pos" : "neg"}`;
  ghost.hidden = Math.abs(predicted - requested) < VISIBLE * limit;
  ghost.style.left = `${position(predicted)}%`;
  allowed.hidden = !bound;
  if (bound) {
    const low = position(bound.lower ?? -limit);
    const high = position(bound.upper ?? limit);
    allowed.style.left = `${low}%`;
    allowed.style.width = `${high - low}%`;
    allowed.classList.toggle("fixed", high - low < 1e-4);
  }
  setAttribute(slider, "aria-valuemin", (-limit).toFixed(2));
  setAttribute(slider, "aria-valuemax", limit.toFixed(2));
  setAttribute(slider, "aria-valuenow", requested.toFixed(3));
  const pending = action ? `, ${action.kind}, not applied yet` : "";
  const inForce = bound ? `, bound: ${bound.text}` : "";
  setAttribute(slider, "aria-valuetext", signed(requested) + pending + inForce);
}

/**
 * @param {Row} row
 * @param {number} weight
 */
function set(row, weight) {
  const value = Math.round(1000 * Math.max(-limit, Math.min(limit, weight))) / 1000;
  propose(row.name, { kind: "set", value, requested: value });
}

/**
 * @param {PointerEvent} event
 * @param {HTMLElement} slider
 * @param {HTMLElement} node
 */
function startDrag(event, slider, node) {
  if (event.button !== 0) return;
  event.preventDefault();
  slider.focus();
  slider.setPointerCapture(event.pointerId);
  const box = slider.getBoundingClientRect();
  const start = event.clientX;
  const onThumb = event.target instanceof Element && event.target.classList.contains("thumb");
  let moving = !onThumb;
  const setFrom = oncePerFrame((/** @type {number} */ x) => {
    const weight = (((x - box.left) / box.width) * 2 - 1) * limit;
    set(rowOf(node), Math.abs(weight) < SNAP * limit ? 0 : weight);
  });
  const move = (/** @type {PointerEvent} */ e) => {
    moving ||= Math.abs(e.clientX - start) > LEAST_DRAG;
    if (moving) setFrom(e.clientX);
  };
  const end = () => {
    slider.removeEventListener("pointermove", move);
    slider.removeEventListener("pointerup", end);
    slider.removeEventListener("pointercancel", end);
    node.removeAttribute("data-dragging");
  };
  node.setAttribute("data-dragging", "");
  slider.addEventListener("pointermove", move);
  slider.addEventListener("pointerup", end);
  slider.addEventListener("pointercancel", end);
  if (moving) setFrom(start);
}

/**
 * @param {KeyboardEvent} event
 * @param {Row} row
 */
function onSliderKey(event, row) {
  if (event.ctrlKey || event.metaKey || event.altKey || tuneByKey(event, row)) return;
  const action = pendingOn(row.name);
  const at = action ? requestedWeight(action, row.name) : row.weight;
  const small = limit / STEPS;
  /** @type {Record<string, number>} */
  const targets = {
    ArrowRight: at + small,
    ArrowUp: at + small,
    ArrowLeft: at - small,
    ArrowDown: at - small,
    PageUp: at + 5 * small,
    PageDown: at - 5 * small,
    Home: -limit,
    End: limit,
    0: 0,
  };
  if (event.key in targets) {
    event.preventDefault();
    set(row, targets[event.key]);
  } else if (event.key === "Escape") propose(row.name, null);
  else if (event.key === "Enter" && state.pending.length) {
    event.preventDefault();
    apply();
  }
}

on("tune-key", ({ concept, event }) => {
  const row = childrenOf(sliders)
    .map(rowOf)
    .find(({ name }) => name === concept);
  tuneByKey(event, row ?? rowWithoutWeight(concept));
});
on("hover", (concept) => {
  for (const node of sliders.children) node.classList.toggle("hovered", keyOf(node) === concept);
});
