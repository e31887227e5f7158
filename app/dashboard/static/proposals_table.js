// The table of proposals: every one with the reason why it was not picked; sorted, filtered and paged in the browser.

import { Problem } from "./api.js";
import { facts, h, refill } from "./dom.js";
import * as say from "./format.js";

const PAGE = 25;
const COLUMNS = [
  ["Iteration", "iteration", (one) => one.iteration, true],
  ["Group", "group", (one, all) => [one.group, ...Object.keys(all?.further || {})].join(" + "), false],
  ["Filters", "filters_after", (one) => `${one.filters_before} → ${one.filters_after ?? "–"}`, true],
  ["State", "state", (one) => (one.picked ? "picked" : one.state), false],
  ["Accuracy", "accuracy", (one) => say.percent(one.accuracy), true],
  ["Change", "delta_accuracy", (one) => say.points(one.delta_accuracy), true],
  ["Latency", "latency", (one) => say.ms(one.predicted?.latency_ms), true],
  ["Why", null, (one, all) => (all ? why(one, all) : "…"), false],
];

function why(one, all) {
  return all.reason || (one.picked ? "It was picked." : "");
}

export class ProposalsTable {
  /** `layers`: by group, what a search for a layer looks through. */
  constructor(element, details, layers) {
    Object.assign(this, { details, layers, all: [], page: 0, sorted: "iteration", up: false });
    this.text = h("input", { type: "search", id: "proposal-search", placeholder: "group or layer" });
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
        key ? h("button", { type: "button", onclick: () => this.sort(key) }, title) : title,
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
    this.previous.setAttribute("aria-disabled", this.page === 0);
    this.next.setAttribute("aria-disabled", this.page >= pages - 1);
    this.summary.textContent = `${found.length} of ${this.all.length} proposals, page ${this.page + 1} of ${pages}`;
    COLUMNS.forEach(([, key], index) => {
      const way = this.up ? "ascending" : "descending";
      if (key) this.heads[index].setAttribute("aria-sort", key === this.sorted ? way : "none");
    });
    this.rows = found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    this.fill();
  }

  /** The rows of the page, at once with what is known; the reasons come when they are read. */
  async fill() {
    const rows = this.rows;
    const draw = () => refill(this.body, rows.map((one) => row(one, this.details)));
    const busy = rows.some((one) => !this.details.known(one));
    this.body.setAttribute("aria-busy", busy);
    draw();
    if (!busy) return;
    await reading(() => this.details.read(rows));
    if (rows !== this.rows) return; // another page by now
    this.body.setAttribute("aria-busy", false);
    draw();
  }

  found() {
    const text = this.text.value.trim().toLowerCase();
    const wanted = Number(this.iteration.value) || null;
    const which = this.which.value;
    const found = this.all.filter(
      (one) =>
        (which === "all" || (which === "picked" ? one.picked : one.state === which)) &&
        (wanted === null || one.iteration === wanted) &&
        (!text || `${one.group} ${this.layers.get(one.group) ?? ""}`.toLowerCase().includes(text)),
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

function row(one, details) {
  const all = details.known(one);
  const opened = (shown) =>
    h("button", { type: "button", "data-id": one.id, onclick: () => openProposal(one, details) }, shown);
  return h(
    "tr",
    { class: one.picked ? "picked" : "" },
    COLUMNS.map(([title, , shown, number]) => {
      const text = shown(one, all);
      return h("td", { class: number ? "number" : "text" }, title === "Group" ? opened(text) : text);
    }),
  );
}

/** The service may be away for a moment, which is said above the page: what was not read is read the next time. */
async function reading(act) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}

/** All that is known of one proposal. */
export async function openProposal(one, details) {
  await reading(() => details.read([one]));
  showProposal(one, details.known(one) ?? { layers: [] });
}

function showProposal(one, all) {
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
        Kind: all.kind,
        Filters: `${one.filters_before} → ${one.filters_after ?? "–"}`,
        Layers: all.layers.join(", "),
        "Together with": Object.keys(all.further || {}).join(", "),
        Why: why(one, all),
        Accuracy: `${say.percent(one.accuracy)}${all.accuracy_standard_error ? ` ± ${say.percent(all.accuracy_standard_error)}` : ""}`,
        "Against the control": say.points(one.delta_accuracy),
        Loss: shown(all.loss, say.digits),
        "Change of latency": shown(all.delta_latency_ms, say.ms),
        Slope: shown(one.slope, say.digits),
        ...Object.fromEntries(
          Object.entries(one.predicted || {}).map(([name, value]) => [
            `${say.RESOURCES[name] || name}, predicted`,
            say.resource(name, value),
          ]),
        ),
        Steps: all.steps,
        Took: shown(all.seconds, say.duration),
      }),
      h("div", { class: "actions" }, close),
    ),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (document.activeElement !== document.body) return; // its row was drawn anew while it was open
    document.querySelector(`[data-id="${CSS.escape(one.id)}"]`)?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

function shown(value, words) {
  return value === null || value === undefined ? null : words(value);
}
