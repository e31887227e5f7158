// Whether a budget can be met, asked as it is typed. While the service measures for an answer, it is asked again.

import { post, Problem } from "./api.js";
import { facts, fill, h } from "./dom.js";
import * as say from "./format.js";

const TYPING_MS = 400;

/** `request()` is the job's request or null; `onProblem(problem)` places what it refuses. */
export class Feasibility {
  constructor(element, { request, onProblem, left }) {
    Object.assign(this, { request, onProblem, left, turn: 0, timer: null });
    this.checking = h("p", { class: "quiet", hidden: true }, "Checking …");
    this.said = h("div", {}, h("p", { class: "quiet" }, "Choose a network and a budget to see whether it can be met."));
    fill(element, this.checking, this.said);
  }

  /** Asks once nothing was typed for a moment; an answer to an earlier question is put away. */
  ask() {
    this.checking.hidden = false;
    this.said.hidden = true;
    this.askIn(TYPING_MS);
  }

  askIn(milliseconds) {
    this.turn += 1;
    clearTimeout(this.timer);
    const turn = this.turn;
    this.timer = setTimeout(() => this.answer(turn), milliseconds);
  }

  async answer(turn) {
    const request = this.request();
    if (!request || this.left.aborted) {
      this.checking.hidden = true; // what keeps it from being asked stands beside its field
      return;
    }
    try {
      const answer = await post("/v1/jobs?validate_only=true", request, { signal: this.left });
      if (turn !== this.turn) return;
      this.onProblem(null);
      this.say(...told(answer));
      if (answer.feasible === null && answer.retry_after_seconds) this.askIn(1000 * answer.retry_after_seconds);
    } catch (problem) {
      if (turn !== this.turn || this.left.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      this.say(h("p", { class: "notice error" }, problem.message));
      this.onProblem(problem);
    }
  }

  say(...words) {
    fill(this.said, words);
    this.said.hidden = false;
    this.checking.hidden = true;
  }
}

function told(answer) {
  const [style, words] =
    answer.feasible === null
      ? ["warning", "Not known yet"]
      : answer.feasible
        ? ["", "This budget can be met"]
        : ["error", "This budget cannot be met"];
  const waiting = answer.feasible === null && answer.retry_after_seconds ? ". The answer comes by itself." : ".";
  return [
    h(
      "p",
      { class: `notice ${style}` },
      h("strong", {}, answer.reason ? `${words}: ` : words),
      answer.reason || "",
      waiting,
    ),
    facts({
      ...Object.assign({}, ...Object.entries(answer.budget).map(([name, limit]) => figures(answer, name, limit))),
      Iterations: answer.iterations_estimate === null ? null : `about ${answer.iterations_estimate}`,
      Takes: answer.seconds_estimate === null ? null : `about ${say.duration(answer.seconds_estimate)}`,
    }),
  ];
}

function figures(answer, name, limit) {
  const words = say.RESOURCES[name];
  const original = answer.original[name];
  return {
    [`Original ${words}`]: figure(name, answer, "original"),
    [`Least ${words} that can be reached`]: shared(figure(name, answer, "smallest"), answer.smallest[name], original),
    [`Budget for ${words}`]: limit === null ? null : shared(say.resource(name, limit), limit, original),
  };
}

/** The figure with what share of the original's it is. */
function shared(words, value, original) {
  return words && value && original ? `${words} (${say.percent(value / original, 0)} of the original)` : words;
}

function figure(name, answer, which) {
  if (name === "latency_ms" && answer.latency?.[which]) return say.latencyWithInterval(answer.latency[which]);
  const value = answer[which][name];
  return value === null || value === undefined ? null : say.resource(name, value);
}
