// Several jobs on one chart: the picks of each, joined.

import { all, get } from "./api.js";
import { fill, h } from "./dom.js";
import * as say from "./format.js";
import { Plot } from "./plot.js";
import { attempt } from "./repeat.js";

const COLOURS = ["pick", "accent", "original", "good", "limit", "warn"];

export async function comparePage(element, named, left) {
  const { data: jobs } = await get("/v1/jobs?limit=100", { signal: left });
  const chosen = new Set(named.split(",").filter(Boolean));
  const resource = h(
    "select",
    { id: "compare-resource" },
    Object.entries(say.RESOURCES).map(([name, words]) => h("option", { value: name }, words)),
  );
  const chart = h("div", {});
  const known = new Map();
  const draw = () =>
    attempt(async () => {
      for (const id of chosen)
        if (!known.has(id)) known.set(id, await all(`/v1/jobs/${id}/checkpoints`, { limit: 500 }));
      if (!left.aborted)
        show(
          chart,
          jobs.filter((job) => chosen.has(job.id)),
          known,
          resource.value,
        );
    }, left);
  resource.addEventListener("change", draw);
  const boxes = jobs.map((job) =>
    h(
      "li",
      {},
      h(
        "label",
        {},
        h("input", {
          type: "checkbox",
          checked: chosen.has(job.id),
          onchange: async (event) => {
            chosen[event.target.checked ? "add" : "delete"](job.id);
            history.replaceState(null, "", `#/compare/${[...chosen].join(",")}`);
            await draw();
          },
        }),
        ` ${title(job)}`,
        h("span", { class: "hint" }, ` ${say.budget(job.budget, job.limits)}, ${job.state}, ${job.id}`),
      ),
    ),
  );
  fill(
    element,
    h("h1", {}, "Compare"),
    jobs.length
      ? h("fieldset", {}, h("legend", {}, "Jobs"), h("ul", { class: "log" }, boxes))
      : h("p", {}, "There are no jobs yet."),
    h("div", { class: "field" }, h("label", { for: "compare-resource" }, "Accuracy against"), resource),
    chart,
  );
  await draw();
}

function show(chart, jobs, known, resource) {
  fill(chart);
  if (!jobs.length) {
    fill(chart, h("p", { class: "quiet" }, "Tick two jobs or more."));
    return;
  }
  const series = jobs.map((job, index) => ({
    label: title(job),
    colour: COLOURS[index % COLOURS.length],
    line: true,
    walk: true,
    size: 9,
    points: points(job, known.get(job.id), resource),
  }));
  const legend = h("ul", { class: "legend" });
  chart.append(legend);
  const plot = new Plot(chart, {
    x: resource === "latency_ms" ? "latency, measured [ms]" : say.RESOURCES[resource],
    y: "accuracy on the hold-out [%]",
    label: "Jobs compared",
    describe: (point) =>
      `${title(point.job)}, ${point.words}: ${say.resource(resource, point.x)}, accuracy ${point.y.toFixed(1)} %`,
    onOpen: (point) => {
      location.hash = `#/jobs/${point.job.id}`;
    },
  });
  fill(
    legend,
    series.map((one) => h("li", {}, h("span", { class: `of-${one.colour}` }), one.label)),
  );
  plot.show(series);
}

function points(job, checkpoints, resource) {
  return checkpoints
    .filter((one) => one.kind !== "final" && one.kind !== "uniform" && say.onHoldout(one) !== null)
    .map((one) => ({
      job,
      x: say.figure(one, resource),
      y: 100 * say.onHoldout(one),
      words: one.kind === "original" ? "original" : `iteration ${one.iteration}`,
    }))
    .filter((point) => point.x !== null);
}

function title(job) {
  return job.name || `${job.model} ${job.id.slice(-6)}`;
}
