// Doing something again and again while a page is open and seen, and saying when the service does not answer.

import { Problem } from "./api.js";

/** Every `milliseconds` until the signal. */
export function repeat(act, milliseconds, left) {
  const turn = async () => {
    if (!document.hidden) await attempt(act, left);
    if (!left.aborted) setTimeout(turn, milliseconds);
  };
  setTimeout(turn, milliseconds);
}

/** One turn. Where the service refuses or does not answer, that is said above the page, until the next one goes well. */
export async function attempt(act, left) {
  if (left.aborted) return;
  try {
    await act();
    connected(true);
  } catch (error) {
    if (left.aborted) return;
    if (!(error instanceof Problem)) throw error;
    connected(false, error.message);
  }
}

/** The line above every page that says that what is shown may be old. */
export function connected(well, why = "The service does not answer.") {
  const line = document.getElementById("connection");
  line.hidden = well;
  line.textContent = well ? "" : `${why} What is shown may be old; this page tries again by itself.`;
}
