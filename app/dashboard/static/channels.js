// Channels per layer, now against the original: one bar for all the layers that can only shrink together.

import { fill, h } from "./dom.js";

export class Channels {
  constructor(element, model) {
    Object.assign(this, { element, model, filters: null });
    fill(element, h("p", { class: "quiet" }, "Shown after the first checkpoint."));
  }

  /** The checkpoint that the job's result or current network names. */
  result(job) {
    this.named = job.result?.checkpoint ?? job.current?.checkpoint ?? null;
    this.draw();
  }

  show(checkpoints) {
    this.checkpoints = checkpoints;
    this.draw();
  }

  draw() {
    if (!this.checkpoints?.size) return;
    const known = [...this.checkpoints.values()];
    const now = this.checkpoints.get(this.named) ?? known.at(-1);
    const before = this.checkpoints.get("0") ?? known[0];
    const groups = new Map((this.model?.groups ?? []).map((group) => [group.id, group]));
    fill(
      this.element,
      h("p", { class: "hint" }, `Checkpoint ${now.checkpoint}; layers named together shrink together.`),
      h(
        "div",
        { class: "bars" },
        Object.entries(now.filters).map(([id, count]) =>
          bar(groups.get(id), id, count, before.filters[id] ?? groups.get(id)?.channels ?? count),
        ),
      ),
    );
  }
}

function bar(group, id, now, before) {
  const layers = group ? group.layers.join(", ") : id;
  return h(
    "div",
    {},
    h("div", { class: "bar-label" }, h("span", {}, layers), h("span", {}, `${now} of ${before}`)),
    h("div", { class: "bar", "aria-hidden": "true" }, h("div", { width: `${(100 * now) / before}%` })),
  );
}
