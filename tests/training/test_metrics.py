"""Metrics against counts made by hand."""

import math

import pytest
import torch

from mmspec.data.batch import Batch
from mmspec.data.tally import HeadTally
from mmspec.training.metrics import standard_error, warnings_of

LOGITS = torch.tensor([[4.0, 0, 0], [0, 4.0, 0], [0, 4.0, 0], [0, 0, 4.0]])
TRUTH = torch.tensor([0, 1, 2, 2])


def tally(weights=(1.0, 1.0, 1.0, 1.0), groups=(0, 0, 1, 1)):
    batch = Batch({}, {}, torch.tensor(groups), torch.tensor(weights, dtype=torch.float64))
    result = HeadTally(("a", "b"), ("x", "y", "z"), 3)
    result.add(LOGITS[:3], TRUTH[:3], Batch({}, {}, batch.groups[:3], batch.weights[:3]))
    result.add(LOGITS[3:], TRUTH[3:], Batch({}, {}, batch.groups[3:], batch.weights[3:]))
    return result.report()


def test_accuracy_groups_and_confusion_are_counted_over_batches():
    report = tally()
    assert report["accuracy"] == 0.75
    assert report["groups"] == {"a": 1.0, "b": 0.5}
    assert report["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]  # a z was taken for a y


def test_weights_count_in_accuracies_and_losses():
    report = tally(weights=(1.0, 1.0, 6.0, 2.0))
    assert report["accuracy"] == pytest.approx(0.4)
    assert report["groups"]["b"] == pytest.approx(0.25)
    right = math.log(1 + 2 * math.exp(-4))
    assert report["loss"] == pytest.approx((4 * right + 6 * (4 + right)) / 10, rel=1e-5)


def test_a_standard_error_is_the_binomial_one():
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    assert standard_error(1.0, 100) == 0


def test_a_result_within_two_standard_errors_of_a_bound_is_doubted():
    metrics = {"examples": 400, "baselines": {"text alone": 0.36, "image alone": 0.5}}
    assert [len(warnings_of({**metrics, "accuracy": accuracy})) for accuracy in (0.39, 0.42, 0.54, 0.56)] == [
        2,
        1,
        1,
        0,
    ]
    assert "what text alone can give (0.360 +- 0.024)" in warnings_of({**metrics, "accuracy": 0.39})[0]
