// What each iteration cost: the accuracy that its pick gave up for the share of the resource that it saved.

import { fill, h } from "./dom.js";
import * as say from "./format.js";
import { Plot } from "./plot.js";

export class Slopes {
  constructor(element) {
    fill(
      element,
      h(
        "p",
        { class: "hint" },
        "Slope of a pick: its accuracy against that of the unpruned control, over the share of the budgeted resource that it saves. Below zero it costs accuracy.",
      ),
    );
    this.plot = new Plot(element, {
      x: "iteration",
      y: "slope",
      label: "Slope of accuracy by iteration",
      describe: (point) =>
        `Iteration ${point.x}: slope ${say.digits(point.y)}, accuracy ${say.points(point.proposal.delta_accuracy)} against the control, by ${point.proposal.group}`,
    });
  }

  show(state) {
    const picked = [...state.proposals.values()].filter((one) => one.picked && one.slope !== null);
    this.plot.show([
      {
        label: "slope",
        colour: "pick",
        line: true,
        walk: true,
        points: picked.map((one) => ({ x: one.iteration, y: one.slope, proposal: one })),
      },
    ]);
  }
}
