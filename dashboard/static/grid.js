// A grid's page: progress, live curves per treatment, result figures, the run table.

import { get, post, query, shown } from "./api.js";
import { Chart } from "./chart.js";
import { $, badge, confirmed, element, option, pageData, throttle } from "./dom.js";
import { Figure } from "./figure.js";
import { isShare, plain, share } from "./format.js";
import { follow } from "./live.js";
import { gridProgress } from "./progress.js";
import { hasEma, RunTable } from "./table.js";

const FINAL = ["done", "failed", "cancelled"];
const ALL = "";
const MAX_PANELS = 6;
const { grid, names, metric_titles: titles } = pageData();
const api = `/api/grids/${grid.grid_id}`;

const table = new RunTable(grid, names);
const heatmap = new Figure($("heatmap"));
const accuracy = new Figure($("accuracy"));
const sigma = new Figure($("sigma"));
const resultTable = new Figure($("table"));
const examples = { probabilities: new Figure($("probabilities")), dissection: new Figure($("dissection")) };
const panels = new Map();
const hidden = new Set();
let metric = "test_accuracy";
let curves = [];

function showGrid(summary) {
  badge($("state"), summary.state);
  gridProgress(summary);
  $("cancel").hidden = FINAL.includes(summary.state);
  if (FINAL.includes(summary.state)) $("live").title = "the grid is over; it may be resumed";
}

function fill(select, values, chosen, text = (value) => value) {
  if ([...select.options].map(({ value }) => value).join("\n") === values.join("\n")) return;
  select.replaceChildren(...values.map((value) => option(value, text(value), value === chosen)));
}

const format = (value, step) => (isShare(metric) ? share(value, step) : plain(value));

/** The chart of a condition, made when it is first shown. */
function panel(condition) {
  if (!panels.has(condition)) {
    const [plot, legend] = [element("div", { class: "chart" }), element("ul", { class: "legend", "aria-label": `Treatments, ${condition}` })];
    const node = element("div", { class: "panel" }, element("h3", {}, condition), plot, legend);
    const onToggle = () => panels.forEach(({ chart }) => chart.update());
    panels.set(condition, { node, chart: new Chart(plot, legend, { format, hidden, onToggle, height: 300 }) });
  }
  return panels.get(condition);
}

/** One range of x and y for all panels: what stands side by side is compared by eye. */
function commonRange(seen) {
  const epochs = seen.flatMap((curve) => curve.epochs);
  const values = seen.flatMap(({ low, high }) => [...low, ...high]).filter((value) => value !== null);
  if (!values.length) return {};
  const ends = (numbers) => numbers.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const [least, most] = ends(values);
  const room = 0.05 * (most - least) || 0.05;
  const y = isShare(metric) ? [Math.max(0, least - room), Math.min(1, most + room)] : [least - room, most + room];
  return { x: ends(epochs), y };
}

function metricTitle(name) {
  const bare = name.replace(/^ema_/, "");
  const title = titles[bare] ?? bare.replaceAll("_", " ");
  return bare === name ? title : `${title} (EMA)`;
}

function showCurves() {
  const conditions = [...new Set(curves.map(({ condition }) => condition))];
  const choices = conditions.length > 1 ? [ALL, ...conditions] : conditions;
  fill($("condition"), choices, conditions.length > MAX_PANELS ? conditions[0] : ALL, (choice) => (choice === ALL ? "all, side by side" : choice));
  $("condition-picker").hidden = conditions.length < 2;
  const chosen = $("condition").value;
  const shownConditions = chosen === ALL ? conditions : conditions.filter((condition) => condition === chosen);
  const seen = curves.filter(({ condition }) => shownConditions.includes(condition));
  const range = commonRange(seen);
  $("curves").classList.toggle("single", shownConditions.length === 1);
  $("no-curves").hidden = seen.length > 0;
  replaceIfOther($("curves"), shownConditions.map((condition) => panel(condition).node));
  for (const condition of shownConditions) {
    const own = seen.filter((curve) => curve.condition === condition).map((curve) => ({ ...curve, name: curve.treatment }));
    panel(condition).chart.show(own, metric, range);
  }
}

/** Leaves children that are right already in the page, so that focus and cursor stay where they are. */
function replaceIfOther(node, children) {
  if (node.children.length !== children.length || children.some((child, index) => node.children[index] !== child)) node.replaceChildren(...children);
}

const loadCurves = () =>
  shown(async () => {
    const asked = metric;
    const answer = await get(`${api}/curves?${query({ metric: asked })}`);
    if (asked !== metric) return;
    curves = answer.curves;
    const metrics = answer.metrics.includes(metric) ? answer.metrics : [metric, ...answer.metrics];
    fill($("metric"), metrics, metric, metricTitle);
    showCurves();
  });

const loadResults = () =>
  shown(async () => {
    const choice = { selection: $("selection").value, metric: $("model").value };
    const warnings = get(`${api}/warnings`).then(({ warnings: found }) => {
      $("warnings").replaceChildren(...found.map((text) => element("p", { class: "notice warn" }, text)));
    });
    const selected = query({ selection: choice.selection });
    $("markdown").href = `${api}/table?${query({ format: "markdown", selection: choice.selection })}`;
    const more = [resultTable.load(`${api}/figures/table?${selected}`), showExamples()];
    if (!$("sigma-figure").hidden) more.push(sigma.load(`${api}/figures/sigma?${selected}`));
    await Promise.all([...more, heatmap.load(`${api}/figures/heatmap?${query(choice)}`), accuracy.load(`${api}/figures/accuracy?${query({ ...choice, columns: accuracy.columns })}`), warnings]);
  });

/** Panels of single runs, while they are open. */
async function showExamples() {
  if (!$("examples-details").open) return;
  const path = (kind, columns) => `${api}/figures/${kind}?${query({ metric: $("model").value, columns })}`;
  await Promise.all(Object.entries(examples).map(([kind, figure]) => figure.load(path(kind, figure.columns))));
}

const loadTable = () => shown(() => table.load());
const soon = { curves: throttle(loadCurves, 1500), results: throttle(loadResults, 4000), table: throttle(loadTable, 3000) };

async function refresh() {
  await shown(async () => showGrid(await get(api)));
  await Promise.all([loadTable(), loadCurves()]);
  await loadResults();
}

function change({ grid: summary, runs }) {
  showGrid(summary);
  table.patch(runs);
  soon.curves();
  soon.table();
  if (runs.some(({ state, epoch }) => FINAL.includes(state) || epoch <= 1)) soon.results();
}

$("metric").addEventListener("change", (event) => {
  metric = event.target.value;
  loadCurves();
});
$("condition").addEventListener("change", showCurves);
$("selection").addEventListener("change", loadResults);
$("model").addEventListener("change", loadResults);
$("examples-details").addEventListener("toggle", () => shown(showExamples));
$("sigma-figure").hidden = !grid.factors.some(({ path, values }) => path === "method.sigma" || values.some((value) => value?.sigma !== undefined));
$("model").parentElement.hidden = !hasEma(grid);
$("cancel").addEventListener("click", async () => {
  if (await confirmed($("confirm"))) shown(async () => showGrid(await post(`${api}/cancel`)));
});

// Side by side while there is room for the cells' text.
const treatments = grid.factors.filter(({ role }) => ["treatment", "nuisance"].includes(role)).reduce((size, { values }) => size * values.length, 1);
$("results").classList.toggle("stacked", treatments > 5);
showGrid(grid);
follow(grid.grid_id, { onOpen: refresh, onChange: change });
