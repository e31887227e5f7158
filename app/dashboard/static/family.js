// The networks that came out of one search, each a point for a budget of its own, and what the result is compared with.

import { get, post, Problem } from "./api.js";
import { fill, h, refill } from "./dom.js";
import * as say from "./format.js";
import { repeat } from "./repeat.js";

const NAMES = { original: "Original", final: "Result", member: "Member", uniform: "Uniformly thinned" };
const AGAIN_MS = 4000;

export class Family {
  /** `onRead(networks)` is told of the points of `/v1/jobs/{id}/curve`. */
  constructor(element, state, onRead) {
    Object.assign(this, { state, onRead, networks: [] });
    this.table = h("div", {});
    this.wanted = h("input", { type: "text", id: "family-iterations", placeholder: "some, spread over the search" });
    this.error = h("p", { class: "field-error", role: "alert", id: "family-error" });
    this.wanted.setAttribute("aria-describedby", "family-error");
    fill(
      element,
      h("p", { class: "hint" }, "One search serves fast and slow devices: the pick of any iteration can be trained to the end."),
      this.table,
      this.form(),
    );
    repeat(() => this.isGrowing() && this.read(), AGAIN_MS, state.signal);
  }

  form() {
    const form = h(
      "form",
      { class: "row" },
      h("div", { class: "field" }, h("label", { for: "family-iterations" }, "Iterations"), this.wanted),
      h("button", { type: "submit" }, "Train these picks"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.make();
    });
    return h("details", {}, h("summary", {}, "Train picks to the end"), form, this.error);
  }

  async make() {
    const words = this.wanted.value.split(/[\s,]+/).filter(Boolean);
    if (words.some((word) => !/^[1-9]\d*$/.test(word))) {
      fill(this.error, "Numbers of iterations, with commas between, such as 2, 4, 7.");
      return;
    }
    fill(this.error);
    try {
      await post(`/v1/jobs/${this.state.id}/family`, words.length ? { iterations: words.map(Number) } : {});
      await this.read();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      fill(this.error, problem.fields[0]?.detail ?? problem.message);
    }
  }

  isGrowing() {
    return this.networks.some((one) => one.kind === "member" && !say.OVER.has(one.state));
  }

  async read() {
    const { data } = await get(`/v1/jobs/${this.state.id}/curve`, { signal: this.state.signal });
    this.networks = data;
    this.onRead(data);
    refill(this.table, drawn(data.filter((one) => one.kind in NAMES)));
  }
}

function drawn(networks) {
  if (!networks.length) return h("p", { class: "quiet" }, "Shown after the first checkpoint.");
  const head = ["Network", "Latency", "Mult-adds", "Parameters", "On the hold-out", "On the test part", "Job"];
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Networks" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, networks.map(row)),
    ),
  );
}

function row(one) {
  const of = one.kind === "member" ? `, iteration ${one.iteration}` : "";
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, `${NAMES[one.kind]}${of}`),
    h("td", {}, say.latencyWithInterval(one.latency_ms)),
    h("td", { class: "number" }, say.count(one.macs)),
    h("td", { class: "number" }, say.count(one.params)),
    h("td", { class: "number" }, say.percent(one.holdout_accuracy)),
    h("td", { class: "number" }, say.percent(one.test_accuracy)),
    h("td", {}, one.kind === "member" ? h("a", { href: `#/jobs/${one.job}` }, `${one.state} (${one.job})`) : ""),
  );
}
