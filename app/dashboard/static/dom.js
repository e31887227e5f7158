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

/** As `fill`, for what is drawn anew by itself: whoever was on a link or button of it still is. */
export function refill(element, ...children) {
  const key = element.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  const scrolled = [...element.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  fill(element, ...children);
  element.querySelectorAll(".scroll").forEach((one, index) => {
    one.scrollLeft = scrolled[index] ?? 0;
  });
  if (key)
    [...element.querySelectorAll("a, button, [tabindex]")]
      .find((one) => keyOf(one) === key)
      ?.focus({ preventScroll: true });
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
