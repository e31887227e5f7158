"""Rows that a job needs to point at, made without uploads."""

from sqlalchemy.orm import Session

from app.database import database_now
from app.tables import DatasetRow, ModelRow, TargetRow
from tests.latency import residual_graph


def add_model(session: Session, model_id: str = "mdl_a", *, owner: str = "ann", state: str = "ready") -> str:
    session.add(
        ModelRow(
            id=model_id,
            owner=owner,
            identity=model_id,
            name="a network",
            state=state,
            error={"detail": "refused it"} if state == "refused" else None,
            format="pt2",
            bytes=1,
            graph=residual_graph().to_json(),
            input_shape=[3, 8, 8],
            class_count=10,
            normalization={"mean": [0.5] * 3, "std": [0.5] * 3},
            params=1000,
            macs=100_000,
            created_at=database_now(session),
        )
    )
    session.flush()
    return model_id


def add_dataset_and_target(session: Session) -> None:
    """`dst_a` and `tgt_a` of the owner `ann`."""
    now = database_now(session)
    session.add(
        DatasetRow(
            id="dst_a", owner="ann", identity="a", name="a", state="ready", format="npz", bytes=1, created_at=now
        )
    )
    session.add(
        TargetRow(
            id="tgt_a",
            owner="ann",
            name="a",
            kind="table",
            runtime="none",
            provider="none",
            threads=1,
            batch=1,
            precision="fp32",
            state="ready",
            created_at=now,
        )
    )
    session.flush()
