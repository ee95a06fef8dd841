/** Messages over the page. */

import { button } from "./controls.js";
import { h } from "./elements.js";
import { on } from "./events.js";

const MILLISECONDS = 6000;
const MILLISECONDS_BAD = 12_000;

/** @type {HTMLElement | undefined} */
let shelf;

/**
 * Show a message over the page, and over an open dialog. It replaces an earlier message of the same `slot`.
 * @param {string} line
 * @param {{tone?: "" | "bad", action?: [label: string, run: () => void] | null, slot?: string}} [options]
 */
export function showMessage(line, { tone = "", action = null, slot = line } = {}) {
  shelf ??= h("div", { class: "inf-messages", role: "status", "aria-live": "polite" });
  const top = [...document.querySelectorAll("dialog[open]")].pop() ?? document.body;
  if (shelf.parentNode !== top) top.append(shelf);
  for (const old of /** @type {HTMLElement[]} */ ([...shelf.children]))
    if (old.dataset.slot === slot) old.remove();
  while (shelf.children.length > 2) shelf.firstElementChild?.remove();
  const close = () => message.remove();
  const run = () => {
    close();
    action?.[1]();
  };
  const message = h(
    "div",
    { class: `message ${tone}`.trim(), "data-slot": slot },
    h("span", {}, line),
    action && h("button", { type: "button", class: "button", onclick: run }, action[0]),
    button("Dismiss", { icon: "close", iconOnly: true, title: "Dismiss", onclick: close }),
  );
  shelf.append(message);
  setTimeout(close, tone === "bad" ? MILLISECONDS_BAD : MILLISECONDS);
}

/**
 * Move the messages out of a dialog that closes.
 * @param {Element} dialog
 */
export function keepMessages(dialog) {
  if (shelf && dialog.contains(shelf)) document.body.append(shelf);
}

on("message", ({ line, tone }) => showMessage(line, { tone }));
