# SPDX-License-Identifier: AGPL-3.0-or-later
"""How sorties and their plans are stored, and read back by a later service: documents, and hashes of what was uploaded."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from dronectl.fleet.link import FlightMode
from dronectl.fleet.sortie_types import Phase, Sortie
from dronectl.store.models import PlanRow, SortieJournalRow
from dronectl.store.types import canonical_json
from missions.mavlink_items import MissionItem
from missions.model import FlightPlan

SCHEMA_VERSION: Final = 1


def items_hash(items: Iterable[MissionItem]) -> str:
    """SHA-256 of mission items, with numbers rounded as far as float32 on the wire may change them."""

    def number(value: float) -> str:
        return "nan" if math.isnan(value) else f"{round(value, 3) + 0.0:.3f}"

    digest = hashlib.sha256()
    for i in items:
        numbers = "|".join(number(v) for v in (i.param1, i.param2, i.param3, i.param4, i.z))
        digest.update(f"{i.seq}|{i.frame}|{i.command}|{i.x}|{i.y}|{numbers}\n".encode())
    return digest.hexdigest()


def plan_document(plan: FlightPlan) -> dict[str, Any]:
    """A plan as it is stored."""
    return {"schema_version": SCHEMA_VERSION, "plan": msgspec.to_builtins(plan)}


def plan_of(document: dict[str, Any]) -> FlightPlan:
    """The plan of a stored document. Raises ValueError for one that another release wrote."""
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"a stored plan of schema version {document.get('schema_version')} cannot be read")
    return msgspec.convert(document["plan"], FlightPlan)


def plan_hash(plan: FlightPlan) -> str:
    """SHA-256 of the stored form of a plan."""
    return hashlib.sha256(canonical_json(plan_document(plan)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OpenSortie:
    """A sortie that had not ended when the journal was last written."""

    sortie_id: str
    vehicle_id: str
    plan: FlightPlan
    plan_hash: str
    readback_hash: str | None
    phase: Phase
    flown: bool
    aborted: bool
    intent: FlightMode
    reached_item: int | None
    sequence: int


def snapshot(sortie: Sortie, detail: dict[str, Any] | None) -> dict[str, Any]:
    """What a row of the journal keeps of a sortie, beside details of its step."""
    return {
        "schema_version": SCHEMA_VERSION,
        "phase": str(sortie.phase),
        "flown": sortie.flown,
        "aborted": sortie.aborted,
        "intent": str(sortie.intent),
        "reached_item": sortie.reached_item,
        "waypoints_reached": sortie.waypoints_reached,
        "failsafe": sortie.failsafe,
        "note": sortie.note,
        "outcome": None if sortie.outcome is None else msgspec.to_builtins(sortie.outcome),
        "detail": detail,
    }


def open_sortie(row: SortieJournalRow, plan: PlanRow, readback_hash: str | None) -> OpenSortie:
    """The sortie of its last row. Raises ValueError, KeyError or MsgspecError for one that another release wrote."""
    state = row.state or {}
    return OpenSortie(
        sortie_id=row.sortie_id,
        vehicle_id=row.vehicle_id,
        plan=plan_of(plan.plan),
        plan_hash=plan.plan_hash or "",
        readback_hash=readback_hash,
        phase=Phase(state["phase"]),
        flown=bool(state["flown"]),
        aborted=bool(state["aborted"]),
        intent=FlightMode(state["intent"]),
        reached_item=state["reached_item"],
        sequence=row.sequence,
    )
