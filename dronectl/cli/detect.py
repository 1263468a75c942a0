# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl detect`: pictures, folders and videos to JSON lines, GeoJSON, annotated pictures and a review page."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from dronectl.errors import BadInputError
from missions.geo import GeoError, GeoPoint
from missions.model import Modality, Polarity

_SIZE = re.compile(r"(\d{1,5})[xX](\d{1,5})")


def detect(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Pictures, folders, videos, radiometric JPEGs (DJI, FLIR), 16-bit TIFF or raw Y16; or up to 16 "
            "streams: addresses (rtsp, http, rtmp, udp) or cameras of this machine (usb:0).",
            metavar="SOURCE...",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the JSON lines to this file instead of standard output. A journal beside it lets a run that "
            "was stopped or killed go on: give the same command again.",
            metavar="FILE",
        ),
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option("--annotate", help="Write pictures with boxes into this folder.", metavar="DIR")
    ] = None,
    geojson: Annotated[
        Path | None,
        typer.Option("--geojson", help="Write located detections and tracks with their 95 % ellipses.", metavar="FILE"),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option(
            "--review",
            help="Write an HTML page with a card for each track and each detection of a still, sorted for triage, in "
            "English and Chinese; its pictures go into a folder beside it.",
            metavar="FILE",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            help="A YOLO model, .onnx, or .pt with the extra. Default: those that ship, one for thermal pictures and an "
            "experimental one for colour pictures, which misses people.",
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine", help="tensorrt, openvino, onnxruntime, opencv or ultralytics. Default: the best one here."
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            "--confidence",
            min=0.01,
            max=0.99,
            help="Least score of a learned detection, or of a person in a thermal still. Default: the model's.",
        ),
    ] = None,
    gsd_cm: Annotated[
        float | None,
        typer.Option("--gsd-cm", min=0.1, max=200.0, help="Centimetres on the ground per pixel, for all pictures."),
    ] = None,
    height_m: Annotated[
        float | None,
        typer.Option("--height-m", min=1.0, max=5000.0, help="Height above ground looking down; with --hfov-deg."),
    ] = None,
    hfov_deg: Annotated[
        float | None,
        typer.Option(
            "--hfov-deg",
            min=1.0,
            max=170.0,
            help="The camera's horizontal field of view; alone, for files that tell their pose but not their lens.",
        ),
    ] = None,
    dem: Annotated[
        Path | None,
        typer.Option("--dem", help="Height model of the ground, in place of level ground at take-off.", metavar="FILE"),
    ] = None,
    take_off: Annotated[
        str | None,
        typer.Option(
            "--take-off",
            help="Where the drone took off, with --dem: heights in files are above that place, and more exact than "
            "their altitude above sea level.",
            metavar="LAT,LON",
        ),
    ] = None,
    modality: Annotated[
        str,
        typer.Option(
            "--modality",
            help="What pictures, videos and streams of 8 bits are: thermal (false colours by their brightness, as of the "
            "palettes white hot and ironbow), rgb, or auto: as each file says, else thermal if it has no colour at all.",
            metavar="auto|thermal|rgb",
        ),
    ] = "auto",
    polarity: Annotated[
        str,
        typer.Option(
            "--polarity",
            help="What is warm in thermal pictures, videos and streams of 8 bits in grey levels: white (white-hot), black "
            "(black-hot: all are turned over before anything looks at them), or auto: stills as their people show, which "
            "misses a quarter of the black-hot ones, and videos and streams white-hot. Degrees, raw values and false "
            "colours are never turned over.",
            metavar="auto|white|black",
        ),
    ] = "auto",
    counts: Annotated[
        str,
        typer.Option(
            "--counts",
            help="What 16-bit values of TIFF, PNG and Y16 are: relative, centikelvin (0.01 K), tlinear (0.04 K), "
            "decikelvin (0.1 K).",
        ),
    ] = "relative",
    raw_size: Annotated[
        str | None,
        typer.Option(
            "--raw-size", help="Size of raw Y16 pictures whose length does not tell it, as 640x512.", metavar="WxH"
        ),
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Look at every n-th frame of a video.")] = 1,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=1.0, help="End a stream after so many seconds. Default: at Ctrl-C."),
    ] = None,
    open_timeout_s: Annotated[
        float,
        typer.Option(
            "--open-timeout-s",
            min=1.0,
            max=600.0,
            help="A stream without a picture for so long has not opened; if none has, that is code 3.",
        ),
    ] = 15.0,
    give_up_s: Annotated[
        float,
        typer.Option(
            "--give-up-s",
            min=5.0,
            max=86400.0,
            help="A stream that was seen, and is away for so long, ends with code 1; until then it is opened again.",
        ),
    ] = 60.0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew where --out holds an earlier run, instead of going on with it.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the closing summary as JSON on standard error, too.")
    ] = False,
) -> None:
    """Find people, vehicles, hot spots and fires in thermal pictures, people in colour ones, and smoke in colour videos.

    The model for colour pictures that ships is an experiment and misses people: `dronectl vision train --modality rgb`
    makes one of your own, which --model then names. Colour pictures are looked at in tiles, and people found in them who
    are larger than 25 pixels are blurred in every picture that is written. Pictures without any colour are taken for
    thermal ones, unless their file or --modality says otherwise, and blurred as if they were not; lines say what each was
    taken for, and by what. Never take an empty result for an empty area.

    One JSON line per frame with its detections; videos also give lines of type "track" (3 of 5 looks). Sizes are
    judged in metres, so say how large a pixel is on the ground (--gsd-cm, or --height-m with --hfov-deg) unless the
    pictures tell it themselves. A thermal still has no second frame that confirms it: what the model and the warm spots
    say is weighed together, and a person comes with the probability of being one.

    Detections get a place with its 95 % ellipse where the file tells the camera's pose: DJI pictures in their Exif and
    XMP data, DJI videos in subtitles of the same name (.srt). The ground is taken to be level with the take-off
    unless --dem gives its heights. What several overlapping stills show at one place is one card and one feature, with
    all its pictures.

    A stream is read in a process of its own: one that stalls for 5 seconds is opened again, with growing pauses, and
    its gap is a line of type "gap". Detection takes the newest frames; those it had no time for are counted. Several
    streams are looked at by turns, each for its fair share of the time; one that is lost does not end the others.

    Example: dronectl detect flight/ --out flight.jsonl --review flight.html --geojson flight.geojson

    Codes: 0 all was read, 1 some could not be read (or was damaged) or looked at, or a stream was lost, 2 nothing could or the input is
    wrong, 3 no stream ever opened.
    """
    if "" in sources:
        raise BadInputError("SOURCE is empty, as of a variable that is not set; a dot (.) is the folder you are in")
    gsd_m, ground_width_m = _scale(gsd_cm, height_m, hfov_deg)
    size = _raw_size(raw_size)
    if counts not in ("relative", "centikelvin", "tlinear", "decikelvin"):
        raise BadInputError(f"--counts {counts}: is none of relative, centikelvin, tlinear, decikelvin")
    if modality not in ("auto", "thermal", "rgb"):
        raise BadInputError(f"--modality {modality}: is none of auto, thermal, rgb")
    if polarity not in ("auto", "white", "black"):
        raise BadInputError(f"--polarity {polarity}: is none of auto, white, black")
    if polarity != "auto" and modality == "rgb":
        raise BadInputError(
            f"--polarity {polarity} is of thermal pictures, and --modality rgb says that there are none"
        )
    started_at = None if take_off is None else _place(take_off)
    if started_at is not None and dem is None:
        raise BadInputError("--take-off goes with --dem: without heights of the ground it changes nothing")
    # heavy: cv2 and an inference engine, which no other command of this program needs
    from dronectl.operations.detect_places import Outputs
    from dronectl.operations.detect_run import DetectRequest, run_files
    from dronectl.operations.detect_stream import run_streams
    from vision.errors import PictureError
    from vision.sources.streams import StreamSettings, parse_address

    request = DetectRequest(
        outputs=Outputs(out, annotate, geojson, review),
        model=model,
        engine=engine,
        confidence=confidence,
        gsd_m=gsd_m,
        ground_width_m=ground_width_m,
        hfov_deg=hfov_deg,
        raw_size=size,
        dem=dem,
        take_off=started_at,
        counts=counts,
        modality=None if modality == "auto" else Modality(modality),
        polarity=None if polarity == "auto" else Polarity(polarity),
        every=every,
        fresh=fresh,
        as_json=as_json,
    )
    try:
        streams = [address for address in map(parse_address, sources) if address is not None]
    except PictureError as error:
        raise BadInputError(str(error)) from error
    if not streams:
        raise typer.Exit(run_files([Path(source) for source in sources], request))
    if len(streams) < len(sources):
        raise BadInputError(
            f"{streams[0].label}: streams and files are looked at by a `dronectl detect` of their own each"
        )
    settings = StreamSettings(open_s=open_timeout_s, give_up_s=give_up_s, run_s=seconds)
    raise typer.Exit(run_streams(streams, settings, request))


def _place(text: str) -> GeoPoint:
    try:
        latitude, longitude = (float(part) for part in text.split(","))
        return GeoPoint(latitude, longitude)
    except (ValueError, GeoError) as error:
        raise BadInputError(f"--take-off {text}: is not LATITUDE,LONGITUDE in degrees, as 47.3977,8.5456") from error


def _scale(gsd_cm: float | None, height_m: float | None, hfov_deg: float | None) -> tuple[float | None, float | None]:
    """(metres per pixel, metres of ground across a picture): one of the two, or neither."""
    if gsd_cm is not None:
        if height_m is not None:
            raise BadInputError("give --gsd-cm, or --height-m with --hfov-deg, not both")
        return gsd_cm / 100.0, None
    if height_m is None:
        return None, None
    if hfov_deg is None:
        raise BadInputError("--height-m needs --hfov-deg: it does not say alone how large a pixel is")
    return None, 2.0 * height_m * math.tan(math.radians(hfov_deg / 2))


def _raw_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None or not (0 < int(match[1]) <= 16_384 and 0 < int(match[2]) <= 16_384):
        raise BadInputError(f"--raw-size {text}: is not WIDTHxHEIGHT in pixels, as 640x512")
    return int(match[1]), int(match[2])
