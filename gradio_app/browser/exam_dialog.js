/** The dialog of the exam on locked images. */

import { button, table } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h } from "./elements.js";
import { call } from "./server.js";
import { act } from "./steps.js";

/** Show the exam of the current student, or offer to take it. */
export async function openExam() {
  const box = h("div", { class: "stack-form exam", "aria-live": "polite" }, muted("Reading…"));
  openDialog("Exam on locked images", box, { wide: true });
  const response = await call("exam", {});
  if (response.exam) draw(box, response.exam);
  else box.replaceChildren(h("p", { class: "bad" }, response.error || "The exam could not be read."));
}

/**
 * @param {HTMLElement} box
 * @param {import("./payloads").Exam} exam
 */
function draw(box, exam) {
  if (exam.unavailable) {
    box.replaceChildren(
      h("p", {}, "This project has two parts: images to fit and images to tune."),
      muted(`${exam.unavailable.charAt(0).toUpperCase()}${exam.unavailable.slice(1)}.`),
    );
    return;
  }
  const take = button("Open the exam", { kind: "primary", onclick: () => takeExam(box, take) });
  const tables = exam.tables.flatMap(({ title, head, rows }) => [h("h3", {}, title), table(head, rows)]);
  box.replaceChildren(
    ...(exam.lines.length ? [list(exam.lines)] : []),
    ...tables,
    ...(exam.current ? [] : [list(exam.about), h("div", { class: "row-end" }, take)]),
  );
}

/**
 * @param {HTMLElement} box
 * @param {HTMLButtonElement} take
 */
async function takeExam(box, take) {
  take.disabled = true;
  const response = await act("take_exam");
  if (response?.exam) draw(box, response.exam);
  else take.disabled = false;
}

/** @param {string} line */
const muted = (line) => h("p", { class: "muted" }, line);

/** @param {string[]} lines */
const list = (lines) =>
  h(
    "ul",
    { class: "summary" },
    lines.map((line) => h("li", {}, line)),
  );
