"""A job on an archive of images over real HTTP: what is done to the images, and with which, is said on the job."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adapt.data.digits import digits
from app.database import unit_of_work
from app.jobs.queue import JobQueue
from app.tasks.queue import TaskQueue
from tests.image_files import write_zip
from tests.live_api import LiveApi
from tests.networks import export_pt2
from tests.small_task import tiny_network
from workers.adaptation import run_job
from workers.service import Service
from workers.tasks import run_task

pytestmark = pytest.mark.databases("sqlite")  # its point is no SQL

OUTPUTS = [f"Digit {label}" for label in (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)]
SETTINGS = {
    "preset": "quick",
    "short_term_steps": 2,
    "long_term_epochs": 1,
    "executor": "serial",
    "allow_low_accuracy": True,
    "normalization": "data",
    "schedule": {"initial": 0.3, "decay": 1.0},
}


def coloured_digits(path: Path) -> Path:
    """Digits as colour PNGs of 20 x 16 pixels below train/, val/ and test/, in folders digit_0 .. digit_9."""
    data, files = digits((16, 20), 3), {}
    for part, count in (("train", 120), ("val", 40), ("test", 30)):
        rows = (data.test if part == "test" else data.train).subset(np.arange(count) + (200 if part == "val" else 0))
        for number, (pixels, label) in enumerate(zip(*rows.take(np.arange(count)), strict=True)):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            files[f"digits/{part}/digit_{label}/{number}.png"] = buffer.getvalue()
    return write_zip(path, files)


def test_what_is_done_to_the_images_and_with_which_is_said_on_the_job(
    api: LiveApi, service: Service, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    files = {
        "model": ("net.pt2", export_pt2(tiny_network(), (1, 1, 8, 8))),
        "dataset": ("digits.zip", coloured_digits(tmp_path / "digits.zip").read_bytes()),
    }
    request = {"budget": {"params": "90%"}, "settings": SETTINGS}
    data = {"request": json.dumps(request), "classes": json.dumps(OUTPUTS)}
    job = api.client.post("/v1/jobs", files=files, data=data).json()
    dataset = api.client.get(f"/v1/datasets/{job['dataset']}").json()
    assert (dataset["splits"]["train"], dataset["splits"]["holdout"], dataset["splits"]["test"]) == (120, 40, 30)
    assert dataset["classes"] == [f"digit_{label}" for label in range(10)]
    with unit_of_work(service.sessions) as session:
        task = TaskQueue(session).claim_next_task("test", lease_s=30)
    assert task is not None
    run_task(task, service, shutdown=lambda: False)
    with unit_of_work(service.sessions) as session:
        claimed = JobQueue(session).claim_next_job("test", lease_s=30)
    assert claimed is not None
    run_job(claimed, service, lambda: False)
    ended = api.client.get(f"/v1/jobs/{job['id']}").json()
    assert (ended["state"], ended["error"]) == ("succeeded", None)
    events = api.client.get(f"/v1/jobs/{job['id']}/events", params={"limit": 500}).json()["data"]
    said = " / ".join(event["data"]["text"] for event in events if event["event"] == "message")
    for text in (
        "the classes were put into the order of the network's outputs: Digit 1, Digit 2",
        "16 x 20 (height x width) were scaled",
        "cover the network's 8 x 8 and cropped from the centre",
        "the colour images were turned to grey",
        "120 images to train on; the hold-out that proposals are judged by: 40 (as val of the data set)",
        "to report on: 30 (test)",
        "taken from the training images",
    ):
        assert text in said
