# SPDX-License-Identifier: AGPL-3.0-or-later
"""The watch on progress beside the simulated autopilot, in virtual time: normal flights in wind, and one that goes astray."""

from __future__ import annotations

import pytest
from sim_pilot import NAN, WINDY, Pilot, place

from dronectl.fleet.flight_way import way_of
from dronectl.fleet.progress_watch import NoticeKind, Seen, Watch, look
from missions.mavlink_items import MissionItem
from sim.autopilot_core import Landed, Mode
from sim.config import WindConfig

ITEMS = [
    {"command": 22, **place(0, 0), "z": 15.0},
    {"command": 178, "frame": 2, "p1": 1.0, "p2": 8.0, "p3": -1.0, "p4": 0.0},
    {"command": 16, **place(150, 0), "z": 60.0, "p2": 3.0},
    {"command": 205, "frame": 2, "p1": -60.0, "p4": 0.0, "z": 2.0},
    {"command": 16, **place(150, 200), "z": 30.0, "p2": 3.0},
    {"command": 16, **place(140, 200), "z": 30.0, "p2": 8.0},
    {"command": 16, **place(140, -50), "z": 30.0, "p2": 3.0, "p1": 45.0},
    {"command": 19, **place(0, -50), "z": 100.0, "p1": 50.0, "p3": 0.0},
    {"command": 178, "frame": 2, "p1": 1.0, "p2": 3.0, "p3": -1.0, "p4": 0.0},
    {"command": 16, **place(0, -120), "z": 25.0, "p2": 3.0},
    {"command": 93, "frame": 2, "p1": 40.0},
    {"command": 16, **place(60, -60), "z": 25.0, "p2": 3.0},
    {"command": 20, "frame": 2, "p4": 0.0},
]
WAYPOINTS = (None, None, 0, None, 1, 2, 3, 4, None, 5, None, 6, None)


def mission_items() -> tuple[MissionItem, ...]:
    return tuple(
        MissionItem(
            seq,
            int(item.get("frame", 3)),
            int(item["command"]),
            *(item.get(name, 0.0 if name != "p4" else NAN) for name in ("p1", "p2", "p3", "p4")),
            int(item.get("x", 0)),
            int(item.get("y", 0)),
            float(item.get("z", 0.0)),
        )
        for seq, item in enumerate(ITEMS)
    )


class Watched:
    """A flight with its watch, fed once a simulated second with what the vehicle believes, as the service does."""

    def __init__(self, pilot: Pilot) -> None:
        self.pilot = pilot.ready()
        assert pilot.upload(ITEMS) == 0
        assert pilot.mode("mission") == 0
        assert pilot.arm() == 0
        self.way = way_of(mission_items(), WAYPOINTS)
        self.watch = Watch()
        self.told: list[tuple[float, NoticeKind]] = []

    def second(self) -> None:
        core = self.pilot.core
        self.pilot.run(1.0)
        flying = core.mode is Mode.MISSION and core.landed_state is Landed.IN_AIR
        if not flying or self.pilot.autopilot.mission.current == 0:
            self.watch = Watch()
            return
        e, home = core.estimate, core.home
        assert home is not None
        current = self.pilot.autopilot.mission.current
        now = Seen(core.now_s, current, e.latitude_deg, e.longitude_deg, e.amsl_m, home.amsl_m)
        after = look(self.watch, self.way, now)
        before = {n.kind for n in self.watch.notices}
        self.told += [(core.now_s, n.kind) for n in after.notices if n.kind not in before]
        self.watch = after

    def until_landed(self) -> None:
        for _ in range(1200):
            self.second()
            if self.pilot.core.landed and self.pilot.core.has_flown:
                return
        raise AssertionError(f"it did not land: {self.pilot}")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wind", [WindConfig(), WINDY, WindConfig(speed_m_s=8.0, from_deg=20.0, gust_m_s=2.0)])
def test_normal_flights_are_never_spoken_of(seed: int, wind: WindConfig):
    flight = Watched(Pilot(seed=str(seed), wind=wind))
    flight.until_landed()
    assert flight.pilot.reached()[-1] >= 11
    assert flight.told == []


@pytest.mark.parametrize("speed_m_s", [1.0, 1.6, 8.0, 0.0])
def test_whoever_goes_astray_is_spoken_of_within_tens_of_seconds(speed_m_s: float):
    flight = Watched(Pilot(wind=WINDY))
    while flight.pilot.autopilot.mission.current != 4:
        flight.second()
    for _ in range(5):  # round the corner and on the leg
        flight.second()
    flight.pilot.core.go_astray(speed_m_s)
    flight.pilot.core.astray = flight.pilot.core.astray and type(flight.pilot.core.astray)(
        speed_m_s, 0.0
    )  # to the north
    began_s = flight.pilot.core.now_s
    while not flight.told and flight.pilot.core.now_s < began_s + 120.0:
        flight.second()
    assert flight.told
    at_s, kind = flight.told[0]
    assert at_s - began_s <= 45.0
    assert kind is (NoticeKind.NO_PROGRESS if speed_m_s < 1.5 else NoticeKind.OFF_WAY)
    flight.pilot.core.go_astray(None)
    flight.until_landed()
    assert flight.watch.notices == ()
    assert flight.pilot.reached()[-1] >= 11
