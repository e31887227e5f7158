"""Migrations on every database that we claim to run on."""

from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files
from multiprocessing import get_context

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.counters import JOBS, PROPOSALS, Counters
from app.database import (
    DatabaseNotMigrated,
    DatabaseTooNew,
    _alembic_config,
    check_migrated,
    database_now,
    make_engine,
    make_sessions,
    migrate,
    reading,
    unit_of_work,
)
from app.table_base import Base
from app.tables import BlobRow, DatasetRow, TargetRow
from tests.databases import DATABASES, empty_database
from tests.rows import add_model

_BLOB = {"s": "a" * 64, "t": "2026-01-01 00:00:00.000000"}


@pytest.fixture(params=DATABASES)
def url(request, tmp_path):
    with empty_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def engine(url):
    engine = make_engine(url)
    yield engine
    engine.dispose()


def test_a_migrated_database_has_exactly_the_tables_that_the_code_expects(url, engine):
    with pytest.raises(DatabaseNotMigrated, match="netadapt migrate"):
        check_migrated(engine)
    migrate(url)
    check_migrated(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_changes_nothing(url, engine):
    first = migrate(url)
    with unit_of_work(make_sessions(engine)) as session:
        add_model(session)
    assert migrate(url) == first
    with reading(make_sessions(engine)) as session:
        assert session.execute(text("SELECT count(*) FROM models")).scalar() == 1


def test_data_sets_of_before_keep_their_rows_and_have_no_decoded_files(url, engine):
    with _alembic_config() as config, engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(text("INSERT INTO blobs (sha256, bytes, created_at) VALUES (:s, 1, :t)"), _BLOB)
        connection.execute(
            text(
                "INSERT INTO datasets (id, owner, identity, name, state, format, sha256, bytes, created_at) "
                "VALUES ('dst_old', 'ann', 'x', 'old', 'ready', 'npz', :s, 1, :t)"
            ),
            _BLOB,
        )
        connection.commit()
    migrate(url)
    with unit_of_work(make_sessions(engine)) as session:
        old = session.get_one(DatasetRow, "dst_old")
        assert (old.name, old.sha256, old.images_sha256, old.sample_sha256) == ("old", "a" * 64, None, None)
    with pytest.raises(IntegrityError), unit_of_work(make_sessions(engine)) as session:
        session.execute(text("UPDATE datasets SET images_sha256 = 'of no blob'"))


def test_several_processes_may_migrate_at_once(url, engine):
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        assert len(set(pool.map(migrate, [url] * 3))) == 1
    check_migrated(engine)


def test_a_database_of_a_newer_version_is_refused_and_named(url, engine):
    migrate(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (lambda: migrate(url), lambda: check_migrated(engine)):
        with pytest.raises(DatabaseTooNew, match="9999"):
            use()


def test_what_is_always_there_is_there(url, engine):
    migrate(url)
    with reading(make_sessions(engine)) as session:
        assert session.scalars(select(DatasetRow.id)).all() == ["digits"]
        assert session.scalars(select(TargetRow.id)).all() == ["local"]


def test_times_come_back_in_utc_and_the_databases_clock_runs(url, engine):
    migrate(url)
    sessions = make_sessions(engine)
    with unit_of_work(sessions) as session:
        before = database_now(session)
        session.add(BlobRow(sha256="a" * 64, bytes=1, created_at=before))
    with reading(sessions) as session:
        assert session.scalars(select(BlobRow.created_at)).one() == before
        assert database_now(session) >= before


def test_enumerations_and_references_are_held_by_the_database_itself(url, engine):
    migrate(url)
    sessions = make_sessions(engine)
    for statement in (
        "UPDATE datasets SET state = 'splendid'",
        "UPDATE datasets SET sha256 = 'of no blob'",
    ):
        with pytest.raises(IntegrityError), unit_of_work(sessions) as session:
            session.execute(text(statement))


def test_the_migrations_are_packaged():
    names = {file.name for file in files("migrations").joinpath("versions").iterdir()}
    assert {"v0001_first.py", "v0002_builtin.py"} <= names
    assert files("migrations").joinpath("env.py").is_file()


def test_counts_begin_with_what_is_there_already_and_are_the_same_on_both_databases(url, engine):
    with _alembic_config() as config, engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        for statement in _A_JOB_OF_BEFORE:
            connection.execute(text(statement), _BLOB)
        connection.commit()
    migrate(url)
    with reading(make_sessions(engine)) as session:
        counters = Counters(session)
        assert (counters.read(PROPOSALS), counters.read(JOBS)) == ({"evaluated": 2}, {"failed": 1})
        assert session.execute(text("SELECT count(*) FROM proposals")).scalar() == 2
        assert session.execute(text("SELECT secret FROM webhooks")).scalars().all() == ["s"]


_A_JOB_OF_BEFORE = (
    "INSERT INTO models (id, owner, identity, name, state, format, bytes, graph, input_shape, class_count, "
    "normalization, params, macs, created_at) VALUES ('mdl_a', 'ann', 'a', 'a', 'ready', 'pt2', 1, '{}', '[3,8,8]', "
    "10, '{}', 1, 1, :t)",
    "INSERT INTO jobs (id, owner, state, model_id, dataset_id, target_id, budget, settings, lane, fence, attempts, "
    "event_counter, recorded, recorded_at_claim, created_at) VALUES ('job_a', 'ann', 'failed', 'mdl_a', 'digits', "
    "'local', '{}', '{}', 'long', 0, 0, 2, 0, 0, :t)",
    *(
        "INSERT INTO proposals (id, job_id, number, iteration, group_id, layers, kind, filters_before, state, picked, "
        f"created_at) VALUES ('p{n}', 'job_a', {n}, 1, 'g{n}', '[]', 'plain', 8, 'evaluated', false, :t)"
        for n in (1, 2)
    ),
    "INSERT INTO webhooks (id, owner, url, secret, events, created_at) VALUES ('whk_a', 'ann', 'u', 's', '[]', :t)",
    "INSERT INTO webhook_deliveries (id, owner, webhook_id, job_id, event_number, state, attempts, created_at) "
    "VALUES ('dlv_a', 'ann', 'whk_a', 'job_a', 1, 'queued', 0, :t)",
)
