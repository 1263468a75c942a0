# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the metrics page says of cameras that do not look, or not at everything."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from dronectl.fleet.progress_watch import Notice, NoticeKind
from dronectl.operations.metrics import Standing, render_metrics
from vision.gaps import CoverageBook
from vision.pipeline_types import CameraReport


def test_blind_time_and_unseen_parts_are_on_the_page() -> None:
    book = CoverageBook({"d1-thermal": 5.0, "d1-rgb": 5.0}, 100.0)
    report = CameraReport(
        "d1-rgb", True, None, 10, 8, 2, 0, {}, 0, 0, 0, 0, 7, 0.2, 0.3, {},
        attends_since_monotonic_s=103.0, attended_monotonic_s=120.0, unseen_fraction=0.4, sweep_frames=3, clip_frames_dropped=9,
    )  # fmt: skip
    book.report([report], 120.5)
    page = render_metrics(
        Standing(
            states={}, doors={}, faults={"d1": 2},
            notices={"d1": (Notice(NoticeKind.OFF_WAY, 2, 15.0, 41.0),), "d2": ()},
            notices_told={NoticeKind.OFF_WAY: 3}, sorties={}, children=[], cameras=[report],
            blind_s=book.blind_s(121.0), alerts=[], bus_connected=True, counted={},
        )
    )  # fmt: skip
    values = {
        (family.name, sample.labels.get("camera")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert values["dronectl_camera_blind_seconds", "d1-thermal"] == 21.0
    assert values["dronectl_camera_blind_seconds", "d1-rgb"] == 3.0
    assert values["dronectl_picture_unseen_ratio", "d1-rgb"] == 0.4
    assert 'dronectl_vehicle_faults_total{vehicle="d1"} 2.0' in page
    assert 'dronectl_vehicle_notice{kind="off-way",vehicle="d1"} 1.0' in page
    assert 'dronectl_flight_notices_total{kind="off-way"} 3.0' in page
    assert 'dronectl_flight_notices_total{kind="late"} 0.0' in page
    assert values["dronectl_evidence_lost", None] == 7
    assert values["dronectl_clip_frames_dropped", None] == 9
