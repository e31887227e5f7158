"""How long the parser's child process takes over a 100 MB .pt2, its start included, and how much memory; one JSON line.

Beside it what the API process itself holds while a file of 500 MB is streamed through the multipart form to disk.
"""

import asyncio
import json
import os
import platform
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapt.formats.sandbox import read_in_child
from app.uploads import FormShape, receive_form, upload_limits

RUNS = 7
MB = 1_000_000
UPLOAD_BYTES, CHUNK_BYTES = 500 * MB, 64 * 1024
BAR_SECONDS, BAR_BYTES = 2.0, 300 * MB


class Residual(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(filters)
        self.shortcut = nn.Conv2d(channels, filters, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(out)) + self.shortcut(x))


def residual_network(
    widths: tuple[int, ...] = (64, 136, 280, 560), depths: tuple[int, ...] = (3, 4, 6, 3)
) -> nn.Module:
    """ResNet-34's layout, a tenth wider: 25 million parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = widths[0]
    for stage, (filters, depth) in enumerate(zip(widths, depths, strict=True)):
        for block in range(depth):
            layers.append(Residual(channels, filters, 2 if stage and not block else 1))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)).eval()


def write_pt2(path: Path) -> None:
    batch = torch.export.Dim("batch")
    program = torch.export.export(residual_network(), (torch.zeros(2, 3, 224, 224),), dynamic_shapes=({0: batch},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`peak_bytes` is the largest resident size that any child had so far."""

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


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="netadapt-bench-") as name:
        upload, out = Path(name) / "network.pt2", Path(name) / "network.safetensors"
        write_pt2(upload)
        readings = [read_once(upload, out) for _ in range(RUNS)]
        seconds = [reading.seconds for reading in readings]
        above = readings[-1].peak_bytes - upload.stat().st_size
        return {
            "bench": "read_network",
            "seconds": round(statistics.median(seconds), 2),
            "fastest_seconds": round(min(seconds), 2),
            "cpu_seconds": round(statistics.median(reading.cpu_seconds for reading in readings), 2),
            "bytes_above_file": above,
            "upload_growth_bytes": asyncio.run(growth_while_uploading(Path(name))),
            "within": statistics.median(seconds) < BAR_SECONDS and above < BAR_BYTES,
            "conditions": {
                "file_bytes": upload.stat().st_size,
                "runs": RUNS,
                "upload_bytes": UPLOAD_BYTES,
                "bar_seconds": BAR_SECONDS,
                "bar_bytes_above_file": BAR_BYTES,
                "cores": len(os.sched_getaffinity(0)),
                "load_average": round(os.getloadavg()[0], 1),
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
        }


if __name__ == "__main__":
    print(json.dumps(measure()))
