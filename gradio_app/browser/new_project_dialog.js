/** The dialog that creates a project from photographs. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h, setText } from "./elements.js";
import { describePicked, droppedFiles, pickedFiles, uploadAll } from "./image_files.js";
import { watchJob } from "./jobs.js";
import { openProject } from "./projects.js";
import { call } from "./server.js";

/**
 * What another project was made from.
 * @typedef {{folder?: string, name?: string, teacher?: string, encoder?: string, classes?: string}} Origin
 */

const ABOUT =
  "Your photographs are encoded as concept vectors, the teacher classifies them, and a readable student is " +
  "fitted for each class. Nothing leaves the machine that serves this page.";
const TEACHERS = [
  ["auto", "chosen from the images: probe with labels, else embedded"],
  ["probe", "a classifier fitted to the labels"],
  ["labels", "the labels themselves"],
  ["zero-shot", "the names of the classes"],
  ["embedded", "ImageNet's 1000 classes"],
];
const LINKS = [
  ["", "automatic"],
  ["softmax", "softmax: exactly one class holds"],
  ["sigmoid", "sigmoid: several classes may hold"],
];
const CLASSES = "one class a line, with the teacher's labels after a colon:\nboat: canoe, speedboat, gondola";

/**
 * Open the form.
 * @param {boolean} localFolders Whether a folder of the server's machine may be named.
 * @param {Origin} [origin] Fills the form.
 */
export function openNewProject(localFolders, origin = {}) {
  const text = (/** @type {object} */ attributes) => h("input", { type: "text", ...attributes });
  const fields = {
    folder: text({ placeholder: "a folder of photographs on this machine" }),
    name: text({ placeholder: "My photographs", maxlength: 80 }),
    labels: text({ placeholder: "the class folders, or a table of labels on this machine" }),
    teacher: text({ value: "auto", list: "teachers" }),
    encoder: text({ value: "embedded", list: "encoders" }),
    classes: h("textarea", { rows: origin.classes ? 8 : 2, placeholder: CLASSES }),
    words: h("textarea", { rows: 2, placeholder: "one word a line; by default, built-in words" }),
    link: h("select", {}, ...LINKS.map(([value, shown]) => h("option", { value }, shown))),
    nec: h("input", { type: "number", min: 1, max: 200, step: 1, placeholder: "automatic, at most 12" }),
  };
  for (const [name, field] of Object.entries(fields)) {
    const value = origin[/** @type {keyof Origin} */ (name)];
    if (value) field.value = value;
  }
  const files = h("input", { type: "file", multiple: true, accept: "image/*", class: "file" });
  const directory = h("input", { type: "file", webkitdirectory: true });
  const problem = h("p", { class: "bad", role: "alert", hidden: true });
  const found = h("p", { class: "muted found", role: "status", hidden: true });
  const two = (/** @type {(HTMLElement | false)[]} */ ...children) => h("div", { class: "two" }, ...children);
  const pickFolder = button("Choose a folder…", { onclick: () => directory.click() });
  const submit = h("button", { type: "submit", class: "button primary" }, "Distil");
  const end = h("div", { class: "row-end" }, submit);
  const form = h(
    "form",
    { class: "stack-form" },
    h("p", { class: "muted" }, ABOUT),
    localFolders && labelled("Folder", fields.folder, "One sub-folder per class gives labels."),
    two(labelled(localFolders ? "or images to upload" : "Images to upload", files), pickFolder),
    found,
    labelled("Name", fields.name),
    localFolders && labelled("Labels (optional)", fields.labels),
    two(
      labelled("Teacher", fields.teacher, localFolders ? "or a model folder, an ONNX file, a table" : ""),
      localFolders && labelled("Encoder", fields.encoder, "or a model folder"),
    ),
    choices("teachers", TEACHERS),
    choices("encoders", [["embedded", "built in"]]),
    labelled(
      "Classes (optional)",
      fields.classes,
      "By default, the labels, or the teacher's most frequent labels.",
    ),
    labelled("Words (optional)", fields.words),
    two(labelled("Link", fields.link), labelled("Words per class", fields.nec)),
    problem,
    end,
  );
  /** @type {import("./image_files.js").Picked[]} */
  let picked = [];
  const showFound = (/** @type {string} */ line) => {
    setText(found, line);
    found.hidden = !line;
  };
  const take = (/** @type {import("./image_files.js").Picked[]} */ images) => {
    picked = images;
    showFound(describePicked(images));
  };
  files.addEventListener("change", () => take(pickedFiles(files.files ?? [])));
  directory.addEventListener("change", () => take(pickedFiles(directory.files ?? [])));
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", async (event) => {
    event.preventDefault();
    if (event.dataTransfer) take(await droppedFiles(event.dataTransfer));
  });
  let asked = 0;
  const examine = async () => {
    const mine = ++asked;
    const folder = fields.folder.value.trim();
    showProblem("");
    if (!folder) return showFound(picked.length ? describePicked(picked) : "");
    showFound("Looking for images…");
    const request = { folder, labels: fields.labels.value.trim() };
    const response = await call("examine", request, { quiet: true }).catch(() => ({}));
    if (mine !== asked) return;
    showFound(response.found ? response.found.lines.join("\n") : "");
    showProblem(response.error ?? "", found);
  };
  fields.folder.addEventListener("change", examine);
  fields.labels.addEventListener("change", examine);
  const box = h("div", {}, form);
  const title = origin.folder ? "Other classes, the same images" : "A new project";
  const dialog = openDialog(title, box);

  const showProblem = (/** @type {string} */ line, /** @type {HTMLElement} */ next = end) => {
    setText(problem, line);
    problem.hidden = !line;
    next.before(problem);
    if (line) problem.scrollIntoView({ block: "nearest" });
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    showProblem("");
    const values = Object.entries(fields).map(([name, field]) => [name, field.value.trim()]);
    const sent = fields.folder.value.trim() ? [] : await uploadAll(picked, form, () => dialog.open);
    if (!dialog.open) return;
    const request = { ...Object.fromEntries(values), files: sent };
    const response = await call("start_project", request, { quiet: true });
    if (!response.job) return showProblem(response.error || "The project could not be started.");
    const progress = h("div", { class: "stack-form" });
    form.hidden = true;
    box.append(progress);
    const result = await watchJob(response.job, progress);
    if (!result) {
      const reason = progress.querySelector("p.bad")?.textContent ?? "The project was not created.";
      form.hidden = false;
      progress.remove();
      const resumes = reason.startsWith("Cancelled") ? " Submit the form again to resume." : "";
      return showProblem(reason + resumes);
    }
    const open = button("Open it", { kind: "primary", onclick: () => openProject(result.project) });
    progress.append(h("p", {}, result.line), h("div", { class: "row-end" }, open));
  });
}

/**
 * @param {string} label
 * @param {HTMLElement} field
 * @param {string} [hint]
 */
const labelled = (label, field, hint) =>
  h("label", { class: "field" }, label, hint && h("small", {}, hint), field);

/**
 * Create the list of suggestions of a text field; other texts may be typed.
 * @param {string} id
 * @param {string[][]} options Values and descriptions.
 */
const choices = (id, options) =>
  h("datalist", { id }, ...options.map(([value, shown]) => h("option", { value }, shown)));
