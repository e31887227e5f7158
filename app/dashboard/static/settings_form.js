// The settings of a job as a form, made from the schema that the service publishes. What is left alone is the preset's.

import { fill, h } from "./dom.js";

const CHOICES = {
  pick: "picks",
  proposals: "proposals",
  importance: "importances",
  search: "searches",
  final: "finals",
  executor: "executors",
  device: "devices",
  normalization: "normalizations",
};

export function settingsForm(schemas, info, onChange) {
  const known = schemas.SettingsIn.properties;
  const presets = Object.keys(info.presets);
  const preset = h(
    "select",
    { id: "setting-preset" },
    presets.map((name) => h("option", { value: name }, name)),
  );
  const fields = Object.entries(known)
    .filter(([name]) => name !== "preset")
    .map(([name, schema]) => field(name, resolved(schema, schemas), info.built[CHOICES[name]]));
  const show = () => fields.forEach((one) => one.offer(info.presets[preset.value][one.name]));
  preset.addEventListener("change", () => {
    show();
    onChange();
  });
  for (const one of fields) one.input.addEventListener("change", onChange);
  show();
  return {
    element: h(
      "div",
      {},
      h(
        "div",
        { class: "field" },
        h("label", { for: "setting-preset" }, "Preset"),
        preset,
        h(
          "p",
          { class: "hint" },
          "netadapt: the highest accuracy wins each step. mobilenetv3: the best slope. quick: little training, for trying things out.",
        ),
      ),
      h(
        "details",
        { id: "settings" },
        h("summary", {}, "Settings"),
        h(
          "div",
          { class: "columns" },
          fields.map((one) => one.element),
        ),
      ),
    ),
    /** Only what differs from the preset; null, with the fault beside its field, where something cannot be read. */
    value: () => {
      const read = fields.map((one) => [one.name, one.read()]);
      if (read.some(([, value]) => value === null)) return null;
      return { preset: preset.value, ...Object.fromEntries(read.filter(([, value]) => value !== undefined)) };
    },
    complain: (name, words) => {
      const found = fields.find((one) => one.name === name);
      if (!found) return false;
      if (words) found.element.closest("details").open = true;
      found.complain(words);
      return true;
    },
    clear: () => fields.forEach((one) => one.complain("")),
  };
}

function resolved(schema, schemas) {
  const options = (schema.anyOf || schema.oneOf || [schema]).filter((one) => one.type !== "null");
  const kinds = options.map((one) => (one.$ref ? schemas[one.$ref.split("/").at(-1)] : one));
  return { kinds, description: schema.description || kinds.find((one) => one.description)?.description || "" };
}

function field(name, { kinds, description }, built) {
  const id = `setting-${name}`;
  const error = h("p", { class: "field-error", id: `${id}-error`, role: "alert" });
  const { input, read, offer } = control(id, kinds, built);
  const complain = (words) => {
    fill(error, words);
    input.setAttribute("aria-invalid", words ? "true" : "false");
  };
  input.setAttribute("aria-describedby", `${id}-error`);
  input.addEventListener("input", () => complain(""));
  const checked = () => {
    try {
      return read();
    } catch (fault) {
      if (!(fault instanceof SyntaxError)) throw fault;
      complain('This is no JSON value; an object looks like {"initial": 0.03, "decay": 0.98}.');
      return null;
    }
  };
  return {
    name,
    input,
    offer,
    complain,
    read: checked,
    element: h(
      "div",
      { class: "field" },
      h("label", { for: id }, name),
      input,
      description && h("p", { class: "hint" }, description),
      error,
    ),
  };
}

/** An input for the kinds of value; `read` answers undefined where it was left alone. */
function control(id, kinds, built) {
  const choices = built || kinds.flatMap((kind) => kind.enum || (kind.const !== undefined ? [kind.const] : []));
  if (kinds.some((kind) => kind.type === "boolean")) return choice(id, [true, false]);
  if (choices.length && kinds.every((kind) => kind.enum || kind.const !== undefined)) return choice(id, choices);
  const input = h("input", { type: "text", id });
  const offer = (value) =>
    input.setAttribute(
      "placeholder",
      value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value),
    );
  const text = () => input.value.trim();
  if (kinds.some((kind) => kind.type === "array"))
    return {
      input,
      offer,
      read: () =>
        text()
          ? text()
              .split(/[\s,]+/)
              .filter(Boolean)
          : undefined,
    };
  if (kinds.some((kind) => kind.type === "object"))
    return { input, offer, read: () => (text() ? JSON.parse(text()) : undefined) };
  return {
    input,
    offer,
    read: () => (text() === "" ? undefined : Number.isFinite(Number(text())) ? Number(text()) : text()),
  };
}

function choice(id, values) {
  const first = h("option", { value: "" });
  const input = h(
    "select",
    { id },
    first,
    values.map((value) => h("option", { value: String(value) }, String(value))),
  );
  const offer = (value) => {
    first.textContent = value === undefined || value === null ? "as the preset has it" : `${value} (the preset's)`;
  };
  return {
    input,
    offer,
    read: () => (input.value === "" ? undefined : values.find((value) => String(value) === input.value)),
  };
}
