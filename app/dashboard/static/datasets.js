// The data sets: how many images of what, a few of them to look at, and what a person should know of the file.

import { all, get, Problem } from "./api.js";
import { facts, fill, h, refill, section } from "./dom.js";
import { fileChoice } from "./file_choice.js";
import * as say from "./format.js";
import { deletion } from "./models.js";
import { DATASET_ENDINGS } from "./new_job.js";
import { repeat } from "./repeat.js";

const CHECKED_EVERY_MS = 2000;

export async function datasetsPage(element, _name, left) {
  const [datasets, info] = await Promise.all([all("/v1/datasets", { limit: 500 }), get("/v1/info")]);
  const list = h("div", { tabindex: -1, role: "group", "aria-label": "Data sets that are here" });
  let known = datasets;
  const reload = async () => {
    const before = JSON.stringify(known);
    known = await all("/v1/datasets", { limit: 500 });
    if (!left.aborted && JSON.stringify(known) !== before) draw(list, known, reload, left);
  };
  const add = fileChoice({
    id: "new-dataset",
    label: "Add a data set",
    path: "/v1/datasets",
    endings: DATASET_ENDINGS,
    limit: info.limits.max_upload_bytes,
    options: [],
    onChange: () => {},
    onAdded: reload,
  });
  add.element.querySelector("select").hidden = true;
  fill(element, h("h1", {}, "Data sets"), section("New", add.element), list);
  draw(list, known, reload, left);
  repeat(
    async () => {
      if (known.some((one) => one.state === "checking")) await reload();
    },
    CHECKED_EVERY_MS,
    left,
  );
}

function draw(list, datasets, reload, left) {
  refill(
    list,
    datasets.map((dataset) => shown(dataset, reload, left)),
  );
}

function shown(dataset, reload, left) {
  const pictures = h("div", {});
  showPictures(pictures, dataset, left);
  return section(
    dataset.name,
    facts({
      Id: dataset.id,
      State: dataset.state,
      Images: dataset.image_shape && dataset.image_shape.join(" × "),
      Size: dataset.bytes ? say.bytes(dataset.bytes) : "built in",
      Added: dataset.sha256 && say.time(dataset.created_at),
      ...Object.fromEntries(Object.entries(dataset.splits || {}).map(([name, value]) => [`Split: ${name}`, value])),
    }),
    dataset.error && h("p", { class: "notice error" }, dataset.error.detail || dataset.error.title),
    dataset.notes.map((note) => h("p", { class: "notice" }, note)),
    pictures,
    counts(dataset.counts),
    dataset.sha256 && deletion(`/v1/datasets/${dataset.id}`, dataset.name, reload),
  );
}

async function showPictures(element, dataset, left) {
  try {
    const report = await get(`/v1/datasets/${dataset.id}/report`, { signal: left });
    const pictures = report.thumbnails.links
      .slice(0, 40)
      .map((link, index) => h("img", { src: link, alt: `Image ${index + 1} of ${dataset.name}`, loading: "lazy" }));
    fill(element, h("div", { class: "thumbnails" }, pictures));
  } catch (problem) {
    if (!(problem instanceof Problem)) {
      if (left.aborted) return;
      throw problem;
    }
    fill(element, h("p", { class: "quiet" }, problem.message));
  }
}

function counts(found) {
  if (!found) return null;
  const splits = [...new Set(Object.values(found).flatMap((one) => Object.keys(one)))];
  return h(
    "details",
    {},
    h("summary", {}, `${Object.keys(found).length} classes`),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Images by class" },
      h(
        "table",
        {},
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["Class", ...splits].map((name) => h("th", { scope: "col" }, name)),
          ),
        ),
        h(
          "tbody",
          {},
          Object.entries(found).map(([name, by]) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, name),
              splits.map((split) => h("td", { class: "number" }, by[split] ?? 0)),
            ),
          ),
        ),
      ),
    ),
  );
}
