"""The short form of the load bench: what must hold however long it takes."""

import pytest

from benchmarks.databases import DATABASES, DatabaseKind
from benchmarks.load import run


@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", DATABASES)
def test_jobs_and_clients_at_once_lose_nothing_and_nothing_is_run_twice(database: DatabaseKind) -> None:
    load = run(database, jobs=4, hosts=2, clients=8, idle_s=2.0, proposals=1000, past_jobs=60)
    assert (load.lost, load.twice) == ((), ())
    assert load.busy.faults == load.idle.faults == 0
    assert set(load.busy.statuses) | set(load.idle.statuses) == {200}
    assert load.busy.events > 0
    assert set(load.pages) >= {"/v1/jobs", "/v1/jobs/{id}/proposals"}
