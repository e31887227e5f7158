"""How long the parser's child process takes over a 100 MB .pt2, its start included, and how much memory; one JSON line.

Beside it what the API process itself holds while a file of 500 MB is streamed through the multipart form to disk.
"""

import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from adapt.formats.sandbox import read_in_child
from app.uploads import FormShape, receive_form, upload_limits

RUNS = 7
MB = 1_000_000
UPLOAD_BYTES, CHUNK_BYTES = 500 * MB, 64 * 1024
BAR_SECONDS, BAR_BYTES = 2.0, 300 * MB


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`peak_bytes` is the largest resident size of any reading so far. (Of a child it counts from before its exec, so
    this process has to be the smaller one.)"""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def read_once(upload: Path, out: Path) -> Reading:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    read_in_child(upload, out)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Reading(seconds=seconds, cpu_seconds=cpu, peak_bytes=after.ru_maxrss * 1024)


async def growth_while_uploading(folder: Path, size: int = UPLOAD_BYTES) -> int:
    """Bytes by which this process's peak resident size grows while a form with one file of `size` bytes comes in."""
    chunk = os.urandom(CHUNK_BYTES)
    head = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="net.pt2"\r\n\r\n'

    async def body() -> AsyncIterator[bytes]:
        yield head
        for _ in range(size // CHUNK_BYTES):
            yield chunk
        yield b"\r\n--XX--\r\n"

    shape = FormShape(files=frozenset({"file"}), fields=frozenset())
    headers = {"content-type": "multipart/form-data; boundary=XX"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with receive_form(body(), headers, shape=shape, limits=upload_limits(size), folder=folder) as form:
        if form.file("file").bytes != size // CHUNK_BYTES * CHUNK_BYTES:
            raise RuntimeError("the upload did not arrive whole")
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def measure(upload: Path) -> dict[str, Any]:
    """For a process that had no other children: their peak of memory cannot be told apart."""
    folder = upload.parent
    growth = asyncio.run(growth_while_uploading(folder))
    readings = [read_once(upload, folder / "network.safetensors") for _ in range(RUNS)]
    seconds = statistics.median(reading.seconds for reading in readings)
    above = readings[-1].peak_bytes - upload.stat().st_size
    return {
        "bench": "read_network",
        "seconds": round(seconds, 2),
        "fastest_seconds": round(min(reading.seconds for reading in readings), 2),
        "cpu_seconds": round(statistics.median(reading.cpu_seconds for reading in readings), 2),
        "bytes_above_file": above,
        "upload_growth_bytes": growth,
        "within": seconds < BAR_SECONDS and above < BAR_BYTES,
        "conditions": {
            "file_bytes": upload.stat().st_size,
            "runs": RUNS,
            "upload_bytes": UPLOAD_BYTES,
            "bar_seconds": BAR_SECONDS,
            "bar_bytes_above_file": BAR_BYTES,
            "cores": len(os.sched_getaffinity(0)),
            "load_average": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        },
    }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="netadapt-bench-") as name:
        upload = Path(name) / "network.pt2"
        subprocess.run([sys.executable, "-m", "benchmarks.wide_network", str(upload)], check=True)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            print(json.dumps(pool.submit(measure, upload).result()))


if __name__ == "__main__":
    main()
