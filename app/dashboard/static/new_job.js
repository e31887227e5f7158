// A new job: network, images, budget; every error beside its field, and whether the budget can be met as it is typed.

import { all, get, post, Problem } from "./api.js";
import { budgetField } from "./budget_field.js";
import { fill, h, once, section } from "./dom.js";
import * as say from "./format.js";
import { Feasibility } from "./feasibility.js";
import { fileChoice } from "./file_choice.js";
import { settingsForm } from "./settings_form.js";

export const MODEL_ENDINGS = [".pt2", ".onnx", ".safetensors"];
export const DATASET_ENDINGS = [".npz", ".zip", ".tar", ".tar.gz", ".tgz", ".parquet"];

export async function newJobPage(element, _name, left) {
  const [info, models, datasets, targets, zoo, schema] = await Promise.all([
    get("/v1/info"),
    all("/v1/models", { limit: 500 }),
    all("/v1/datasets", { limit: 500 }),
    all("/v1/targets", { limit: 500 }),
    get("/v1/architectures"),
    get("/openapi.json"),
  ]);
  const form = new Form(element, left, {
    info,
    models,
    datasets,
    targets,
    zoo: zoo.data,
    schemas: schema.components.schemas,
  });
  form.build();
}

class Form {
  constructor(element, left, known) {
    Object.assign(this, { element, left, known, key: newKey() });
  }

  build() {
    const { info, models, datasets, targets, zoo, schemas } = this.known;
    const changed = () => this.changed();
    const limit = info.limits.max_upload_bytes;
    this.model = fileChoice({
      id: "model",
      label: "Network",
      path: "/v1/models",
      endings: MODEL_ENDINGS,
      limit,
      onChange: changed,
      options: [
        ...models.map((one) => [one.id, `${one.name} (${say.count(one.params)} parameters)`]),
        ...zoo.map((one) => [one.name, `${one.name} from the zoo, trained first`]),
      ],
      hint: "A trained classifier of images, as torch.export or torch.onnx writes it; or one of the zoo, which is trained on the data set first.",
    });
    this.dataset = fileChoice({
      id: "dataset",
      label: "Images",
      path: "/v1/datasets",
      endings: DATASET_ENDINGS,
      limit,
      onChange: changed,
      options: datasets.map((one) => [one.id, one.name]),
      hint: "The images it is fine-tuned on: an .npz, a folder for each class in a zip or tar, or a .parquet.",
    });
    this.dataset.choose("digits");
    this.target = h(
      "select",
      { id: "target", "aria-describedby": "target-error" },
      targets.map((one) => h("option", { value: one.id }, `${one.name} (${one.kind}, ${one.runtime})`)),
    );
    this.target.value = "local";
    this.targetError = h("p", { class: "field-error", id: "target-error", role: "alert" });
    this.target.addEventListener("change", changed);
    this.name = h("input", { type: "text", id: "job-name", maxlength: 200 });
    this.budget = budgetField("budget", undefined, changed);
    this.settings = settingsForm(schemas, info, changed);
    this.error = h("p", { class: "field-error", role: "alert" });
    this.submit = h("button", { type: "submit", class: "primary" }, "Start the job");
    const answer = h("div", { role: "status", id: "feasibility" });
    this.feasibility = new Feasibility(answer, {
      left: this.left,
      request: () => this.request(),
      onProblem: (problem) => this.place(problem),
    });
    const field = (label, input, error) =>
      h("div", { class: "field" }, h("label", { for: input.id }, label), input, error);
    const form = h(
      "form",
      { novalidate: true },
      h(
        "div",
        { class: "columns" },
        section("What", this.model.element, this.dataset.element),
        section("How fast", this.budget.element, field("Measured on", this.target, this.targetError), answer),
      ),
      section("How", this.settings.element, field("Name (optional)", this.name)),
      this.error,
      this.submit,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      once(this.submit, () => this.send()).then(() => this.showFault());
    });
    fill(this.element, h("h1", {}, "New job"), form);
    document.addEventListener("drop", (event) => this.dropped(event), { signal: this.left });
  }

  /** A file dropped anywhere on the page goes where its ending says. */
  dropped(event) {
    const [file] = event.dataTransfer.files;
    if (file) (this.dataset.takes(file.name) ? this.dataset : this.model).send(file);
  }

  changed() {
    fill(this.error);
    if (this.model.value() && this.budget.isGiven()) this.feasibility.ask();
  }

  request() {
    const settings = this.settings.value();
    if (!settings || !this.model.value() || !this.budget.isGiven()) return null;
    const name = this.name.value.trim();
    return {
      model: this.model.value(),
      dataset: this.dataset.value() || "digits",
      target: this.target.value,
      budget: this.budget.value(),
      settings,
      ...(name && { name }),
    };
  }

  async send() {
    this.place(null);
    const given = Boolean(this.model.value());
    if (!given) this.model.complain("Choose a network, or drop its file.");
    if (!this.budget.check() || !given) return;
    const request = this.request();
    if (!request) return;
    try {
      const job = await post("/v1/jobs", request, { headers: { "Idempotency-Key": this.key } });
      location.hash = `#/jobs/${job.id}`;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.place(problem);
      if (problem.status) this.key = newKey(); // a refusal is an answer: the next try is another request
    }
  }

  /** Whoever sent the form is brought to the first field that is at fault: it may be pages away from the button. */
  showFault() {
    this.element.querySelector("[aria-invalid=true]")?.focus();
  }

  /** Each fault beside the field that it points to; what points nowhere stands above the button. */
  place(problem) {
    const fields = {
      "/model": this.model.complain,
      "/dataset": this.dataset.complain,
      "/budget": this.budget.complain,
      "/target": (words) => {
        fill(this.targetError, words);
        this.target.setAttribute("aria-invalid", words ? "true" : "false");
      },
    };
    if (!problem) {
      Object.values(fields).forEach((complain) => complain(""));
      this.settings.clear();
      fill(this.error);
      return;
    }
    const placed = problem.fields.map(({ pointer = "", detail }) => {
      const [, first, second] = pointer.split("/");
      if (first === "settings") return this.settings.complain(second, detail);
      fields[`/${first}`]?.(detail, second);
      return `/${first}` in fields;
    });
    if (!placed.length || placed.includes(false)) fill(this.error, problem.message);
  }
}

/** By which the service knows a request that is sent again since its answer got lost. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("-");
}
