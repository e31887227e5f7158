// A budget: for each resource that it limits a number, and whether that is absolute or per cent of the original's.

import { fill, h } from "./dom.js";

const UNITS = { latency_ms: "ms", macs: "mult-adds", params: "parameters", memory_bytes: "bytes" };
const NAMES = { latency_ms: "Latency", macs: "Mult-adds", params: "Parameters", memory_bytes: "Memory" };
const SHARE = "60%";

/** `asked`: the budget to begin with, as a request has it. */
export function budgetField(id, asked = { latency_ms: SHARE }, onChange = () => {}) {
  const limits = [];
  let added = 1;
  const list = h("div", {});
  const unused = () => Object.keys(NAMES).filter((name) => !limits.some((limit) => limit.resource() === name));
  const further = h("button", { type: "button" }, "Limit one more");
  const offer = () => {
    for (const limit of limits) limit.offer(unused());
    further.hidden = unused().length === 0;
  };
  const changed = () => {
    offer();
    onChange();
  };
  const add = (resource, value) => {
    const own = limits.length ? `${id}-${(added += 1)}` : id; // no two have one, whichever were removed
    const limit = limitRow(own, resource, value, changed, limits.length > 0 && remove);
    limits.push(limit);
    list.append(limit.element);
    offer();
    return limit;
  };
  const remove = (limit) => {
    limits.splice(limits.indexOf(limit), 1);
    limit.element.remove();
    further.focus();
    changed();
  };
  further.addEventListener("click", () => {
    add(unused()[0], SHARE).focus();
    onChange();
  });
  for (const [resource, value] of Object.entries(asked)) add(resource, value);
  return {
    element: h("div", { class: "field" }, list, further),
    value: () => Object.assign({}, ...limits.map((limit) => limit.value())),
    /** Beside the limit of `resource`, or the first one. Without words nothing is complained of any more. */
    complain: (words, resource) => {
      if (!words) for (const limit of limits) limit.complain("");
      else (limits.find((limit) => limit.resource() === resource) ?? limits[0]).complain(words);
    },
    /** Says what no service has to be asked about. */
    check: () => limits.map((limit) => limit.check()).every(Boolean),
    isGiven: () => limits.every((limit) => limit.isGiven()),
  };
}

function limitRow(id, first, asked, onChange, remove) {
  const resource = h("select", { id: `${id}-resource`, "aria-label": "What the budget is of" });
  const amount = h("input", {
    type: "text",
    inputmode: "decimal",
    id: `${id}-amount`,
    value: String(asked).replace("%", ""),
    "aria-describedby": `${id}-error`,
    size: 10,
  });
  const unit = h("select", { id: `${id}-unit`, "aria-label": "Unit of the budget" });
  const error = h("p", { class: "field-error", id: `${id}-error`, role: "alert" });
  const options = (select, words, chosen) => {
    fill(
      select,
      Object.entries(words).map(([name, text]) => h("option", { value: name }, text)),
    );
    select.value = chosen;
  };
  const units = (chosen) => options(unit, { "%": "% of the original", absolute: UNITS[resource.value] }, chosen);
  options(resource, NAMES, first);
  units(String(asked).endsWith("%") ? "%" : "absolute");
  const complain = (words) => {
    fill(error, words);
    amount.setAttribute("aria-invalid", words ? "true" : "false");
  };
  resource.addEventListener("change", () => units(unit.value));
  for (const input of [resource, amount, unit]) {
    input.addEventListener("input", () => {
      complain("");
      onChange();
    });
  }
  const limit = {
    resource: () => resource.value,
    /** Of the resources its own and those that no other limit is of. */
    offer: (unused) => {
      const own = resource.value;
      const free = Object.entries(NAMES).filter(([name]) => name === own || unused.includes(name));
      options(resource, Object.fromEntries(free), own);
    },
    value: () => ({ [resource.value]: unit.value === "%" ? `${amount.value.trim()}%` : Number(amount.value) }),
    complain,
    check: () => {
      const number = Number(amount.value);
      const fits =
        amount.value.trim() !== "" && Number.isFinite(number) && number > 0 && (unit.value !== "%" || number <= 100);
      if (!fits) complain(unit.value === "%" ? "Give a percentage above 0 and up to 100." : "Give a number above 0.");
      return fits;
    },
    isGiven: () => Number(amount.value) > 0,
    focus: () => resource.focus(),
  };
  limit.element = h(
    "div",
    { class: "field" },
    h("label", { for: `${id}-amount` }, remove ? "and at most" : "Budget: at most"),
    h(
      "div",
      { class: "row" },
      resource,
      amount,
      unit,
      remove && h("button", { type: "button", onclick: () => remove(limit) }, "Remove"),
    ),
    error,
  );
  return limit;
}
