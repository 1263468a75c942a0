# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m sim`: simulated PX4 vehicles (and their cameras) in a process of their own.

Reads a configuration document or a few options, sends MAVLink over UDP, and ends on SIGTERM, SIGINT, a `quit` line,
or with its parent. Exit codes: 0 ended as asked, 1 a part of it failed, 2 bad input, 3 PX4 is absent or does not start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from pathlib import Path

from missions.geo import GeoError, GeoPoint, destination
from missions.terrain import Terrain, height_at
from sim import control
from sim.config import (
    MAX_VEHICLES,
    ConfigError,
    FaultConfig,
    Place,
    SimConfig,
    TerrainConfig,
    VehicleConfig,
    WindConfig,
    load,
)
from sim.ground import load_terrain
from sim.px4 import Px4Error, Px4Instance, Px4Sitl, unused_numbers
from sim.px4_truth import TruthListener
from sim.runner import Runner

_BAD_INPUT = 2
_UNAVAILABLE = 3
_EPILOG = """\
While it runs, JSON lines on standard input change the world (one answer line each):
  {"cut": "d1"}  {"restore": "d1"}      lose and bring back a vehicle's link
  {"faults": {"drop": 0.05}}            drop, duplicate or delay packets (null: none)
  {"battery": {"d1": 0.1}}              set a battery's fraction
  {"astray": {"d1": 1.6}}               fly straight on at 1.6 m/s in mission mode (null: no more)
  {"status": true}  {"quit": true}
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        alone = options.command == "vehicles"
        config = _vehicles_only(options) if alone else load(options.config)
        px4 = None if alone else options.px4
        return asyncio.run(serve(config, exit_with_parent=options.exit_with_parent, px4_path=px4))
    except (ConfigError, GeoError) as error:
        sys.stderr.write(f"sim: {error}\n")
        return _BAD_INPUT
    except Px4Error as error:
        sys.stderr.write(f"sim: {error}\n")
        return _UNAVAILABLE


async def serve(config: SimConfig, *, exit_with_parent: bool, px4_path: Path | None = None) -> int:
    """Run everything until asked to stop. px4_path: start PX4 for the vehicles that the document's `px4` names."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if config.ready_file is not None:
        Path(config.ready_file).unlink(missing_ok=True)  # noqa: ASYNC240  (nothing runs yet)
    terrain = load_terrain(config.terrain)
    runner = Runner(config, terrain)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(runner.close)
        await runner.open()
        rig = None
        if any(vehicle.cameras for vehicle in config.vehicles):
            from sim.rig import CameraRig

            rig = await CameraRig.start(config)
            stack.push_async_callback(rig.close)
        if rig is not None:
            for vehicle_id, truth in (config.px4 or {}).items():
                transport = await TruthListener.open(vehicle_id, truth.truth_port, config.speed, rig.pose)
                stack.callback(transport.close)
        if px4_path is not None:
            if not config.px4:
                raise ConfigError("--px4 needs a document whose `px4` names the vehicles that PX4 flies")
            await stack.enter_async_context(Px4Sitl(px4_path, _px4_instances(config, terrain), speed=config.speed))
        gc.freeze()  # what is here stays: the collector need not look at it again and again
        control.listen(runner, stop.set, exit_with_parent=exit_with_parent)
        work = asyncio.create_task(runner.run(rig), name="vehicles")
        waiter = asyncio.create_task(stop.wait(), name="stop")
        ready = {
            "pid": os.getpid(),
            "camera_ports": {} if rig is None else dict(rig.ports),
            "vehicle_ports": {vehicle_id: vehicle.port for vehicle_id, vehicle in runner.vehicles.items()},
        }
        if config.ready_file is not None:
            write_atomically(Path(config.ready_file), json.dumps(ready))
        control.say({"ready": ready})
        try:
            watched = {work, waiter} if rig is None else {work, waiter, rig.ended}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if rig is not None and rig.ended.done() and not waiter.done():
                sys.stderr.write("sim: the camera process has ended\n")
                return 1
            if work.done():
                work.result()  # it only ends by failing: show why
                return 1
        finally:
            for task in (work, waiter):
                task.cancel()
            await asyncio.gather(work, waiter, return_exceptions=True)
    return 0


def _px4_instances(config: SimConfig, terrain: Terrain) -> list[Px4Instance]:
    vehicles = [vehicle for vehicle in config.vehicles if vehicle.vehicle_id in (config.px4 or {})]
    instances = []
    for number, vehicle in zip(unused_numbers(len(vehicles)), vehicles, strict=True):
        home = GeoPoint(vehicle.home.latitude_deg, vehicle.home.longitude_deg)
        instances.append(
            Px4Instance(
                number=number,
                home=home,
                home_amsl_m=height_at(terrain, home),
                api_port=vehicle.target_port,
                system_id=vehicle.system_id,
                truth_port=None if config.px4 is None else config.px4[vehicle.vehicle_id].truth_port,
            )
        )
    return instances


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the whole file or none. Raises ConfigError when the folder cannot be written."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


def _vehicles_only(options: argparse.Namespace) -> SimConfig:
    """The configuration that `vehicles` stands for."""
    host, _, port_text = options.target.rpartition(":")
    if not host or not port_text.isdecimal() or not 1 <= int(port_text) <= 65535:
        raise ConfigError(f"--target {options.target}: give HOST:PORT, for example 127.0.0.1:24550")
    if not 1 <= options.vehicles <= MAX_VEHICLES:
        raise ConfigError(f"--vehicles {options.vehicles}: one process hosts 1 to {MAX_VEHICLES}")
    step = 0 if options.one_port else options.port_step
    last = int(port_text) + step * (options.vehicles - 1)
    if not 1 <= last <= 65535:
        raise ConfigError(f"--target {options.target}: the last vehicle's port would be {last}; choose a lower port")
    if not 1 <= options.first_system_id <= 255 - options.vehicles:
        raise ConfigError(f"--first-system-id {options.first_system_id}: system ids end at 254")
    origin = GeoPoint(options.latitude, options.longitude)
    vehicles = []
    for index in range(options.vehicles):
        home = destination(origin, 90.0, options.spacing * index)
        vehicles.append(
            VehicleConfig(
                vehicle_id=f"d{index + 1}",
                system_id=options.first_system_id + index,
                home=Place(home.latitude_deg, home.longitude_deg),
                target_host=host,
                target_port=int(port_text) + step * index,
            )
        )
    try:
        return SimConfig(
            schema_version=1,
            seed=options.seed,
            speed=options.speed,
            origin=Place(origin.latitude_deg, origin.longitude_deg),
            terrain=TerrainConfig(flat_amsl_m=options.amsl),
            wind=WindConfig(speed_m_s=options.wind, from_deg=options.wind_from, gust_m_s=0.3 * options.wind),
            vehicles=tuple(vehicles),
            faults=FaultConfig(drop=options.drop, seed=options.seed) if options.drop else None,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim",
        description="Simulated PX4 vehicles that speak MAVLink over UDP, for any ground station.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="vehicles, cameras and a scene from a configuration document (JSON)")
    run.add_argument("config", type=Path, metavar="CONFIG.json", help="file names in it are relative to its folder")

    run.add_argument(
        "--px4",
        type=Path,
        metavar="PATH",
        help="start real PX4 SITL (a build folder or install root) for the vehicles that the document's `px4` names; "
        "without it somebody else has started them",
    )

    alone = commands.add_parser(
        "vehicles",
        help="vehicles alone, for any ground station",
        description="Vehicles on flat ground in a row, each sending MAVLink to a port of its own: "
        "PORT, PORT+1, ... (connect MAVSDK to udpin://127.0.0.1:PORT, and so on).",
    )
    alone.add_argument("--vehicles", type=int, default=1, metavar="N", help=f"how many, 1 to {MAX_VEHICLES}")
    alone.add_argument("--target", required=True, metavar="HOST:PORT", help="where the first one sends its MAVLink")
    ports = alone.add_mutually_exclusive_group()
    ports.add_argument("--port-step", type=int, default=1, metavar="K", help="ports between vehicles (default 1)")
    ports.add_argument(
        "--one-port", action="store_true", help="all send to the same port (QGroundControl likes that, MAVSDK less)"
    )
    alone.add_argument("--latitude", type=float, default=29.7, metavar="DEG", help="of the first home (default 29.7)")
    alone.add_argument("--longitude", type=float, default=107.3, metavar="DEG", help="default 107.3")
    alone.add_argument("--amsl", type=float, default=250.0, metavar="M", help="height of the ground (default 250)")
    alone.add_argument("--spacing", type=float, default=10.0, metavar="M", help="between homes, eastwards (default 10)")
    alone.add_argument("--first-system-id", type=int, default=1, metavar="ID", help="the others follow (default 1)")
    alone.add_argument("--speed", type=float, default=1.0, metavar="X", help="simulated per real second (default 1)")
    alone.add_argument("--seed", type=int, default=1, metavar="N", help="of sensors, wind and faults (default 1)")
    alone.add_argument("--wind", type=float, default=0.0, metavar="M_S", help="mean wind; gusts are a third of it")
    alone.add_argument("--wind-from", type=float, default=270.0, metavar="DEG", help="default 270, from the west")
    alone.add_argument("--drop", type=float, default=0.0, metavar="SHARE", help="of packets lost, both ways (0 to 1)")
    for one in (run, alone):
        one.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
