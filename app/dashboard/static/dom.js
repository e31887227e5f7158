// Elements made from values. Text only ever becomes a text node: what a user named a network is never markup.

/** `h("a", {href, class, onclick}, "text", child)`. `on...` are listeners, null and false are left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(element, name, value);
  append(element, children);
  return element;
}

/** Replaces all that `element` holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/**
 * As `fill`, for what is drawn anew by itself: whoever was on a link or button of it still is, or, where that is gone, on
 * `element` itself if it has a tabindex.
 */
export function refill(element, ...children) {
  const within = element.contains(document.activeElement);
  const key = within && keyOf(document.activeElement);
  const scrolled = [...element.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  fill(element, ...children);
  element.querySelectorAll(".scroll").forEach((one, index) => {
    one.scrollLeft = scrolled[index] ?? 0;
  });
  if (!within) return;
  const same = key && [...element.querySelectorAll("a, button, [tabindex]")].find((one) => keyOf(one) === key);
  (same || element).focus({ preventScroll: true });
}

/**
 * `act()`, once at a time: until it is done `control` is shown as switched off and does nothing. It keeps the focus, which
 * `disabled` would drop under whoever has no mouse.
 */
export async function once(control, act) {
  if (control.getAttribute("aria-disabled") === "true") return;
  control.setAttribute("aria-disabled", "true");
  try {
    await act();
  } finally {
    control.setAttribute("aria-disabled", "false");
  }
}

function keyOf(element) {
  return element.dataset.id || element.getAttribute("href") || element.getAttribute("aria-label");
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name === "width") element.style.width = value;
  else if (name === "value" || name === "checked") element[name] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** A term and its description for each entry that is known. */
export function facts(entries) {
  const known = Object.entries(entries).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h(
    "dl",
    { class: "facts" },
    known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

export function section(title, ...children) {
  const heading = h("h2", {}, title);
  return h("section", {}, heading, children);
}

/** Shows what went wrong, where the user looks. */
export function complaint(problem) {
  return h("p", { class: "notice error", role: "alert" }, problem.message);
}
