# SPDX-License-Identifier: AGPL-3.0-or-later
"""The vision worker: `python -m dronectl.perception.worker --channel-fd N`. One process for all cameras of a site.

Frames come in over TCP from the cameras, poses over the channel from the service; sightings go back over the channel.
It ends when the channel does. Inference runs in a thread, so that the loop reads on while a network computes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import uuid
from dataclasses import fields
from pathlib import Path

import cv2

from dronectl.errors import BadInputError
from dronectl.ipc import Channel, ChannelClosedError, ProtocolError, parent_channel
from dronectl.perception.messages import (
    CameraFeed,
    Configure,
    Poses,
    Ready,
    Refused,
    Report,
    Seen,
    ToWorker,
)
from dronectl.terrain_io import load_terrain
from missions.model import Modality
from missions.terrain import FlatTerrain
from vision.errors import ModelError, VisionError
from vision.evidence import EvidenceStore
from vision.evidence_index import EvidenceIndex
from vision.geolocate import Locator
from vision.model_card import DEFAULT_MODEL
from vision.pipeline import Feed, VisionPipeline
from vision.thermal import HotSpotDetector
from vision.yolo import YoloDetector, load_yolo

log = logging.getLogger(__name__)

_REPORT_S = 1.0
_CONFIGURE_TIMEOUT_S = 30.0


def _locator(order: Configure) -> tuple[Locator | None, str | None]:
    if order.terrain_path is not None:
        terrain = load_terrain(Path(order.terrain_path))
        return Locator(terrain), terrain.source
    if order.flat_amsl_m is not None:
        flat = FlatTerrain(order.flat_amsl_m, vertical_error_m=order.flat_vertical_error_m)
        return Locator(flat), flat.source
    return None, None


def _feed(feed: CameraFeed) -> Feed:
    return Feed(**{field.name: getattr(feed, field.name) for field in fields(CameraFeed)})


async def serve(channel: Channel[ToWorker]) -> None:
    """Work until the channel closes."""
    async with asyncio.timeout(_CONFIGURE_TIMEOUT_S):
        order = await channel.receive()
    if not isinstance(order, Configure):
        raise ProtocolError(f"the first message must be Configure, not {type(order).__name__}")
    try:
        learned, colour = await asyncio.to_thread(_detectors, order)
        locator, source = _locator(order)
    except (VisionError, BadInputError) as error:
        await channel.send(Refused(str(error)))
        return
    classical = HotSpotDetector()
    run_id = uuid.uuid4().hex[:10]
    pipeline = VisionPipeline(
        [_feed(feed) for feed in order.feeds],
        learned,
        classical,
        locator,
        EvidenceStore(Path(order.evidence_dir), EvidenceIndex(Path(order.evidence_dir))),
        run_id,
        lambda sighting: channel.post(Seen(sighting)),
        colour=colour,
    )
    names = [learned.name, classical.name, *([] if colour is None else [colour.name])]
    channel.post(Ready(run_id, tuple(names), source))
    working = asyncio.create_task(pipeline.run(), name="pipeline")
    reporting = asyncio.create_task(_report(channel, pipeline), name="report")
    listening = asyncio.create_task(_listen(channel, pipeline), name="poses")
    # Without cameras there is nothing to look at, and the pipeline ends at once: then only the channel ends the worker.
    watched = {working, reporting, listening} if order.feeds else {reporting, listening}
    done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    pending = {working, reporting, listening} - done
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()


def _detectors(order: Configure) -> tuple[YoloDetector, YoloDetector | None]:
    """The thermal detector, and that for colour pictures where there are cameras and a model for it."""
    model = Path(order.model_path) if order.model_path is not None else DEFAULT_MODEL
    learned = load_yolo(model, order.engine, order.confidence, order.threads, for_tracking=True)
    if order.colour_model_path is None or all(f.camera.modality is Modality.THERMAL for f in order.feeds):
        return learned, None
    path = Path(order.colour_model_path)
    colour = load_yolo(path, order.engine, order.confidence, order.threads, for_tracking=True)
    if colour.card.modality != "rgb":
        raise ModelError(f"model {path}: its card says {colour.card.modality}, and it is to look at colour pictures")
    return learned, colour


async def _listen(channel: Channel[ToWorker], pipeline: VisionPipeline) -> None:
    while True:
        message = await channel.receive()
        if isinstance(message, Poses):
            pipeline.poses.add((sample.vehicle_id, sample.pose) for sample in message.samples)


async def _report(channel: Channel[ToWorker], pipeline: VisionPipeline) -> None:
    while True:
        await asyncio.sleep(_REPORT_S)
        await channel.send(Report(tuple(pipeline.reports())))


async def _main(channel_fd: int) -> int:
    channel: Channel[ToWorker] = await parent_channel(channel_fd, ToWorker)
    try:
        await serve(channel)
    except ChannelClosedError:
        return 0
    finally:
        channel.close()
    return 2


def main() -> int:
    """Entry point of the worker process."""
    parser = argparse.ArgumentParser(prog="dronectl.perception.worker")
    parser.add_argument("--channel-fd", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s vision: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then closes the channel
    cv2.setNumThreads(1)  # the pictures are small: threads would cost more than they save
    return asyncio.run(_main(arguments.channel_fd))


if __name__ == "__main__":
    raise SystemExit(main())
