// The files of each checkpoint, with what they weigh and how fast they are.

import { h } from "./dom.js";
import * as say from "./format.js";

export function downloads(job, checkpoints) {
  const rows = [...checkpoints.values()];
  if (!rows.length) return h("p", { class: "quiet" }, "Files are written with the original and with every pick.");
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
    h("td", { class: "number" }, say.percent(one.accuracy)),
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
