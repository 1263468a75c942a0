# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small texts for readers."""

import pytest

from dronectl.plain_text import minutes


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0:00 min"), (59.4, "0:59 min"), (59.6, "1:00 min"), (365.0, "6:05 min"), (4500.0, "75:00 min")],
)
def test_how_long_something_takes_is_said_to_the_second(seconds, words):
    assert minutes(seconds) == words
