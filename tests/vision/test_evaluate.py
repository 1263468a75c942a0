# SPDX-License-Identifier: AGPL-3.0-or-later
"""The evaluator against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vision.train.evaluate import (
    Picture,
    average_precision,
    by_group,
    choose_confidence,
    evaluate,
    evaluate_class,
    match,
    overlap,
    recall_by_size,
)

BOX_A = (0.0, 0.0, 10.0, 10.0)
BOX_B = (100.0, 100.0, 120.0, 140.0)
FAR = (300.0, 300.0, 310.0, 310.0)
NOTHING = np.zeros((0, 4))


def test_overlap_of_a_box_shifted_by_half_its_width_is_a_third():
    iou, own = overlap(np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 15, 10]]))
    assert iou[0, 0] == pytest.approx(50 / 150)
    assert own[0, 0] == pytest.approx(0.5)


def test_overlap_of_boxes_without_area_is_zero():
    iou, own = overlap(np.zeros((1, 4)), np.zeros((1, 4)))
    assert iou[0, 0] == 0
    assert own[0, 0] == 0


def test_average_precision_of_right_wrong_right_wrong_right_of_four_objects():
    # precision 1, 1/2, 2/3, 2/4, 3/5 at recall 1/4, 1/4, 2/4, 2/4, 3/4; envelope 1, 2/3, 3/5
    found = average_precision([1, 0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6, 0.5], 4)
    assert found == pytest.approx(0.25 * (1 + 2 / 3 + 3 / 5))


def test_average_precision_raises_a_dip_to_the_later_maximum():
    # wrong first, then two right of two: precision 0, 1/2, 2/3; envelope 2/3 everywhere
    assert average_precision([0, 1, 1], [0.9, 0.8, 0.7], 2) == pytest.approx(2 / 3)


def test_average_precision_does_not_depend_on_the_order_given():
    assert average_precision([1, 0, 1], [0.3, 0.9, 0.6], 2) == pytest.approx(
        average_precision([0, 1, 1], [0.9, 0.6, 0.3], 2)
    )


def test_detections_of_one_confidence_enter_together_whatever_their_order():
    first = average_precision([1, 0], [0.5, 0.5], 1)
    assert first == average_precision([0, 1], [0.5, 0.5], 1)
    assert first == pytest.approx(0.5)


@pytest.mark.parametrize(("right", "objects", "expected"), [([], 3, 0.0), ([0, 0], 3, 0.0), ([1, 1], 2, 1.0)])
def test_average_precision_at_its_ends(right, objects, expected):
    assert average_precision(right, np.linspace(0.9, 0.5, len(right)), objects) == expected


def test_average_precision_without_objects_is_unknown():
    assert average_precision([0], [0.9], 0) is None


def test_a_second_detection_of_one_object_is_wrong():
    found = np.array([BOX_A, BOX_A])
    assert match(np.array([BOX_A]), found, np.array([0.4, 0.8]), NOTHING).tolist() == [0, 1]


def test_the_surest_detection_takes_the_object_it_overlaps_most():
    truth = np.array([[0.0, 0, 10, 10], [4.0, 0, 14, 10]])
    found = np.array([[4.0, 0, 14, 10], [1.0, 0, 11, 10]])
    assert match(truth, found, np.array([0.9, 0.8]), NOTHING).tolist() == [1, 1]


def test_overlap_exactly_at_the_threshold_counts():
    truth, half = np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 5]])
    assert match(truth, half, np.array([0.9]), NOTHING, iou=0.5).tolist() == [1]
    assert match(truth, half, np.array([0.9]), NOTHING, iou=0.51).tolist() == [0]


def test_a_detection_in_an_ignored_region_counts_neither_way_but_a_right_one_stays_right():
    ignore = np.array([[95.0, 95.0, 200.0, 200.0]])
    verdict = match(np.array([BOX_A]), np.array([BOX_A, BOX_B, FAR]), np.array([0.9, 0.8, 0.7]), ignore)
    assert verdict.tolist() == [1, -1, 0]


def test_figures_of_two_pictures_and_two_classes():
    pictures = [
        Picture(
            truth=[(0, *BOX_A), (0, *BOX_B), (1, *FAR)],
            found=[(0, 0.9, *BOX_A), (0, 0.3, *FAR), (1, 0.6, *FAR)],
        ),
        Picture(truth=[], found=[(0, 0.5, *BOX_B)]),
    ]
    found = evaluate(pictures, ["person", "car", "boat"], thresholds=(0.2, 0.4, 0.95))
    person = found["person"]
    assert (person.objects, person.pictures) == (2, 2)
    assert person.ap == pytest.approx(0.5)
    low, middle, high = person.operating
    assert (low.recall, low.precision, low.false_per_picture) == (0.5, pytest.approx(1 / 3), 1.0)
    assert (middle.recall, middle.precision, middle.false_per_picture) == (0.5, 0.5, 0.5)
    assert (high.recall, high.precision, high.false_per_picture) == (0.0, None, 0.0)
    assert found["car"].ap == 1.0
    assert found["boat"].ap is None
    assert found["boat"].operating[0].recall is None


def test_no_pictures_give_no_figures():
    result = evaluate_class([], 0)
    assert result.ap is None
    assert result.operating[0].false_per_picture == 0.0


def test_groups_hold_their_own_pictures():
    good = Picture(truth=[(0, *BOX_A)], found=[(0, 0.9, *BOX_A)], group="60 m")
    bad = Picture(truth=[(0, *BOX_A)], found=[], group="130 m")
    found = by_group([good, bad, good], 0)
    assert list(found) == ["60 m", "130 m"]
    assert (found["60 m"].ap, found["60 m"].pictures) == (1.0, 2)
    assert found["130 m"].ap == 0.0


def test_recall_by_the_longer_side():
    pictures = [Picture(truth=[(0, *BOX_A), (0, *BOX_B)], found=[(0, 0.9, *BOX_B), (0, 0.05, *BOX_A)])]
    rows = recall_by_size(pictures, 0, (0, 20, 50, 60), confidence=0.1)
    assert rows == [(0.0, 20.0, 1, 0.0), (20.0, 50.0, 1, 1.0), (50.0, 60.0, 0, None)]


def test_the_chosen_confidence_is_the_lowest_that_keeps_false_boxes_within_bounds():
    pictures = [Picture(truth=[], found=[(0, 0.305, *FAR), (0, 0.605, *BOX_A)])]
    assert choose_confidence(pictures, 0, max_false=2) == 0.05
    assert choose_confidence(pictures, 0, max_false=1) == 0.31
    assert choose_confidence(pictures, 0, max_false=0) == 0.61


def test_rows_of_the_wrong_width_are_refused():
    with pytest.raises(ValueError, match="rows of 5"):
        evaluate_class([Picture(truth=[(0, 1, 2)], found=[])], 0)
