"""The step of channel counts: found from measured curves by its law, on devices whose staircase is known."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx
import pytest

from adapt.budget import Share
from adapt.events import Finished, ProposalEvaluated, StaircaseFound
from adapt.latency.device import InProcess
from adapt.latency.reading import Plan, Reading
from adapt.latency.runtimes.contract import Kernel
from adapt.latency.staircase import COUNTS, HIGHEST, LOWEST, Staircase, measure_staircase
from adapt.loop import adapt_network
from adapt.presets import effective_settings, settings_from_document, settings_to_document
from adapt.search import Progress
from adapt.stop import Stop, never
from app.jobs.settings_schema import SettingsIn
from app.targets.staircases import staircase_document, staircase_from_document
from tests.latency import StandInRuntime, StandInSession
from tests.toy_search import FormulaMeter, toy_job

AUTO = effective_settings({"preset": "quick", "round_channels_to": "auto", "min_channels": 4})


class ByChannels(StandInRuntime):
    """Takes the time that `law` gives for the filters of the network's first convolution."""

    def __init__(self, law: Callable[[int], float], slowness: Callable[[float], float] = lambda seconds: 1.0) -> None:
        super().__init__(slowness)
        self._law = law
        self.channels: list[int] = []

    def load(self, onnx_file: bytes) -> StandInSession:
        weights = onnx.load_from_string(onnx_file).graph.initializer
        names = ("weights/conv0.weight", "weights/conv0.weight_quantized")
        (channels,) = (tensor.dims[0] for tensor in weights if tensor.name in names)
        self.channels.append(channels)
        return StandInSession(self._law(channels), self)

    def profile(self, onnx_file: bytes, repeats: int) -> Sequence[Kernel]:
        raise NotImplementedError("a staircase needs no kernels")


def found_on(law: Callable[[int], float], slowness: Callable[[float], float] = lambda seconds: 1.0) -> Staircase:
    runtime = ByChannels(law, slowness)
    return measure_staircase(InProcess(runtime, clock=runtime.clock))


def blocks(step: int) -> Callable[[int], float]:
    return lambda channels: (math.ceil(channels / step) * step / HIGHEST) ** 2


@pytest.mark.parametrize("step", [4, 8, 16, 32])
def test_the_step_of_a_staircase_is_found(step: int) -> None:
    found = found_on(blocks(step))
    assert found.step == step
    assert f"multiple of {step}" in found.reason or f"multiples of {step}" in found.reason
    assert set(found.curve) == {*COUNTS, HIGHEST}
    assert found.curve[LOWEST].ratio == pytest.approx(0.75**2)


def test_the_step_of_quantised_networks_is_found_too() -> None:
    runtime = ByChannels(blocks(16))
    assert measure_staircase(InProcess(runtime, "onnx-int8", clock=runtime.clock)).step == 16


def test_without_steps_counts_are_rounded_finely() -> None:
    assert found_on(lambda channels: (channels / HIGHEST) ** 2).step <= 2


def test_counts_between_that_are_slower_still_make_a_step() -> None:
    """As measured with onnxruntime on AVX-512: blocks of sixteen, and twice as long where four does not divide."""
    law = blocks(16)
    assert found_on(lambda channels: law(channels) * (1 if channels % 4 == 0 else 1.8)).step == 16


def test_where_width_costs_nothing_no_step_is_made_up() -> None:
    found = found_on(lambda channels: 1.0)
    assert (found.step, "no step can be seen" in found.reason) == (8, True)


def test_a_machine_that_is_busy_in_between_is_asked_longer() -> None:
    """Every third hundredth of a second takes half as long again: medians hold, intervals are wide."""

    def slowness(seconds: float) -> float:
        return 1.5 if int(seconds * 100) % 3 == 0 else 1.0

    assert found_on(blocks(16), slowness).step == 16


def test_an_interval_that_leaves_it_open_is_measured_once_more_and_longer() -> None:
    class Wavering(InProcess):
        plans: list[tuple[int, Plan]] = []  # noqa: RUF012

        def read(self, candidate: bytes, reference: bytes, plan: Plan, stop: Stop = never) -> Reading:
            reading = super().read(candidate, reference, plan, stop)
            channels = runtime.channels[-1]
            self.plans.append((channels, plan))
            if channels != 120 or plan.maximum_s > 1:
                return reading
            wide = [time * (0.9 if index % 2 else 1.02) for index, time in enumerate(reading.candidate_ms)]
            return replace(reading, candidate_ms=tuple(wide))

    runtime = ByChannels(blocks(16))
    device = Wavering(runtime, clock=runtime.clock)
    assert measure_staircase(device).step == 16
    longer = [channels for channels, plan in device.plans if plan.maximum_s > 1]
    assert longer == [120]


def test_a_staircase_survives_the_record() -> None:
    found = found_on(blocks(16))
    assert staircase_from_document(staircase_document(found)) == found


def test_a_search_rounds_to_what_was_found_and_tells_it_once_before_it_counts() -> None:
    asked: list[str] = []

    def find() -> Staircase:
        asked.append("staircase")
        return replace(found_on(blocks(16)), step=4)

    job = toy_job({"latency_ms": Share(0.6)}, AUTO, staircase=find)
    events = list(adapt_network(job, Progress()))
    (told,) = [event for event in events if isinstance(event, StaircaseFound)]
    assert asked == ["staircase"]
    proposals = [event for event in events if isinstance(event, ProposalEvaluated)]
    assert {proposal.filters_after % 4 for proposal in proposals} == {0}
    assert any(proposal.filters_after % 8 for proposal in proposals)
    again = list(adapt_network(job, Progress(staircase=told.staircase)))
    assert asked == ["staircase"]
    assert not [event for event in again if isinstance(event, StaircaseFound)]
    last, same = events[-1], again[-1]
    assert isinstance(last, Finished)
    assert isinstance(same, Finished)
    assert last.kept == same.kept


@pytest.mark.parametrize(
    ("asked", "meter", "why"),
    [({"macs": Share(0.6)}, None, "no latency is budgeted"), ({"latency_ms": Share(0.6)}, FormulaMeter(), "no clock")],
)
def test_where_nothing_is_to_be_measured_auto_is_eight_and_that_is_said(asked, meter, why) -> None:
    events = list(adapt_network(toy_job(asked, AUTO, meter=meter), Progress()))
    (told,) = [event for event in events if isinstance(event, StaircaseFound)]
    assert (told.staircase.step, why in told.staircase.reason) == (8, True)


def test_the_setting_is_a_whole_number_or_auto() -> None:
    assert SettingsIn(round_channels_to="auto").effective().round_channels_to == "auto"
    assert SettingsIn(round_channels_to=4).effective().rounding == 4
    assert settings_from_document(settings_to_document(AUTO)) == AUTO
    for wrong in ("Auto", 0, 2000, True, 2.5):
        with pytest.raises(ValueError, match="whole number from 1 to 1024, or"):
            SettingsIn(round_channels_to=wrong)
    with pytest.raises(ValueError, match="still auto"):
        _ = AUTO.rounding
