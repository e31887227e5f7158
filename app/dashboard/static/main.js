// Which page is shown, by what stands behind the # of the address.

import { get, remove, Problem } from "./api.js";
import { complaint, fill, h } from "./dom.js";
import { comparePage } from "./compare.js";
import { datasetsPage } from "./datasets.js";
import { jobPage } from "./job.js";
import { jobsPage } from "./jobs.js";
import { modelsPage } from "./models.js";
import { newJobPage } from "./new_job.js";
import { targetsPage } from "./targets.js";

const PAGES = [
  [/^#\/jobs$/, "Jobs", jobsPage],
  [/^#\/jobs\/([A-Za-z0-9_.-]+)$/, "Job", jobPage],
  [/^#\/new$/, "New job", newJobPage],
  [/^#\/compare(?:\/([A-Za-z0-9_.,-]*))?$/, "Compare", comparePage],
  [/^#\/models$/, "Models", modelsPage],
  [/^#\/datasets$/, "Data sets", datasetsPage],
  [/^#\/targets$/, "Targets", targetsPage],
];
const main = document.getElementById("main");
let leave = new AbortController();

/** A page gets its element, the part of the address that names something, and a signal that says when it is left. */
async function show() {
  leave.abort();
  leave = new AbortController();
  const here = leave.signal;
  document.getElementById("connection").hidden = true;
  const address = location.hash || "#/jobs";
  if (!address.startsWith("#/")) return; // the skip link
  const found = PAGES.find(([pattern]) => pattern.test(address));
  markCurrent(address);
  const element = h("div", { class: "page" });
  fill(main, element);
  if (!found) {
    fill(
      element,
      h("h1", {}, "Not here"),
      h("p", {}, "There is no such page. ", h("a", { href: "#/jobs" }, "All jobs")),
    );
    return;
  }
  const [pattern, title, page] = found;
  document.title = `${title} · NetAdapt`;
  try {
    await page(element, pattern.exec(address)[1] || "", here);
  } catch (error) {
    if (here.aborted) return;
    if (!(error instanceof Problem)) throw error;
    fill(element, h("h1", {}, title), complaint(error), h("button", { type: "button", onclick: show }, "Try again"));
  }
}

function markCurrent(address) {
  for (const link of document.querySelectorAll("header nav a")) {
    if (address.startsWith(link.getAttribute("href"))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function offerSignOut() {
  const button = document.getElementById("sign-out");
  button.addEventListener("click", async () => {
    await remove("/v1/session");
    location.reload();
  });
  button.hidden = !(await get("/v1/info")).sign_in_required;
}

window.addEventListener("hashchange", () => {
  show();
  if (location.hash.startsWith("#/")) main.focus();
});
// A file that misses its place would be opened in place of the page, and all that was filled in would be gone.
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
show();
offerSignOut().catch((error) => {
  if (!(error instanceof Problem)) throw error; // the page itself says that the service is away
});
