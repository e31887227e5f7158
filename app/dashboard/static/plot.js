// uPlot, dressed in the page's colours: dots and lines over one x, with the nearest point told and keys to walk by.

import { h } from "./dom.js";

const HEIGHT = 340;
const NEAR_PX = 30;
const RING_PX = 1.5;
const RINGS_AT_ONCE = 200;

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * A chart in `element`. `series`: [{label, colour, points: [{x, y, ...}], line, hollow, size, walk}], x ascending or not.
 * `lines`: [{x, colour}] upright. `describe(point)` makes the text of a point; `onOpen(point)` is told of a click or Enter.
 */
export class Plot {
  constructor(element, { x, y, label, describe, onOpen = () => {} }) {
    Object.assign(this, { element, x, y, describe, onOpen, series: [], lines: [], chosen: null });
    this.place = h("div", { class: "chart", tabindex: 0, role: "application", "aria-label": label });
    this.readout = h("p", { class: "readout", role: "status" });
    const reset = h("button", { type: "button", onclick: () => this.reset() }, "Whole chart");
    element.append(
      this.place,
      this.readout,
      h(
        "div",
        { class: "row" },
        reset,
        h(
          "span",
          { class: "hint" },
          "Drag to look closer. With the chart focused, arrow keys walk along the points that are joined; Enter opens one.",
        ),
      ),
    );
    this.place.addEventListener("keydown", (event) => this.key(event));
    this.observer = new ResizeObserver(() => this.plot && this.plot.setSize({ width: this.width(), height: HEIGHT }));
    this.observer.observe(this.place);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => (this.place.isConnected ? this.draw() : this.close());
    this.dark.addEventListener("change", redraw);
    this.close = () => {
      this.dark.removeEventListener("change", redraw);
      this.observer.disconnect();
      this.plot?.destroy();
    };
  }

  show(series, lines = []) {
    const shape = JSON.stringify(series.map(({ label, colour: name }) => [label, name]));
    Object.assign(this, { series, lines });
    if (this.plot && shape === this.shape) this.plot.setData(this.data(), !this.closer);
    else this.draw();
    this.shape = shape;
  }

  draw() {
    this.closer = false;
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), this.data(), this.place);
    this.plot.over.addEventListener("mousemove", (event) => this.tell(this.nearest(event.offsetX, event.offsetY)));
    this.plot.over.addEventListener("click", (event) => {
      const point = this.nearest(event.offsetX, event.offsetY);
      if (point) this.onOpen(point);
    });
    this.plot.over.addEventListener("dblclick", () => {
      this.closer = false;
    });
  }

  options() {
    const axis = (name) => ({
      label: name,
      stroke: colour("ink"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { stroke: colour("line") },
    });
    const padded = (_plot, low, high) => {
      if (low === null) return [0, 1];
      const space = 0.06 * (high - low || Math.abs(high) || 1);
      return [low - space, high + space];
    };
    return {
      width: this.width(),
      height: HEIGHT,
      legend: { show: false },
      scales: {
        x: { time: false, range: (plot, low, high) => padded(plot, ...this.withLines(low, high)) },
        y: { range: padded },
      },
      axes: [axis(this.x), { ...axis(this.y), size: 64 }],
      cursor: { points: { show: false }, drag: { x: true, y: true, uni: 20 } },
      series: [{}, ...this.series.map((one) => this.drawn(one))],
      hooks: {
        draw: [(plot) => this.drawLines(plot)],
        setSelect: [
          (plot) => {
            this.closer ||= plot.select.width > 0;
          },
        ],
      },
    };
  }

  drawn({ label, colour: name, line, hollow, size = 6 }) {
    const stroke = colour(name);
    return {
      label,
      stroke,
      spanGaps: true,
      width: line ? 2 : 0,
      paths: line ? undefined : (...asked) => (hollow ? drawRings(stroke, size, ...asked) : null),
      points: { show: !hollow, size, stroke, fill: stroke, width: 0 },
    };
  }

  /** One ascending x for all series, as uPlot wants it; each has a y or null there. */
  data() {
    const owners = new Map();
    this.series.forEach((one, index) => one.points.forEach((point) => owners.set(point, index)));
    this.points = [...owners.keys()].sort((one, other) => one.x - other.x);
    this.walk = this.points.filter((point) => this.series[owners.get(point)].walk);
    const columns = this.series.map(() => new Array(this.points.length).fill(null));
    this.points.forEach((point, index) => {
      columns[owners.get(point)][index] = point.y;
    });
    return [this.points.map((point) => point.x), ...columns];
  }

  withLines(low, high) {
    if (low === null) return [low, high];
    const all = [low, high, ...this.lines.map((line) => line.x)];
    return [Math.min(...all), Math.max(...all)];
  }

  drawLines(plot) {
    const { ctx, bbox } = plot;
    for (const { x, colour: name } of this.lines) {
      const at = plot.valToPos(x, "x", true);
      if (at < bbox.left || at > bbox.left + bbox.width) continue;
      ctx.save();
      Object.assign(ctx, { strokeStyle: colour(name), lineWidth: 2 * devicePixelRatio });
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    }
  }

  nearest(left, top) {
    let best = null;
    let distance = NEAR_PX ** 2;
    const last = this.plot.posToVal(left + NEAR_PX, "x");
    for (let at = this.firstFrom(this.plot.posToVal(left - NEAR_PX, "x")); this.points[at]?.x <= last; at += 1) {
      const point = this.points[at];
      const far = (this.plot.valToPos(point.x, "x") - left) ** 2 + (this.plot.valToPos(point.y, "y") - top) ** 2;
      if (far < distance) [best, distance] = [point, far];
    }
    return best;
  }

  /** Index of the first point that is not left of `x`. */
  firstFrom(x) {
    let [low, high] = [0, this.points.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.points[middle].x < x) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  tell(point) {
    this.chosen = point;
    this.readout.textContent = point ? this.describe(point) : "";
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (event.key === "Enter" && this.chosen) {
      event.preventDefault(); // or it presses the button too that is focused in what opens
      this.onOpen(this.chosen);
    }
    if (event.key === "Escape") this.reset();
    if (!step) return;
    event.preventDefault();
    const { walk } = this;
    if (!walk.length) return;
    const at = walk.indexOf(this.chosen);
    this.tell(walk[at < 0 ? (step > 0 ? 0 : walk.length - 1) : (at + step + walk.length) % walk.length]);
  }

  reset() {
    this.closer = false;
    this.plot.setData(this.plot.data, true);
  }

  width() {
    return Math.max(240, this.place.clientWidth);
  }
}

/** Of a series what uPlot would stroke as one path, for which a browser needs nearly twice the time. */
function drawRings(stroke, size, { ctx, bbox, data, valToPos }, index, first, last) {
  const radius = ((size - RING_PX) / 2) * devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  Object.assign(ctx, { strokeStyle: stroke, lineWidth: RING_PX * devicePixelRatio });
  for (let from = first; from <= last; from += RINGS_AT_ONCE) {
    ctx.beginPath();
    for (let at = from; at <= Math.min(last, from + RINGS_AT_ONCE - 1); at += 1) {
      if (data[index][at] === null) continue;
      const [x, y] = [valToPos(data[0][at], "x", true), valToPos(data[index][at], "y", true)];
      ctx.moveTo(x + radius, y);
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
    }
    ctx.stroke();
  }
  ctx.restore();
  return null; // uPlot has nothing left to draw
}
