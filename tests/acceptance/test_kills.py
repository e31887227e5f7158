"""Workers that are killed with SIGKILL in mid-job: nothing is lost, and the result is the undisturbed run's."""

import os
import signal
from pathlib import Path

from tests.acceptance.test_adapt_a_network import final_sha256

SETTINGS = {
    "preset": "quick",
    "short_term_steps": 15,
    "long_term_epochs": 2,
    "executor": "processes",
    "schedule": {"initial": 0.12, "decay": 1.0},
}


def long_lanes(folder: Path) -> list[int]:
    """Pids of the processes that serve the long lane of the service whose data lie in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                ours = f"NETADAPT_DATA_DIR={folder}/".encode() in (entry / "environ").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if ours and b"workers" in command and b"long" in command:
                found.append(int(entry.name))
    return found


def run_killing(client, job_id, folder, moments):
    """Follows the job and kills the lane after each of `moments` (event kind, how many of them were seen)."""
    waiting, seen = list(moments), {}
    for event in client.watch(job_id):
        kind = event["event"]
        seen[kind] = seen.get(kind, 0) + 1
        if waiting and (kind, seen[kind]) == waiting[0]:
            waiting.pop(0)
            for pid in long_lanes(folder):
                os.kill(pid, signal.SIGKILL)
    assert not waiting, f"the job ended before {waiting}"
    return client.jobs.get(job_id)


def test_a_killed_worker_costs_nothing_but_time(client, net_file, service_folder):
    model = client.models.add(net_file)["id"]
    undisturbed = client.submit(model, budget={"macs": "55%"}, settings=SETTINGS)["id"]
    assert client.wait(undisturbed)["state"] == "succeeded"

    killed = client.submit(model, budget={"macs": "55%"}, settings=SETTINGS)["id"]
    done = run_killing(client, killed, service_folder, [("proposal", 2), ("iteration", 3)])
    assert done["state"] == "succeeded", done["error"]
    assert final_sha256(client, killed) == final_sha256(client, undisturbed)

    first, second = (list(client.proposals(job)) for job in (undisturbed, killed))
    figures = ("iteration", "group", "filters_after", "accuracy", "loss", "picked", "kept")
    key = lambda proposal: (proposal["iteration"], proposal["group"])  # noqa: E731
    assert [[p[name] for name in figures] for p in sorted(first, key=key)] == [
        [p[name] for name in figures] for p in sorted(second, key=key)
    ]
    texts = [event["data"].get("text", "") for event in client.watch(killed) if event["event"] == "message"]
    assert any("stopped answering" in text for text in texts)
