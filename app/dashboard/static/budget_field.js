// A budget: one resource, a number, and whether that is absolute or per cent of the original's.

import { fill, h } from "./dom.js";

const UNITS = { latency_ms: "ms", macs: "mult-adds", params: "parameters", memory_bytes: "bytes" };
const NAMES = { latency_ms: "Latency", macs: "Mult-adds", params: "Parameters", memory_bytes: "Memory" };

export function budgetField(id, first = "latency_ms", onChange = () => {}) {
  const resource = h(
    "select",
    { id: `${id}-resource`, "aria-label": "What the budget is of" },
    Object.entries(NAMES).map(([name, words]) => h("option", { value: name }, words)),
  );
  const amount = h("input", {
    type: "text",
    inputmode: "decimal",
    id: `${id}-amount`,
    value: "60",
    "aria-describedby": `${id}-error`,
    size: 10,
  });
  const unit = h("select", { id: `${id}-unit`, "aria-label": "Unit of the budget" });
  const error = h("p", { class: "field-error", id: `${id}-error`, role: "alert" });
  resource.value = first;
  const units = () => {
    const kept = unit.value;
    fill(
      unit,
      h("option", { value: "%" }, "% of the original"),
      h("option", { value: "absolute" }, UNITS[resource.value]),
    );
    if (kept) unit.value = kept;
  };
  units();
  const complain = (words) => {
    fill(error, words);
    amount.setAttribute("aria-invalid", words ? "true" : "false");
  };
  resource.addEventListener("change", units);
  for (const input of [resource, amount, unit]) {
    input.addEventListener("input", () => {
      complain("");
      onChange();
    });
  }
  return {
    element: h(
      "div",
      { class: "field" },
      h("label", { for: `${id}-amount` }, "Budget: at most"),
      h("div", { class: "row" }, resource, amount, unit),
      error,
    ),
    value: () => ({ [resource.value]: unit.value === "%" ? `${amount.value.trim()}%` : Number(amount.value) }),
    complain,
    /** Says what no service has to be asked about. */
    check: () => {
      const number = Number(amount.value);
      const fits =
        amount.value.trim() !== "" && Number.isFinite(number) && number > 0 && (unit.value !== "%" || number <= 100);
      if (!fits) complain(unit.value === "%" ? "Give a percentage above 0 and up to 100." : "Give a number above 0.");
      return fits;
    },
    isGiven: () => Number(amount.value) > 0,
  };
}
