// Where latency is measured: under which conditions, how much of it is known, how well it is predicted, who is there.

import { all, get, Problem } from "./api.js";
import { facts, fill, h, section } from "./dom.js";
import * as say from "./format.js";

const AGENT_SILENT_MS = 60_000;

export async function targetsPage(element, _name, left) {
  const [info, targets, jobs] = await Promise.all([
    get("/v1/info"),
    all("/v1/targets", { limit: 500 }),
    get("/v1/jobs?limit=500"),
  ]);
  fill(
    element,
    h("h1", {}, "Targets"),
    h("p", { class: "hint" }, "Another device becomes a target when netadapt agent runs on it."),
    targets.map((target) =>
      shown(
        target,
        jobs.data.filter((job) => job.target === target.id),
        info.sign_in_required,
        left,
      ),
    ),
  );
}

function shown(target, jobs, shared, left) {
  const coverage = h("div", {});
  const error = h("div", {});
  if (hasTable(target, jobs, shared)) showCoverage(coverage, target, left);
  else fill(coverage, h("p", { class: "quiet" }, "Nothing of your networks was measured here yet."));
  showError(error, jobs, left);
  return section(
    target.name,
    facts({
      Id: target.id,
      Kind: target.kind,
      State: target.state,
      Runtime: `${target.runtime}, ${target.provider}`,
      Threads: target.threads,
      Batch: target.batch,
      Precision: target.precision,
      "Last seen": target.last_seen_at && say.time(target.last_seen_at),
      Agent: target.kind === "agent" ? alive(target) : null,
    }),
    target.error && h("p", { class: "notice error" }, target.error.detail || target.error.title),
    coverage,
    error,
    target.fingerprint &&
      h(
        "details",
        {},
        h("summary", {}, "Conditions"),
        facts(
          Object.fromEntries(
            Object.entries(target.fingerprint).map(([name, value]) => [
              name.replaceAll("_", " "),
              typeof value === "object" && value !== null ? JSON.stringify(value) : value,
            ]),
          ),
        ),
      ),
  );
}

function alive(target) {
  const silent = target.last_seen_at ? Date.now() - Date.parse(target.last_seen_at) : Infinity;
  return silent < AGENT_SILENT_MS ? "alive" : "silent: is netadapt agent running there?";
}

/** Of a target that several owners share, each sees what was measured of their own networks. */
function hasTable(target, jobs, shared) {
  if (target.kind === "table" || !shared) return target.kind === "table" || target.fingerprint !== null;
  return (
    target.fingerprint !== null && (target.id !== "local" || jobs.some((job) => job.original?.latency_ms.measured))
  );
}

/** What the look-up table holds: points by kind of operator. */
async function showCoverage(element, target, left) {
  try {
    const table = await get(`/v1/targets/${target.id}/lookup-table`, { signal: left });
    const kinds = new Map();
    for (const entry of table.entries) kinds.set(entry.operator, [...(kinds.get(entry.operator) || []), entry]);
    fill(
      element,
      h(
        "details",
        {},
        h("summary", {}, `Look-up table: ${table.entries.length} shapes of ${kinds.size} kinds of operators`),
        h(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": `Look-up table of ${target.name}` },
          h(
            "table",
            {},
            h(
              "thead",
              {},
              h(
                "tr",
                {},
                ["Operator", "Shapes", "Observations", "Fastest", "Slowest"].map((name) =>
                  h("th", { scope: "col" }, name),
                ),
              ),
            ),
            h(
              "tbody",
              {},
              [...kinds].sort().map(([kind, entries]) =>
                h(
                  "tr",
                  {},
                  h("th", { scope: "row" }, kind),
                  h("td", { class: "number" }, entries.length),
                  h(
                    "td",
                    { class: "number" },
                    entries.reduce((sum, entry) => sum + entry.count, 0),
                  ),
                  h("td", { class: "number" }, say.ms(Math.min(...entries.map((entry) => entry.ms)))),
                  h("td", { class: "number" }, say.ms(Math.max(...entries.map((entry) => entry.ms)))),
                ),
              ),
            ),
          ),
        ),
      ),
    );
  } catch (problem) {
    said(element, problem, left);
  }
}

/** How far the predictions of picks were from what was measured then, over the newest jobs here. */
async function showError(element, jobs, left) {
  try {
    const found = await Promise.all(
      jobs.slice(0, 10).map((job) => all(`/v1/jobs/${job.id}/checkpoints`, { limit: 500 })),
    );
    const errors = found
      .flat()
      .map((one) => one.latency_ms)
      .filter((one) => one.measured && one.predicted)
      .map((one) => Math.abs(one.predicted / one.measured - 1));
    if (!errors.length) return;
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    fill(
      element,
      h(
        "p",
        {},
        `Predictions of ${errors.length} picks were off by ${say.percent(mean)} of what was measured, on average; by ${say.percent(Math.max(...errors))} at most.`,
      ),
    );
  } catch (problem) {
    said(element, problem, left);
  }
}

function said(element, problem, left) {
  if (left.aborted) return;
  if (!(problem instanceof Problem)) throw problem;
  fill(element, h("p", { class: "quiet" }, problem.message));
}
