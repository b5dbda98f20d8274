"""Retrieval is counted as it would be by hand, and several right answers are all right."""

import math

import pytest
import torch

from mmspec.data.batch import Batch
from mmspec.data.tally import RetrievalTally


def tally(logits, ids, weights=None):
    logits, ids = torch.tensor(logits), torch.tensor(ids)
    weights = torch.ones(len(ids), dtype=torch.float64) if weights is None else torch.tensor(weights)
    counted = RetrievalTally(("image", "text"))
    counted.add(logits, ids, Batch({}, {}, torch.zeros(len(ids), dtype=torch.int64), weights))
    return counted


def test_rows_find_columns_and_columns_find_rows():
    found = tally([[3.0, 1.0, 0.0], [2.0, 1.5, 0.0], [0.0, 0.0, 5.0]], [7, 8, 9])
    assert found.report()["groups"] == {"image finds text": 2 / 3, "text finds image": 1.0}
    assert found.accuracy == pytest.approx(5 / 6)


def test_a_caption_that_is_true_of_two_pictures_is_right_for_both():
    crossed = [[0.0, 2.0], [2.0, 0.0]]
    assert tally(crossed, [1, 2]).accuracy == 0
    assert tally(crossed, [1, 1]).accuracy == 1
    assert tally(crossed, [1, 1]).report()["loss"] == pytest.approx(0, abs=1e-9)


def test_the_loss_is_the_surprise_at_any_right_answer():
    p = math.exp(2) / (math.exp(2) + 1 + 1)
    found = tally([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]], [1, 2, 3])
    assert found.report()["loss"] == pytest.approx(-math.log(p))


def test_huge_logits_have_a_loss_still():
    assert tally([[1e30, 0.0], [0.0, 1e30]], [1, 2]).report()["loss"] == 0
    assert tally([[float("nan"), 0.0], [0.0, 1.0]], [1, 2]).report()["loss"] is None
