# SPDX-License-Identifier: AGPL-3.0-or-later
"""The language of this process is each test's own."""

import pytest

from dronectl.language import Language, speak


@pytest.fixture(autouse=True)
def english(monkeypatch):
    for variable in ("DRONECTL_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    yield
    speak(None)


@pytest.fixture
def chinese():
    speak(Language.ZH)
