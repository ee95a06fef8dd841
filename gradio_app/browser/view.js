/**
 * The frame of a view: heading, one line that says what it shows, tools, and its states of waiting and
 * failure.
 */

import { h, setText } from "./elements.js";
import { on } from "./events.js";
import { onPart } from "./parts.js";
import { tooltipOnlyWithout } from "./tooltips.js";

/** A view is marked as waiting after this time, so that quick responses do not flash. */
const WAITING_MILLISECONDS = 180;

/**
 * @typedef {object} View
 * @property {HTMLElement} root
 * @property {HTMLElement} body
 * @property {HTMLElement} tools Controls at the right of the heading.
 * @property {typeof onPart} part Draw a part whenever it arrives.
 */

/**
 * Build a view.
 * @param {HTMLElement} element The component's element.
 * @param {{number: number, title: string, about: string}} props
 * @param {(view: View) => void} setup Builds the content once.
 */
export function startView(element, props, setup) {
  const root = /** @type {HTMLElement} */ (element.querySelector(".view"));
  const body = h("div", { class: "view-body" });
  const tools = h("div", { class: "view-tools" });
  const failure = h("div", { class: "failed", role: "alert", hidden: true });
  const about = h("p", { class: "view-about" }, props.about);
  const number = h("span", { class: "view-number", "aria-hidden": "true" }, props.number);
  const id = `view-title-${props.number}`;
  const heading = h("h2", { id, "data-tip": props.about }, number, props.title);
  tooltipOnlyWithout(heading, about);
  root.setAttribute("role", "region");
  root.setAttribute("aria-labelledby", id);
  root.append(h("header", { class: "view-head" }, heading, tools), about, failure, body);

  /** @type {Set<string>} */
  const own = new Set();
  /** @type {typeof onPart} */
  const part = (name, draw) => {
    own.add(name);
    onPart(name, (data) => {
      failure.hidden = true;
      draw(data);
    });
    on(`failed:${name}`, (line) => {
      setText(failure, line);
      failure.hidden = false;
    });
  };
  let waiting = 0;
  on("busy", (/** @type {string[]} */ names) => {
    if (!names.some((name) => own.has(name))) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => root.setAttribute("data-waiting", ""), WAITING_MILLISECONDS);
  });
  on("settled", (/** @type {string[]} */ names) => {
    if (!names.some((name) => own.has(name))) return;
    clearTimeout(waiting);
    root.removeAttribute("data-waiting");
  });
  try {
    setup({ root, body, tools, part });
  } catch (error) {
    console.error(`the view "${props.title}" failed to start`, error);
  }
}

/**
 * Create what a view shows while it has no content.
 * @param {string} line
 * @param {...HTMLElement} more
 */
export const emptyState = (line, ...more) => h("div", { class: "view-empty" }, h("p", {}, line), ...more);
