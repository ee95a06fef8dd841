/** The top bar: project, summary, guide, export menu and settings of the browser. */

import { chartNames, saveChart } from "./charts.js";
import { button } from "./controls.js";
import { copy } from "./downloads.js";
import { closest, h, s, setAttribute, setText } from "./elements.js";
import { on } from "./events.js";
import { openExam } from "./exam_dialog.js";
import { exportFile, FILES } from "./export_dialog.js";
import { rovingFocus } from "./focus.js";
import { offerGuide, startGuide } from "./guide.js";
import { openComparison } from "./late.js";
import { showMessage } from "./messages.js";
import { openNewProject } from "./new_project_dialog.js";
import { connect } from "./session.js";
import { restoreHints } from "./settings_dialog.js";
import { goToView, openShortcuts } from "./shortcuts.js";
import { permalink, state } from "./state.js";
import { act } from "./steps.js";
import { settings } from "./storage.js";
import { openSummary } from "./summary_dialog.js";
import { toggleTheme } from "./theme.js";
import { offerWords } from "./words_offer.js";

/** Options of the page, as Gradio passes them. */
export const page = { localFolders: false };

/**
 * Build the top bar and connect the page to its server.
 * @param {HTMLElement} element
 * @param {{local_folders: boolean}} props
 */
export function startPage(element, props) {
  page.localFolders = props.local_folders;
  const project = h("span", { class: "where cut", "data-name": "" });
  const offline = h("span", { class: "offline", role: "alert", hidden: true }, "Connection lost. Retrying…");
  const quiet = (/** @type {string} */ label, /** @type {any} */ options) =>
    button(label, { kind: "quiet", ...options });
  element.querySelector(".topbar")?.append(
    h("h1", { class: "brand" }, logo(), "InFiConD"),
    project,
    button("How good is this student?", { onclick: openSummary }),
    button("Side by side", {
      icon: "compare",
      title: "Compare steps, students, teachers and projects",
      onclick: () => openComparison(),
    }),
    button("Exam", { icon: "lock", title: "Exam on locked images", onclick: openExam }),
    h("span", { class: "space" }),
    offline,
    quiet("Guide", { icon: "guide", onclick: startGuide }),
    quiet("New project", { icon: "plus", onclick: () => openNewProject(page.localFolders) }),
    exportMenu(),
    quiet("Keyboard", { icon: "keys", iconOnly: true, title: "Keyboard (?)", onclick: openShortcuts }),
    quiet("Copy a link to this selection", { icon: "link", iconOnly: true, onclick: copyLink }),
    quiet("Light or dark", { icon: "moon", iconOnly: true, onclick: toggleTheme }),
  );
  on("start", () => {
    setText(project, state.info.project);
    project.title = state.info.project;
    if (state.info.demo && !settings.get("guided")) offerGuide();
    else if (state.info.fresh) offerWords();
  });
  on("online", (now) => {
    offline.hidden = now;
    document.body.classList.toggle("offline", !now);
    if (now) showMessage("Connected again.");
  });
  on("node", announceStep);
  document.addEventListener("keydown", onKey);
  restoreHints();
  connect();
}

function logo() {
  const bars = { d: "M6 17V9M12 17V6M18 17v-5", stroke: "var(--accent-ink)", "stroke-width": 2.6 };
  return s(
    "svg",
    { viewBox: "0 0 24 24", "aria-hidden": "true" },
    s("rect", { width: 24, height: 24, rx: 6, fill: "var(--accent)" }),
    s("path", { ...bars, "stroke-linecap": "round" }),
  );
}

async function copyLink() {
  const link = permalink();
  showMessage((await copy(link)) ? "The link to this selection is copied." : link);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (closest(event, "input, textarea, select, dialog")) return;
  if (event.key === "?") openShortcuts();
  else if (!/^[1-9]$/.test(event.key) || !goToView(event.key)) return;
  event.preventDefault();
}

/**
 * Show what a step did, with a button that undoes it.
 * @param {{command: string, node: string, said?: string, note?: string}} step
 */
function announceStep({ command, node, said, note }) {
  const step = state.parts["provenance.tree"]?.nodes.find((one) => one.id === node);
  if (!step || command === "rename") {
    if (note) showMessage(note);
    return;
  }
  const name = step.name || step.text;
  const tail = note ? `. ${note}` : "";
  if (["undo", "redo", "checkout"].includes(command)) {
    showMessage(`Now at: ${name}${tail}`, { slot: "step" });
    return;
  }
  const gain = step.gain ? ` (${step.gain})` : "";
  if (command === "take_exam") {
    showMessage(`Recorded: ${name}${gain}${tail}`, { slot: "step" }); // an exam cannot be taken back
    return;
  }
  const line = said || `Applied: ${name}${gain}`;
  showMessage(line + tail, { action: ["Undo it", () => act("undo")], slot: "step" });
}

/** Create the export menu. Its items are created when it opens, since they include the present charts. */
function exportMenu() {
  const list = h("div", { class: "menu-list", role: "menu", hidden: true, "aria-label": "Export" });
  const opener = button("Export", {
    icon: "export",
    "aria-haspopup": "menu",
    "aria-expanded": "false",
    onclick: () => toggle(list.hidden !== false),
  });
  const menu = h("div", { class: "menu" }, opener, list);
  const toggle = (/** @type {boolean} */ open) => {
    list.hidden = !open;
    setAttribute(opener, "aria-expanded", open ? "true" : "false");
    if (!open) return;
    list.replaceChildren(...menuItems(close));
    list.querySelector("button")?.focus();
  };
  const close = () => {
    toggle(false);
    opener.focus();
  };
  rovingFocus(list, "button");
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !list.hidden) close();
  });
  document.addEventListener("pointerdown", (event) => {
    if (event.target instanceof Node && !menu.contains(event.target)) toggle(false);
  });
  return menu;
}

/**
 * @param {() => void} close
 * @returns {HTMLElement[]}
 */
function menuItems(close) {
  const item = (
    /** @type {object} */ attributes,
    /** @type {() => void} */ run,
    /** @type {any[]} */ ...shown
  ) => {
    const onclick = () => {
      close();
      run();
    };
    return h("button", { type: "button", role: "menuitem", onclick, ...attributes }, ...shown);
  };
  const kinds = /** @type {(keyof typeof FILES)[]} */ (Object.keys(FILES));
  const files = kinds.map((kind) =>
    item({}, () => exportFile(kind), FILES[kind].title, h("small", {}, FILES[kind].about)),
  );
  const charts = chartNames().map((name) => {
    const format = (/** @type {"svg" | "png"} */ id) => {
      const shown = id.toUpperCase();
      return item({ "aria-label": `Chart: ${name} (${shown})` }, () => saveChart(name, id), shown);
    };
    return h(
      "div",
      { class: "menu-row", role: "presentation" },
      h("span", {}, name),
      format("svg"),
      format("png"),
    );
  });
  return [
    ...files,
    h("hr", { role: "separator" }),
    h("h3", { role: "presentation" }, "Charts, as shown now"),
    ...charts,
  ];
}
