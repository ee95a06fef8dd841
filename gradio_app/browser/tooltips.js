/**
 * Tooltips: of elements with `data-tip`, and of terms (`data-term`) with their explanation from the
 * glossary.
 */

import { closest, h, setText } from "./elements.js";
import { state } from "./state.js";

const GAP = 6;
/** A click moves the focus: within this time it opens no tooltip. */
const AFTER_CLICK_MILLISECONDS = 400;

/** @type {HTMLElement | undefined} */
let bubble;
let pressed = 0;
/** @type {WeakMap<Element, HTMLElement>} */
const shownBeside = new WeakMap();

/**
 * Suppress the tooltip of an element while another element that shows the same text is visible.
 * @param {Element} node
 * @param {HTMLElement} other
 */
export const tooltipOnlyWithout = (node, other) => shownBeside.set(node, other);

/** @param {HTMLElement} node */
function textOf(node) {
  if (shownBeside.get(node)?.offsetParent) return "";
  return node.dataset.tip || state.info.glossary[node.dataset.term ?? ""] || "";
}

/**
 * @param {HTMLElement} target
 * @param {string} line
 */
function show(target, line) {
  bubble ??= h("div", { class: "inf-bubble", role: "tooltip", id: "inf-bubble" });
  if (!bubble.isConnected) document.body.append(bubble);
  setText(bubble, line);
  bubble.classList.add("on");
  const anchor = target.getBoundingClientRect();
  const { width, height } = bubble.getBoundingClientRect();
  const above = anchor.bottom + height + 2 * GAP > innerHeight;
  bubble.style.left = `${Math.max(8, Math.min(anchor.left, innerWidth - width - 8))}px`;
  bubble.style.top = `${above ? anchor.top - height - GAP : anchor.bottom + GAP}px`;
  target.setAttribute("aria-describedby", bubble.id);
}

/** @param {Element} [target] */
function hide(target) {
  bubble?.classList.remove("on");
  target?.removeAttribute("aria-describedby");
}

/** @param {Event} event */
function onEnter(event) {
  const node = closest(event, "[data-term], [data-tip]");
  if (!node) return;
  if (event.type === "focusin" && performance.now() - pressed < AFTER_CLICK_MILLISECONDS) return;
  const line = textOf(node);
  if (line) show(node, line);
  else hide(node);
}

/** @param {Event} event */
function onLeave(event) {
  const node = closest(event, "[data-term], [data-tip]");
  if (node) hide(node);
}

for (const type of ["mouseover", "focusin"]) document.addEventListener(type, onEnter);
for (const type of ["mouseout", "focusout"]) document.addEventListener(type, onLeave);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
document.addEventListener("pointerdown", () => {
  pressed = performance.now();
  hide(); // A tooltip would cover what the click changes.
});
