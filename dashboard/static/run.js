// A run's page: its curves, its label noise, its configuration, and what went wrong.

import { get, post, query, shown } from "./api.js";
import { Chart } from "./chart.js";
import { $, badge, confirmed, element, pageData, throttle } from "./dom.js";
import { Figure } from "./figure.js";
import { count, percent, share } from "./format.js";
import { follow } from "./live.js";
import { runProgress } from "./progress.js";

const FINAL = ["done", "stopped", "failed", "cancelled"];
const SELECTIONS = {
  last: "Last epoch",
  last_ten: "Mean of last ten",
  validation_best: "Best on validation",
  oracle_best: "Oracle best (chosen on test)",
};
const { run: first, panels, colors, metric_titles: titles } = pageData();
const api = `/api/runs/${first.run_id}`;
const charts = [
  [new Chart($("accuracy-chart"), $("accuracy-legend"), { format: share, height: 280 }), panels[0]],
  [new Chart($("fit-chart"), $("fit-legend"), { format: share, height: 280 }), panels[1]],
];
const noise = new Figure($("noise"));
const examples = { probabilities: new Figure($("probabilities")), dissection: new Figure($("dissection")) };
const samples = new Figure($("samples"));
const SAMPLE_PIXELS = 130;
let noiseDrawn = null;
let examplesDrawn = false;
let samplesDrawn = false;

const facts = (list, pairs) => list.replaceChildren(...pairs.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));

function showSummary({ summary }) {
  const keys = Object.keys(SELECTIONS);
  const models = [["raw", "Raw model"], ["ema", "EMA model"]].filter(([key]) => key === "raw" || summary?.ema);
  const kind = (key) => `num ${key === "oracle_best" ? "oracle" : ""}`;
  const head = keys.map((key) => element("th", { scope: "col", class: kind(key) }, SELECTIONS[key]));
  $("summary").tHead.replaceChildren(element("tr", {}, element("th", {}, ""), ...head));
  const cell = (accuracy, key) => {
    const epoch = accuracy?.[`${key}_epoch`];
    return element("td", { class: kind(key) }, percent(accuracy?.[key]), epoch ? element("span", { class: "dim" }, ` at epoch ${epoch}`) : null);
  };
  const rows = models.map(([model, title]) => element("tr", {}, element("td", {}, title), ...keys.map((key) => cell(summary?.[model], key))));
  $("summary").tBodies[0].replaceChildren(...rows);
}

function showNoise(run) {
  const labels = run.labels;
  if (!labels) return facts($("noise-facts"), [["Labels", "not drawn yet"]]);
  const nominal = labels.noise_rate === null ? (labels.noise === "clean" ? "–" : "recorded") : `${percent(labels.noise_rate, 1)} %`;
  const isKnown = labels.realised_rate !== null;
  $("fit-chart").closest("section").hidden = !isKnown;
  if (!isKnown) $("noise-figure").querySelector("h3").textContent = "Given label by published label: count and share of the row";
  facts($("noise-facts"), [
    ["Kind", labels.noise],
    ["Nominal rate", nominal],
    ["Realised rate", isKnown ? `${percent(labels.realised_rate, 3)} %` : "nobody knows: the published labels are wrong in places"],
    [isKnown ? "Wrong labels" : "Changed labels", `${count(labels.num_corrupt)} of ${count(labels.num_examples)}`],
    [isKnown ? "Hash of clean labels" : "Hash of published labels", element("code", {}, labels.clean_hash)],
    ["Hash of given labels", element("code", {}, labels.noisy_hash)],
  ]);
  if (noiseDrawn === labels.noisy_hash) return;
  noiseDrawn = labels.noisy_hash;
  $("noise-figure").hidden = false;
  shown(() => noise.load(`${api}/figures/noise`));
}

/** What the last models make of each training example; it is there as soon as the run is done. */
function showExamples({ state }) {
  $("examples").hidden = state !== "done";
  if (state !== "done" || examplesDrawn) return;
  examplesDrawn = true;
  for (const [kind, figure] of Object.entries(examples)) shown(() => figure.load(`${api}/figures/${kind}?${query({ columns: figure.columns })}`));
}

/** The sheet of images is asked for when it is opened: the service reads the data set for it. */
function showSamples() {
  if (samplesDrawn || !$("samples-details").open) return;
  samplesDrawn = true;
  const columns = Math.max(2, Math.min(8, Math.floor($("samples").clientWidth / SAMPLE_PIXELS)));
  shown(() => samples.load(`${api}/figures/samples?${query({ columns })}`));
}

function showRun(run) {
  badge($("state"), run.state);
  runProgress(run);
  showSummary(run);
  $("cancel").hidden = FINAL.includes(run.state);
  $("error").hidden = !run.error;
  $("error-text").textContent = run.error ?? "";
  $("log-card").hidden = !run.log_tail;
  $("log").textContent = run.log_tail;
  showNoise(run);
  showExamples(run);
  const size = (value) => (value === null ? "–" : count(value));
  facts($("facts"), [
    ["Training examples", size(run.num_train)],
    ["Validation examples", size(run.num_validation) + (run.num_validation ? `, ${run.labels?.validation_labels} labels` : "")],
    ["Test examples", size(run.num_test)],
    ["Parameters", size(run.num_parameters)],
    ["Device", run.device ?? "–"],
    ["Host", run.host ?? "–"],
  ]);
}

function showRecords({ epochs, metrics }) {
  for (const [chart, { title, metrics: wanted }] of charts) {
    const curves = wanted.flatMap((name) => ["", "ema_"].map((prefix) => [name, prefix]))
      .filter(([name, prefix]) => metrics[prefix + name]?.some((value) => value !== null))
      .map(([name, prefix]) => ({
        name: (titles[name] ?? name.replaceAll("_", " ")) + (prefix ? " (EMA)" : ""),
        color: colors[name],
        dashed: Boolean(prefix),
        epochs,
        mean: metrics[prefix + name],
      }));
    chart.show(curves, title);
  }
}

const wantedMetrics = panels.flatMap(({ metrics }) => metrics.flatMap((name) => [name, `ema_${name}`])).join(",");
const refresh = () =>
  shown(async () => {
    const [run, records] = await Promise.all([get(api), get(`${api}/records?${query({ metrics: wantedMetrics })}`)]);
    showRun(run);
    showRecords(records);
  });
const soon = throttle(refresh, 1500);

$("samples-details").addEventListener("toggle", showSamples);
$("cancel").addEventListener("click", async () => {
  if (await confirmed($("confirm"))) shown(async () => showRun(await post(`${api}/cancel`)));
});
showRun(first);
follow(first.grid_id, { onOpen: refresh, onChange: ({ runs }) => runs.some(({ run_id: id }) => id === first.run_id) && soon() });
