# SPDX-License-Identifier: AGPL-3.0-or-later
"""The commands that officers look at, run as they run them, in Chinese and in English, against a flying site."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from rich.cells import cell_len
from site_service import PATIENCE_S, SiteProcesses, plan_document, running_site, until

pytestmark = pytest.mark.timeout(300)
CHINESE = {"LANG": "zh_CN.UTF-8"}
ENGLISH = {"LANG": "C"}
HAN = re.compile("[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site"), drones=2, speed=8.0) as running:
        done = running.cli("plan", "patrol", "--site", str(running.stage.site.file), "--out", str(running.stage.plans))
        assert done.returncode in (0, 1), done.stderr
        yield running


def run(site: SiteProcesses, language: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_ALL", "LC_MESSAGES", "DRONECTL_LANG")}
    return subprocess.run(
        [sys.executable, "-m", "dronectl", *arguments, *site.options],
        capture_output=True, encoding="utf-8", timeout=PATIENCE_S * 2, check=False,
        env={**plain, "COLUMNS": "200", "PYTHONUTF8": "1", **language},
    )  # fmt: skip


def test_vehicles_on_the_ground(site):
    chinese, english = run(site, CHINESE, "vehicles"), run(site, ENGLISH, "vehicles")
    assert (chinese.returncode, english.returncode) == (0, 0)
    head, *rows = chinese.stdout.splitlines()[:3]
    assert head.split() == ["无人机", "链路", "模式", "解锁", "高度", "电量", "架次"]
    assert [row.split()[:2] for row in rows] == [["d1", "正常"], ["d2", "正常"]]
    assert all("未解锁" in row for row in rows)
    assert english.stdout.splitlines()[0].split() == ["vehicle", "link", "mode", "armed", "height", "battery", "sortie"]
    assert not HAN.search(english.stdout)


def test_columns_stand_under_each_other_on_the_screen(site):
    """A Chinese letter is two cells wide."""
    head, *rows = run(site, CHINESE, "vehicles").stdout.splitlines()[:3]
    begins = {cell_len(head[: head.index("链路")])} | {cell_len(row[: row.index("正常")]) for row in rows}
    assert len(begins) == 1
    armed = {cell_len(row[: row.index("未解锁")]) for row in rows} | {cell_len(head[: head.index("解锁")])}
    assert len(armed) == 1


def test_machines_read_the_same_in_every_language(site):
    def shape(language: dict[str, str]) -> list[tuple[str, ...]]:
        done = run(site, language, "vehicles", "--json")
        assert done.returncode == 0
        assert not HAN.search(done.stdout)
        return [(v["vehicle_id"], v["mode"], v["landed"], *v) for v in json.loads(done.stdout)]

    assert shape(CHINESE) == shape(ENGLISH)


def test_an_order_on_the_ground(site):
    done = run(site, CHINESE, "land", "d2")
    assert (done.returncode, done.stdout) == (0, "d2：降落 已执行 停在地面且未解锁，无须执行\n")
    done = run(site, ENGLISH, "land", "d2")
    assert (done.returncode, done.stdout) == (0, "d2: land done it stands on the ground, disarmed: nothing to do\n")


def test_a_flight_that_is_ordered_home_is_told_in_chinese_from_its_beginning_to_its_end(site):
    plan = str(site.stage.plans / "d1.plan")
    command = [sys.executable, "-m", "dronectl", "fly", plan, "--lang", "zh", *site.options]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment
    ) as flying:
        until("a waypoint", lambda: any(s["waypoints_reached"] > 0 for s in site.get("/api/v1/sorties")))
        aloft = run(site, CHINESE, "vehicles").stdout
        assert "已解锁" in aloft
        assert "执行航线" in aloft
        held = run(site, CHINESE, "hold", "d1")
        assert (held.returncode, held.stdout.strip()) == (0, "d1：悬停 已执行")
        back = run(site, CHINESE, "return", "d1")
        assert (back.returncode, back.stdout.strip()) == (0, "d1：返航 已执行")
        said, errors = flying.communicate(timeout=PATIENCE_S * 2)
    assert flying.returncode == 1, errors
    for word in ("的架次", "飞前检查", "起飞", "执行航线", "返航", "已降落", "部分完成：", "按指令提前结束：返航"):
        assert word in said, word
    # ids, figures and names of commands aside, nothing of it is English
    assert re.findall(r"[A-Za-z]{3,}", re.sub(r"架次 \S+", "", said)) == []


def test_a_plan_that_preflight_refuses_is_named_in_chinese_and_keeps_its_code(site, tmp_path):
    document = plan_document(site.stage.plans, "d2")
    home = document["mission"]["plannedHomePosition"]
    document["mission"]["plannedHomePosition"] = [home[0], home[1], home[2] + 60.0]
    file = tmp_path / "d2.plan"
    file.write_text(json.dumps(document), encoding="utf-8")
    chinese = run(site, CHINESE, "fly", str(file))
    english = run(site, ENGLISH, "fly", str(file))
    assert chinese.returncode == english.returncode == 2
    assert f"错误：{file}：d2 飞前检查不通过：\n" in chinese.stderr
    assert "  返航点高度不符（home-height-differs）：" in chinese.stderr
    assert f"error: {file}: refused by preflight for d2:\n" in english.stderr
    assert "  home-height-differs: " in english.stderr
