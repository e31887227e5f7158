"""The only SQL about whole networks that were measured on a target. Never commits."""

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy.orm import Session

from adapt.latency.whole_networks import WholeNetwork
from app.database import database_now
from app.tables import NetworkLatencyRow
from app.targets.lookup import current_conditions


def structure_key(counts: Mapping[str, int]) -> str:
    """Stands for a pruned version of a model: its channel counts by group. Sixteen hexadecimal digits."""
    return hashlib.sha256(json.dumps(sorted(counts.items())).encode()).hexdigest()[:16]


class NetworkRepository:
    """Whoever calls has made sure that target and model are the caller's to see."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_network(
        self, target_id: str, model_id: str, counts: Mapping[str, int], conditions_id: str | None = None
    ) -> WholeNetwork | None:
        """Measured under the conditions `conditions_id` (Conditions.fingerprint(); None: those that the target
        measured under last)."""
        current = conditions_id or current_conditions(self._session, target_id)
        if current is None:
            return None
        row = self._session.get(NetworkLatencyRow, (target_id, model_id, current, structure_key(counts)))
        if row is None:
            return None
        return WholeNetwork(ms=row.ms, low=row.low, high=row.high, original_ms=row.original_ms)

    def store_network(
        self, target_id: str, model_id: str, counts: Mapping[str, int], conditions_id: str, measured: WholeNetwork
    ) -> None:
        """Replaces what was measured of the same structure before."""
        row = NetworkLatencyRow(
            target_id=target_id,
            model_id=model_id,
            conditions_key=conditions_id,
            structure=structure_key(counts),
            ms=measured.ms,
            low=measured.low,
            high=measured.high,
            original_ms=measured.original_ms,
            created_at=database_now(self._session),
        )
        self._session.merge(row)
        self._session.flush()
