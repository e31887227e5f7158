// The same job from elsewhere: a curl line and a few lines of Python, to copy.

import { h } from "./dom.js";

/** `presets`: the settings of each, as /v1/info has them. */
export function snippets(job, presets) {
  const { model, dataset, target, budget } = job;
  const settings = settingsAsked(job.settings, presets[job.settings.preset] ?? {});
  const json = JSON.stringify({ model, dataset, target, budget, settings });
  const file = `/v1/jobs/${job.id}/checkpoints/final/file?format=onnx`;
  const curl = [
    `curl -H 'Content-Type: application/json' -d '${json.replaceAll("'", "'\\''")}' ${location.origin}/v1/jobs`,
    `curl -o adapted.onnx '${location.origin}${file}'`,
  ].join("\n");
  const python = [
    "from netadapt import Client",
    "",
    `with Client(${JSON.stringify(location.origin)}) as client:`,
    "    job = client.submit(",
    `        ${inPython(model)},`,
    ...Object.entries({ dataset, target, budget, settings }).map(
      ([name, value]) => `        ${name}=${inPython(value)},`,
    ),
    "    )",
    '    client.wait(job["id"])',
    '    client.download(job["id"], "adapted.onnx", format="onnx")',
  ].join("\n");
  return [
    snippet("On the command line", curl),
    snippet("In Python", python),
    h(
      "p",
      { class: "hint" },
      "Where sign-in is needed, add a token: -H 'Authorization: Bearer …', or Client(…, token=…).",
    ),
  ];
}

/** The preset and what differs from it. A job echoes each schedule with a floor, which only presets have. */
function settingsAsked(settings, preset) {
  const differing = Object.keys(preset).filter((name) => canonical(settings[name]) !== canonical(preset[name]));
  const asked = Object.fromEntries(differing.map((name) => [name, settings[name]]));
  if (asked.schedule)
    asked.schedule = Object.fromEntries(
      Object.entries(asked.schedule).map(([resource, { initial, decay }]) => [resource, { initial, decay }]),
    );
  return { preset: settings.preset, ...asked };
}

/** The same text for the same value: databases keep the keys of an object in an order of their own. */
function canonical(value) {
  return JSON.stringify(value, (_, part) =>
    part && typeof part === "object" && !Array.isArray(part) ? Object.fromEntries(Object.entries(part).sort()) : part,
  );
}

/** A JSON value as Python writes it. */
function inPython(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(inPython).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, part]) => `${JSON.stringify(name)}: ${inPython(part)}`)
    .join(", ")}}`;
}

function snippet(title, text) {
  const button = h("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text, code)) ? "Copied" : "Selected: copy with Ctrl+C";
  });
  const code = h("code", {}, text);
  return h(
    "div",
    { class: "field" },
    h("div", { class: "row" }, h("h3", {}, title), button),
    h("pre", { tabindex: 0, role: "region", "aria-label": title }, code),
  );
}

/** Without https a browser has no clipboard for scripts: then the text is marked, for the user to copy. */
async function copied(text, element) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // not allowed here: marked instead
    }
  }
  getSelection().selectAllChildren(element);
  return false;
}
