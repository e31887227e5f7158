// A job's events as they happen, taken up again where they broke off. By fetch, since an EventSource hides why it failed.

import { Problem, send, sleep } from "./api.js";
import { OVER } from "./format.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;

/**
 * Calls `onEvent({id, event, data, at})` for each event after number `after` until the job's last state.
 * `onConnection(true | false)` tells whether the service answers. Ends early with `signal`; throws what is final.
 */
export async function followEvents(job, { after, onEvent, onConnection, signal }) {
  let pause = FIRST_PAUSE_MS;
  let over = false;
  const told = (event) => {
    pause = FIRST_PAUSE_MS;
    if (event.id !== null) after = event.id;
    over = event.event === "state" && OVER.has(event.data.state);
    onEvent(event);
  };
  while (!over && !signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": String(after) };
      const response = await send("GET", `/v1/jobs/${job}/events`, { headers, signal });
      onConnection(true);
      await readStream(response, told);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      onConnection(false);
    }
    if (over || signal.aborted) return;
    await sleep(pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}

async function readStream(response, told) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part
        .split("\n")
        .filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart());
      if (data.length) told(JSON.parse(data.join("\n")));
    }
  }
}
