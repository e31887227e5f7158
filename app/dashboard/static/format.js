// Figures as a person reads them. Whatever is unknown is a dash.

const UNKNOWN = "–";
export const RESOURCES = { latency_ms: "latency", macs: "mult-adds", params: "parameters", memory_bytes: "memory" };

export function count(value) {
  if (value === null || value === undefined) return UNKNOWN;
  for (const [unit, size] of [
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ])
    if (value >= size) return `${digits(value / size)} ${unit}`;
  return digits(value);
}

export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ])
    if (value >= size) return `${digits(value / size)} ${unit}`;
  return `${value} bytes`;
}

export function ms(value) {
  return value === null || value === undefined ? UNKNOWN : `${digits(value)} ms`;
}

export function percent(fraction, places = 1) {
  return fraction === null || fraction === undefined ? UNKNOWN : `${(100 * fraction).toFixed(places)} %`;
}

export function points(fraction) {
  if (fraction === null || fraction === undefined) return UNKNOWN;
  return `${fraction > 0 ? "+" : fraction < 0 ? "−" : ""}${Math.abs(100 * fraction).toFixed(2)} points`;
}

export function digits(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

export function resource(name, value) {
  if (name === "latency_ms") return ms(value);
  return name === "memory_bytes" ? bytes(value) : count(value);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${digits(seconds / 3600)} h` : `${digits(seconds / 86400)} days`;
}

export function time(text) {
  return text ? new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : UNKNOWN;
}

/** Measured where it was, and said so where it was only predicted. */
export function latency(figures) {
  const known = figures && figures.latency_ms;
  if (!known) return UNKNOWN;
  if (known.measured !== null) return ms(known.measured);
  return known.predicted === null ? UNKNOWN : `${ms(known.predicted)} (predicted)`;
}

export function latencyWithInterval(known) {
  if (!known) return UNKNOWN;
  const parts = [];
  if (known.measured !== null) {
    const interval = known.low === null ? "" : `, ${digits(known.low)} to ${digits(known.high)}`;
    parts.push(`${ms(known.measured)} measured${interval}`);
  }
  if (known.predicted !== null) parts.push(`${ms(known.predicted)} predicted`);
  return parts.join("; ") || UNKNOWN;
}

/** The budget as it was asked for, and what that comes to. */
export function budget(asked, limits) {
  return Object.entries(asked)
    .map(([name, value]) => {
      const words = typeof value === "string" ? value.replace("%", " %") : resource(name, value);
      const absolute =
        typeof value === "string" && limits && limits[name] !== undefined ? ` (${resource(name, limits[name])})` : "";
      return `${RESOURCES[name] || name} ${words}${absolute}`;
    })
    .join(", ");
}

/** A checkpoint's accuracy on the hold-out; an earlier version did not keep that of the original. */
export const onHoldout = (one) => (one.kind === "pick" ? one.accuracy : one.holdout_accuracy);

export function figure(figures, name) {
  if (!figures) return null;
  if (name !== "latency_ms") return figures[name];
  return figures.latency_ms.measured ?? figures.latency_ms.predicted;
}

export function stateWords(job) {
  if (job.requested) return `${job.state}, ${job.requested === "cancel" ? "cancelling" : "pausing"}`;
  return job.state === "running" && job.phase ? job.phase.replaceAll("-", " ") : job.state;
}

export const OVER = new Set(["succeeded", "failed", "cancelled"]);
