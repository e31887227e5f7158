// The log of a job: its events in words, the newest first.

import { fill, h } from "./dom.js";
import * as say from "./format.js";

const WORDS = {
  state: (job) => `${job.state}${job.error ? `: ${job.error.detail || job.error.title}` : ""}`,
  phase: (job) => (job.phase ? `now ${job.phase.replaceAll("-", " ")}` : "between two phases"),
  measurement: (data) => measured(data),
  iteration: (one) =>
    one.finished_at
      ? `iteration ${one.iteration} is over, ${after(one)}`
      : `iteration ${one.iteration} begins, ${after({ after: one.constraint })} wanted`,
  proposal: (one) =>
    `iteration ${one.iteration}: ${one.group} from ${one.filters_before} to ${one.filters_after ?? "–"} filters, ${one.state}${one.accuracy === null ? "" : `, accuracy ${say.percent(one.accuracy)}`}`,
  checkpoint: (one) => `checkpoint ${one.checkpoint} written, ${say.latencyWithInterval(one.latency_ms)}`,
  message: (data) => data.text,
};

export function drawEvents(list, events) {
  fill(
    list,
    events
      .slice(-200)
      .reverse()
      .map((event) =>
        h(
          "li",
          {},
          h("time", { datetime: event.at }, new Date(event.at).toLocaleTimeString()),
          WORDS[event.event] ? WORDS[event.event](event.data) : event.event,
        ),
      ),
  );
}

/** The original's figures, or the latency of one network: a checkpoint by its number, or another by its name. */
function measured({ key, latency_ms: figures, latency }) {
  const what = /^\d+$/.test(key) ? `checkpoint ${key}` : key;
  if (figures) return `measured ${what}: ${say.latency({ latency_ms: figures })}`;
  return `${latency.measured === false ? "predicted" : "measured"} ${what}: ${say.ms(latency.ms)}`;
}

function after(one) {
  return Object.entries(one.after || {})
    .map(([name, value]) => `${say.RESOURCES[name] || name} ${say.resource(name, value)}`)
    .join(", ");
}
