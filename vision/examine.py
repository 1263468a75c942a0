# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looks through files and streams: pictures one by one, videos with tracks. What comes out is ready for JSON lines.

A picture that cannot be written costs evidence, which is counted; looking goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from missions.model import Camera, Modality, Polarity
from vision.blindness import UNIFORM, is_uniform
from vision.blur import blurred
from vision.errors import PictureError
from vision.evidence import EvidenceStore, annotate, crop
from vision.examine_lines import (
    Line,
    detection_line,
    frame_line,
    kind_of,
    look_line,
    model_line,
    place_line,
    polarity_line,
    track_line,
    values_line,
)
from vision.examine_types import ExamineOptions, Names, Tally, file_name
from vision.eye import CameraEye
from vision.frame import Frame, PixelKind
from vision.geolocate import Locator
from vision.ground import Ground
from vision.lookers import Lookers, experimental_note
from vision.model_card import ModelCard
from vision.polarity import is_stated_black, turned_over
from vision.poses import Lens, focal_from_35mm, focal_from_fov, make_camera
from vision.poses_srt import SubtitlePoses, parse_srt
from vision.sighting import Kind, Phase
from vision.single import SingleLook
from vision.smoke import SmokeDetector
from vision.sources.stills import Still, is_video, read_still, read_video
from vision.thermal import HotSpotDetector
from vision.unite import Observation

Teller = Callable[[str], None]
_PIXEL_SIGMA: Final = 2.0
_OBLIQUE_FROM_DEG: Final = -60.0  # shallower, a standing thing is where its feet are
_STEEP_DEG: Final = -20.0  # shallower, the ground's scale at the centre says little about the rest of the picture
_MOST_TOLD: Final = 5  # refusals that are told one by one: a folder of thousands can be refused
_MOST_SUBTITLE_BYTES: Final = 256 << 20
_GREY: Final = (
    "grey, and taken for a thermal picture by that alone, as all others like it; --modality thermal confirms that, "
    "--modality rgb says that they are an ordinary camera's"
)
_COLOURED: Final = (
    "in false colours, and not turned over, as all others like it: --polarity black is of pictures in grey levels, "
    "and of false colours what is bright is taken for warm"
)


@dataclass(frozen=True, slots=True)
class _Located:
    """Where a moving source's frames get their poses and places, and why they get none.

    locator and raised_m hold for the whole flight: the ground, and what brings the file's heights into its datum.
    """

    subtitles: SubtitlePoses | None
    camera: Camera | None
    why_not: str
    tell: bool = True
    locator: Locator | None = None
    raised_m: float = 0.0

    def posed(self, frame: Frame) -> Frame:
        if self.subtitles is None or self.camera is None:
            return frame
        pose = self.subtitles.at(frame.exposure_s)
        pose = None if pose is None else replace(pose, amsl_m=pose.amsl_m + self.raised_m)
        return replace(frame, camera=self.camera, pose=pose)


class Examiner:
    """Detectors over files and streams. Not thread-safe."""

    def __init__(
        self,
        learned: Lookers,
        classical: HotSpotDetector,
        options: ExamineOptions | None = None,
        names: Names | None = None,
        tell: Teller = lambda _text: None,
    ) -> None:
        self._learned, self._classical = learned, classical
        self._options = options or ExamineOptions()
        self._single = SingleLook(learned, polarity=self._options.polarity)
        self._names = names or Names(())
        self._tell = tell
        self._annotated = None if self._options.annotate_dir is None else EvidenceStore(self._options.annotate_dir)
        self._review = None if self._options.review_dir is None else EvidenceStore(self._options.review_dir)
        self._ground = Ground(self._options.terrain, self._options.take_off, tell)
        self._said: set[str] = set()
        self.tally = Tally()

    @property
    def evidence_lost(self) -> int:
        """Pictures that could not be written."""
        return sum(store.lost for store in (self._annotated, self._review) if store is not None)

    def file(self, path: Path) -> Iterator[Line]:
        """Lines of one file. A file that cannot be read gives one line of type "error" and is counted."""
        try:
            yield from self._video(path) if is_video(path) else self._still(path)
        except PictureError as error:
            self.tally.unreadable += 1
            self._tell(str(error))
            yield {"type": "error", "source": str(path), "message": str(error)}

    def stream(self, name: str, frames: Iterable[Frame], pictures: str | None = None) -> Iterator[Line]:
        """Lines of a live source's frames. name: what stands for it in lines, without credentials.

        pictures: what names of its pictures are made of, where names of sources can be alike; else its name.
        """
        nowhere = _Located(None, None, "a stream without telemetry has no pose", tell=False)
        yield from self._moving(name, Path(file_name(pictures or name, 60)), "stream", frames, nowhere)

    # stills

    def _still(self, path: Path) -> Iterator[Line]:
        still = read_still(path, self._options.still)
        frame = still.frame
        locator = None
        if frame.pose is not None:
            pose, locator = self._ground.under(frame.pose, still.shot.ground_amsl_m, amsl_known=still.shot.amsl_known)
            frame = replace(frame, pose=pose)
            still = replace(still, frame=frame)
        gsd, gsd_from = self._gsd(still, locator)
        self.tally.pictures += 1
        look, observations = self._single.look(frame, gsd)
        if is_uniform(frame):
            look, observations = replace(look, refusal=UNIFORM), []
        if look.refusal is not None:
            self.tally.not_looked_at += 1
            self._tell_refusal(path, look.refusal)
        elif gsd is None:
            self.tally.without_gsd += 1
        self._tell_experimental(look.model)
        self._tell_taken_for(frame)
        self.tally.black_hot += look.black_hot
        line = frame_line(str(path), "still", frame, gsd, look.refusal, still.shot.why_not)
        line |= {"values": still.note, "gsd_from": gsd_from, "taken_at": still.taken_at, "turned_deg": still.turned_deg}
        line |= values_line(frame) | polarity_line(frame, self._options.polarity, black_hot=look.black_hot)
        if still.damage is not None:
            self.tally.damaged += 1
            self._tell(f"{path}: damaged: a part of it could not be decoded, the rest was looked at ({still.damage})")
            line["damaged"] = still.damage
        line |= look_line(look) | {"camera": None if frame.camera is None else frame.camera.camera_id}
        frame = self._kept(frame, (*observations, *look.faint))
        line["detections"] = self._detections(frame, observations, gsd, locator, amsl_known=still.shot.amsl_known)
        name = self._names.of(path)
        if look.refusal is None:
            self._draw(frame, observations, name)
        if self._review is not None and observations:
            self._cut(self._review, frame, observations, name, line)
        yield line

    def _tell_experimental(self, model: ModelCard) -> None:
        if model.experimental and model.name not in self._said:
            self._said.add(model.name)
            self._tell(experimental_note(model))

    def _tell_taken_for(self, frame: Frame) -> None:
        if frame.kind is PixelKind.GREY8 and frame.may_show_who and _GREY not in self._said:
            self._said.add(_GREY)
            self._tell(f"{frame.source_id}: {_GREY}")
        if frame.false_colours and self._options.polarity is Polarity.BLACK and _COLOURED not in self._said:
            self._said.add(_COLOURED)
            self._tell(f"{frame.source_id}: {_COLOURED}")

    def _kept(self, frame: Frame, observations: Sequence[Observation]) -> Frame:
        """The frame as it may be written: whoever could be known in it is blurred."""
        if not frame.may_show_who or (self._annotated is None and self._review is None):
            return frame
        return blurred(frame, [*observations, *self._learned.besides(frame)])

    def _tell_refusal(self, path: Path, refusal: str) -> None:
        if self.tally.not_looked_at <= _MOST_TOLD:
            more = "; others like it are only counted" if self.tally.not_looked_at == _MOST_TOLD else ""
            self._tell(f"{path}: not looked at: {refusal}{more}")

    def _gsd(self, still: Still, locator: Locator | None) -> tuple[float | None, str | None]:
        frame = still.frame
        stated = self._options.scale.gsd(still.across_px)
        if stated is not None:
            return stated, "stated"
        steep = frame.pose is not None and frame.pose.pitch_deg <= _STEEP_DEG
        if locator is not None and frame.pose is not None and frame.camera is not None and steep:
            gsd = locator.gsd_m(frame.camera, frame.pose)
            return gsd, None if gsd is None else "picture"
        return still.gsd_m, None if still.gsd_m is None else "picture"

    def _detections(
        self,
        frame: Frame,
        observations: Sequence[Observation],
        gsd: float | None,
        locator: Locator | None,
        *,
        amsl_known: bool,
    ) -> list[Line]:
        lines = []
        for observation in observations:
            place = _place(frame, observation, locator, amsl_known=amsl_known)
            self.tally.detections += 1
            self.tally.without_place += place is None
            lines.append(detection_line(observation, gsd, place))
        return lines

    def _cut(
        self, store: EvidenceStore, frame: Frame, observations: Sequence[Observation], name: str, line: Line
    ) -> None:
        """Crops of all detections and one context picture; their names go into the line."""
        context = store.save(name, "context", annotate(frame, _captions(observations)))
        line["context"] = None if context is None else context.path
        for i, (observation, detection) in enumerate(zip(observations, line["detections"], strict=True), 1):
            picture = store.save(f"{name}-{i}", "crop", crop(frame, observation, kind_of(observation)[0]))
            detection["crop"] = None if picture is None else picture.path

    def _draw(self, frame: Frame, observations: Sequence[Observation], name: str) -> None:
        if self._annotated is not None:
            self._annotated.save(name, "detections", annotate(frame, _captions(observations)))

    # videos and streams

    def _video(self, path: Path) -> Iterator[Line]:
        frames = read_video(path, self._options.every, self._options.still.modality)
        first = next(frames, None)
        if first is None:
            return
        located = self._located(path, first)
        if located.tell:
            self._tell(f"{path}: detections without place: {located.why_not}")
        yield from self._moving(str(path), path, "video", _chain(first, frames), located)

    def _located(self, path: Path, first: Frame) -> _Located:
        subtitles = read_subtitles(path)
        if subtitles is None:
            return _Located(None, None, "no subtitles (.srt) lie beside the video", tell=False)
        poses = SubtitlePoses(parse_srt(subtitles))
        if poses.why_not is not None:
            return _Located(None, None, poses.why_not)
        width, height = first.width_px, first.height_px
        hfov = self._options.still.hfov_deg
        focal = focal_from_35mm(poses.focal_35mm, width, height) if hfov is None else focal_from_fov(hfov, width)
        if focal is None:
            return _Located(None, None, "the subtitles do not say the focal length; state --hfov-deg")
        camera = make_camera(
            self._names.of(path), _modality(first), width, height, Lens(focal, width / 2.0, height / 2.0)
        )
        why_not = "the subtitles have a gap here, or another zoom"
        highest = poses.highest()  # on the ground at take-off a height model and a barometer may disagree
        if highest is None:
            return _Located(poses, camera, why_not, tell=False)
        pose, locator = self._ground.under(highest, poses.ground_amsl_m, amsl_known=poses.amsl_known)
        return _Located(poses, camera, why_not, False, locator, pose.amsl_m - highest.amsl_m)

    def _moving(
        self, source: str, path: Path, media: str, frames: Iterable[Frame], located: _Located
    ) -> Iterator[Line]:
        eyes: dict[
            bool, tuple[CameraEye, Line]
        ] = {}  # by whether their frames are in colour: a recording can hold both
        broken: PictureError | None = None
        amsl_known = located.subtitles is not None and located.subtitles.amsl_known
        locator = located.locator
        looking = iter(frames)
        while broken is None:
            try:
                bare = next(looking, None)
            except PictureError as error:
                broken = error
                break
            if bare is None:
                break
            frame = located.posed(bare)
            self._tell_taken_for(frame)
            gsd = self._options.scale.gsd(frame.width_px)
            if frame.pose is not None and locator is not None and located.camera is not None:
                gsd = locator.gsd_m(located.camera, frame.pose)
            self.tally.pictures += 1
            refusal = self._learned.refusal(frame, gsd)
            observations: tuple[Observation, ...] = ()
            faint: tuple[Observation, ...] = ()
            tracks: list[Line] = []
            black_hot = is_stated_black(frame, self._options.polarity)
            self.tally.black_hot += black_hot
            said = model_line(self._learned.yolo(frame).card)
            said |= polarity_line(frame, self._options.polarity, black_hot=black_hot)
            if refusal is None:
                self._tell_experimental(self._learned.yolo(frame).card)
                colour = frame.kind is PixelKind.BGR8
                if colour not in eyes:
                    eye = self._eye(path, frame, located, f"video{len(eyes) + 1 if eyes else ''}")
                    eyes[colour] = eye, said
                outcome = eyes[colour][0].look(turned_over(frame) if black_hot else frame)
                observations, faint, refusal = outcome.observations, outcome.faint, outcome.why_not
                tracks = [track_line(source, media, s, amsl_known=amsl_known) | said for s in outcome.sightings]
                self.tally.tracks += sum(s.phase is Phase.NEW for s in outcome.sightings)
            self.tally.not_looked_at += refusal is not None
            self.tally.without_gsd += gsd is None and refusal is None
            line = frame_line(source, media, frame, gsd, refusal, located.why_not) | said
            line["detections"] = self._detections(frame, observations, gsd, locator, amsl_known=amsl_known)
            yield line
            if observations:
                self._draw(
                    self._kept(frame, (*observations, *faint)),
                    observations,
                    f"{self._names.of(path)}-{frame.sequence:06d}",
                )
            yield from tracks
        for eye, said in eyes.values():
            yield from (track_line(source, media, s, amsl_known=amsl_known) | said for s in eye.finish())
        if broken is not None:
            raise broken

    def _eye(self, path: Path, frame: Frame, located: _Located, run_id: str) -> CameraEye:
        name, width, height = self._names.of(path), frame.width_px, frame.height_px
        if located.camera is None:  # without a pose nothing is projected through it
            camera = Camera(name, _modality(frame), width, height, 1.0, 1.0, width / 2, height / 2)
        else:
            camera = replace(located.camera, modality=_modality(frame))
        return CameraEye(
            camera,
            None,
            self._learned.detector(frame),
            self._classical if frame.kind is not PixelKind.BGR8 else SmokeDetector(),
            located.locator,
            self._review or self._annotated,
            run_id,
            gsd_m=self._options.scale.gsd(width),
            besides=self._learned.besides,
        )


def read_subtitles(video: Path) -> str | None:
    """The text of the subtitles beside a video, under its own name; None where there are none that can be read."""
    for suffix in (".srt", ".SRT", ".Srt"):
        path = video.with_suffix(suffix)
        try:
            if path.is_file() and path.stat().st_size <= _MOST_SUBTITLE_BYTES:
                return path.read_bytes().decode("utf-8-sig", "replace")
        except OSError:
            continue
    return None


def _modality(frame: Frame) -> Modality:
    return Modality.RGB if frame.kind is PixelKind.BGR8 else Modality.THERMAL


def _chain(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from rest


def _captions(observations: Sequence[Observation]) -> list[tuple[Observation, Kind, str]]:
    boxes = []
    for observation in observations:
        kind, confidence = kind_of(observation)
        boxes.append((observation, kind, f"{kind.value} {confidence:.2f}"))
    return boxes


def _place(frame: Frame, observation: Observation, locator: Locator | None, *, amsl_known: bool) -> Line | None:
    """Where a detection is on the ground; None without a pose, or where the ray meets no ground."""
    if locator is None or frame.pose is None or frame.camera is None:
        return None
    x, y = observation.centre_px
    if frame.pose.pitch_deg > _OBLIQUE_FROM_DEG:
        y = observation.bottom_px - 0.1 * (observation.bottom_px - observation.top_px)
    fix = locator.locate(frame.camera, frame.pose, x, y, _PIXEL_SIGMA)
    return None if fix is None else place_line(locator.ellipse(fix), amsl_known=amsl_known)
