"""`netadapt agent` as a real process beside a real service: killed, restarted, away for long, and refused."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from app.client import Client
from benchmarks.live_service import live_service

SETTINGS = {"preset": "quick", "short_term_steps": 2, "long_term_epochs": 0, "round_channels_to": 8}
BUDGET = {"latency_ms": "93%"}


@pytest.fixture(scope="module", name="address")
def _address(tmp_path_factory) -> Iterator[str]:
    patch = pytest.MonkeyPatch()
    patch.setenv("NETADAPT_LEASE_S", "3")
    patch.setenv("NETADAPT_DEVICE_PATIENCE_S", "1")
    with live_service(tmp_path_factory.mktemp("service")) as address:
        yield address
    patch.undo()


class Agent:
    """A process; `log` holds what it said."""

    def __init__(self, address: str, name: str, log: Path) -> None:
        self.name, self._address, self.log = name, address, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "app.cli", "agent", "--url", self._address, "--name", self.name]
        with self.log.open("ab") as stream:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)

    def send(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(30)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGKILL)


@contextmanager
def agent_named(name: str, address: str, folder: Path) -> Iterator[Agent]:
    agent = Agent(address, name, folder / f"{name}.log")
    agent.start()
    try:
        yield agent
    finally:
        agent.close()


def netadapt(*typed: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "app.cli", *typed]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def until(true: Callable[[], Any]) -> Any:
    while not (found := true()):
        time.sleep(0.1)
    return found


def target_named(client: Client, name: str) -> dict[str, Any]:
    return dict(until(lambda: next((each for each in client.targets.list() if each["name"] == name), None)))


def phases_of(client: Client, job_id: str) -> list[str]:
    events = client.watch(job_id)
    return [
        event["data"]["phase"] for event in events if event["event"] in {"phase", "state"} and event["data"]["phase"]
    ]


def test_a_job_on_an_agent_outlives_its_kill_and_its_result_was_measured_there(address, client, net_file, tmp_path):
    with agent_named("phone-1", address, tmp_path) as agent:
        target = target_named(client, "phone-1")
        assert (target["kind"], target["runtime"], target["threads"]) == ("agent", "onnxruntime", 1)
        job_id = client.submit(net_file, budget=BUDGET, target=target["id"], settings=SETTINGS)["id"]
        for event in client.watch(job_id):  # in the middle of its first measurements
            if event["event"] == "phase" and event["data"]["phase"] == "measuring":
                break
        agent.send(signal.SIGKILL)
        agent.start()
        done = client.wait(job_id)
        assert (done["state"], done["error"]) == ("succeeded", None)
        assert done["result"]["latency_ms"]["high"] <= done["limits"]["latency_ms"]
        assert client.targets.get(target["id"])["state"] == "ready"
        path = client.download(job_id, tmp_path / "final.onnx")
        properties = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        assert (properties["netadapt.threads"], properties["netadapt.batch"]) == ("1", "1")
        assert client.targets.lookup_table(target["id"])["entries"]
        assert agent.log.read_text().count("ready to measure") == 2
        assert agent.send(signal.SIGTERM) == 0
        assert agent.log.read_text().endswith("ended\n")


def test_a_job_whose_device_is_away_lets_another_pass_and_goes_on_when_it_is_back(address, client, net_file, tmp_path):
    with agent_named("phone-2", address, tmp_path) as agent:
        target = target_named(client, "phone-2")
        agent.send(signal.SIGTERM)
        until(lambda: client.targets.get(target["id"])["state"] == "away")
        waiting = client.submit(net_file, budget={"macs": "95%"}, target=target["id"], settings=SETTINGS)["id"]
        until(lambda: client.jobs.get(waiting)["state"] == "queued" and client.jobs.get(waiting)["phase"])
        assert client.jobs.get(waiting)["phase"] == "waiting-for-device"
        other = client.submit(net_file, budget={"macs": "95%"}, settings=SETTINGS)["id"]
        assert client.wait(other)["state"] == "succeeded"
        assert client.jobs.get(waiting)["phase"] == "waiting-for-device"
        agent.start()
        assert client.wait(waiting)["state"] == "succeeded"
        phases = phases_of(client, waiting)
        assert phases.index("waiting-for-device") < len(phases) - 1 - phases[::-1].index("measuring")


def test_a_waiting_job_is_cancelled_at_once_and_a_check_says_what_to_do(address, client, net_file, tmp_path):
    with agent_named("phone-3", address, tmp_path) as agent:
        target = target_named(client, "phone-3")["id"]
        agent.send(signal.SIGTERM)
        until(lambda: client.targets.get(target)["state"] == "away")
    job_id = client.submit(net_file, budget=BUDGET, target=target, settings=SETTINGS)["id"]
    until(lambda: client.jobs.get(job_id)["phase"] == "waiting-for-device")
    client.cancel(job_id)
    assert client.wait(job_id)["state"] == "cancelled"
    model = client.models.add(net_file)["id"]
    answer = until(lambda: away(client.check(model, budget=BUDGET, target=target, wait_s=0)))
    assert "netadapt agent --name phone-3" in answer["reason"]


def away(answer: dict[str, Any]) -> dict[str, Any] | None:
    return answer if "away" in (answer["reason"] or "") else None


def test_a_second_agent_of_the_same_name_is_refused_in_one_line(address, client, tmp_path):
    with agent_named("phone-4", address, tmp_path):
        target = target_named(client, "phone-4")["id"]
        second = netadapt("agent", "--url", address, "--name", "phone-4")
    assert (second.returncode, second.stdout) == (1, "")
    (line,) = second.stderr.splitlines()
    assert "phone-4" in line
    assert "--name" in line
    assert netadapt("targets", "delete", target, "--url", address).returncode == 0
    gone = netadapt("targets", "delete", target, "--url", address)
    assert (gone.returncode, target in gone.stderr) == (1, True)


def test_an_agent_waits_for_a_service_that_is_not_there_and_says_so_once(tmp_path):
    with agent_named("phone-5", "http://127.0.0.1:1", tmp_path) as agent:
        until(lambda: "the service is lost" in agent.log.read_text())
        assert agent.send(signal.SIGTERM) == 0
    assert agent.log.read_text().count("the service is lost") == 1


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--provider", "NoSuchProvider"], 1, "NoSuchProvider is not installed"),
        (["--runtime", "abacus"], 1, "abacus"),
        (["--threads", "0"], 2, "--threads"),
        (["--batch", "0"], 2, "--batch"),
        (["--provider-option", "nonsense"], 2, "KEY=VALUE"),
    ],
)
def test_what_this_machine_cannot_measure_with_is_refused(options, code, says):
    ended = netadapt("agent", "--url", "http://127.0.0.1:1", "--name", "x", *options)
    assert ended.returncode == code
    assert says in ended.stderr
