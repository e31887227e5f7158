// The networks that were sent: what they cost, and which of their layers can shrink, and why the others cannot.

import { all, get, Problem, remove } from "./api.js";
import { complaint, facts, fill, h, refill, section } from "./dom.js";
import { fileChoice } from "./file_choice.js";
import * as say from "./format.js";
import { MODEL_ENDINGS } from "./new_job.js";
import { repeat } from "./repeat.js";

const CHECKED_EVERY_MS = 2000;

export async function modelsPage(element, _name, left) {
  const [models, info] = await Promise.all([all("/v1/models", { limit: 500 }), get("/v1/info")]);
  const list = h("div", { tabindex: -1, role: "group", "aria-label": "Networks that were sent" });
  let known = models;
  const reload = async () => {
    const before = JSON.stringify(known);
    known = await all("/v1/models", { limit: 500 });
    if (!left.aborted && JSON.stringify(known) !== before) draw(list, known, reload);
  };
  const add = fileChoice({
    id: "new-model",
    label: "Add a network",
    path: "/v1/models",
    endings: MODEL_ENDINGS,
    limit: info.limits.max_upload_bytes,
    options: [],
    onChange: () => {},
    onAdded: reload,
  });
  add.element.querySelector("select").hidden = true;
  fill(element, h("h1", {}, "Models"), section("New", add.element), list);
  draw(list, known, reload);
  repeat(
    async () => {
      if (known.some((one) => one.state === "checking")) await reload();
    },
    CHECKED_EVERY_MS,
    left,
  );
}

function draw(list, models, reload) {
  refill(list, models.length ? models.map((model) => shown(model, reload)) : h("p", {}, "No network was sent yet."));
}

function shown(model, reload) {
  return section(
    model.name,
    facts({
      Id: model.id,
      State: model.state,
      Format: model.format,
      Architecture: model.architecture,
      Input: model.input_shape.join(" × "),
      Classes: model.class_count,
      Parameters: say.count(model.params),
      "Mult-adds": say.count(model.macs),
      Memory: say.bytes(model.memory_bytes),
      Size: say.bytes(model.bytes),
      Added: say.time(model.created_at),
    }),
    model.error && h("p", { class: "notice error" }, model.error.detail || model.error.title),
    model.by_kind && shares(model.by_kind),
    model.groups
      ? groups(model.groups)
      : h("p", { class: "quiet" }, model.state === "checking" ? "Its channel groups are being looked for." : ""),
    deletion(`/v1/models/${model.id}`, model.name, reload),
  );
}

function shares(kinds) {
  return [
    h("h3", {}, "Where the work is"),
    h(
      "div",
      { class: "bars" },
      Object.entries(kinds).map(([kind, share]) =>
        h(
          "div",
          {},
          h(
            "div",
            { class: "bar-label" },
            h("span", {}, kind),
            h(
              "span",
              {},
              `${say.percent(share.macs)} of the mult-adds, ${say.percent(share.params)} of the parameters`,
            ),
          ),
          h("div", { class: "bar", "aria-hidden": "true" }, h("div", { width: `${100 * share.macs}%` })),
        ),
      ),
    ),
  ];
}

function groups(found) {
  const fixed = found.filter((group) => !group.prunable).length;
  return h(
    "details",
    {},
    h("summary", {}, `${found.length} groups of layers that shrink together, ${fixed} of them fixed`),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Groups" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Layers", "Kind", "Channels", "Can shrink"].map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          found.map((group) =>
            h(
              "tr",
              {},
              h("td", { class: "text" }, group.layers.join(", ")),
              h("td", {}, group.kind),
              h("td", { class: "number" }, group.channels),
              h("td", { class: "text" }, group.prunable ? "yes" : `no: ${group.reason}`),
            ),
          ),
        ),
      ),
    ),
  );
}

/** Asks first: what is deleted is gone. */
export function deletion(path, name, reload) {
  const said = h("div", {});
  const button = h(
    "button",
    {
      type: "button",
      class: "danger",
      "data-id": path,
      onclick: async () => {
        if (!confirm(`Delete ${name}?`)) return;
        try {
          await remove(path);
          await reload();
        } catch (problem) {
          if (!(problem instanceof Problem)) throw problem;
          fill(said, complaint(problem));
        }
      },
    },
    "Delete",
  );
  return [h("div", { class: "actions" }, button), said];
}
