// The run table: the server sorts, filters and cuts pages; changed rows are replaced in place.

import { get, query, shown } from "./api.js";
import { $, element, option } from "./dom.js";
import { count, factorWriter, percent, short } from "./format.js";

const PAGE = 50;
const STATES = ["queued", "running", "lost", "done", "stopped", "failed", "cancelled"];
const SELECTIONS = [
  ["last", "last", "test accuracy after the last epoch"],
  ["last_ten", "last ten", "mean test accuracy of the last ten epochs"],
  ["validation_best", "validation best", "test accuracy at the epoch that is best on the validation split"],
  ["oracle_best", "oracle best", "ORACLE: the epoch was chosen on the test set itself, which no honest protocol can"],
];

const number = (text, extra = "") => element("td", { class: `num ${extra}` }, text);
const badgeCell = (state) => element("td", {}, element("span", { class: `badge ${state}` }, state));

function accuracyColumns(model, title) {
  return SELECTIONS.map(([key, words, help], index) => ({
    sort: `${model}.${key}`,
    title: words,
    help: `${help}, ${title}`,
    group: `Test accuracy (%), ${title}`,
    numeric: true,
    extra: `${index === 0 ? "first" : ""} ${key === "oracle_best" ? "oracle" : ""}`,
    cell: (run, extra) => number(percent(run.summary?.[model]?.[key]), extra),
  }));
}

function columnsOf(grid, names) {
  const isNominal = (path) => path === "noise.rate";
  const factors = grid.factors.map(({ path, role, values }) => {
    const write = factorWriter(values);
    const cell = (run, extra) => number(write(run.factors[path]), extra);
    return { sort: path, title: names[path], help: `${path} (${role})`, group: "", numeric: true, extra: "", cell };
  });
  const nominal = { title: "nominal rate", help: "noise rate that was asked for", cell: (run, extra) => number(percent(run.noise_rate, 1), extra) };
  const realised = {
    sort: "realised_rate",
    title: "realised rate",
    help: "share of the training labels that are wrong, in percent",
    cell: (run, extra) => number(percent(run.realised_rate, 2), extra),
  };
  const rate = { group: "Label noise (%)", numeric: true };
  return [
    { title: "Run", help: "open the run", group: "", extra: "", cell: runCell },
    { sort: "state", title: "State", help: "", group: "", extra: "", cell: (run) => badgeCell(run.state) },
    ...factors.filter((column) => !isNominal(column.sort)),
    { sort: "epoch", title: "Epoch", help: "epochs recorded", group: "", numeric: true, extra: "", cell: epochCell },
    { ...rate, ...nominal, extra: "first", sort: grid.factors.some(({ path }) => isNominal(path)) ? "noise.rate" : undefined },
    { ...rate, ...realised, extra: "" },
    ...accuracyColumns("raw", "raw model"),
    ...(hasEma(grid) ? accuracyColumns("ema", "EMA model") : []),
  ];
}

const runCell = (run) => element("td", {}, element("a", { href: `/runs/${run.run_id}`, class: "mono", title: run.error ?? run.run_id }, short(run.run_id)));
const epochCell = (run) => number(`${count(run.epoch)} / ${count(run.epochs)}`);
export const hasEma = (grid) => Boolean(grid.spec.base.ema) || grid.factors.some(({ path }) => path.split(".")[0] === "ema");

export class RunTable {
  constructor(grid, names) {
    Object.assign(this, { grid, names, columns: columnsOf(grid, names), sort: "", state: "", where: {}, offset: 0, asked: 0 });
    this.#drawHead();
    this.#drawFilters();
  }

  /** Fetches the page in view. */
  async load() {
    const asked = ++this.asked;
    const page = await get(`/api/grids/${this.grid.grid_id}/runs?${query({ ...this.#filter(), offset: this.offset, limit: PAGE })}`);
    if (asked !== this.asked) return;
    const rows = page.runs.map((run) => this.#row(run));
    if (!rows.length) rows.push(element("tr", {}, element("td", { colspan: this.columns.length, class: "dim" }, "No run matches")));
    $("runs").tBodies[0].replaceChildren(...rows);
    this.#markSort();
    this.#drawPager(page);
    $("csv").href = `/api/grids/${this.grid.grid_id}/runs?${query({ ...this.#filter(), format: "csv" })}`;
  }

  /** Replaces the rows of changed runs that are in view. */
  patch(runs) {
    const rows = new Map([...$("runs").tBodies[0].rows].map((row) => [row.dataset.run, row]));
    for (const run of runs) {
      const row = this.#row(run);
      row.classList.add("fresh");
      rows.get(run.run_id)?.replaceWith(row);
    }
  }

  #filter() {
    return { sort: this.sort, state: this.state, where: Object.entries(this.where).map(([path, value]) => `${path}=${value}`) };
  }

  #row(run) {
    return element("tr", { "data-run": run.run_id }, ...this.columns.map((column) => column.cell(run, column.extra)));
  }

  #drawHead() {
    const groups = [];
    for (const { group } of this.columns) {
      if (groups.at(-1)?.group === group) groups.at(-1).span += 1;
      else groups.push({ group, span: 1 });
    }
    const upper = groups.map(({ group, span }) => element(group ? "th" : "td", { colspan: span, class: group ? "group" : "", scope: group ? "colgroup" : null }, group));
    $("runs").tHead.replaceChildren(element("tr", {}, ...upper), element("tr", {}, ...this.columns.map((column) => this.#header(column))));
  }

  #header(column) {
    const inside = column.sort ? element("button", { type: "button", onclick: () => this.#sortBy(column) }, column.title) : column.title;
    const kind = `${column.numeric ? "num" : ""} ${column.extra}`;
    return element("th", { scope: "col", class: kind, title: column.help }, inside);
  }

  /** Says in the head how the rows in view are sorted. */
  #markSort() {
    this.columns.forEach(({ sort }, place) => {
      const header = $("runs").tHead.lastElementChild.cells[place];
      header.removeAttribute("aria-sort");
      if (sort && this.sort === sort) header.ariaSort = "ascending";
      if (sort && this.sort === `-${sort}`) header.ariaSort = "descending";
    });
  }

  #sortBy({ sort }) {
    // Accuracies are read from the top, everything else from the bottom.
    const first = /^(raw|ema)\./.test(sort) ? `-${sort}` : sort;
    const second = first === sort ? `-${sort}` : sort;
    this.sort = this.sort === first ? second : this.sort === second ? "" : first;
    this.#reload();
  }

  #drawFilters() {
    const state = element("select", { id: "filter-state", onchange: (event) => this.#set("state", event.target.value) }, option("", "any"), ...STATES.map((name) => option(name, name)));
    const factors = this.grid.factors
      .filter(({ values }) => values.length > 1)
      .map(({ path, values }) => {
        const write = factorWriter(values);
        // As JSON: the word "0.4" and the number are not the same.
        const choices = values.map((value) => option(JSON.stringify(value), value === null ? "none" : write(value)));
        const narrow = (event) => this.#set("where", { ...this.where, [path]: event.target.value });
        const select = element("select", { "data-path": path, onchange: narrow }, option("", "any"), ...choices);
        return element("label", {}, this.names[path], select);
      });
    $("filters").replaceChildren(element("label", {}, "state", state), ...factors);
  }

  #set(name, value) {
    this[name] = name === "where" ? Object.fromEntries(Object.entries(value).filter(([, chosen]) => chosen !== "")) : value;
    this.#reload();
  }

  #reload() {
    this.offset = 0;
    shown(() => this.load());
  }

  #drawPager({ total, offset, runs }) {
    const turn = (by) => {
      this.offset = Math.max(0, offset + by);
      shown(() => this.load());
    };
    $("run-count").textContent = total === this.grid.num_runs ? count(total) : `${count(total)} of ${count(this.grid.num_runs)} match`;
    if (total <= PAGE) return $("pager").replaceChildren();
    $("pager").replaceChildren(
      element("button", { type: "button", class: "quiet", disabled: offset === 0, onclick: () => turn(-PAGE) }, "Previous"),
      element("span", {}, `${count(offset + 1)}–${count(offset + runs.length)} of ${count(total)}`),
      element("button", { type: "button", class: "quiet", disabled: offset + runs.length >= total, onclick: () => turn(PAGE) }, "Next"),
    );
  }
}
