"""A front orders, labels and measures what was trained."""

import pytest
from made import OBJECTIVES, front, trained

from mmspec.study.result import Front


def small(*pairs):
    return Front(
        "small",
        front().folder,
        OBJECTIVES,
        tuple(trained(i, a, f, {"x.y.z": i}) for i, (a, f) in enumerate(pairs)),
        reference=(0.0, 100),
    )


def test_members_come_cheapest_first_and_the_rest_is_dominated():
    found = small((0.9, 80), (0.5, 10), (0.8, 90), (0.85, 40))
    assert [m.trial for m in found] == [1, 3, 0]
    assert [t.trial for t in found.dominated] == [2]
    assert found.knee == 1


def test_the_hypervolume_is_the_mean_accuracy_over_all_budgets_up_to_the_reference():
    found = small((0.5, 10), (0.9, 60))
    assert found.hypervolume == pytest.approx(0.5 * 0.5 + 0.4 * 0.9)  # from 10 to 60, then from 60 to 100
    assert found.hypervolume_of(found.trained[:1]) == pytest.approx(0.9 * 0.5)


def test_without_a_reference_there_is_no_hypervolume():
    assert Front("none", front().folder, OBJECTIVES, front().trained).hypervolume is None


def test_only_what_differs_is_worth_a_label():
    found = Front(
        "one",
        front().folder,
        OBJECTIVES,
        tuple(trained(i, 0.5 + i / 10, 10 * i + 1, {"a.b.c": i, "a.b.d": 7}) for i in range(3)),
    )
    assert found.varied == ("a.b.c",)
