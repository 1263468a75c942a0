# SPDX-License-Identifier: AGPL-3.0-or-later
"""Progress of a demonstration without a terminal."""

from dronectl.demo.watch import PlainLines


def test_a_line_is_printed_when_it_says_something_new_and_not_too_often():
    plain = PlainLines()
    looks = [(100.0 + 0.5 * k, f"d1 flying {k // 40}/3") for k in range(120)]
    printed = [(now_s, line) for now_s, line in looks if plain.due(line, now_s)]
    assert printed == [(100.0, "d1 flying 0/3"), (120.0, "d1 flying 1/3"), (140.0, "d1 flying 2/3")]
    quick = [(200.0 + 0.5 * k, str(k)) for k in range(21)]
    assert [line for now_s, line in quick if plain.due(line, now_s)] == ["0", "10", "20"]
    assert not plain.due("20", 300.0)
    assert plain.due("0", 300.0)
