/** The dialog that creates a project from photographs. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h, setText } from "./elements.js";
import { emit } from "./events.js";
import { watchJob } from "./jobs.js";
import { openProject } from "./projects.js";
import { call, upload } from "./server.js";

/**
 * What another project was made from.
 * @typedef {{folder?: string, name?: string, teacher?: string, encoder?: string, classes?: string}} Origin
 */

const ABOUT =
  "Your photographs are encoded as concept vectors, the teacher classifies them, and a readable student is " +
  "fitted for each class. Nothing leaves the machine that serves this page.";
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
    teacher: text({ value: "embedded" }),
    encoder: text({ value: "embedded" }),
    classes: h("textarea", { rows: origin.classes ? 8 : 3, placeholder: CLASSES }),
  };
  for (const [name, field] of Object.entries(fields)) {
    const value = origin[/** @type {keyof Origin} */ (name)];
    if (value) field.value = value;
  }
  const files = h("input", { type: "file", multiple: true, accept: "image/*", class: "file" });
  const problem = h("p", { class: "bad", role: "alert", hidden: true });
  const models = h(
    "div",
    { class: "two" },
    labelled("Teacher", fields.teacher, "embedded, a model folder or responses"),
    labelled("Encoder", fields.encoder, "embedded or a model folder"),
  );
  const form = h(
    "form",
    { class: "stack-form" },
    h("p", { class: "muted" }, ABOUT),
    localFolders && labelled("Folder", fields.folder),
    labelled(localFolders ? "or images to upload" : "Images to upload", files),
    labelled("Name", fields.name),
    localFolders && models,
    labelled("Classes (optional)", fields.classes, "By default, the teacher's most frequent labels."),
    problem,
    h("div", { class: "row-end" }, h("button", { type: "submit", class: "button primary" }, "Distil")),
  );
  const box = h("div", {}, form);
  const title = origin.folder ? "Other classes, the same images" : "A new project";
  const dialog = openDialog(title, box);

  const showProblem = (/** @type {string} */ line) => {
    setText(problem, line);
    problem.hidden = !line;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    showProblem("");
    const values = Object.entries(fields).map(([name, field]) => [name, field.value.trim()]);
    const sent = await uploadAll(files.files ?? [], form, () => dialog.open);
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
 * Upload files one by one; a file that cannot be uploaded is left out and named.
 * @param {Iterable<File>} files
 * @param {HTMLElement} place
 * @param {() => boolean} wanted
 */
async function uploadAll(files, place, wanted) {
  const all = [...files];
  const sent = [];
  const line = h("p", { class: "muted", role: "status" });
  if (all.length) place.append(line);
  for (const [i, file] of all.entries()) {
    setText(line, `Uploading ${i + 1} of ${all.length}…`);
    try {
      sent.push({ path: (await upload(file)).path, name: file.name });
    } catch {
      emit("message", { line: `“${file.name}” could not be uploaded; it is left out.`, tone: "bad" });
    }
    if (!wanted()) break;
  }
  line.remove();
  return sent;
}
