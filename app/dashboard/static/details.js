// All that is known of proposals, an iteration at a time, read when somebody looks at one of them.

import { all } from "./api.js";

const FIELDS = [
  "id",
  "layers",
  "kind",
  "reason",
  "further",
  "accuracy_standard_error",
  "loss",
  "delta_latency_ms",
  "steps",
  "seconds",
].join(",");

export class Details {
  constructor(path) {
    Object.assign(this, { path, iterations: new Map() });
  }

  /** Of one proposal, or undefined while its iteration has not been read. */
  known(proposal) {
    return this.iterations.get(proposal.iteration)?.get(proposal.id);
  }

  /** Reads what is missing of `proposals`; afterwards each is known. */
  async read(proposals) {
    const missing = new Set(proposals.filter((one) => !this.known(one)).map((one) => one.iteration));
    await Promise.all([...missing].map((iteration) => this.readIteration(iteration)));
  }

  async readIteration(iteration) {
    const found = await all(`${this.path}/iterations/${iteration}/proposals`, { limit: 5000, fields: FIELDS });
    this.iterations.set(iteration, new Map(found.map((one) => [one.id, one])));
  }

  /** As an event tells it, which is whole. */
  put(proposal) {
    this.iterations.get(proposal.iteration)?.set(proposal.id, { ...proposal, kept: null, next_larger: null });
  }

  /** It has changed, and is read again by whoever looks next. */
  forget(iteration) {
    this.iterations.delete(iteration);
  }
}
