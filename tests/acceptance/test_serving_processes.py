"""`netadapt serve --processes 2`: one address, whichever answers; what dies is started again, and all end together."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.cluster import Cluster
from tests.processes import descendants, wait_until_gone

ASKED = 'netadapt_http_request_duration_seconds_count{method="GET",route="/v1/info",status="200"}'


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, f"sqlite:///{tmp_path / 'netadapt.db'}", hosts=0, settings={}, processes=2) as cluster:
        yield cluster


def first_of(cluster: Cluster) -> int:
    (pid,) = (found.pid for found in cluster.find() if found.role == "api")
    return pid


def further_of(cluster: Cluster, *, but: int | None = None) -> int:
    """Waited for: it is started beside the first, and again when it has died."""
    while True:
        for pid, title in descendants(first_of(cluster)):
            if "app.further_api" in title and pid != but:
                return pid
        time.sleep(0.1)


@contextmanager
def halted(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ask(cluster: Cluster, path: str) -> str:
    """On a connection of its own, which any of the processes may take."""
    return httpx.get(cluster.address + path, timeout=120, trust_env=False).raise_for_status().text


def asked_so_far(cluster: Cluster) -> float:
    (found,) = re.findall(rf"^{re.escape(ASKED)} (\S+)$", ask(cluster, "/metrics"), re.MULTILINE)
    return float(found)


def test_each_answers_and_all_say_how_many_were_asked(cluster: Cluster) -> None:
    ask(cluster, "/v1/info")
    first, further = first_of(cluster), further_of(cluster)
    with halted(first):
        ask(cluster, "/v1/info")  # by the further one
        assert asked_so_far(cluster) == 2
    with halted(further):
        assert asked_so_far(cluster) == 2


def test_one_that_dies_is_started_again_and_the_others_answer_meanwhile(cluster: Cluster) -> None:
    first, killed = first_of(cluster), further_of(cluster)
    os.kill(killed, signal.SIGKILL)
    ask(cluster, "/v1/info")
    further_of(cluster, but=killed)
    with halted(first):
        ask(cluster, "/v1/info")


def test_none_outlives_the_first(cluster: Cluster) -> None:
    first, further = first_of(cluster), further_of(cluster)
    os.kill(first, signal.SIGKILL)
    wait_until_gone([further])


def test_a_terminals_ctrl_c_ends_all_and_shows_no_traceback(cluster: Cluster) -> None:
    first, further = first_of(cluster), further_of(cluster)  # which may still import
    os.killpg(first, signal.SIGINT)
    wait_until_gone([first, further])
    assert "Traceback" not in (cluster.folder / "cluster.log").read_text()
