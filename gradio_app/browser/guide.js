/**
 * The card of the guided scenario. A step ends when the person has done its task on the page; "Next" does
 * it.
 */

import { button } from "./controls.js";
import { closest, h } from "./elements.js";
import { on } from "./events.js";
import { guideSteps } from "./guide_steps.js";
import { showMessage } from "./messages.js";
import { state } from "./state.js";
import { settings } from "./storage.js";

const CHECK_MILLISECONDS = 250;
/** The result of a task stays visible for this time before the next step. */
const PAUSE_MILLISECONDS = 650;
const MARGIN = 8;
const ROOM = 12;
const TOP_BAR = 52;
const MENU_WIDTH = 270;

/** @typedef {import("./guide_steps.js").Step} Step */

/**
 * The running guide: its elements and its place.
 * @type {{card: HTMLElement, spot: HTMLElement, steps: Step[], at: number, seen: Set<string>, hovered:
 *   number,
 *   timer: number} | null}
 */
let guide = null;

/** Start the guide, or start it again. */
export function startGuide() {
  stop();
  settings.set("guided", "yes");
  const spot = h("div", { class: "inf-spot", "aria-hidden": "true" });
  const card = h("section", {
    class: "inf-guide",
    role: "dialog",
    "aria-modal": "false",
    "aria-labelledby": "guide-title",
    tabindex: "-1",
  });
  document.body.append(spot, card);
  const timer = setInterval(check, CHECK_MILLISECONDS);
  guide = { card, spot, steps: guideSteps(), at: 0, seen: new Set(), hovered: 0, timer };
  show(guide);
}

/** Offer the guide on the first visit to the demo. */
export function offerGuide() {
  settings.set("guided", "offered");
  showMessage("New here? The guide takes two minutes.", { action: ["Start the guide", startGuide] });
}

function stop() {
  if (!guide) return;
  clearInterval(guide.timer);
  guide.card.remove();
  guide.spot.remove();
  guide = null;
}

/** @param {NonNullable<typeof guide>} running */
function show(running) {
  const { card, steps, at } = running;
  const step = steps[at];
  const isLast = at === steps.length - 1;
  running.seen = new Set();
  running.hovered = 0;
  const next = () => {
    if (!step.done?.(running.seen, running.hovered)) step.next();
    if (!isLast) go(running, at + 1);
  };
  const back = () => go(running, at - 1);
  card.replaceChildren(
    h("p", { class: "guide-count" }, `Step ${at + 1} of ${steps.length}`),
    h("h2", { id: "guide-title" }, step.title),
    h("p", {}, step.text),
    h("p", { class: "guide-task" }, step.task),
    h(
      "div",
      { class: "guide-foot" },
      button(isLast ? "End the guide" : "Skip the guide", { kind: "quiet", onclick: stop }),
      at > 0 && button("Back", { onclick: back }),
      button(isLast ? "Export" : "Next", { kind: "primary", onclick: next }),
    ),
  );
  card.dataset.step = String(at + 1);
  place(running);
  card.focus({ preventScroll: true });
}

/**
 * @param {NonNullable<typeof guide>} running
 * @param {number} at
 */
function go(running, at) {
  if (at >= running.steps.length) return finish(running);
  running.at = at;
  show(running);
}

/** @param {NonNullable<typeof guide>} running */
function finish(running) {
  clearInterval(running.timer);
  running.spot.hidden = true;
  const text =
    "You found where a student fails, saw why, tuned it and exported it. Use “New project” for your own " +
    "photographs, or run “inficond distill PHOTOS --out DIR”.";
  const close = button("Close", { kind: "primary", onclick: stop });
  running.card.replaceChildren(
    h("h2", { id: "guide-title" }, "The guide is complete"),
    h("p", {}, text),
    h("div", { class: "guide-foot" }, close),
  );
}

function check() {
  if (!guide) return;
  const running = guide;
  const step = running.steps[running.at];
  if (state.hover) running.hovered++;
  place(running);
  if (!step.done?.(running.seen, running.hovered) || document.querySelector("dialog[open]")) return;
  setTimeout(() => {
    if (guide === running && running.steps[running.at] === step) go(running, running.at + 1);
  }, PAUSE_MILLISECONDS);
}

/**
 * Place the card beside the view of its step, within the window.
 * @param {NonNullable<typeof guide>} running
 */
function place({ card, spot, steps, at }) {
  const target = document.querySelector(steps[at].at) ?? document.querySelector("#board");
  if (!target) return;
  if (innerWidth < 1000) target.scrollIntoView({ block: "nearest" });
  const box = target.getBoundingClientRect();
  const view = (target.closest(".view") ?? target).getBoundingClientRect();
  spot.style.left = `${box.left - 4}px`;
  spot.style.top = `${box.top - 4}px`;
  spot.style.width = `${box.width + 8}px`;
  spot.style.height = `${box.height + 8}px`;
  const { width, height } = card.getBoundingClientRect();
  let left = view.right + ROOM;
  if (left + width > innerWidth - MARGIN) left = view.left - width - ROOM;
  /** @type {HTMLElement | null} */
  const menu = target.querySelector(".menu-list");
  if (menu) left = box.right - Math.max(MENU_WIDTH, menu.offsetWidth) - width - ROOM;
  let top = box.top;
  if (left < MARGIN) {
    left = Math.max(MARGIN, Math.min(box.left, innerWidth - width - MARGIN));
    const below = box.bottom + ROOM;
    top = below + height < innerHeight ? below : box.top - height - ROOM;
  }
  card.style.left = `${Math.max(MARGIN, left)}px`;
  card.style.top = `${Math.max(TOP_BAR, Math.min(top, innerHeight - height - MARGIN))}px`;
}

document.addEventListener("click", (event) => {
  if (guide && closest(event, guide.steps[guide.at].at)) guide.seen.add("click");
});
addEventListener("resize", () => guide && place(guide));
document.addEventListener("keydown", (event) => {
  if (!guide) return;
  if (event.key === "Enter" && event.target === guide.card)
    /** @type {HTMLElement | null} */ (guide.card.querySelector(".button.primary"))?.click();
  if (event.key === "Escape" && guide.card.contains(document.activeElement)) stop();
});
on("select", ({ changed }) => {
  for (const field of changed) guide?.seen.add(field);
});
on("exported", () => guide?.seen.add("exported"));
