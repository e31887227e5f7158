// The files of each checkpoint, with what they weigh and how fast they are.

import { h, refill } from "./dom.js";
import * as say from "./format.js";

const PAGE = 20;
const FIRST = { final: 0, uniform: 1, original: 2 };

/** What somebody wants is what was found last: the result, then the newest iterations; the others on request. */
export class Downloads {
  constructor(element) {
    Object.assign(this, { element, shown: PAGE });
  }

  show(job, checkpoints) {
    const rows = [...checkpoints.values()].sort((one, other) => rank(one) - rank(other));
    const more = h("button", { type: "button", onclick: () => this.showMore(job, checkpoints) }, "Show more");
    refill(
      this.element,
      rows.length
        ? table(job, rows.slice(0, this.shown))
        : h("p", { class: "quiet" }, "Files are written with the original and with every pick."),
      rows.length > this.shown
        ? h("div", { class: "actions" }, more, h("span", { class: "hint" }, `${this.shown} of ${rows.length}`))
        : null,
    );
  }

  showMore(job, checkpoints) {
    this.shown += 5 * PAGE;
    this.show(job, checkpoints);
  }
}

function rank(one) {
  return FIRST[one.kind] ?? 1e9 - one.iteration;
}

function table(job, rows) {
  const head = ["Checkpoint", "Latency", "Mult-adds", "Parameters", "Accuracy", "Files"];
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Downloads" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((name) => h("th", { scope: "col" }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((one) => row(job, one)),
      ),
    ),
  );
}

function row(job, one) {
  const name = { original: "Original", final: "Result", uniform: "Uniformly thinned" }[one.kind] || `Iteration ${one.iteration}`;
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, name),
    h("td", {}, say.latencyWithInterval(one.latency_ms)),
    h("td", { class: "number" }, say.count(one.macs)),
    h("td", { class: "number" }, say.count(one.params)),
    h("td", { class: "number" }, `${say.percent(one.accuracy)} ${one.kind === "pick" ? "hold-out" : "test"}`),
    h(
      "td",
      {},
      one.files.map((file) =>
        h(
          "div",
          {},
          h("a", { href: file.url, download: `${job.id}-${one.checkpoint}.${file.format}` }, file.format),
          ` ${say.bytes(file.bytes)}`,
        ),
      ),
    ),
  );
}
