// Latency by kind of operator, original and now: where the time went. Predicted, from the look-up table of the target.

import { get, Problem } from "./api.js";
import { fill, h } from "./dom.js";
import * as say from "./format.js";

/** A function that reads and draws it anew. */
export function kindsSection(element, state) {
  return async () => {
    try {
      draw(element, await get(`/v1/jobs/${state.id}/latency`, { signal: state.signal }));
    } catch (error) {
      if (state.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      fill(element, h("p", { class: "quiet" }, error.message));
    }
  };
}

function draw(element, { original, current, checkpoint, reason }) {
  if (!original) {
    fill(element, h("p", { class: "quiet" }, reason));
    return;
  }
  const most = Math.max(...Object.values(original), ...Object.values(current));
  const kinds = Object.keys(original).sort((one, other) => original[other] - original[one]);
  fill(
    element,
    h("p", { class: "hint" }, `Predicted by the look-up table; grey the original, coloured checkpoint ${checkpoint}.`),
    h(
      "div",
      { class: "bars" },
      kinds.map((kind) =>
        h(
          "div",
          {},
          h(
            "div",
            { class: "bar-label" },
            h("span", {}, kind),
            h("span", {}, `${say.ms(original[kind])} → ${say.ms(current[kind] ?? 0)}`),
          ),
          h(
            "div",
            { class: "bar before", "aria-hidden": "true" },
            h("div", { width: `${(100 * original[kind]) / most}%` }),
          ),
          h(
            "div",
            { class: "bar", "aria-hidden": "true" },
            h("div", { width: `${(100 * (current[kind] ?? 0)) / most}%` }),
          ),
        ),
      ),
    ),
  );
}
