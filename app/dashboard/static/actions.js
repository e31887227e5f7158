// What can be done with a job: pause, resume, cancel, extend, and its report.

import { post, Problem } from "./api.js";
import { budgetField } from "./budget_field.js";
import { fill, h, once } from "./dom.js";
import { OVER } from "./format.js";

export function actions(job) {
  const error = h("p", { class: "field-error", role: "alert" });
  const act = async (name) => {
    try {
      await post(`/v1/jobs/${job.id}/${name}`);
      fill(error);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      fill(error, problem.message);
    }
  };
  const over = OVER.has(job.state);
  const asked = job.requested !== null;
  const button = (words, name, { off = false, style = "", place = name } = {}) =>
    h(
      "button",
      {
        type: "button",
        class: style,
        "data-id": place,
        "aria-disabled": off && "true",
        onclick: (event) => once(event.currentTarget, () => act(name)),
      },
      words,
    );
  return [
    h(
      "div",
      { class: "actions" },
      !over && job.state !== "paused" ? button("Pause", "pause", { off: asked }) : null,
      job.state === "paused" ? button("Resume", "resume", { style: "primary", place: "pause" }) : null,
      job.state === "succeeded" ? resultLink(job) : null,
      over ? null : button("Cancel", "cancel", { off: job.requested === "cancel", style: "danger" }),
      h(
        "a",
        { class: "button", href: `/v1/jobs/${job.id}/report`, download: `${job.id}.html` },
        over ? "Save a report" : "Save a report of now",
      ),
    ),
    error,
    over ? extension(job) : null,
  ];
}

/** What most came for; the other formats and checkpoints are below, among the downloads. */
function resultLink(job) {
  return h(
    "a",
    {
      class: "button primary",
      href: `/v1/jobs/${job.id}/checkpoints/final/file?format=onnx`,
      download: `${job.id}-final.onnx`,
    },
    "Download the result (ONNX)",
  );
}

/** A tighter budget from the last iteration on: a new job, whose page is opened. */
function extension(job) {
  const budget = budgetField("extend", job.budget);
  const error = h("p", { class: "field-error", role: "alert" });
  const form = h(
    "form",
    {},
    h("p", { class: "hint" }, "A new job that goes on from the last iteration of this one, with a tighter budget."),
    budget.element,
    error,
    h("button", { type: "submit", class: "primary" }, "Extend"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!budget.check()) return;
    try {
      const made = await post(`/v1/jobs/${job.id}/extend`, { budget: budget.value() });
      location.hash = `#/jobs/${made.id}`;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      const own = problem.fields.filter((field) => field.pointer?.startsWith("/budget"));
      for (const { pointer, detail } of own) budget.complain(detail, pointer.split("/")[2]);
      if (!own.length) fill(error, problem.message);
    }
  });
  return h("details", { class: "extend" }, h("summary", {}, "Extend with a tighter budget"), form);
}
