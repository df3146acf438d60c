// The list of grids.

import { get, query, shown } from "./api.js";
import { $, element } from "./dom.js";
import { count, duration, moment } from "./format.js";

const PAGE = 50;
const POLL_MS = 4000;
let offset = 0;

function row(grid) {
  const share = grid.epochs_total ? grid.epochs_done / grid.epochs_total : 0;
  const fill = element("span", { class: grid.state === "done" ? "done" : "", style: { width: `${100 * share}%` } });
  const label = `${Math.floor(100 * share)} % of epochs`;
  const troubled = (grid.runs_by_state.failed ?? 0) + (grid.runs_by_state.lost ?? 0);
  return element(
    "tr",
    {},
    element("td", { class: "name" }, element("a", { href: `/grids/${grid.grid_id}` }, grid.name)),
    element("td", {}, element("span", { class: `badge ${grid.state}`, title: grid.message }, grid.state)),
    element("td", { class: "wide" }, element("div", { class: "progress", role: "img", "aria-label": label, title: label }, fill)),
    element("td", { class: "num" }, `${count(grid.runs_by_state.done ?? 0)} / ${count(grid.num_runs)}`),
    element("td", { class: "num" }, troubled ? count(troubled) : "–"),
    element("td", { class: "num" }, grid.seconds_left === null ? "–" : duration(grid.seconds_left)),
    element("td", {}, moment(grid.created_at)),
  );
}

function pager({ total, grids }) {
  const turn = (by) => () => {
    offset = Math.max(0, offset + by);
    load();
  };
  if (total <= PAGE) return [];
  return [
    element("button", { type: "button", disabled: offset === 0, onclick: turn(-PAGE) }, "Newer"),
    element("span", {}, `${count(offset + 1)}–${count(offset + grids.length)} of ${count(total)}`),
    element("button", { type: "button", disabled: offset + grids.length >= total, onclick: turn(PAGE) }, "Older"),
  ];
}

const load = () =>
  shown(async () => {
    const page = await get(`/api/grids?${query({ offset: String(offset), limit: PAGE })}`);
    $("grids").tBodies[0].replaceChildren(...page.grids.map(row));
    $("grids").hidden = !page.grids.length;
    $("no-grids").hidden = page.grids.length > 0;
    $("pager").replaceChildren(...pager(page));
  });

$("origin").textContent = location.origin;
load();
setInterval(() => document.hidden || load(), POLL_MS);
