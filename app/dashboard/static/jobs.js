// All jobs, kept up to date: state, progress, and the budget against what is reached.

import { get } from "./api.js";
import { fill, h, refill } from "./dom.js";
import * as say from "./format.js";
import { attempt, repeat } from "./repeat.js";

const STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const EVERY_MS = 2000;

export async function jobsPage(element, _name, left) {
  const state = h(
    "select",
    { id: "state-filter" },
    h("option", { value: "" }, "every state"),
    STATES.map((name) => h("option", { value: name }, name)),
  );
  const search = h("input", { type: "search", id: "name-filter", placeholder: "name or id" });
  const list = h("div", {});
  const more = h("button", { type: "button", hidden: true }, "Older jobs");
  fill(
    element,
    h("h1", {}, "Jobs"),
    h(
      "div",
      { class: "row" },
      h("div", { class: "field" }, h("label", { for: "state-filter" }, "State"), state),
      h("div", { class: "field" }, h("label", { for: "name-filter" }, "Search"), search),
      h("div", { class: "field" }, h("a", { class: "button primary", href: "#/new" }, "New job")),
    ),
    list,
    more,
  );
  let wanted = 50;
  let page = { data: [], next_cursor: null };
  let names = new Map();
  const draw = () => {
    more.hidden = !page.next_cursor;
    refill(list, shown(page.data, names, state.value, search.value.trim().toLowerCase()));
  };
  const load = async () => {
    const query = new URLSearchParams({ limit: wanted, ...(state.value && { state: state.value }) });
    page = await get(`/v1/jobs?${query}`, { signal: left });
    if (page.data.some((job) => !names.has(job.model))) names = await modelNames(left);
    draw();
  };
  state.addEventListener("change", () => attempt(load, left));
  search.addEventListener("input", draw);
  more.addEventListener("click", () => {
    wanted = Math.min(500, wanted + 50);
    attempt(load, left);
  });
  await load();
  repeat(load, EVERY_MS, left);
}

async function modelNames(signal) {
  const page = await get("/v1/models?limit=500", { signal });
  return new Map(page.data.map((model) => [model.id, model.name]));
}

function shown(jobs, names, state, text) {
  const found = jobs.filter((job) =>
    `${job.id} ${job.name || ""} ${names.get(job.model) || job.model}`.toLowerCase().includes(text),
  );
  if (found.length) return table(found, names);
  if (jobs.length || state || text) return h("p", {}, "No job is like that.");
  return h(
    "div",
    { class: "notice" },
    h("p", {}, h("strong", {}, "There are no jobs yet.")),
    h(
      "p",
      {},
      "Start with ",
      h("a", { href: "#/new" }, "a new job"),
      ": drop a trained network (.pt2, .onnx or .safetensors) on the page, or take one of the zoo, and say how fast it has to be. " +
        "The network is made smaller step by step until its measured latency is within that budget.",
    ),
  );
}

function table(jobs, names) {
  const head = ["Job", "State", "Progress", "Budget", "Now", "Accuracy", "Submitted"];
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Jobs" },
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
        jobs.map((job) => row(job, names)),
      ),
    ),
  );
}

function row(job, names) {
  const best = job.result || job.current || job.original;
  const first = Object.keys(job.budget)[0];
  return h(
    "tr",
    {},
    h(
      "td",
      { class: "text" },
      h("a", { href: `#/jobs/${job.id}` }, job.name || names.get(job.model) || job.model),
      h("br"),
      h("span", { class: "hint" }, job.id),
    ),
    h("td", {}, h("span", { class: `state ${job.state}` }, say.stateWords(job))),
    h(
      "td",
      {},
      h("progress", { max: 1, value: job.progress.fraction, "aria-label": `Progress of ${job.id}` }),
      left(job),
    ),
    h("td", {}, say.budget(job.budget, job.limits)),
    h("td", {}, first === "latency_ms" ? say.latency(best) : say.resource(first, say.figure(best, first))),
    h("td", { class: "number" }, say.percent(best && best.accuracy), best && best === job.current ? " hold-out" : null),
    h("td", {}, say.time(job.created_at)),
  );
}

function left(job) {
  const { fraction, eta_seconds: eta } = job.progress;
  const time = eta === null || say.OVER.has(job.state) ? "" : `, ${say.duration(eta)} left`;
  return h("span", { class: "hint" }, `${say.percent(fraction, 0)}${time}`);
}
