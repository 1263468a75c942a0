# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which language is spoken: what was chosen, the environment's, and English where Chinese cannot be written."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from dronectl.language import Language, name, speak, spoken, tr, tr_many


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, Language.EN),
        ({"LANG": "C"}, Language.EN),
        ({"LANG": "en_GB.UTF-8"}, Language.EN),
        ({"LANG": "zh_CN.UTF-8"}, Language.ZH),
        ({"LANG": "zh_CN.GBK"}, Language.ZH),
        ({"LANG": "zh"}, Language.ZH),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "C"}, Language.EN),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN.UTF-8"}, Language.ZH),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, Language.EN),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, Language.ZH),
        ({"LANG": "zh_CN.UTF-8", "DRONECTL_LANG": "en"}, Language.EN),
        ({"LC_ALL": "C", "DRONECTL_LANG": "zh"}, Language.ZH),
    ],
)
def test_the_environment_is_asked_as_posix_ranks_it(monkeypatch, environment, language):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert spoken() is language


def test_what_was_chosen_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    speak(Language.EN)
    assert name("level", "red") == "red"
    speak(None)
    assert name("level", "red") == "红色"


@pytest.mark.parametrize(
    ("charset", "language"),
    [
        ("utf-8", Language.ZH),
        ("gbk", Language.ZH),
        ("gb2312", Language.ZH),
        ("gb18030", Language.ZH),
        ("ascii", Language.EN),
        ("latin-1", Language.EN),
        ("big5", Language.EN),  # has no Simplified characters
    ],
)
def test_chinese_is_spoken_where_it_can_be_written(monkeypatch, charset, language):
    speak(Language.ZH)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=charset))
    assert spoken() is language


@pytest.mark.usefixtures("chinese")
def test_what_the_catalogue_lacks_is_english_and_whole():
    assert tr("nobody has translated {what}", what="this") == "nobody has translated this"
    assert tr_many("one {what}", "many {what}", 2, what="things") == "many things"
    assert name("level", "mauve") == "mauve"


def dronectl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    plain = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_ALL", "LC_MESSAGES", "DRONECTL_LANG")}
    command = [sys.executable, "-m", "dronectl", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, env={**plain, **environment})


ENGLISH = b"unavailable: no service runs for this site (looked in nowhere); start it with `dronectl up`\n"
CHINESE = "不可用：本站点没有服务在运行（查找位置：nowhere）；请用 `dronectl up` 启动\n"


@pytest.mark.parametrize(
    ("charset", "said"),
    [
        ("utf-8", CHINESE.encode()),
        ("gbk", CHINESE.encode("gbk")),
        ("ascii", ENGLISH),
        ("latin-1", ENGLISH),
    ],
)
def test_a_terminal_gets_what_it_can_show(charset, said):
    done = dronectl("vehicles", "--state", "nowhere", LANG="zh_CN.UTF-8", PYTHONIOENCODING=charset)
    assert (done.returncode, done.stderr) == (3, said)


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        ([], {"LANG": "C"}, ENGLISH),
        ([], {"DRONECTL_LANG": "zh"}, CHINESE.encode()),
        (["--lang", "zh"], {"LANG": "C"}, CHINESE.encode()),
        (["--lang", "en"], {"LANG": "zh_CN.UTF-8", "DRONECTL_LANG": "zh"}, ENGLISH),
    ],
)
def test_the_command_line_chooses(options, environment, said):
    done = dronectl("hold", "d1", "--state", "nowhere", *options, **environment)
    # what to do about it is said better there
    tail = said.replace(b"; start it with `dronectl up`\n", b";").replace(
        "；请用 `dronectl up` 启动\n".encode(), "；".encode()
    )
    assert done.returncode == 3
    assert done.stderr.startswith(tail), done.stderr.decode()


def test_a_language_that_is_none_is_one_line():
    done = dronectl("vehicles", "--lang", "fr")
    assert done.returncode == 2
    assert b"fr" in done.stderr
    assert b"Traceback" not in done.stderr


def test_no_catalogue_is_opened_for_the_english():
    code = (
        "import gettext, dronectl.cli.main as m; gettext.translation = None; from typer.testing import CliRunner;"
        "r = CliRunner().invoke(m.app, ['vehicles', '--lang', 'en', '--state', 'nowhere']); assert 'no service' in str(r.exception), r.exception"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
