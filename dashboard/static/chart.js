// Live curves on a canvas (uPlot): a line and, where the curve has one, a band; the legend is a list of buttons.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { element } from "./dom.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgba = (hex, opacity) => `${hex}${Math.round(255 * opacity).toString(16).padStart(2, "0")}`;

const spread = (low, high) => (low === high ? [low - 1, high + 1] : [low, high]);

export class Chart {
  /**
   * `format(value, digits)` writes a value. A curve is {name, color, dashed, epochs, mean, low, high, n}. Charts that
   * share `hidden` (a set of names) hide the same curves; `onToggle` is where the others hear of it.
   */
  constructor(container, legend, { format, height = 320, hidden = new Set(), onToggle = () => {} }) {
    Object.assign(this, { container, legend, format, height, hidden, onToggle, curves: [], plot: null, shape: "", range: {}, zoomed: false });
    new ResizeObserver(() => this.plot?.setSize(this.#size())).observe(container);
    document.addEventListener("themechange", () => this.#rebuild());
  }

  /** Shows curves. The same curves with more epochs are only redrawn; others start a new chart. */
  show(curves, title, range = {}) {
    this.curves = curves;
    this.range = range;
    const shape = JSON.stringify([title, curves.map((curve) => [curve.name, curve.color, Boolean(curve.low)])]);
    if (this.plot && shape === this.shape) {
      this.plot.setData(this.#data(), !this.zoomed);
      if (this.zoomed) this.plot.redraw();
      this.#readout(null);
      return;
    }
    this.shape = shape;
    this.#rebuild();
  }

  /** Hides and shows curves as `hidden` says. */
  update() {
    this.curves.forEach((curve, index) => {
      const show = !this.hidden.has(curve.name);
      this.values?.[index]?.parentElement.setAttribute("aria-pressed", String(show));
      if (this.plot) this.#rows(index).forEach((row) => this.plot.setSeries(row, { show }));
    });
  }

  #size() {
    return { width: Math.max(200, this.container.clientWidth), height: this.height };
  }

  /** Columns for uPlot: all epochs, then low, high and mean of each curve (only mean without a band). */
  #data() {
    const epochs = [...new Set(this.curves.flatMap((curve) => curve.epochs))].sort((a, b) => a - b);
    const place = new Map(epochs.map((epoch, index) => [epoch, index]));
    const column = (curve, values) => {
      const filled = new Array(epochs.length).fill(null);
      curve.epochs.forEach((epoch, index) => (filled[place.get(epoch)] = values[index]));
      return filled;
    };
    return [epochs, ...this.curves.flatMap((curve) => this.#parts(curve).map((part) => column(curve, curve[part])))];
  }

  #parts(curve) {
    return curve.low ? ["low", "high", "mean"] : ["mean"];
  }

  #rebuild() {
    this.plot?.destroy();
    this.plot = null;
    this.zoomed = false;
    if (!this.curves.some((curve) => curve.epochs.length)) {
      this.container.replaceChildren(element("p", { class: "blank" }, "No epoch recorded yet"));
      this.legend.replaceChildren();
      return;
    }
    this.container.replaceChildren();
    this.plot = new uPlot(this.#options(), this.#data(), this.container);
    this.#drawLegend();
  }

  #options() {
    const series = [{ label: "epoch" }];
    const bands = [];
    // Many bands lie on top of each other.
    const opacity = Math.min(0.18, Math.max(0.06, 0.6 / this.curves.length));
    for (const curve of this.curves) {
      const show = !this.hidden.has(curve.name);
      for (const part of this.#parts(curve)) {
        const isLine = part === "mean";
        const stroke = isLine ? curve.color : "transparent";
        const points = { show: isLine && curve.epochs.length < 2, size: 6, fill: curve.color };
        series.push({ label: `${curve.name} ${part}`, show, stroke, width: isLine ? 2 : 0, points, dash: curve.dashed ? [6, 4] : undefined });
      }
      if (curve.low) bands.push({ series: [series.length - 2, series.length - 3], fill: rgba(curve.color, opacity) });
    }
    const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    return {
      ...this.#size(),
      series,
      bands,
      legend: { show: false },
      padding: [12, 12, 0, 0],
      scales: {
        x: { time: false, range: (_, low, high) => spread(...((!this.zoomed && this.range.x) || [low, high])) },
        y: { range: (_, low, high) => (!this.zoomed && this.range.y) || uPlot.rangeNum(low ?? 0, high ?? 1, 0.06, true) },
      },
      axes: [
        { ...axis, size: 28, gap: 6, label: "epoch", labelSize: 18, labelGap: 0, labelFont: "12px system-ui, sans-serif", incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000] },
        { ...axis, size: 52, values: (_, ticks, axisIndex, space, step) => ticks.map((tick) => this.format(tick, step)) },
      ],
      // Dragging zooms in, a double click shows everything again; new epochs leave a zoomed chart where it is.
      cursor: { points: { show: false }, drag: { x: true, y: false }, bind: { dblclick: (_plot, _target, handler) => (event) => this.#unzoom(handler, event) } },
      hooks: { setCursor: [(plot) => this.#readout(plot.cursor.idx)], setSelect: [() => (this.zoomed = true)] },
    };
  }

  #unzoom(handler, event) {
    this.zoomed = false;
    return handler(event);
  }

  #drawLegend() {
    this.values = this.curves.map(() => element("span", { class: "value" }));
    const rows = this.curves.map((curve, index) => {
      const swatch = element("span", { class: curve.dashed ? "swatch dashed" : "swatch", style: { borderColor: curve.color } });
      const press = () => {
        if (!this.hidden.delete(curve.name)) this.hidden.add(curve.name);
        this.update();
        this.onToggle();
      };
      const pressed = String(!this.hidden.has(curve.name));
      return element("li", {}, element("button", { type: "button", "aria-pressed": pressed, onclick: press }, swatch, curve.name, this.values[index]));
    });
    this.legend.replaceChildren(...rows);
    this.#readout(null);
  }

  /** The places of a curve's series in uPlot's list. */
  #rows(index) {
    const before = this.curves.slice(0, index).reduce((sum, curve) => sum + this.#parts(curve).length, 1);
    return this.#parts(this.curves[index]).map((_, part) => before + part);
  }

  /** The values under the cursor, or the last ones. */
  #readout(place) {
    if (!this.values) return;
    const epoch = place === null || place === undefined ? null : this.plot.data[0][place];
    this.curves.forEach((curve, index) => {
      const at = epoch === null ? curve.epochs.length - 1 : curve.epochs.indexOf(epoch);
      const mean = curve.mean[at];
      if (mean === null || mean === undefined) return (this.values[index].textContent = "–");
      const spread = curve.n && curve.n[at] > 1 ? ` ± ${this.format(curve.high[at] - mean)}` : "";
      this.values[index].textContent = `${this.format(mean)}${spread}${curve.n ? ` (${curve.n[at]})` : ""}`;
    });
  }
}
