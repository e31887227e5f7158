// The table of proposals: every one with the reason why it was not picked; sorted, filtered and paged in the browser.

import { facts, h, refill } from "./dom.js";
import * as say from "./format.js";

const PAGE = 25;
const COLUMNS = [
  ["Iteration", "iteration", (one) => one.iteration, true],
  ["Group", "group", (one) => [one.group, ...Object.keys(one.further || {})].join(" + "), false],
  ["Filters", "filters_after", (one) => `${one.filters_before} → ${one.filters_after ?? "–"}`, true],
  ["State", "state", (one) => (one.picked ? "picked" : one.state), false],
  ["Accuracy", "accuracy", (one) => say.percent(one.accuracy), true],
  ["Change", "delta_accuracy", (one) => say.points(one.delta_accuracy), true],
  [
    "Latency",
    "latency",
    (one) => (one.predicted?.latency_ms === undefined ? "–" : say.ms(one.predicted.latency_ms)),
    true,
  ],
  ["Why", "reason", (one) => one.reason || (one.picked ? "picked" : ""), false],
];

export class ProposalsTable {
  constructor(element) {
    Object.assign(this, { all: [], page: 0, sorted: "iteration", up: false });
    this.text = h("input", { type: "search", id: "proposal-search", placeholder: "layer or reason" });
    this.which = h(
      "select",
      { id: "proposal-state" },
      ["all", "picked", "evaluated", "raced-out", "skipped", "failed"].map((name) =>
        h("option", { value: name }, name),
      ),
    );
    this.iteration = h("input", { type: "number", id: "proposal-iteration", min: 1, placeholder: "all" });
    this.summary = h("p", { class: "hint", role: "status" });
    this.body = h("tbody", {});
    this.heads = COLUMNS.map(([title, key, , number]) =>
      h(
        "th",
        { scope: "col", class: number ? "number" : "" },
        h("button", { type: "button", onclick: () => this.sort(key) }, title),
      ),
    );
    this.previous = h("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.next = h("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    for (const input of [this.text, this.which, this.iteration])
      input.addEventListener("input", () => {
        this.page = 0;
        this.draw();
      });
    const field = (label, input) => h("div", { class: "field" }, h("label", { for: input.id }, label), input);
    element.append(
      h(
        "div",
        { class: "row" },
        field("Search", this.text),
        field("Show", this.which),
        field("Iteration", this.iteration),
      ),
      this.summary,
      h(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Proposals" },
        h("table", {}, h("thead", {}, h("tr", {}, this.heads)), this.body),
      ),
      h("div", { class: "actions" }, this.previous, this.next),
    );
  }

  show(proposals) {
    this.all = [...proposals.values()];
    this.draw();
  }

  sort(key) {
    this.up = this.sorted === key ? !this.up : true;
    this.sorted = key;
    this.page = 0;
    this.draw();
  }

  turn(by) {
    this.page += by;
    this.draw();
  }

  draw() {
    const found = this.found();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    this.previous.disabled = this.page === 0;
    this.next.disabled = this.page >= pages - 1;
    this.summary.textContent = `${found.length} of ${this.all.length} proposals, page ${this.page + 1} of ${pages}`;
    COLUMNS.forEach(([, key], index) =>
      this.heads[index].setAttribute("aria-sort", key !== this.sorted ? "none" : this.up ? "ascending" : "descending"),
    );
    const rows = found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    refill(this.body, rows.map(row));
  }

  found() {
    const text = this.text.value.trim().toLowerCase();
    const wanted = Number(this.iteration.value) || null;
    const which = this.which.value;
    const found = this.all.filter(
      (one) =>
        (which === "all" || (which === "picked" ? one.picked : one.state === which)) &&
        (wanted === null || one.iteration === wanted) &&
        (!text || `${one.group} ${one.layers.join(" ")} ${one.reason || ""}`.toLowerCase().includes(text)),
    );
    const by = (one) => (this.sorted === "latency" ? one.predicted?.latency_ms : one[this.sorted]) ?? null;
    return found.sort((one, other) => compare(by(one), by(other), this.up ? 1 : -1));
  }
}

/** What is unknown comes last whichever way the others go, since nobody looks for it. */
function compare(one, other, sign) {
  if (one === other) return 0;
  if (one === null || other === null) return one === null ? 1 : -1;
  return one < other ? -sign : sign;
}

function row(one) {
  return h(
    "tr",
    { class: one.picked ? "picked" : "" },
    COLUMNS.map(([title, , shown, number]) =>
      h(
        "td",
        { class: number ? "number" : "text" },
        title === "Group"
          ? h("button", { type: "button", "data-id": one.id, onclick: () => openProposal(one) }, shown(one))
          : shown(one),
      ),
    ),
  );
}

/** All that is known of one proposal. */
export function openProposal(one) {
  const close = h("button", { type: "submit", class: "primary" }, "Close");
  const dialog = h(
    "dialog",
    { "aria-labelledby": "proposal-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "proposal-title" }, `Proposal for ${one.group}`),
      facts({
        Iteration: one.iteration,
        State: one.picked ? `${one.state}, picked` : one.state,
        Kind: one.kind,
        Filters: `${one.filters_before} → ${one.filters_after ?? "–"}`,
        Layers: one.layers.join(", "),
        "Together with": Object.keys(one.further || {}).join(", "),
        Why: one.reason || (one.picked ? "It was picked." : null),
        Accuracy: `${say.percent(one.accuracy)}${one.accuracy_standard_error ? ` ± ${say.percent(one.accuracy_standard_error)}` : ""}`,
        "Against the control": say.points(one.delta_accuracy),
        Loss: one.loss === null ? null : say.digits(one.loss),
        "Change of latency": one.delta_latency_ms === null ? null : say.ms(one.delta_latency_ms),
        Slope: one.slope === null ? null : say.digits(one.slope),
        ...Object.fromEntries(
          Object.entries(one.predicted || {}).map(([name, value]) => [
            `${say.RESOURCES[name] || name}, predicted`,
            say.resource(name, value),
          ]),
        ),
        Steps: one.steps,
        Took: one.seconds === null ? null : say.duration(one.seconds),
      }),
      h("div", { class: "actions" }, close),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
