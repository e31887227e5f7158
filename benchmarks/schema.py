"""Thousands of requests made from the OpenAPI document, against a served API; one JSON line, exit 1 for any failure.

schemathesis makes them, valid and not, alone and in sequences: no answer 5xx, and each as the document says (status,
media type, headers, schema). The document's `default` answer is taken out first, or no status could be wrong.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch
from torch import nn

from benchmarks.live_service import live_service

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
)
"""Not positive_data_acceptance: that a cursor is one of ours, or a file a network, no schema can say. Nor ignored_auth:
on loopback, without tokens, nobody needs to sign in."""
PHASES = ("examples", "coverage", "fuzzing", "stateful")
MOST_EXAMPLES = 60  # by operation and phase
SHOWN = 20
LONGEST_JOB_S = 180.0
UNLIMITED = {"NETADAPT_REQUESTS_PER_S": "0", "NETADAPT_FAILED_SIGN_INS_PER_MINUTE": "0"}
"""Or 429 would be most of the answers."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`failures` are short texts; `output` is what schemathesis prints."""

    requests: int
    failures: tuple[str, ...]
    output: str


def try_api(
    url: str,
    document: dict[str, Any],
    folder: Path,
    *,
    headers: Mapping[str, str] | None = None,
    known: Mapping[str, str | int] | None = None,
    seed: int = 0,
    examples: int = MOST_EXAMPLES,
    phases: Sequence[str] = PHASES,
) -> Outcome:
    """`known` are values of path parameters that lead to something; `folder` takes the document and the report."""
    described, report = folder / "openapi.json", folder / "report.json"
    described.write_text(json.dumps(_prepared(document, known or {})))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(described), "--url", url, "--seed", str(seed)),
        *("--checks", ",".join(CHECKS), "--phases", ",".join(phases), "--max-examples", str(examples)),
        *("--continue-on-failure", "--no-shrink", "--no-color", "--generation-database", "none", "--warnings", "off"),
        *("--suppress-health-check", "all", "--request-timeout", "60", "--generation-allow-x00", "true"),
        *("--report", "json", "--report-json-path", str(report)),
        *(f"--header={name}: {value}" for name, value in (headers or {}).items()),
    ]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not report.exists():
        raise RuntimeError(f"schemathesis ended with {ran.returncode}: {(ran.stdout + ran.stderr)[-3000:]}")
    return _outcome(json.loads(report.read_text()), ran)


def _prepared(document: dict[str, Any], known: Mapping[str, str | int]) -> dict[str, Any]:
    """Without default answers; `known` as examples, but of what removes them."""
    for operations in document["paths"].values():
        for method, operation in operations.items():
            operation["responses"].pop("default")
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in known and method != "delete":
                    parameter["example"] = known[parameter["name"]]
    return document


def _outcome(report: dict[str, Any], ran: "subprocess.CompletedProcess[str]") -> Outcome:
    failures = [f"{found['title']}: {', '.join(found['operations'])}" for found in report["failures"]]
    failures += [json.dumps(error)[:300] for error in report["errors"]]
    if report["operations"]["tested"] < report["operations"]["total"] or not (failures or report["exit_code"] == 0):
        failures.append(f"not everything was tried: {report['stop_reason']}, {report['operations']}")
    return Outcome(requests=report["test_cases"]["generated"], failures=tuple(failures), output=ran.stdout)


def made_objects(url: str) -> dict[str, str]:
    """A model, a target and a job that has run to its end, by the names of the parameters that take them."""
    settings = {"preset": "quick", "short_term_steps": 1, "long_term_epochs": 1, "round_channels_to": 1}
    settings |= {"min_channels": 1, "allow_low_accuracy": True, "executor": "serial"}
    with httpx.Client(base_url=url, timeout=60) as client:
        model = client.post("/v1/models", files={"file": ("net.pt2", tiny_network())}).raise_for_status().json()["id"]
        target = client.post("/v1/targets", json={"kind": "local", "name": "two", "threads": 2}).json()["id"]
        asked = {"model": model, "budget": {"params": "80%"}, "settings": settings}
        job = client.post("/v1/jobs", json=asked).raise_for_status().json()["id"]
        end = time.monotonic() + LONGEST_JOB_S
        while (found := client.get(f"/v1/jobs/{job}").json())["state"] in {"queued", "running"}:
            if time.monotonic() > end:
                raise RuntimeError(f"the job has not ended: {found}")
            time.sleep(0.5)
    if found["state"] != "succeeded":
        raise RuntimeError(f"the job failed: {found['error']}")
    return {"model_id": model, "target_id": target, "job_id": job}


def tiny_network() -> bytes:
    """Of the digits' size and classes, as torch.export.save writes it."""
    network = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten())
    network.append(nn.Linear(64, 10))
    images = (torch.zeros(2, 1, 8, 8),)
    program = torch.export.export(network.eval(), images, dynamic_shapes=({0: torch.export.Dim("batch")},))
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schema")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=MOST_EXAMPLES)
    asked = parser.parse_args(arguments)
    start = time.perf_counter()
    os.environ |= UNLIMITED
    with tempfile.TemporaryDirectory(prefix="netadapt-schema-") as name, live_service(Path(name)) as url:
        document = httpx.get(f"{url}/openapi.json").json()
        known: dict[str, str | int] = {
            **made_objects(url),
            "dataset_id": "digits",
            "number": 0,
            "checkpoint": "0",
            "iteration": 1,
        }
        outcome = try_api(url, document, Path(name), known=known, seed=asked.seed, examples=asked.examples)
    print(outcome.output, file=sys.stderr)
    print(
        json.dumps(
            {
                "bench": "schema",
                "passed": not outcome.failures,
                "requests": outcome.requests,
                "failures": outcome.failures[:SHOWN],
                "seconds": round(time.perf_counter() - start, 1),
                "conditions": {
                    "seed": asked.seed,
                    "examples": asked.examples,
                    "checks": CHECKS,
                    "cores": len(os.sched_getaffinity(0)),
                    "load_average": round(os.getloadavg()[0], 1),
                    "python": platform.python_version(),
                },
            }
        )
    )
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
