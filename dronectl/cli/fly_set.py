# SPDX-License-Identifier: AGPL-3.0-or-later
"""Hands in the flights of a set at their times and follows them: what `dronectl fly` does once the plans are read.

Seconds are those of this machine's monotonic clock, which is right for real aircraft; a simulator that runs faster
than time flies faster than the starts reckon with.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dronectl.cli.client import ServiceClient, ServiceLostError
from dronectl.cli.common import err, say
from dronectl.cli.spoken import finding_line, notice_line, outcome_line, progress_line, warnings_of
from dronectl.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_GOAL_MISSED,
    EXIT_UNAVAILABLE,
    BadInputError,
    UnavailableError,
)
from dronectl.language import name, tr, tr_many
from dronectl.operations.launches import ENDED, Launches
from dronectl.supervise import STORE_PART
from missions.deconflict.starts import SLACK_S

_POLL_S: Final = 0.5
_STORE_LOOK_S: Final = 5.0
_NOT_HEARD: Final = "link-stale"  # the preflight's finding


@dataclass(frozen=True, slots=True)
class Ordered:
    """One plan that is to be flown: its file, what is in it, by whom, and its start after that of its set."""

    file: Path
    document: Any
    vehicle_id: str
    start_after_s: float


@dataclass(slots=True)
class Result:
    """What has become of one plan. sortie: as the service shows it; None before it is accepted, or if it is not."""

    order: Ordered
    asked: bool = False
    sortie: dict[str, Any] | None = None
    not_taken: str = ""  # what the service said instead of taking it
    lost: str = ""  # how the service was lost while this was under way, or just being handed in

    @property
    def ended(self) -> bool:
        return bool(self.not_taken) or (self.sortie is not None and self.sortie["state"] in ENDED)

    @property
    def unheard(self) -> bool:
        """Whether the preflight blocked it for nothing but that nothing is heard of the vehicle."""
        return bool(self._blockers) and all(f["code"] == _NOT_HEARD for f in self._blockers)

    @property
    def refusal(self) -> str:
        """Why it was not flown, in words; empty if it was, or ended otherwise."""
        who = self.order.vehicle_id
        if self.unheard:
            return name("mark", "; ").join(finding_line(f, who, coded=False) for f in self._blockers)
        if self._blockers:
            lines = [f"  {finding_line(f, who)}" for f in self._blockers]
            head = tr("{file}: refused by preflight for {vehicle}:", file=self.order.file, vehicle=who)
            return "\n".join([head, *lines])
        return self.not_taken

    @property
    def _blockers(self) -> list[dict[str, Any]]:
        if self.sortie is None or self.sortie["state"] != "failed":
            return []
        return [f for f in self.sortie["findings"] if f["severity"] == "blocker"]

    def exit_code(self, *, waited: bool) -> int:
        """By what is known now; without waiting only a refusal is."""
        if self.refusal:
            return EXIT_UNAVAILABLE if self.unheard else EXIT_BAD_INPUT
        completed = self.sortie is not None and self.sortie["outcome"] == "completed"
        return EXIT_GOAL_MISSED if waited and not completed else EXIT_DONE

    def document(self) -> dict[str, Any]:
        """The sortie as last seen; of one that was not taken, or not even handed in, what is known of it.

        Of one that was under way when the service was lost nobody here knows the end: its outcome is "unknown".
        """
        unknown = {"outcome": "unknown", "outcome_note": self.lost} if self.lost else {}
        if self.sortie is not None:
            return {**self.sortie, **unknown}
        return {
            "sortie_id": None,
            "vehicle_id": self.order.vehicle_id,
            "state": "unknown" if self.lost else "failed" if self.asked else "not_handed_in",
            "detail": self.not_taken,
            "findings": [],
            "outcome": None,
            "outcome_note": None,
            **unknown,
        }


def worst_code(results: Sequence[Result], *, waited: bool) -> int:
    """The worst exit code of all; 3 only if it is that of every flight that did not complete its plan."""
    codes = {r.exit_code(waited=waited) for r in results} - {EXIT_DONE}
    if codes == {EXIT_UNAVAILABLE}:
        return EXIT_UNAVAILABLE
    return max(codes - {EXIT_UNAVAILABLE}, default=EXIT_DONE)


class FlySet:
    """The flights of one call. `run` may be broken off at any time: nothing that it does commands what flies."""

    def __init__(
        self, client: ServiceClient, orders: Sequence[Ordered], common: Mapping[str, Any], *, quiet: bool
    ) -> None:
        """common: what the requests of all flights say besides vehicle and plan. quiet: say nothing on standard output."""
        self.results = [Result(order) for order in orders]
        self._client, self._common, self._quiet = client, common, quiet
        self._launches = Launches([order.start_after_s for order in orders])
        self._said = [""] * len(orders)
        self._notices_said: set[tuple[int, str, str, bool]] = set()  # flight, kind, when it began, whether it is over
        self._said_held: list[int] = []
        self._said_of_store: str | None = None
        self._store_look_s = time.monotonic() + _STORE_LOOK_S

    def run(self, *, wait: bool) -> None:
        """Until all are handed in and, if wanted, have ended. Raises UnavailableError when the service is gone."""
        try:
            while True:
                while (index := self._launches.due(time.monotonic())) is not None:
                    self._hand_in(index)
                self._look()
                if not self._launches.waiting and (not wait or all(r.ended for r in self.results)):
                    break
                time.sleep(self._pause_s())
        except ServiceLostError as error:
            for result in self.results:
                if result.asked and not result.ended:
                    result.lost = error.what
            raise UnavailableError(name("mark", "; ").join([error.what, *self._without_service()])) from error
        except UnavailableError as error:
            raise UnavailableError(name("mark", "; ").join([str(error), *self.left_behind()])) from error
        for result in self.results:
            if result.sortie is not None and result.sortie["outcome"] and not result.refusal:
                self._tell(result, outcome_line(result.sortie), indent="")

    def left_behind(self) -> list[str]:
        """What becomes of each flight if this program ends now."""
        lines = []
        for result in self.results:
            who = result.order.vehicle_id
            if result.sortie is not None and not result.ended:
                lines.append(
                    tr(
                        "{vehicle} goes on: `dronectl hold {vehicle}` or `dronectl return {vehicle}` stops it",
                        vehicle=who,
                    )
                )
            elif result.asked and result.sortie is None and not result.not_taken:
                lines.append(tr("{vehicle} may have been handed in: `dronectl vehicles` says it", vehicle=who))
        if kept := self._kept_down():
            lines.append(tr("not handed in, on the ground: {vehicles}", vehicles=kept))
        return lines

    def _without_service(self) -> list[str]:
        """What becomes of each flight when the service is lost, and what to do. Losing it commands no aircraft."""
        flying = [r.order.vehicle_id for r in self.results if r.sortie is not None and not r.ended]
        asked = [r.order.vehicle_id for r in self.results if r.asked and r.sortie is None and not r.not_taken]
        parts = []
        if flying:
            parts.append(
                tr_many(
                    "{vehicles} flies on without it, ordered nothing new",
                    "{vehicles} fly on without it, ordered nothing new",
                    len(flying),
                    vehicles=", ".join(flying),
                )
            )
        if asked:
            parts.append(tr("{vehicles} may have been handed in, and may be flying", vehicles=", ".join(asked)))
        if kept := self._kept_down():
            parts.append(tr("not handed in, on the ground: {vehicles}", vehicles=kept))
        if not (left := flying + asked):
            return [*parts, tr("start it with `dronectl up`")]
        parts.append(tr("start `dronectl up` again: it adopts flights under way, `dronectl vehicles` shows them"))
        who = left[0] if len(left) == 1 else "ID"
        return [*parts, tr("without it `dronectl hold|return|land {who} --direct` orders", who=who)]

    def _kept_down(self) -> str:
        return ", ".join(r.order.vehicle_id for r in self.results if not r.asked)

    def _pause_s(self) -> float:
        """Until the next look, or the next start if that is earlier."""
        now_s = time.monotonic()
        following = self._launches.next_s(now_s)
        return _POLL_S if following is None else min(_POLL_S, max(0.0, following[1] - now_s))

    def _hand_in(self, index: int) -> None:
        result = self.results[index]
        body = {"vehicle_id": result.order.vehicle_id, "plan": result.order.document, **self._common}
        result.asked = True
        self._launches.handed_in(index, time.monotonic())
        try:
            accepted = self._client.post("/api/v1/sorties", body)
        except ServiceLostError:
            raise
        except UnavailableError as error:
            result.not_taken = str(error)
            raise
        except BadInputError as error:
            result.not_taken = tr(
                "{file}: refused for {vehicle}: {error}",
                file=result.order.file,
                vehicle=result.order.vehicle_id,
                error=error,
            )
            self._launches.seen(index, "failed", time.monotonic())
            if len(self.results) > 1:
                self._tell(result, tr("{file} not flown: {error}", file=result.order.file, error=error))
            return
        result.sortie = self._client.get(f"/api/v1/sorties/{accepted['sortie_id']}")
        if not self._quiet:
            say(
                tr(
                    "sortie {sortie} accepted for {vehicle}",
                    sortie=accepted["sortie_id"],
                    vehicle=result.order.vehicle_id,
                )
            )
        for warning in warnings_of(accepted):
            err.print(
                tr(
                    "{warning}. Watch them; `dronectl hold {vehicle}` stops it",
                    warning=warning,
                    vehicle=result.order.vehicle_id,
                ),
                style="yellow",
                markup=False,
            )

    def _look(self) -> None:
        for index, result in enumerate(self.results):
            if result.sortie is None or result.ended:
                continue
            sortie = self._client.get(f"/api/v1/sorties/{result.sortie['sortie_id']}")
            result.sortie = sortie
            left = self._launches.seen(index, sortie["state"], time.monotonic())
            line = progress_line(sortie)
            if line != self._said[index]:
                self._said[index] = line
                self._tell(result, line)
            self._say_notices(index, sortie)
            if left:
                self._warn_if_off(index)
        self._look_at_store()
        held = self._launches.held if self._launches.waiting else []
        if held != self._said_held and held and not self._quiet:
            who = ", ".join(self.results[i].order.vehicle_id for i in held)
            say(tr("{kept} waits on the ground until {who} flies on or comes home", kept=self._kept_down(), who=who))
        self._said_held = held

    def _look_at_store(self) -> None:
        """Say once that what happens cannot be kept, and once that this is over."""
        now_s = time.monotonic()
        if now_s < self._store_look_s:
            return
        self._store_look_s = now_s + _STORE_LOOK_S
        parts = self._client.get("/health")["children"]
        reason = next((part["reason"] for part in parts if part["name"] == STORE_PART), None)
        if reason != self._said_of_store:
            line = tr("the service keeps what happens again")
            if reason is not None:
                line = tr("flights go on, but what happens cannot be kept: {why}", why=reason)
            err.print(line, style="yellow", markup=False)
        self._said_of_store = reason

    def _say_notices(self, index: int, sortie: Mapping[str, Any]) -> None:
        """What is wrong with its progress: once when it is noticed, once when it is over."""
        for notice in sortie["notices"]:
            over = notice["ended_at"] is not None
            key = (index, notice["kind"], notice["began_at"], over)
            if key not in self._notices_said:
                self._notices_said.add(key)
                err.print(notice_line(sortie["vehicle_id"], notice), style="yellow", markup=False)

    def _warn_if_off(self, index: int) -> None:
        """Nothing of it can be mended from here, but a person can watch, and hold one of the two."""
        off = self._launches.off_s(index)
        if off is None or abs(off[1]) <= SLACK_S:
            return
        one, two = self.results[index].order.vehicle_id, self.results[off[0]].order.vehicle_id
        said = tr(
            "{one} took off {seconds:.0f} s {how} against {two}: the plans keep these two apart within {slack:.0f} s only. "
            "Watch them; `dronectl hold {one}` stops it",
            one=one,
            two=two,
            seconds=abs(off[1]),
            how=name("take-off", "late" if off[1] > 0 else "early"),
            slack=SLACK_S,
        )
        err.print(said, style="yellow", markup=False)

    def _tell(self, result: Result, line: str, indent: str = "  ") -> None:
        """One line of one flight; with the vehicle's name where there are several."""
        if not self._quiet:
            alone = len(self.results) == 1
            say(f"{indent}{line}" if alone else tr("{vehicle}: {line}", vehicle=result.order.vehicle_id, line=line))
