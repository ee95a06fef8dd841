/** Export of students, recipes and reports. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { download } from "./downloads.js";
import { h } from "./elements.js";
import { emit } from "./events.js";
import { watchJob } from "./jobs.js";
import { call } from "./server.js";

/** Titles and descriptions of the files, by kind. */
export const FILES = {
  safetensors: { title: "Student (safetensors)", about: "weights and words, without pickle" },
  onnx: { title: "Student (ONNX)", about: "one file: pixels in, probabilities out" },
  page: { title: "Student (web page)", about: "runs in any browser, offline: drop a photograph" },
  recipe: { title: "Recipe (JSON)", about: "the steps, to replay on another project" },
  report: { title: "Report (HTML)", about: "one self-contained page with pictures" },
};

/**
 * Create a file and download it.
 * @param {keyof typeof FILES} kind
 */
export async function exportFile(kind) {
  const box = h("div", { class: "stack-form" }, h("p", { class: "muted" }, "Preparing…"));
  const dialog = openDialog(FILES[kind].title, box);
  const response = await call("start_export", { kind });
  if (!response.job) return dialog.close();
  const result = await watchJob(response.job, box);
  if (!result) return;
  download(result.name, result.url);
  const again = h("a", { class: "button", href: result.url, download: result.name }, "Download again");
  const done = button("Done", { kind: "primary", onclick: () => dialog.close() });
  box.replaceChildren(
    h("p", {}, "Saved as ", h("b", { "data-name": "" }, result.name), ` (${result.size}).`),
    h("p", { class: "muted" }, result.use),
    result.command ? h("code", { class: "command", "data-name": "" }, result.command) : "",
    h("div", { class: "row-end" }, again, done),
  );
  emit("exported", kind);
}
