# SPDX-License-Identifier: AGPL-3.0-or-later
"""A pilot on bare MAVSDK, started by test_sim_mavsdk.py in a process of its own: one short mission, facts on stdout.

Bare MAVSDK, not our link: it is the simulator that is on trial here. The process ends by os._exit, because nothing
of the library may be touched after it is destroyed.
"""

import json
import math
import os
import sys
import time

from mavsdk import ComponentType, Configuration, Mavsdk
from mavsdk.logging import log_subscribe
from mavsdk.plugins.action import Action
from mavsdk.plugins.info import Info
from mavsdk.plugins.mission_raw import MissionItem, MissionRaw
from mavsdk.plugins.param import Param
from mavsdk.plugins.telemetry import LandedState, Telemetry

PATIENCE_S = 90.0


def until(what, condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)


def fly(port):
    log_subscribe(lambda *_: True)
    mavsdk = Mavsdk(Configuration.create_with_component_type(ComponentType.GROUND_STATION))
    mavsdk.add_any_connection(f"udpin://127.0.0.1:{port}")
    system = mavsdk.first_autopilot(PATIENCE_S)
    if system is None:
        raise TimeoutError("discovery")
    telemetry, action, mission, param = Telemetry(system), Action(system), MissionRaw(system), Param(system)
    until("armable", lambda: telemetry.health().is_armable and telemetry.health().is_home_position_ok)
    home = telemetry.home()
    facts = {"system_id": system.get_system_id(), "version": Info(system).get_version().flight_sw_major}
    facts["uid"] = Info(system).get_identification().hardware_uid

    param.set_param_int("NAV_DLL_ACT", 0)
    param.set_param_float("RTL_RETURN_ALT", 25.0)
    facts["rtl_return_alt"] = param.get_param_float("RTL_RETURN_ALT")
    facts["com_dl_loss_t"] = param.get_param_int("COM_DL_LOSS_T")

    def item(seq, command, frame, params, north=0.0, east=0.0, z=0.0, place=True):
        lat = round((home.latitude_deg + north / 111_000) * 1e7) if place else 0
        lon = round((home.longitude_deg + east / 96_000) * 1e7) if place else 0
        return MissionItem(seq, frame, command, int(seq == 0), 1, *params, lat, lon, z, 0)

    nan = math.nan
    items = [
        item(0, 22, 3, (0.0, 0.0, 0.0, nan), z=15.0),
        item(1, 178, 2, (1.0, 8.0, -1.0, 0.0), place=False),
        item(2, 16, 3, (0.0, 3.0, 0.0, nan), 60.0, 0.0, 20.0),
        item(3, 16, 3, (0.0, 3.0, 0.0, nan), 60.0, 60.0, 20.0),
        item(4, 16, 3, (0.0, 3.0, 0.0, nan), 0.0, 40.0, 20.0),
    ]
    mission.upload_mission(items)
    back = mission.download_mission()
    facts["same"] = [(i.command, i.x, i.y, round(i.z, 3)) for i in back] == [
        (i.command, i.x, i.y, round(i.z, 3)) for i in items
    ]
    action.arm()
    until("armed", telemetry.armed)
    mission.start_mission()
    until("in the air", telemetry.in_air)
    highest = 0.0
    seen = []
    end = time.monotonic() + PATIENCE_S
    while not mission.is_mission_finished():
        if time.monotonic() > end:
            raise TimeoutError("mission")
        progress = mission.mission_progress().current
        if not seen or seen[-1] != progress:
            seen.append(progress)
        highest = max(highest, telemetry.position().relative_altitude_m)
        time.sleep(0.02)
    facts["progress"] = seen
    facts["highest_m"] = highest
    action.land()
    until("landed", lambda: telemetry.landed_state() == LandedState.ON_GROUND)
    until("disarmed", lambda: not telemetry.armed())
    facts["landed"] = True
    return facts


try:
    print(json.dumps(fly(int(sys.argv[1]))), flush=True)
    code = 0
except Exception as error:  # noqa: BLE001  (the test shows it)
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
    code = 1
os._exit(code)
