// The trade-off curve of a job: accuracy against what it costs. Every proposal is a dot, what was picked is joined.

import { fill, h } from "./dom.js";
import * as say from "./format.js";
import { Plot } from "./plot.js";

const LEGEND = [
  ["dot", "proposal (predicted)"],
  ["ring", "pick (predicted)"],
  ["pick", "pick (measured)"],
  ["original", "original"],
  ["limit", "budget"],
];

export class Curve {
  constructor(element, onOpen) {
    this.choice = h(
      "select",
      { id: "resource" },
      Object.entries(say.RESOURCES).map(([name, words]) => h("option", { value: name }, words)),
    );
    this.legend = h("ul", { class: "legend" });
    this.place = h("div", {});
    this.onOpen = onOpen;
    element.append(
      h("div", { class: "field" }, h("label", { for: "resource" }, "Accuracy against"), this.choice),
      this.legend,
      this.place,
    );
    this.choice.addEventListener("change", () => this.show(this.state));
  }

  show(state) {
    if (!this.state) this.choice.value = Object.keys(state.job.budget)[0];
    this.state = state;
    const resource = this.choice.value;
    if (this.resource !== resource) this.begin(resource);
    this.plot.show(series(state, resource), limits(state.job, resource));
  }

  begin(resource) {
    this.resource = resource;
    this.plot?.close();
    fill(this.place);
    const counted = resource !== "latency_ms";
    fill(
      this.legend,
      LEGEND.filter(([name]) => !counted || name !== "ring").map(([name, words]) =>
        h("li", {}, h("span", { class: name }), counted ? words.replace(/ \(.*\)/, "") : words),
      ),
    );
    const words = resource === "latency_ms" ? "latency [ms]" : say.RESOURCES[resource];
    this.plot = new Plot(this.place, {
      x: words,
      y: "accuracy on the hold-out [%]",
      label: `Accuracy against ${words}`,
      describe: (point) => describe(point, resource),
      onOpen: this.onOpen,
    });
  }
}

function series(state, resource) {
  const checkpoints = [...state.checkpoints.values()];
  const picks = checkpoints.filter((one) => one.kind === "pick");
  const original = checkpoints.filter((one) => one.kind === "original");
  const dots = [...state.proposals.values()].filter(
    (one) => one.accuracy !== null && one.predicted?.[resource] !== undefined,
  );
  const latency = resource === "latency_ms";
  const at = (one, which) => (latency ? one.latency_ms[which] : one[resource]);
  const drawn = (chosen, which, kind) =>
    chosen
      .filter((one) => at(one, which) !== null && one.accuracy !== null)
      .map((one) => ({ x: at(one, which), y: 100 * one.accuracy, kind, checkpoint: one }));
  return [
    {
      label: "proposals",
      colour: "dot",
      size: 5,
      hollow: true,
      points: dots.map((one) => ({
        x: one.predicted[resource],
        y: 100 * one.accuracy,
        kind: "proposal",
        proposal: one,
      })),
    },
    {
      label: "predicted",
      colour: "pick",
      size: 8,
      hollow: true,
      points: latency ? drawn(picks, "predicted", "pick, predicted") : [],
    },
    {
      label: "measured",
      colour: "pick",
      size: 9,
      line: true,
      walk: true,
      points: drawn(picks, "measured", latency ? "pick, measured" : "pick"),
    },
    {
      label: "original",
      colour: "original",
      size: 13,
      walk: true,
      points: originalPoint(state.job, original, resource, drawn),
    },
  ];
}

/** Its accuracy on the hold-out stands with the checkpoint; before that is written, the one on the test set will do. */
function originalPoint(job, checkpoints, resource, drawn) {
  const found = drawn(checkpoints, "measured", "original");
  const x = say.figure(job.original, resource);
  if (found.length || !job.original || x === null || job.original.accuracy === null) return found;
  return [
    {
      x,
      y: 100 * job.original.accuracy,
      kind: "original",
      checkpoint: { checkpoint: "0", accuracy: job.original.accuracy },
    },
  ];
}

function limits(job, resource) {
  const limit = job.limits?.[resource];
  return limit === undefined ? [] : [{ x: limit, colour: "limit" }];
}

function describe(point, resource) {
  const figures = `${say.resource(resource, point.x)}, accuracy ${point.y.toFixed(1)} %`;
  if (!point.proposal)
    return `${point.kind}${point.kind === "original" ? "" : ` of iteration ${point.checkpoint.iteration}`}: ${figures}`;
  const { iteration, group, filters_before: before, filters_after: after, picked } = point.proposal;
  return `Proposal of iteration ${iteration}: ${group} from ${before} to ${after ?? "?"} filters, predicted ${figures}${picked ? ", picked" : ""}`;
}
