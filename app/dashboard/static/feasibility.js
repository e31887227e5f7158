// Whether a budget can be met, asked as it is typed. While the service measures for an answer, it is asked again.

import { post, Problem } from "./api.js";
import { facts, fill, h } from "./dom.js";
import * as say from "./format.js";

const TYPING_MS = 400;

/** `request()` is the job's request or null; `onProblem(problem)` places what it refuses. */
export class Feasibility {
  constructor(element, { request, onProblem, left }) {
    Object.assign(this, { element, request, onProblem, left, turn: 0, timer: null });
    fill(element, h("p", { class: "quiet" }, "Choose a network and a budget to see whether it can be met."));
  }

  /** Asks once nothing was typed for a moment; an answer to an earlier question is dropped. */
  ask(milliseconds = TYPING_MS) {
    this.turn += 1;
    clearTimeout(this.timer);
    const turn = this.turn;
    this.timer = setTimeout(() => this.answer(turn), milliseconds);
  }

  async answer(turn) {
    const request = this.request();
    if (!request || this.left.aborted) return;
    const busy = !this.element.dataset.asked;
    if (busy) fill(this.element, h("p", { class: "quiet" }, "Checking …"));
    this.element.dataset.asked = "yes";
    try {
      const answer = await post("/v1/jobs?validate_only=true", request, { signal: this.left });
      if (turn !== this.turn) return;
      this.onProblem(null);
      this.show(answer);
      if (answer.feasible === null && answer.retry_after_seconds) this.ask(1000 * answer.retry_after_seconds);
    } catch (problem) {
      if (turn !== this.turn || this.left.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      fill(this.element, h("p", { class: "notice error" }, problem.message));
      this.onProblem(problem);
    }
  }

  show(answer) {
    const words =
      answer.feasible === null
        ? "Not known yet"
        : answer.feasible
          ? "This budget can be met"
          : "This budget cannot be met";
    const style = answer.feasible === null ? "warning" : answer.feasible ? "" : "error";
    const waiting =
      answer.feasible === null && answer.retry_after_seconds
        ? " A profile is running; the answer comes by itself."
        : "";
    fill(
      this.element,
      h("p", { class: `notice ${style}` }, h("strong", {}, `${words}. `), answer.reason || "", waiting),
      facts({
        ...Object.fromEntries(
          Object.entries(answer.budget).flatMap(([name, limit]) => [
            [`Original ${say.RESOURCES[name]}`, figure(name, answer, "original")],
            ["Least that can be reached", figure(name, answer, "smallest")],
            ["Budget", limit === null ? null : say.resource(name, limit)],
          ]),
        ),
        "Figures are": answer.basis,
        Iterations: answer.iterations_estimate === null ? null : `about ${answer.iterations_estimate}`,
        Takes: answer.seconds_estimate === null ? null : `about ${say.duration(answer.seconds_estimate)}`,
      }),
    );
  }
}

function figure(name, answer, which) {
  if (name === "latency_ms" && answer.latency?.[which]) return say.latencyWithInterval(answer.latency[which]);
  const value = answer[which][name];
  return value === null || value === undefined ? null : say.resource(name, value);
}
