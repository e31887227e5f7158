"""The short form of the crash bench: real processes killed, halted and cut off, on both databases."""

import pytest

from benchmarks.crash import run
from benchmarks.crash_jobs import requests_of
from benchmarks.databases import DATABASES, DatabaseKind


@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", DATABASES)
def test_a_job_that_is_hit_again_and_again_ends_with_the_undisturbed_runs_checkpoint(database: DatabaseKind) -> None:
    kills = 3
    outcome = run(
        database, lambda client, folder: requests_of(client, folder)[:1], seed=3, kills=kills, hosts=1, pause_s=4.0
    )
    assert outcome.wrong == ()
    assert len(outcome.kills) == kills
