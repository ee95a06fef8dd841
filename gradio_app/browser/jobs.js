/** Long work of the server: progress, remaining time and cancellation. */

import { button } from "./controls.js";
import { delay, h, reconcile, setAttribute, setText } from "./elements.js";
import { count, duration } from "./format.js";
import { call } from "./server.js";

const POLL_MILLISECONDS = 350;

/**
 * Describe the state of a running job: "Encoding: 30 of 120, 12 s left".
 * @param {import("./payloads").Job} job
 */
export function progressLine(job) {
  const stage = job.stage.charAt(0).toUpperCase() + job.stage.slice(1);
  const done = job.total > 1 ? `: ${count(job.done)} of ${count(job.total)}` : "";
  const left = job.left !== null && job.left > 1 ? `, ${duration(job.left)} left` : "";
  return stage + done + left;
}

/**
 * Show the progress of a job until it ends. Resolves to its result, or to null if it failed or was cancelled.
 * @param {string} id
 * @param {HTMLElement} box
 * @returns {Promise<any>}
 */
export async function watchJob(id, box) {
  const fill = h("i");
  const bar = h(
    "div",
    { class: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 },
    fill,
  );
  const line = h("p", { class: "muted", role: "status" }, "Starting…");
  const notes = h("ul", { class: "job-notes" });
  const cancel = button("Cancel", {
    onclick: () => {
      cancel.disabled = true;
      call("cancel_job", { job: id });
    },
  });
  box.replaceChildren(bar, line, notes, h("div", { class: "row-end" }, cancel));
  const fail = (/** @type {string} */ reason) => {
    setText(line, reason);
    line.className = "bad";
    cancel.remove();
    return null;
  };
  const ended = await followJob(id, (job) => {
    const share = job.state === "done" ? 1 : job.total ? job.done / job.total : 0;
    fill.style.width = `${100 * share}%`;
    setAttribute(bar, "aria-valuenow", Math.round(100 * share));
    setText(line, job.state === "running" ? progressLine(job) : job.line);
    reconcile(
      notes,
      job.notes,
      (note) => note,
      () => h("li"),
      setText,
    );
  });
  if (!ended.job) return fail(ended.error);
  if (ended.job.state !== "done") return fail(ended.job.line);
  cancel.remove();
  return ended.job.result;
}

/**
 * Ask for the state of a job until it ends or the server refuses.
 * @param {string} id
 * @param {(job: import("./payloads").Job) => void} show
 * @returns {Promise<{job?: import("./payloads").Job, error?: any}>}
 */
export async function followJob(id, show) {
  for (;;) {
    await delay(POLL_MILLISECONDS);
    const response = await call("job", { job: id }, { quiet: true }).catch(() => null);
    if (!response) continue; // The connection is lost: the job goes on.
    if (response.error) return { error: response.error };
    show(response.job);
    if (response.job.state !== "running") return { job: response.job };
  }
}
