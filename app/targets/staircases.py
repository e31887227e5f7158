"""The step of channel counts that was found on a target, kept with it: the next job need not measure. Never commits."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapt.latency.staircase import Ratio, Staircase
from app.tables import TargetRow
from app.targets.lookup import current_conditions


def staircase_document(staircase: Staircase) -> dict[str, Any]:
    """As JSON: `round_channels_to`, how it was come by, and the curve by channel count."""
    curve = {str(channels): asdict(ratio) for channels, ratio in sorted(staircase.curve.items())}
    return {"round_channels_to": staircase.step, "reason": staircase.reason, "curve": curve}


def staircase_from_document(document: dict[str, Any]) -> Staircase:
    """What `staircase_document` made."""
    curve = {int(channels): Ratio(**ratio) for channels, ratio in document["curve"].items()}
    return Staircase(step=document["round_channels_to"], reason=document["reason"], curve=curve)


class StaircaseRepository:
    """Whoever calls has made sure that the target is the caller's to see."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_staircase(self, target_id: str, conditions_id: str | None = None) -> Staircase | None:
        """Found under the conditions `conditions_id` (Conditions.fingerprint(); None: those that the target measured
        under last)."""
        found = self._document(target_id).get("staircase")
        current = conditions_id or current_conditions(self._session, target_id)
        return staircase_from_document(found) if found and found["conditions"] == current else None

    def store_staircase(self, target_id: str, conditions_id: str, staircase: Staircase) -> None:
        """Replaces the one before."""
        kept = {"conditions": conditions_id, **staircase_document(staircase)}
        document = {**self._document(target_id), "staircase": kept}
        self._session.execute(update(TargetRow).where(TargetRow.id == target_id).values(document=document))

    def _document(self, target_id: str) -> dict[str, Any]:
        return self._session.scalar(select(TargetRow.document).where(TargetRow.id == target_id)) or {}
