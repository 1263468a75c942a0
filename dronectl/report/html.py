# SPDX-License-Identifier: AGPL-3.0-or-later
"""ReportData to one HTML file that needs nothing beside it: pictures and map are inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dronectl.report.data import AlertSummary, ReportData, latency_percentile

_MIME = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
VERDICTS = {"true": "属实 true", "false": "误报 false", "duplicate": "重复 double", "not scored": "未评 not scored"}


def _data_url(path: Path) -> str | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return f"data:{_MIME.get(path.suffix.lower(), 'image/png')};base64,{base64.b64encode(content).decode()}"


def picture_urls(alert: AlertSummary) -> list[str]:
    """The alert's pictures as data URLs; those that cannot be read are left out."""
    return [url for path in alert.pictures if (url := _data_url(path)) is not None]


def environment() -> Environment:
    """The reports' templates and how they write numbers."""
    templates = Environment(
        loader=PackageLoader("dronectl.report", "templates"), autoescape=True, undefined=StrictUndefined
    )
    templates.filters["percent"] = lambda value: "–" if value is None else f"{100 * value:.0f} %"
    templates.filters["share"] = lambda value: "–" if value is None else f"{100 * value:.1f} %"
    templates.filters["minutes"] = lambda value: "–" if value is None else f"{value:.1f} min"
    templates.filters["metres"] = lambda value: "–" if value is None else f"{value:.1f} m"
    templates.filters["seconds"] = lambda value: "–" if value is None else f"{value:.2f} s"
    return templates


def render_html(data: ReportData) -> str:
    """The report as HTML, in Chinese and English."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            r=data,
            map=Markup(data.map_svg),  # noqa: S704  # made by our own plan_picture, which escapes names
            pictures={a.alert_id: picture_urls(a) for a in data.alerts},
            verdicts=VERDICTS,
            p50=latency_percentile(data.alerts, 0.5),
            p95=latency_percentile(data.alerts, 0.95),
        )
    )


def write_page(
    template: str, report: Any, svgs: Mapping[str, str], document: Mapping[str, Any], folder: Path
) -> tuple[Path, Path]:
    """Write report.html from a template that shows `r` and pictures by name, and report.json; returns their paths."""
    html, machine = folder / "report.html", folder / "report.json"
    pictures = {name: Markup(svg) for name, svg in svgs.items()}  # noqa: S704  # made by our own maps, which escape names
    html.write_text(environment().get_template(template).render(r=report, **pictures), encoding="utf-8")
    machine.write_text(json.dumps(document, ensure_ascii=False, indent=2, default=str), encoding="utf-8")
    return html, machine


def write_report(data: ReportData, folder: Path) -> tuple[Path, Path]:
    """Write report.html and report.json; returns their paths."""
    html, document = folder / "report.html", folder / "report.json"
    html.write_text(render_html(data), encoding="utf-8")
    document.write_text(json.dumps(data.document(), ensure_ascii=False, indent=2, default=str), encoding="utf-8")
    return html, document
