// The progress bar and the line below it, for a grid and for a run.

import { $, element } from "./dom.js";
import { count, duration } from "./format.js";

const fact = (value, words) => element("span", {}, element("b", {}, value), ` ${words}`);

function bar(share, isDone, label) {
  const percent = Math.round(100 * share);
  $("progress").replaceChildren(element("span", { class: isDone ? "done" : "", style: { width: `${100 * share}%` } }));
  $("progress").setAttribute("aria-valuenow", percent);
  $("progress").setAttribute("aria-valuetext", label);
}

export function gridProgress(grid) {
  const states = grid.runs_by_state;
  const share = grid.epochs_total ? grid.epochs_done / grid.epochs_total : 0;
  bar(share, grid.state === "done", `${grid.epochs_done} of ${grid.epochs_total} epochs`);
  const others = ["running", "queued", "stopped", "failed", "lost", "cancelled"].filter((state) => states[state]);
  $("progress-text").replaceChildren(
    fact(`${count(states.done ?? 0)} of ${count(grid.num_runs)}`, "runs done"),
    fact(`${count(grid.epochs_done)} of ${count(grid.epochs_total)}`, "epochs"),
    ...(grid.epochs_shared ? [fact(count(grid.epochs_shared), "of them trained once for several runs")] : []),
    ...others.map((state) => fact(count(states[state]), state)),
    ...(grid.seconds_left === null ? [] : [fact(`about ${duration(grid.seconds_left)}`, "left")]),
  );
  $("message").textContent = grid.message;
  $("message").hidden = !grid.message;
}

export function runProgress(run) {
  bar(run.epochs ? run.epoch / run.epochs : 0, run.state === "done", `epoch ${run.epoch} of ${run.epochs}`);
  const seconds = run.started_at && (run.finished_at ?? run.heard_at ?? run.started_at) - run.started_at;
  $("progress-text").replaceChildren(
    fact(`${count(run.epoch)} of ${count(run.epochs)}`, "epochs"),
    ...(run.forked_after ? [fact(`the first ${count(run.forked_after)}`, "trained by another run of the grid")] : []),
    ...(run.seconds_left === null ? [] : [fact(`about ${duration(run.seconds_left)}`, "left")]),
    ...(run.started_at ? [fact(duration(Math.max(0, seconds)), run.finished_at ? "from start to end" : "since its start")] : []),
    ...(run.attempt > 1 ? [fact(String(run.attempt), "attempts")] : []),
  );
}
