/** The settings dialog: λ, thresholds, classes, hints. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h } from "./elements.js";
import { openNewProject } from "./new_project_dialog.js";
import { call } from "./server.js";
import { state } from "./state.js";
import { act } from "./steps.js";
import { settings } from "./storage.js";

const MATCHED =
  "Each class its own: its student then says yes as often as its teacher does on training images";
const OTHER_CLASSES = "Another set of classes is another project, with the same images, encoder and teacher.";
const CHOSEN_ONCE = "The classes are chosen when a project is created: use “New project”.";

/** Show or hide the lines under the titles, as stored in this browser. */
export const restoreHints = () => document.body.classList.toggle("no-hints", settings.get("hints") === "off");

/** @param {HTMLInputElement} input */
const decimal = (input) => input.value.trim().replace(",", ".");

/**
 * Open the settings dialog.
 * @param {boolean} localFolders Whether a folder of the server's machine may be named.
 */
export async function openSettings(localFolders) {
  const facts = state.parts["configuration.facts"];
  if (!facts) return;
  const { origin } = localFolders ? await call("origin", {}, { quiet: true }) : {};
  const close = () => dialog.close();
  const dialog = openDialog("Settings", [
    lambdaForm(facts.lam, close),
    thresholdForm(facts.threshold, close),
    classesSetting(origin, close),
    hintsSetting(),
    facts.note && h("p", { class: "muted" }, facts.note),
  ]);
}

/**
 * @param {string} title
 * @param {string} about
 * @param {string} label
 * @param {() => Promise<any>} send
 * @param {() => void} close
 * @param {...HTMLElement} fields
 */
function form(title, about, label, send, close, ...fields) {
  const onsubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const response = await send();
    if (response && !response.error) close();
  };
  const submit = h("button", { type: "submit", class: "button" }, label);
  return h(
    "form",
    { class: "stack-form setting", onsubmit },
    h("div", {}, h("h3", {}, title), h("p", { class: "muted" }, about)),
    ...fields,
    h("div", { class: "row-end" }, submit),
  );
}

/**
 * @param {number} value
 * @param {() => void} close
 */
function lambdaForm(value, close) {
  const input = h("input", { type: "text", inputmode: "decimal", value, "aria-label": "λ" });
  const about = "A larger λ gives fewer words a weight. All classes are refitted; the step can be undone.";
  const send = () => act("set_lambda", { lam: decimal(input) });
  return form("λ, the strength of the L1 penalty", about, "Refit", send, close, input);
}

/**
 * @param {number | "matched"} value
 * @param {() => void} close
 */
function thresholdForm(value, close) {
  const matched = value === "matched";
  const input = h("input", {
    type: "text",
    inputmode: "decimal",
    value: matched ? 0.5 : value,
    "aria-label": "Threshold of every class",
  });
  const radio = (/** @type {string} */ id, /** @type {boolean} */ checked) =>
    h("input", { type: "radio", name: "threshold", value: id, checked });
  const one = radio("one", !matched);
  const each = radio("matched", matched);
  input.addEventListener("focus", () => {
    one.checked = true;
  });
  const about =
    "The probability from which the student says yes. Nothing is refitted; the step can be undone.";
  const send = () => act("set_thresholds", { at: each.checked ? "matched" : Number(decimal(input)) });
  return form(
    "Threshold",
    about,
    "Set thresholds",
    send,
    close,
    h("label", { class: "check" }, one, h("span", {}, "The same for every class:"), input),
    h("label", { class: "check" }, each, h("span", {}, MATCHED)),
  );
}

/**
 * @param {import("./new_project_dialog.js").Origin | null | undefined} origin
 * @param {() => void} close
 */
function classesSetting(origin, close) {
  const choose = () => {
    close();
    if (origin) openNewProject(true, origin);
  };
  return h(
    "div",
    { class: "setting stack-form" },
    h("div", {}, h("h3", {}, "Classes"), h("p", { class: "muted" }, origin ? OTHER_CLASSES : CHOSEN_ONCE)),
    origin && h("div", { class: "row-end" }, button("Choose other classes", { onclick: choose })),
  );
}

function hintsSetting() {
  const box = h("input", { type: "checkbox", checked: !document.body.classList.contains("no-hints") });
  box.addEventListener("change", () => {
    settings.set("hints", box.checked ? "on" : "off");
    restoreHints();
  });
  const label = h("label", { class: "check" }, box, "Show the line under each view's title");
  return h("div", { class: "setting" }, label);
}
