// A run's page: its curves, its label noise, its configuration, and what went wrong.

import { get, post, query, shown } from "./api.js";
import { Chart } from "./chart.js";
import { $, badge, confirmed, element, pageData, throttle } from "./dom.js";
import { Figure } from "./figure.js";
import { count, percent, share } from "./format.js";
import { follow } from "./live.js";
import { runProgress } from "./progress.js";

const FINAL = ["done", "failed", "cancelled"];
const SELECTIONS = {
  last: "Last epoch",
  last_ten: "Mean of last ten",
  validation_best: "Best on noisy validation",
  oracle_best: "Oracle best (chosen on test)",
};
const { run: first, panels, colors, metric_titles: titles } = pageData();
const api = `/api/runs/${first.run_id}`;
const charts = [
  [new Chart($("accuracy-chart"), $("accuracy-legend"), { format: share, height: 280 }), panels[0]],
  [new Chart($("fit-chart"), $("fit-legend"), { format: share, height: 280 }), panels[1]],
];
const noise = new Figure($("noise"));
let noiseDrawn = null;

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
  const nominal = labels.noise_rate === null ? "recorded" : `${percent(labels.noise_rate, 1)} %`;
  facts($("noise-facts"), [
    ["Kind", labels.noise],
    ["Nominal rate", nominal],
    ["Realised rate", `${percent(labels.realised_rate, 3)} %`],
    ["Wrong labels", `${count(labels.num_corrupt)} of ${count(labels.num_examples)}`],
    ["Hash of clean labels", element("code", {}, labels.clean_hash)],
    ["Hash of given labels", element("code", {}, labels.noisy_hash)],
  ]);
  if (noiseDrawn === labels.noisy_hash) return;
  noiseDrawn = labels.noisy_hash;
  $("noise-figure").hidden = false;
  shown(() => noise.load(`${api}/figures/noise`));
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
  const size = (value) => (value === null ? "–" : count(value));
  facts($("facts"), [
    ["Training examples", size(run.num_train)],
    ["Validation examples", size(run.num_validation)],
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

$("cancel").addEventListener("click", async () => {
  if (await confirmed($("confirm"))) shown(async () => showRun(await post(`${api}/cancel`)));
});
showRun(first);
follow(first.grid_id, { onOpen: refresh, onChange: ({ runs }) => runs.some(({ run_id: id }) => id === first.run_id) && soon() });
