// A grid's results beside published ones, and what its noisy validation split chooses.

import { get, shown } from "./api.js";
import { $, element, pageData } from "./dom.js";
import { count, percent } from "./format.js";

const POLL_MS = 15_000;
const { grid_id: gridId, is_searched: isSearched } = pageData();
const BADGES = { within: "done", outside: "failed", refused: "lost", waiting: "", unpublished: "", holds: "done", "does not hold": "failed" };

const cell = (text, numeric = false) => element("td", { class: numeric ? "num" : null }, text);
const points = (share, sign = "") => (share === null ? "–" : `${share > 0 ? sign : ""}${percent(share)}`);

/** `84.71 ± 0.43 (5)`. */
function mean(value, sd, n) {
  if (value === null) return "–";
  return `${percent(value)}${sd === null ? "" : ` ± ${percent(sd)}`}${n === null ? "" : ` (${n})`}`;
}

function comparedRow({ ours, published, verdict, expected, difference, tolerance, reasons, notes }) {
  const known = expected ?? (published.last_ten ?? published.last);
  return element(
    "tr",
    {},
    cell(ours.dataset),
    cell(ours.noise),
    cell(ours.method),
    cell(ours.sigma === null ? "" : String(ours.sigma), true),
    cell(mean(ours.last_ten, ours.sd, ours.n), true),
    cell(published.source),
    cell(verdict === "refused" ? "–" : mean(known, published.sd, published.n), true),
    cell(points(difference, "+"), true),
    cell(points(tolerance), true),
    element("td", {}, element("span", { class: `badge ${BADGES[verdict]}` }, verdict)),
    element("td", { class: "why" }, [...reasons, ...notes].join("; ")),
  );
}

function showCompared({ comparisons }) {
  const rows = comparisons.filter(({ published }) => published !== null);
  const without = comparisons.length - rows.length;
  $("compared").tBodies[0].replaceChildren(...rows.map(comparedRow));
  $("compared").hidden = rows.length === 0;
  $("nothing-published").hidden = rows.length > 0;
  $("unpublished").textContent = without && rows.length ? `${count(without)} of our results have no published counterpart.` : "";
}

function ourDifference(ours) {
  if (ours === null) return "–";
  const error = ours.standard_error === null ? "" : ` ± ${percent(ours.standard_error)}`;
  return `${points(ours.mean, "+")}${error} (${ours.is_paired ? ours.n : `${ours.n}, ${ours.n_than}`})`;
}

function claimRow(claim) {
  const published = claim.published.map(({ source, difference }) => `${source} ${points(difference, "+")}`).join(", ");
  return element(
    "tr",
    {},
    cell(claim.dataset),
    cell(claim.noise),
    cell(claim.claim),
    cell(ourDifference(claim.ours), true),
    cell(published || "–"),
    element("td", {}, element("span", { class: `badge ${BADGES[claim.verdict]}` }, claim.verdict)),
    element("td", { class: "why" }, [...claim.reasons, ...claim.notes].join("; ")),
  );
}

function showClaims({ claims }) {
  $("claims").tBodies[0].replaceChildren(...claims.map(claimRow));
  $("between").hidden = claims.length === 0;
}

function searchRow(outcome, candidate, isFirst) {
  const marks = [candidate.treatment === outcome.chosen && "chosen", candidate.treatment === outcome.oracle && "oracle’s"].filter(Boolean);
  const isChosen = candidate.treatment === outcome.chosen;
  return element(
    "tr",
    {},
    cell(isFirst ? outcome.condition : ""),
    cell(isFirst ? outcome.model : ""),
    cell(candidate.treatment),
    cell(`${candidate.n} / ${candidate.num_runs}`, true),
    cell(mean(candidate.validation, candidate.validation_standard_error, null), true),
    cell(points(candidate.ceiling), true),
    cell(points(candidate.test), true),
    cell(marks.join(", ")),
    cell(isChosen ? points(outcome.regret) : "", true),
    element("td", { class: "why" }, isFirst ? outcome.notes.join("; ") : ""),
  );
}

function showSearch({ outcomes }) {
  const rows = outcomes.flatMap((outcome) => outcome.candidates.map((candidate, index) => searchRow(outcome, candidate, index === 0)));
  $("search").tBodies[0].replaceChildren(...rows);
}

const load = () =>
  shown(async () => {
    const report = await get(`/api/grids/${gridId}/compare`);
    showCompared(report);
    showClaims(report);
    if (isSearched) showSearch(await get(`/api/grids/${gridId}/search`));
  });

load();
setInterval(() => document.hidden || load(), POLL_MS);
