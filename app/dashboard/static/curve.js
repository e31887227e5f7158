// The trade-off curve of a job: accuracy against what it costs. Every proposal is a dot, what was picked is joined.

import { fill, h } from "./dom.js";
import * as say from "./format.js";
import { Plot } from "./plot.js";

const LEGEND = [
  ["dot", "proposal (predicted)"],
  ["ring", "pick (predicted)"],
  ["pick", "pick (measured)"],
  ["original", "original"],
  ["of-good", "result"],
  ["of-accent", "of the family"],
  ["of-warn", "uniformly thinned"],
  ["limit", "budget"],
];
const WORDS = { final: "result", member: "member", uniform: "uniformly thinned" };
const TRAINED = { final: "good", member: "accent", uniform: "warn" };

export class Curve {
  constructor(element, onOpen) {
    this.choice = h(
      "select",
      { id: "resource" },
      Object.entries(say.RESOURCES).map(([name, words]) => h("option", { value: name }, words)),
    );
    this.legend = h("ul", { class: "legend" });
    this.place = h("div", {});
    Object.assign(this, { onOpen, networks: [] });
    element.append(
      h("div", { class: "field" }, h("label", { for: "resource" }, "Accuracy against"), this.choice),
      this.legend,
      this.place,
    );
    this.choice.addEventListener("change", () => this.show(this.state));
  }

  /** The points of the job's curve: of those that were trained to the end the colours are in `TRAINED`. */
  showNetworks(networks) {
    this.networks = networks;
    if (this.state) this.show(this.state);
  }

  show(state) {
    if (!this.state) this.choice.value = "latency_ms" in state.job.budget ? "latency_ms" : Object.keys(state.job.budget)[0];
    this.state = state;
    const resource = this.choice.value;
    if (this.resource !== resource) this.begin(resource);
    this.plot.show([...series(state, resource), ...trained(this.networks, resource)], limits(state.job, resource));
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
  const dots = [...state.proposals.values()].filter(
    (one) => one.accuracy !== null && one.state !== "raced-out" && one.predicted?.[resource] !== undefined,
  );
  const latency = resource === "latency_ms";
  const at = (one, which) => (latency ? one.latency_ms[which] : one[resource]);
  const drawn = (which, kind) =>
    picks
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
      points: latency ? drawn("predicted", "pick, predicted") : [],
    },
    {
      label: "measured",
      colour: "pick",
      size: 9,
      line: true,
      walk: true,
      points: drawn("measured", latency ? "pick, measured" : "pick"),
    },
    {
      label: "original",
      colour: "original",
      size: 13,
      walk: true,
      points: originalPoint(state.job.original, resource),
    },
  ];
}

/** Networks that were trained to the end, by their accuracy on the hold-out like all others. */
function trained(networks, resource) {
  const cost = (one) => (resource === "latency_ms" ? one.latency_ms.measured : one[resource]);
  return Object.entries(TRAINED).map(([kind, colour]) => ({
    label: kind,
    colour,
    size: 11,
    walk: true,
    points: networks
      .filter((one) => one.kind === kind && cost(one) !== null && one.holdout_accuracy !== null)
      .map((one) => ({ x: cost(one), y: 100 * one.holdout_accuracy, kind: WORDS[kind], network: one })),
  }));
}

/** By its accuracy on the hold-out like all others; an earlier version did not keep that. */
function originalPoint(original, resource) {
  const [x, y] = [say.figure(original, resource), original?.holdout_accuracy ?? null];
  return x === null || y === null ? [] : [{ x, y: 100 * y, kind: "original", checkpoint: { checkpoint: "0" } }];
}

function limits(job, resource) {
  const limit = job.limits?.[resource];
  return limit === undefined ? [] : [{ x: limit, colour: "limit" }];
}

function describe(point, resource) {
  const figures = `${say.resource(resource, point.x)}, accuracy ${point.y.toFixed(1)} %`;
  if (point.network) return `${point.kind}, of iteration ${point.network.iteration}: ${figures}`;
  if (!point.proposal)
    return `${point.kind}${point.kind === "original" ? "" : ` of iteration ${point.checkpoint.iteration}`}: ${figures}`;
  const { iteration, group, filters_before: before, filters_after: after, picked } = point.proposal;
  return `Proposal of iteration ${iteration}: ${group} from ${before} to ${after ?? "?"} filters, predicted ${figures}${picked ? ", picked" : ""}`;
}
