// One thing that a job needs, a network or a data set: picked from a list, or dropped as a file, which is sent at once.

import { Problem, upload } from "./api.js";
import { fill, h } from "./dom.js";
import * as say from "./format.js";

/**
 * `options`: [[id, words]]. `endings`: of the files that are taken. `limit`: bytes, 0 for none. `extra(file)`: more form
 * fields by name. `onChange(id)` after a choice, `onAdded(answer)` after an upload.
 */
export function fileChoice({
  id,
  label,
  options,
  path,
  endings,
  limit,
  hint,
  extra = () => ({}),
  onChange,
  onAdded = () => {},
}) {
  const select = h("select", { id, "aria-describedby": `${id}-error` });
  const error = h("p", { class: "field-error", id: `${id}-error`, role: "alert" });
  const progress = h("progress", {
    max: 1,
    value: 0,
    hidden: true,
    "aria-label": `Upload of the ${label.toLowerCase()}`,
  });
  const told = h("p", { class: "hint", role: "status" });
  const file = h("input", { type: "file", id: `${id}-file`, accept: endings.join(",") });
  const drop = h(
    "div",
    { class: "drop" },
    h("label", { for: `${id}-file` }, `Drop a file here, or choose one: ${endings.join(", ")}`),
    file,
    progress,
    told,
  );
  const offer = (chosen) => {
    fill(
      select,
      h("option", { value: "" }, "choose one, or drop a file"),
      options.map(([value, words]) => h("option", { value }, words)),
    );
    select.value = chosen;
  };
  const complain = (words) => {
    fill(error, words);
    select.setAttribute("aria-invalid", words ? "true" : "false");
  };
  const sending = (on) => {
    progress.hidden = !on;
    file.setAttribute("aria-disabled", on); // `disabled` would drop the focus under whoever has no mouse
  };
  const send = async (given) => {
    const refusal = refused(given, endings, limit);
    complain(refusal);
    if (refusal) return;
    sending(true);
    try {
      const answer = await upload(path, form(given, extra(given)), (share) => {
        progress.value = share;
        told.textContent =
          share < 1
            ? `${given.name}: ${say.percent(share, 0)} of ${say.bytes(given.size)} sent`
            : `${given.name} is being read`;
      });
      told.textContent = `${answer.name} is there (${answer.id})`;
      if (!options.some(([value]) => value === answer.id)) options.unshift([answer.id, answer.name]);
      offer(answer.id);
      onAdded(answer);
      onChange(answer.id);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      told.textContent = "";
      complain(`${given.name}: ${problem.message}`);
    } finally {
      sending(false);
      file.value = "";
    }
  };
  offer("");
  select.addEventListener("change", () => {
    complain("");
    onChange(select.value);
  });
  file.addEventListener("click", (event) => progress.hidden || event.preventDefault());
  file.addEventListener("change", () => file.files.length && send(file.files[0]));
  acceptDrops(drop, send, complain);
  return {
    element: h(
      "div",
      { class: "field" },
      h("label", { for: id }, label),
      select,
      drop,
      hint && h("p", { class: "hint" }, hint),
      error,
    ),
    value: () => select.value,
    choose: (chosen) => {
      select.value = chosen;
    },
    complain,
    send,
    takes: (name) => endings.some((ending) => name.toLowerCase().endsWith(ending)),
  };
}

function acceptDrops(drop, send, complain) {
  const over = (on) => (event) => {
    event.preventDefault();
    drop.classList.toggle("over", on);
  };
  drop.addEventListener("dragover", over(true));
  drop.addEventListener("dragleave", over(false));
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    event.stopPropagation();
    const files = event.dataTransfer.files;
    if (files.length === 1) send(files[0]);
    else complain(files.length ? "Drop one file at a time." : "That is no file. Drop one from a folder.");
  });
}

/** What can be said before a byte is sent. */
function refused(file, endings, limit) {
  if (!endings.some((ending) => file.name.toLowerCase().endsWith(ending)))
    return `${file.name} is of the wrong kind; this takes ${endings.join(", ")}.`;
  if (limit && file.size > limit)
    return `${file.name} has ${say.bytes(file.size)}, and this service takes files up to ${say.bytes(limit)}. Nothing was sent.`;
  return file.size === 0 ? `${file.name} is empty.` : "";
}

function form(file, fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  data.append("file", file, file.name);
  return data;
}
