"""Where networks train: a GPU that is absent is said at once, one that is there is used like the processor."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from adapt.errors import DeviceAbsent
from adapt.events import Evaluation
from adapt.executors.in_flight import in_flight
from adapt.executors.processes import ProcessExecutor
from adapt.executors.serial import SerialExecutor
from adapt.spec import Settings
from adapt.stop import never
from adapt.training.device import RESIDENT_SHARE, device_of, mixed_precision, raw_batch, training_device
from adapt.training.sgd import trainable_module
from tests.small_task import control, proposals, small_data, small_network, small_task, whole

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
without_one = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
CPU = torch.device("cpu")


@without_one
def test_a_gpu_that_is_not_there_is_refused_in_words() -> None:
    with pytest.raises(DeviceAbsent, match=r"cuda was asked for, and torch .* on this machine; ask for cpu"):
        training_device("cuda")
    with pytest.raises(DeviceAbsent):
        trainable_module(small_network()[0], "cuda")


def test_on_the_processor_as_many_candidates_are_trained_at_once_as_there_are_cores() -> None:
    assert in_flight(small_network()[0].graph, Settings()) == len(os.sched_getaffinity(0))


def test_the_processor_computes_in_full_precision() -> None:
    with mixed_precision(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_batch_is_the_parts_own_images() -> None:
    part, positions = small_data().train, np.array([3, 1, 4])
    images, labels = raw_batch(part, positions, CPU)
    expected_images, expected_labels = part.take(positions)
    assert np.array_equal(images.numpy(), expected_images)
    assert np.array_equal(labels.numpy(), expected_labels)


@on_a_gpu
def test_images_are_kept_on_the_gpu_and_are_the_same_there() -> None:
    gpu, part = training_device("cuda"), small_data().train
    assert part.images.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(gpu)[0]
    images, labels = raw_batch(part, np.array([3, 1, 4]), gpu)
    assert images.device.type == labels.device.type == "cuda"
    expected_images, expected_labels = part.take(np.array([3, 1, 4]))
    assert np.array_equal(images.cpu().numpy(), expected_images)
    assert np.array_equal(labels.cpu().numpy(), expected_labels)


@on_a_gpu
def test_a_gpu_trains_in_mixed_precision_and_keeps_full_weights() -> None:
    module = trainable_module(small_network()[0], "cuda")
    assert device_of(module).type == "cuda"
    with mixed_precision(device_of(module)):
        assert (torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")).dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())


@on_a_gpu
def test_candidates_in_flight_on_a_gpu_are_those_of_one_after_the_other() -> None:
    task = small_task(device="cuda")
    candidates = [control(), *proposals()]
    serial = {
        found.group: found for found in SerialExecutor(task).evaluate(small_network()[0], whole(), candidates, never)
    }
    executor = ProcessExecutor(task, workers=2)
    try:
        found = {found.group: found for found in executor.evaluate(small_network()[0], whole(), candidates, never)}
    finally:
        executor.close()
    assert found.keys() == serial.keys()
    for group, result in found.items():
        expected = serial[group]
        assert isinstance(result, Evaluation)
        assert isinstance(expected, Evaluation)
        assert replace(result, weights=None, seconds=0.0) == replace(expected, weights=None, seconds=0.0)


@on_a_gpu
def test_more_candidates_than_fit_are_never_in_flight() -> None:
    graph = small_network()[0].graph
    few = in_flight(graph, Settings(device="cuda", batch_size=2**22))
    assert few <= in_flight(graph, Settings(device="cuda", batch_size=64))
    assert few >= 1
