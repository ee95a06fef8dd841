/** Keyboard focus within a group of elements. */

import { closest, queryAll, setAttribute } from "./elements.js";

const KEYS = {
  vertical: { back: ["ArrowUp"], forward: ["ArrowDown"] },
  both: { back: ["ArrowUp", "ArrowLeft"], forward: ["ArrowDown", "ArrowRight"] },
};

/**
 * Move the focus among the elements of `root` that match `selector` by arrow keys, Home and End.
 * @param {HTMLElement} root
 * @param {string} selector
 * @param {keyof typeof KEYS} [direction]
 */
export function rovingFocus(root, selector, direction = "vertical") {
  const { back, forward } = KEYS[direction];
  root.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const here = closest(event, selector);
    if (!here || event.target !== here) return;
    const visible = queryAll(root, selector).filter((node) => node.offsetParent !== null);
    const i = visible.indexOf(here);
    let to = -1;
    if (back.includes(event.key)) to = Math.max(0, i - 1);
    else if (forward.includes(event.key)) to = Math.min(visible.length - 1, i + 1);
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = visible.length - 1;
    if (to < 0) return;
    event.preventDefault();
    visible[to].focus();
    visible[to].scrollIntoView({ block: "nearest" });
  });
}

/**
 * Make exactly one node of a group reachable by Tab: the preferred one, the focused one, or the first.
 * @param {Iterable<Element>} nodes
 * @param {(node: Element) => boolean} preferred
 */
export function setTabStop(nodes, preferred) {
  const all = [...nodes];
  const stop = all.find(preferred) ?? all.find((n) => n === document.activeElement) ?? all[0];
  for (const node of all) setAttribute(node, "tabindex", node === stop ? "0" : "-1");
}
