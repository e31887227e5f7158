"""100,000 mutated files over all the readers of uploads; one JSON line, exit 1 for any finding.

Each is read, or refused by an error that becomes an answer 4xx: no other exception, no crash, nothing over five
seconds or above the memory limit, nothing touched outside of its scratch folder. A thousand cases share a child
process, started anew by exec. `python -m benchmarks.fuzz --format pt2 --first 1234 --cases 1 --keep FOLDER` shows one.
"""

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzzing.formats import FORMATS
from benchmarks.fuzzing.raw import MOST_BYTES

A_CHILD = 1000
SHOWN = 40
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Tally:
    """Of one format. `findings` are (case, what)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, Any]] = field(default_factory=list)
    peak_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def cases(self) -> int:
        return sum(self.outcomes.values()) + len(self.findings)

    def document(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "cases_per_second": round(self.cases / self.seconds, 1),
            "cases_per_cpu_second": round(self.cases / self.cpu_seconds, 1),
            "outcomes": dict(self.outcomes),
            "findings": len(self.findings),
            "peak_mb": self.peak_bytes // 10**6,
        }


Piece = tuple[str, int, int]  # a format, the first case, how many
Tallies = defaultdict[str, Tally]


def fuzz(corpus: Path, seed: int, pieces: Sequence[Piece], tallies: Tallies | None = None) -> Tallies:
    """Tries the cases of all pieces in one child, or in more where one dies; adds to `tallies`."""
    tallies = defaultdict(Tally) if tallies is None else tallies
    left = list(pieces)
    while left:
        left = _run_child(corpus, seed, left, tallies)
    return tallies


def fuzz_format(corpus: Path, seed: int, name: str, first: int, count: int) -> Tally:
    """As `fuzz`, a thousand cases a child, and timed."""
    tallies: Tallies = defaultdict(Tally)
    start, cpu_before = time.perf_counter(), _children_cpu_s()
    for at in range(first, first + count, A_CHILD):
        fuzz(corpus, seed, [(name, at, min(A_CHILD, first + count - at))], tallies)
    tally = tallies[name]
    tally.seconds, tally.cpu_seconds = time.perf_counter() - start, _children_cpu_s() - cpu_before
    return tally


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run_child(corpus: Path, seed: int, pieces: Sequence[Piece], tallies: Tallies) -> list[Piece]:
    """Fills in the tallies; what is still to be done. Raises RuntimeError for a fault of the fuzzer."""
    given = [f"{name}:{first}:{count}" for name, first, count in pieces]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="fuzz-outside-") as outside:  # sentinel: whatever appears here is a finding
        command = [sys.executable, "-m", "benchmarks.fuzzing.child", str(corpus), str(seed), *given]
        child = subprocess.run(command, cwd=outside, env=environment, capture_output=True, text=True, check=False)
        left = sorted(os.listdir(outside))
    name, case = "", -1
    for line in child.stdout.splitlines():
        name, number, outcome = line.split(" ", 2)
        case, tally = int(number), tallies[name]
        if outcome.startswith("{"):
            tally.findings.append((case, json.loads(outcome)))
        elif outcome:
            word, _, peak = outcome.partition(" ")
            tally.outcomes[word] += 1
            tally.peak_bytes = max(tally.peak_bytes, int(peak))
    if not name or child.returncode > 0:
        ended = f"ended with {child.returncode} at {name or 'its start'} {case}"
        raise RuntimeError(f"the child {ended}: {child.stderr[-2000:]}")
    if left:
        tallies[name].findings.append((case, {"left": left}))
    if child.returncode < 0:
        tallies[name].findings.append((case, {"ended_by": signal.Signals(-child.returncode).name}))
    return _behind(pieces, name, case)


def _behind(pieces: Sequence[Piece], name: str, case: int) -> list[Piece]:
    """What of the pieces comes after this case."""
    at = [each for each, _, _ in pieces].index(name)
    _, first, count = pieces[at]
    rest = [(name, case + 1, first + count - case - 1)] if first + count > case + 1 else []
    return [*rest, *pieces[at + 1 :]]


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _arguments().parse_args(arguments)
    share = 1.0 if asked.cases is None else asked.cases / sum(form.cases for form in FORMATS.values())
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-corpus-") as folder:
        corpus = Path(folder)
        subprocess.run([sys.executable, "-m", "benchmarks.fuzzing.corpus", folder], check=True)
        tallies: dict[str, Tally] = {}
        for name, form in FORMATS.items():
            if asked.format in (None, name):
                count = asked.cases if asked.format and asked.cases else max(1, round(form.cases * share))
                tallies[name] = fuzz_format(corpus, asked.seed, name, asked.first, count)
                print(f"{name}: {tallies[name].document()} {tallies[name].findings}", file=sys.stderr, flush=True)
        if asked.keep is not None:
            _keep(corpus, tallies, asked.seed, asked.keep)
    findings = [{"format": name, "case": n, **what} for name, tally in tallies.items() for n, what in tally.findings]
    passed = not findings
    print(
        json.dumps(
            {
                "bench": "fuzz",
                "passed": passed,
                "cases": sum(tally.cases for tally in tallies.values()),
                "seconds": round(time.perf_counter() - start, 1),
                "formats": {name: tally.document() for name, tally in tallies.items()},
                "findings": findings[:SHOWN],
                "conditions": {
                    "seed": asked.seed,
                    "most_bytes": MOST_BYTES,
                    "cores": len(os.sched_getaffinity(0)),
                    "load_average": round(os.getloadavg()[0], 1),
                    "python": platform.python_version(),
                },
            }
        )
    )
    return 0 if passed else 1


def _keep(corpus: Path, tallies: dict[str, Tally], seed: int, folder: Path) -> None:
    """The files of the findings."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, tally in tallies.items():
        seeds = [path.read_bytes() for path in sorted((corpus / name).iterdir())]
        for case, _ in tally.findings:
            data = FORMATS[name].case(seeds, Random(f"{seed} {name} {case}"))[:MOST_BYTES]
            (folder / f"{name}-{case}").write_bytes(data)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=[*FORMATS])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, help="in all, or of the one format; default: 100,000 in all")
    parser.add_argument("--keep", type=Path, help="a folder for the files of findings")
    return parser


if __name__ == "__main__":
    sys.exit(main())
