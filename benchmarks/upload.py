"""What uploads do to the API's memory: one of 1 GB, then 20 of 200 MB at once; one JSON line.

The API runs as `netadapt serve` has it, without a worker. Its resident memory without page cache (RssAnon of
/proc/PID/status) is sampled while the files are sent, streamed. They are refused at the end for what they hold, which
is nothing that is read here: reading a file takes place in a process of its own and is no matter of this figure.
`python -m benchmarks.upload 100` takes files of 100 MB, and 20 of a fifth of that.
"""

import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.live_service import live_process

MB = 1_000_000
LARGE_MB, AT_ONCE = 1000, 20
LARGE_BAR_MB, AT_ONCE_BAR_MB = 50, 300
SAMPLE_S = 0.02
CHUNK = os.urandom(256 * 1024)
BOUNDARY = "upload-bench"


class Peak:
    """The largest resident memory of a process while the block lasts, in bytes, and the one at its beginning."""

    def __init__(self, pid: int) -> None:
        self._pid, self._ended = pid, threading.Event()
        self.before = self.largest = resident_bytes(pid)

    def __enter__(self) -> "Peak":
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def rise_mb(self) -> float:
        return round((self.largest - self.before) / MB, 1)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.largest = max(self.largest, resident_bytes(self._pid))


def resident_bytes(pid: int) -> int:
    """Of a process's own pages: files that are mapped or cached are not counted."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise LookupError(f"/proc/{pid}/status has no RssAnon")
    return int(found[1]) * 1024


def body(size: int) -> Iterator[bytes]:
    yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="data.bin"\r\n\r\n'.encode()
    for start in range(0, size, len(CHUNK)):
        yield CHUNK[: size - start]
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


def upload(address: str, size: int) -> int:
    """The status that it is answered with."""
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = httpx.post(f"{address}/v1/datasets", content=body(size), headers=kind, timeout=900, trust_env=False)
    return answer.status_code


def measured(address: str, pid: int, size: int, at_once: int) -> tuple[float, float]:
    """How much memory rose [MB], and how long that took [s]."""
    start = time.perf_counter()
    with Peak(pid) as peak, ThreadPoolExecutor(at_once) as pool:
        statuses = set(pool.map(lambda _: upload(address, size), range(at_once)))
    if statuses != {422}:
        raise RuntimeError(f"the uploads were answered with {statuses}, where 422 was expected")
    return peak.rise_mb, round(time.perf_counter() - start, 1)


def main() -> None:
    large_mb = int(sys.argv[1]) if len(sys.argv) > 1 else LARGE_MB
    with tempfile.TemporaryDirectory(prefix="netadapt-upload-") as name:
        folder = Path(name)
        with live_process(folder, "--no-worker") as service:
            upload(service.address, MB)  # what is imported and allocated once is no cost of an upload
            before_mb = round(resident_bytes(service.pid) / MB, 1)
            one, one_s = measured(service.address, service.pid, large_mb * MB, 1)
            many, many_s = measured(service.address, service.pid, large_mb * MB // 5, AT_ONCE)
    figures = {
        "benchmark": "upload",
        "ok": one < LARGE_BAR_MB and many < AT_ONCE_BAR_MB,
        "memory": "RssAnon of the API process",
        "before_mb": before_mb,
        "one": {"file_mb": large_mb, "rise_mb": one, "bar_mb": LARGE_BAR_MB, "seconds": one_s},
        "at_once": {
            "files": AT_ONCE,
            "file_mb": large_mb // 5,
            "rise_mb": many,
            "bar_mb": AT_ONCE_BAR_MB,
            "seconds": many_s,
        },
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))
    sys.exit(0 if figures["ok"] else 1)


if __name__ == "__main__":
    main()
