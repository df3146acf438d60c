// Plotly figures from the service, in the page's colours.

import { get } from "./api.js";
import { element } from "./dom.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// The service's figures stand on a white page by themselves; here they take the page's colours.
const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };

// Plotly shrinks a cell's text until it fits; below so many pixels a character nobody reads it.
const CHARACTER_PIXELS = 4.5;
// Row names and colour bar.
const AROUND_CELLS = 160;
const MIN_PANEL = 200;
const TITLE_HEIGHT = 52;
const BARE_TOP = 12;

/** A heat map whose cells are too narrow for their text shows it when it is pointed at. */
function legible(trace, width) {
  if (trace.type !== "heatmap" || !trace.texttemplate) return trace;
  const lines = trace.text.flat().flatMap((text) => text.replace(/<\/?b>/g, "").split("<br>"));
  const needed = CHARACTER_PIXELS * Math.max(...lines.map((line) => line.length));
  const isCrowded = (width - AROUND_CELLS) / trace.z[0].length < needed;
  return isCrowded ? { ...trace, texttemplate: "" } : trace;
}

/** A table in the page's colours. */
function tabled(trace) {
  if (trace.type !== "table") return trace;
  const inked = (part, fill) => ({ ...part, fill: { color: color(fill) }, line: { color: color("--line") }, font: { ...part.font, color: color("--ink") } });
  return { ...trace, header: inked(trace.header, "--hover"), cells: inked(trace.cells, "--card") };
}

/** A figure's layout with the page's background, ink and lines; its title stands above it, as text of the page. */
function themed(layout) {
  const line = { gridcolor: color("--line"), linecolor: color("--line"), tickcolor: color("--line") };
  const axes = Object.keys(layout).filter((key) => /^[xy]axis/.test(key));
  const margin = { ...layout.template?.layout?.margin, ...layout.margin };
  const top = layout.annotations?.length ? margin.t - TITLE_HEIGHT : BARE_TOP;
  const patched = {
    ...layout,
    title: { text: "" },
    margin: { ...margin, t: top },
    height: (layout.height ?? 310) - (margin.t - top),
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { ...layout.font, color: color("--ink") },
    hoverlabel: { bgcolor: color("--card"), bordercolor: color("--line"), font: { color: color("--ink") } },
  };
  for (const key of [...axes, "xaxis", "yaxis"]) patched[key] = { ...layout[key], ...line };
  return patched;
}

let plotly = null;

/** Plotly is 4.8 MB of script: it is fetched when the first figure is wanted, when curves and table stand already. */
function loadPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const { plotly: src } = document.querySelector("[data-plotly]").dataset;
    const fail = () => reject(new Error("Plotly did not load: figures are missing."));
    document.head.append(element("script", { src, onload: () => resolve(window.Plotly), onerror: fail }));
  });
  return plotly;
}

export class Figure {
  constructor(container) {
    Object.assign(this, { container, figure: null, asked: 0 });
    document.addEventListener("themechange", () => this.#draw());
  }

  /** Fetches and draws; an answer that was overtaken by a later question is dropped. */
  async load(path) {
    const asked = ++this.asked;
    const figure = await get(path);
    if (asked !== this.asked) return;
    this.figure = figure;
    await this.#draw();
  }

  /** How many panels have room beside each other. */
  get columns() {
    return Math.max(1, Math.min(6, Math.floor(this.container.clientWidth / MIN_PANEL)));
  }

  async #draw() {
    if (!this.figure) return;
    const Plotly = await loadPlotly();
    // Plotly writes into what it is given, and the figure is drawn again when the theme changes.
    const { data, layout } = structuredClone(this.figure);
    const [title, ...more] = (layout.title?.text ?? "").split("<br>").map((line) => line.replace(/<[^>]*>/g, ""));
    const caption = this.container.parentElement.querySelector("figcaption");
    caption?.replaceChildren(title, ...more.map((line) => element("small", {}, line)));
    const traces = data.map((trace) => tabled(legible(trace, this.container.clientWidth)));
    const own = themed(layout);
    this.container.style.height = `${own.height}px`;
    await Plotly.react(this.container, traces, own, CONFIG);
  }
}
