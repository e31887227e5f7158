"""What `round_channels_to` is when it is "auto": the step of the staircase that latency is on the target."""

from collections.abc import Generator
from dataclasses import replace

from adapt.events import Event, PhaseChanged, StaircaseFound
from adapt.latency.staircase import Staircase, assumed
from adapt.search import Job, Progress
from adapt.spec import Settings


def with_rounding(job: Job, progress: Progress) -> Generator[Event, None, Job]:
    """`job` with a number in its settings; found once, told, and recorded before it is used.

    Only a latency that is budgeted is worth a measurement. Raises MeasurementFailed.
    """
    if job.settings.round_channels_to != "auto":
        return job
    staircase = progress.staircase
    if staircase is None:
        if "latency_ms" not in job.asked:
            staircase = assumed("no latency is budgeted")
        elif job.staircase is None:
            staircase = assumed("there is no clock on this target")
        else:
            yield PhaseChanged(phase="measuring")
            staircase = job.staircase()
        yield StaircaseFound(staircase=staircase)
    return replace(job, settings=rounded(job.settings, staircase))


def rounded(settings: Settings, staircase: Staircase) -> Settings:
    """`settings` with the step in place of "auto"."""
    return replace(settings, round_channels_to=staircase.step)
