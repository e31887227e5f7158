"""The only SQL about models. Hands out records, never rows; never commits."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, defer

from adapt.graph.network import graph_from_json
from adapt.graph.pruning import ChannelGroup, groups_from_json, groups_to_json
from adapt.graph.shares import Share
from adapt.spec import Normalization
from app.blobs import BlobRepository
from app.database import database_now
from app.models.records import Group, Model, ModelInUse, ModelNotFound, NewModel, Structure
from app.newest_first import Position, behind
from app.ownership import seen_by
from app.paging import Page, cut_page, newest_first
from app.problem_documents import problem_document
from app.records import Caller, CheckState, new_id
from app.storage import Blob
from app.tables import JobRow, ModelRow, TaskRow
from app.targets.lookup import LookupRepository
from app.tasks.queue import TaskQueue

CHECK_TASK = "model-check"
"""Kind of the task that finds a model's groups and compares its rebuilt forms; key and payload name the model."""


class ModelRepository:
    """Models of the caller; of somebody else's it says that there are none."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_model(self, caller: Caller, model_id: str) -> Model | None:
        wanted = select(ModelRow).options(*_LIGHT).where(ModelRow.id == model_id, seen_by(caller, ModelRow.owner))
        row = self._session.scalar(wanted)
        return None if row is None else _record(row)

    def get_model(self, caller: Caller, model_id: str) -> Model:
        """Raises ModelNotFound."""
        if (model := self.find_model(caller, model_id)) is None:
            raise ModelNotFound(model_id)
        return model

    def get_structure(self, caller: Caller, model_id: str) -> Structure:
        """Raises ModelNotFound."""
        wanted = select(ModelRow.graph, ModelRow.plan).where(ModelRow.id == model_id, seen_by(caller, ModelRow.owner))
        found = self._session.execute(wanted).one_or_none()
        if found is None:
            raise ModelNotFound(model_id)
        groups = None if found.plan is None else groups_from_json(found.plan)
        return Structure(graph=graph_from_json(json.loads(found.graph)), groups=groups)

    def list_models(self, caller: Caller, *, after: Position | None, limit: int) -> Page[Model]:
        """Newest first, behind the position `after`."""
        rows = select(ModelRow).options(*_LIGHT).where(seen_by(caller, ModelRow.owner))
        rows = rows.where(behind(ModelRow.created_at, ModelRow.id, after))
        rows = rows.order_by(ModelRow.created_at.desc(), ModelRow.id.desc()).limit(limit + 1)
        found = [_record(row) for row in self._session.scalars(rows)]
        return cut_page(found, limit, lambda model: newest_first(model.created_at, model.id))

    def find_same(self, caller: Caller, new: NewModel) -> Model | None:
        """The caller's model from the same upload, if there is one."""
        same = select(ModelRow).options(*_LIGHT).where(ModelRow.owner == caller.id, ModelRow.identity == _identity(new))
        row = self._session.scalar(same)
        return None if row is None else _record(row)

    def add_model(self, caller: Caller, new: NewModel, weights: Blob) -> Model:
        """A model in state `checking`. Its weights are stored already, the row comes after the blob."""
        BlobRepository(self._session).add_blob(weights.sha256, weights.bytes)
        row = ModelRow(
            id=new_id("mdl"),
            owner=caller.id,
            identity=_identity(new),
            name=new.name,
            state="checking",
            error=None,
            format=new.format,
            architecture=new.architecture,
            sha256=new.sha256,
            bytes=new.bytes,
            graph=new.graph.to_json(),
            weights_sha256=weights.sha256,
            onnx_sha256=None,
            input_shape=list(new.graph.input_shape),
            class_count=new.class_count,
            classes=None if new.classes is None else list(new.classes),
            normalization={"mean": list(new.normalization.mean), "std": list(new.normalization.std)},
            params=new.params,
            macs=new.macs,
            memory_bytes=new.memory_bytes,
            by_kind={kind: asdict(share) for kind, share in new.by_kind.items()},
            groups=None,
            created_at=database_now(self._session),
        )
        self._session.add(row)
        self._session.flush()
        return _record(row)

    def delete_model(self, caller: Caller, model_id: str) -> set[str]:
        """With what was measured of it. The hashes of its files, which nothing may need any more.

        Raises ModelNotFound; ModelInUse while a job, running or over, points at it.
        """
        # Locked: a job that is just being added waits, or is seen here.
        mine = select(ModelRow.weights_sha256, ModelRow.onnx_sha256)
        mine = mine.where(ModelRow.id == model_id, ModelRow.owner == caller.id).with_for_update()
        files = self._session.execute(mine).one_or_none()
        if files is None:
            raise ModelNotFound(model_id)
        job_id = self._session.scalar(select(JobRow.id).where(JobRow.model_id == model_id).limit(1))
        if job_id is not None:
            raise ModelInUse(model_id, job_id)
        self._session.execute(delete(ModelRow).where(ModelRow.id == model_id))
        LookupRepository(self._session).forget_model(model_id)
        TaskQueue(self._session).forget_about("model", model_id)
        return {sha256 for sha256 in files if sha256 is not None}

    def finish_check(self, model_id: str, groups: Sequence[ChannelGroup]) -> None:
        """For the worker that checked it (its fence is checked in the same transaction): the model is ready."""
        listed = [asdict(_listed(group)) for group in groups]
        values = {"state": "ready", "error": None, "groups": listed, "plan": groups_to_json(groups)}
        self._session.execute(update(ModelRow).where(ModelRow.id == model_id).values(values))

    def refuse_abandoned(self) -> None:
        """For a worker: models whose check was given up, because it killed every worker, are refused;
        jobs would wait for them for ever."""
        given_up = select(TaskRow.key).where(TaskRow.kind == CHECK_TASK, TaskRow.state == "failed")
        problem = problem_document(
            "check-failed", "Check failed", 422, "the check of this model ended every worker that tried it"
        )
        stuck = update(ModelRow).where(ModelRow.state == "checking", ModelRow.id.in_(given_up))
        self._session.execute(stuck.values(state="refused", error=problem))

    def refuse(self, model_id: str, problem: dict[str, Any]) -> None:
        """For the worker: groups or numeric check failed; `problem` is the document that `Model.error` shows."""
        values = {"state": "refused", "error": problem}
        self._session.execute(update(ModelRow).where(ModelRow.id == model_id).values(values))


_LIGHT = (defer(ModelRow.graph, raiseload=True), defer(ModelRow.plan, raiseload=True))  # megabytes that few need


def _identity(new: NewModel) -> str:
    """The same bytes read the same way. A corrected normalisation or other class names make another model:
    an answer with the first one would silently keep what the user came to correct."""
    normalization = [list(new.normalization.mean), list(new.normalization.std)]
    parts = [new.sha256, new.architecture, normalization, new.classes]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _listed(group: ChannelGroup) -> Group:
    return Group(
        id=group.id,
        kind=group.kind,
        layers=group.layers,
        channels=group.channels,
        prunable=group.prunable,
        reason=group.reason,
        filters_each=group.filters_each,
    )


def _group(document: dict[str, Any]) -> Group:
    return Group(**{**document, "layers": tuple(document["layers"])})


def _record(row: ModelRow) -> Model:
    channels, height, width = row.input_shape
    return Model(
        id=row.id,
        owner=row.owner,
        name=row.name,
        state=cast(CheckState, row.state),  # a CHECK of the table allows no other
        error=row.error,
        format=row.format,
        architecture=row.architecture,
        sha256=row.sha256,
        bytes=row.bytes,
        input_shape=(channels, height, width),
        class_count=row.class_count,
        classes=None if row.classes is None else tuple(row.classes),
        normalization=Normalization(mean=tuple(row.normalization["mean"]), std=tuple(row.normalization["std"])),
        params=row.params,
        macs=row.macs,
        memory_bytes=row.memory_bytes or 0,
        by_kind=None if row.by_kind is None else {kind: Share(**share) for kind, share in row.by_kind.items()},
        groups=None if row.groups is None else tuple(_group(group) for group in row.groups),
        weights_sha256=row.weights_sha256 or "",
        created_at=row.created_at,
    )
