// All that is known of one job: read once, then kept up to date by its events. Opened late it comes to the same.

import { all, get, Problem, send, sleep } from "./api.js";
import { Details } from "./details.js";
import { followEvents } from "./events.js";
import { OVER } from "./format.js";

/** What a dot and a row are made of. Of thousands no more is read; the rest when somebody looks (`details`). */
const PROPOSAL_FIELDS = [
  "id",
  "iteration",
  "group",
  "filters_before",
  "filters_after",
  "state",
  "predicted",
  "accuracy",
  "delta_accuracy",
  "slope",
  "picked",
];
const QUERY = { limit: 5000, fields: PROPOSAL_FIELDS.join(",") };
const KEPT_EVENTS = 300;
const AGAIN_MS = 1000;
const BETWEEN_MS = 50;
const REREAD_AFTER = new Set(["state", "phase", "measurement", "iteration", "checkpoint"]);

export class JobState {
  /** `onChange(what)`: a set of "job", "proposals", "checkpoints", "events", with `BETWEEN_MS` between. */
  constructor(id, signal, onChange) {
    Object.assign(this, { id, signal, onChange, job: null, events: [] });
    Object.assign(this, { proposals: new Map(), checkpoints: new Map(), changed: new Set(), told: 0 });
    this.details = new Details(`/v1/jobs/${id}`);
  }

  /** The job itself. What its events tell after this moment is applied on top of what `readAll` finds. */
  async open() {
    const response = await send("GET", `/v1/jobs/${this.id}`, { signal: this.signal });
    this.after = Number(response.headers.get("Last-Event-ID")); // what is told after it is followed, though the lists
    this.job = await response.json(); // may have it already
  }

  async readAll() {
    const path = `/v1/jobs/${this.id}`;
    const after = Math.max(0, this.after - KEPT_EVENTS);
    await Promise.all([
      all(`${path}/proposals`, QUERY).then((found) => this.keep("proposals", found, "id")), // drawn once, not by the page
      all(`${path}/checkpoints`, { limit: 500 }).then((found) => this.keep("checkpoints", found, "checkpoint")),
      all(`${path}/events`, { limit: 500, after }, (page) => this.log(page)),
    ]);
  }

  /** Until the job is over. */
  async follow(onConnection) {
    if (OVER.has(this.job.state)) return;
    await followEvents(this.id, {
      after: this.after,
      onConnection,
      signal: this.signal,
      onEvent: (event) => this.apply(event),
    });
  }

  apply(event) {
    if (event.event === "progress") {
      this.job = { ...this.job, progress: event.data };
      this.tell("job");
      return;
    }
    this.log([event]);
    if (event.event === "proposal") {
      this.details.put(event.data);
      this.keep("proposals", [slim(event.data)], "id");
    }
    if (event.event === "checkpoint") this.keep("checkpoints", [event.data], "checkpoint");
    if (event.event === "iteration" && event.data.finished_at)
      this.inBackground(() => this.readReasons(event.data.iteration));
    if (REREAD_AFTER.has(event.event)) this.inBackground(() => this.reread());
  }

  /** An iteration that ends marks what was picked, and writes why the others were not. */
  async readReasons(iteration) {
    this.details.forget(iteration);
    const found = await all(`/v1/jobs/${this.id}/iterations/${iteration}/proposals`, QUERY);
    this.keep("proposals", found, "id");
  }

  async reread() {
    this.job = await get(`/v1/jobs/${this.id}`, { signal: this.signal });
    this.tell("job");
  }

  /** What an event asks to be read again is tried until the service answers: no later event may ask for it. */
  async inBackground(act) {
    while (!this.signal.aborted) {
      try {
        await act();
        return;
      } catch (error) {
        if (this.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        if (error.status >= 400 && error.status < 500) return; // it is gone, which the stream is told as well
      }
      await sleep(AGAIN_MS);
    }
  }

  keep(name, items, key) {
    for (const item of items) this[name].set(item[key], item);
    this.tell(name);
  }

  log(events) {
    const last = this.events.length ? this.events.at(-1).id : 0;
    this.events.push(...events.filter((event) => event.id > last));
    if (this.events.length > 2 * KEPT_EVENTS) this.events = this.events.slice(-KEPT_EVENTS);
    this.tell("events");
  }

  tell(what) {
    if (!this.changed.size) {
      setTimeout(() => {
        const changed = this.changed;
        this.changed = new Set();
        if (!this.signal.aborted) this.onChange(changed);
        this.told = performance.now();
      }, this.told + BETWEEN_MS - performance.now());
    }
    this.changed.add(what);
  }
}

/** Only what `QUERY` asks for: an event tells all of a proposal, which filters stay too. */
function slim(proposal) {
  return Object.fromEntries(PROPOSAL_FIELDS.map((name) => [name, proposal[name]]));
}
