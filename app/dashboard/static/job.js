// One job: what it found so far, as it goes on, and all that can be done with it.

import { get, Problem } from "./api.js";
import { actions } from "./actions.js";
import { Channels } from "./channels.js";
import { Curve } from "./curve.js";
import { complaint, facts, fill, h, refill, section } from "./dom.js";
import { Downloads } from "./downloads.js";
import { drawEvents } from "./event_log.js";
import * as say from "./format.js";
import { Family } from "./family.js";
import { JobState } from "./job_state.js";
import { kindsSection } from "./kinds.js";
import { openProposal, ProposalsTable } from "./proposals_table.js";
import { connected } from "./repeat.js";
import { Slopes } from "./slopes.js";
import { snippets } from "./snippets.js";

export async function jobPage(element, id, left) {
  const parts = {};
  const state = new JobState(id, left, (changed) => draw(parts, state, changed));
  const [info] = await Promise.all([get("/v1/info", { signal: left }), state.open()]);
  const { model, dataset } = state.job;
  [parts.model, parts.dataset] = await Promise.all([
    find(`/v1/models/${model}`, left),
    find(`/v1/datasets/${dataset}`, left),
  ]);
  build(parts, element, state, info);
  draw(parts, state, new Set(["job"]));
  await state.readAll();
  await state.follow((well) => connected(well));
}

/** Null for one that cannot be had: its name is all that the page lacks then. */
function find(path, left) {
  return get(path, { signal: left }).catch((error) => {
    if (!(error instanceof Problem)) throw error;
    return null;
  });
}

function build(parts, element, state, info) {
  const model = parts.model;
  Object.assign(parts, {
    title: h("h1", {}),
    overview: h("div", {}),
    actions: h("div", { tabindex: -1, role: "group", "aria-label": "Actions" }),
    log: h("ol", { class: "log", tabindex: 0, "aria-label": "What happened" }),
  });
  const places = Array.from({ length: 7 }, () => h("div", {}));
  const [curve, family, slopes, channels, table, kinds, downloads] = places;
  fill(
    element,
    parts.title,
    section("Progress", parts.overview, parts.actions),
    section("Trade-off", curve),
    section("Family", family),
    h("div", { class: "columns" }, section("Channels per layer", channels), section("Latency by operator", kinds)),
    section("Cost of each iteration", slopes),
    section("Proposals", table),
    section("Downloads", downloads),
    section("Use it elsewhere", snippets(state.job, info.presets)),
    section("What happened", parts.log),
  );
  Object.assign(parts, {
    curve: new Curve(curve, (point) => {
      const proposal = point.proposal ?? pickedIn(state, point.checkpoint);
      if (proposal) openProposal(proposal, state.details);
    }),
    family: new Family(family, state, (networks) => parts.curve.showNetworks(networks)),
    slopes: new Slopes(slopes),
    channels: new Channels(channels, model),
    table: new ProposalsTable(table, state.details, layersOf(model)),
    kinds: kindsSection(kinds, state),
    downloads: new Downloads(downloads),
  });
}

/** Group -> the layers that shrink in it, by which proposals are searched. */
function layersOf(model) {
  return new Map((model?.groups ?? []).map((group) => [group.id, group.layers.join(" ")]));
}

/** What a pick's point opens; none for the original, which nobody proposed. */
function pickedIn(state, checkpoint) {
  return [...state.proposals.values()].find((one) => one.picked && one.iteration === checkpoint?.iteration);
}

function draw(parts, state, changed) {
  const has = (...names) => names.some((name) => changed.has(name));
  if (has("job")) {
    drawJob(parts, state.job);
    parts.channels.result(state.job);
  }
  if (has("checkpoints", "proposals") || (has("job") && limitsChanged(parts, state.job))) parts.curve.show(state);
  if (has("proposals")) {
    parts.table.show(state.proposals);
    parts.slopes.show(state);
  }
  if (has("checkpoints")) {
    parts.channels.show(state.checkpoints);
    parts.kinds();
    state.inBackground(() => parts.family.read());
    parts.downloads.show(state.job, state.checkpoints);
  }
  if (has("events")) drawEvents(parts.log, state.events);
}

/** A job tells its progress every second, and 20,000 dots are not drawn again for that. */
function limitsChanged(parts, job) {
  const before = parts.limits;
  parts.limits = JSON.stringify([job.limits, job.original]);
  return parts.limits !== before;
}

function drawJob(parts, job) {
  const name = job.name || (parts.model && parts.model.name) || job.model;
  fill(parts.title, name);
  document.title = `${name} · NetAdapt`;
  refill(
    parts.overview,
    progress(job),
    job.error ? failure(job.error) : null,
    facts({
      State: h("span", { class: `state ${job.state}`, id: "job-state" }, say.stateWords(job)),
      Budget: say.budget(job.budget, job.limits),
      Original: figures(job.original, "on the test images"),
      Current: job.result ? null : figures(job.current, "on the hold-out", job.original),
      Result: figures(job.result, "on the test images", job.original),
      "Uniformly thinned": figures(job.uniform, "on the test images", job.original),
      Network: named(parts.model, job.model),
      "Data set": named(parts.dataset, job.dataset),
      Target: job.target,
      Preset: job.settings.preset,
      Continues: job.continues && [
        h("a", { href: `#/jobs/${job.continues}` }, job.continues),
        job.from_iteration === null ? "" : `, its pick of iteration ${job.from_iteration}`,
      ],
      Submitted: say.time(job.created_at),
      Finished: job.finished_at && say.time(job.finished_at),
    }),
  );
  if (parts.acted !== job.state + job.requested) refill(parts.actions, actions(job));
  parts.acted = job.state + job.requested;
}

function progress(job) {
  const { fraction, iteration, proposals_done: done, proposals_total: total, eta_seconds: eta } = job.progress;
  const words = [
    `${say.percent(fraction, 0)} of the way`,
    iteration ? `iteration ${iteration}` : null,
    total && !say.OVER.has(job.state) ? `${done} of ${total} proposals` : null,
    eta !== null && !say.OVER.has(job.state) ? `about ${say.duration(eta)} left` : null,
  ];
  return h(
    "div",
    { class: "field" },
    h("progress", { max: 1, value: fraction, "aria-label": "Progress" }),
    h("p", { class: "hint" }, words.filter(Boolean).join(", ")),
  );
}

function failure(error) {
  return complaint(new Problem(error.status, error));
}

function named(one, id) {
  return one && one.name !== id ? `${one.name} (${id})` : id;
}

/** What a network needs and scores; beside the original's latency where that is known too. */
function figures(known, where, original) {
  if (!known) return null;
  const [now, before] = [known, original].map((one) => say.figure(one, "latency_ms"));
  const share = now && before ? ` (${say.percent(now / before, 0)} of the original)` : "";
  const cost = known.macs === null ? "" : `, ${say.count(known.macs)} mult-adds, ${say.count(known.params)} parameters`;
  return `${say.latency(known)}${share}${cost}, accuracy ${say.percent(known.accuracy)} ${where}`;
}
