// The same job from elsewhere: a curl line and a few lines of Python, to copy.

import { h } from "./dom.js";

export function snippets(job) {
  const request = {
    model: job.model,
    dataset: job.dataset,
    target: job.target,
    budget: job.budget,
    settings: { preset: job.settings.preset },
  };
  const json = JSON.stringify(request);
  const file = `/v1/jobs/${job.id}/checkpoints/final/file?format=onnx`;
  const curl = [
    `curl -H 'Content-Type: application/json' -d '${json.replaceAll("'", "'\\''")}' ${location.origin}/v1/jobs`,
    `curl -o adapted.onnx '${location.origin}${file}'`,
  ].join("\n");
  const python = [
    "from netadapt import Client",
    "",
    `with Client(${JSON.stringify(location.origin)}) as client:`,
    `    job = client.submit(${JSON.stringify(job.model)}, dataset=${JSON.stringify(job.dataset)}, budget=${JSON.stringify(job.budget)})`,
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
