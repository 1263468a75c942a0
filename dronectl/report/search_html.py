# SPDX-License-Identifier: AGPL-3.0-or-later
"""SearchReport to one HTML file that needs nothing beside it, and to JSON."""

from __future__ import annotations

import json
from pathlib import Path

from markupsafe import Markup

from dronectl.report.data import latency_percentile
from dronectl.report.html import VERDICTS, environment, picture_urls
from dronectl.report.search_data import SearchReport
from dronectl.report.search_score import Result

_BANNERS = {
    Result.FOUND: ("good", "已找到 Found"),
    Result.MISSED: ("", "在视野内却未发现 In view and missed"),
    Result.HIDDEN: ("fair", "未找到：未清晰入镜 Not found: never properly in view"),
    Result.NOT_THERE: ("fair", "未找到：不在已飞范围 Not found: not where was flown"),
}


def render_search_html(report: SearchReport) -> str:
    """The report as HTML, in Chinese and English."""
    look, words = _BANNERS[report.result]
    return (
        environment()
        .get_template("search.html.j2")
        .render(
            r=report,
            look=look if report.passed else "",
            words=words,
            before=Markup(report.before_svg),  # noqa: S704  # both made by our own search pictures, which escape names
            after=Markup(report.after_svg),  # noqa: S704
            pictures={a.alert_id: picture_urls(a) for a in report.alerts},
            verdicts=VERDICTS,
            p50=latency_percentile(report.alerts, 0.5),
            p95=latency_percentile(report.alerts, 0.95),
        )
    )


def write_search_report(report: SearchReport, folder: Path) -> tuple[Path, Path]:
    """Write report.html and report.json; returns their paths."""
    html, document = folder / "report.html", folder / "report.json"
    html.write_text(render_search_html(report), encoding="utf-8")
    document.write_text(json.dumps(report.document(), ensure_ascii=False, indent=2, default=str), encoding="utf-8")
    return html, document
