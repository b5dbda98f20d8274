"""What is said of a study before anything is trained, and costs that the price does not know."""

import json

import pytest
from tiny import BASE, STUDY, formula, study

from mmspec.errors import UserError
from mmspec.spec.diagnostics import SpecError
from mmspec.study import events as say
from mmspec.study import latency, search
from mmspec.study.base import open_base
from mmspec.study.evaluation import Untrainable
from mmspec.study.plan import plan
from mmspec.study.survey import survey

TIMED = STUDY.replace("minimize: [flops]", "minimize: [latency_ms]")
HALTING = BASE.replace(
    "depth: 1, heads: 2}\nheads", "depth: 2, heads: 2, halting: {type: confidence, threshold: 0.9, head: label}}\nheads"
).replace("cross_attention", "gated")


def flops(spec):
    from mmspec.cost import profile

    return profile(spec)["flops.total"] / 1e6


@pytest.fixture
def clock(monkeypatch):
    """A machine that does a GFLOP in a second; `measured` counts."""
    measured = []

    def milliseconds(spec):
        measured.append(spec)
        return flops(spec)

    monkeypatch.setattr(latency, "milliseconds", milliseconds)
    return measured


def test_a_space_is_counted_priced_and_its_binding_limit_named(tmp_path):
    free = plan(made := study(tmp_path), *open_base(made))
    bound = sorted(c.figures["parameters.total"] for c in free.all)[10]
    text = STUDY + f'limits: ["parameters <= {bound}", "flops <= 1e12"]\n'
    found = survey(study(tmp_path, text), tmp_path / "none")
    assert (found.size, found.priced, found.feasible, found.distinct) == (48, 48, 11, 11)
    assert found.interval is None
    binding, idle = found.limits.values()
    assert (binding.refused, binding.alone, idle.refused) == (37, 37, 0)
    kept = sorted(c.figures["flops.total"] for c in free.all if c.figures["parameters.total"] <= bound)
    cost = found.costs["flops.total"]
    assert (cost.smallest, cost.median, cost.largest) == (kept[0], kept[5], kept[-1])
    assert found.reference == (0.0, kept[-1])
    assert all(c.feasible for c in found.first)


def test_a_large_space_is_drawn_from_and_the_interval_holds_the_share(tmp_path):
    text = STUDY.replace("{choice: [8, 16, 24, 32]}", "{int: [8, 32], step: 2}")
    text = text.replace("encoders.image.depth: {choice: [1, 2, 3]}", "encoders.image.depth: {int: [1, 40]}")
    found = survey(study(tmp_path, text + "limits: ['flops <= 2 MFLOP']\n"), tmp_path / "none")
    made = study(tmp_path, text + "limits: ['flops <= 2 MFLOP']\n")
    planned = plan(made, *open_base(made))
    assert found.size == 13 * 40 * 4
    points = list(planned.space.points())[::3]  # every third of it
    share = sum(planned.pricer(point).feasible for point in points) / len(points)
    low, high = found.interval
    assert low < share < high
    assert high - low < 0.1


def test_the_time_is_estimated_from_earlier_trainings(tmp_path):
    assert survey(study(tmp_path), tmp_path / "none").seconds is None
    for number, seconds in enumerate((2.0, 3.0, 10.0)):
        folder = tmp_path / "out" / "trials" / str(number)
        folder.mkdir(parents=True)
        (folder / "trial.json").write_text(json.dumps({"seconds": seconds}))
    assert survey(study(tmp_path), tmp_path / "out").seconds == 3.0 * 8
    assert survey(study(tmp_path), tmp_path / "out", workers=2).seconds == 3.0 * 8 / 2
    assert survey(study(tmp_path, STUDY.replace("trials: 8", "trials: 8, seconds: 5")), tmp_path / "out").seconds == 5.0


def test_a_latency_is_measured_once_for_what_passes_everything_else(tmp_path, clock):
    front = search(study(tmp_path, TIMED), tmp_path / "out", evaluate=formula)
    assert len(front.trained) == 8
    assert all(t.values["latency_ms"] == pytest.approx(t.figures["flops.total"] / 1e6) for t in front.trained)
    assert len(clock) <= 9  # the trained, and the largest of the space if it was not
    assert front.reference[1] == max(flops(spec) for spec in clock)
    kept = json.loads((tmp_path / "out" / "latency.json").read_text())
    assert len(kept["specs"]) == len(clock)
    search(study(tmp_path, TIMED), tmp_path / "out", evaluate=formula, resume=True)
    assert len(kept["specs"]) == len(clock)


def test_what_is_too_slow_is_not_trained_and_the_space_still_ends(tmp_path, clock):
    made = study(tmp_path)
    costs = sorted(c.figures["flops.total"] / 1e6 for c in plan(made, *open_base(made)).all)
    bound = (costs[5] + costs[6]) / 2
    heard = []
    text = TIMED.replace("trials: 8", "trials: 40") + f"limits: ['latency_ms <= {bound}']\n"
    front = search(study(tmp_path, text), tmp_path / "out", evaluate=formula, events=heard.append)
    assert sorted(t.values["latency_ms"] for t in front.trained) == pytest.approx(costs[:6])
    assert any(isinstance(event, say.Refused) and "breaks latency_ms" in event.reason for event in heard)
    assert front.reference[1] == pytest.approx(bound)


def test_a_limit_that_the_smallest_spec_does_not_keep_is_refused_with_its_place(tmp_path, clock):
    text = TIMED + "limits: ['latency_ms <= 1e-6']\n"
    for ask in (lambda: survey(study(tmp_path, text)), lambda: search(study(tmp_path, text), tmp_path / "out", evaluate=formula)):  # fmt: skip
        with pytest.raises(SpecError) as caught:
            ask()
        (found,) = caught.value.diagnostics
        assert "does not keep this limit" in found.message
        assert found.position.line == text.splitlines().index("limits: ['latency_ms <= 1e-6']") + 1


def test_what_cannot_be_exported_is_refused_once(tmp_path, clock, monkeypatch):
    measure = latency.milliseconds

    def some(spec):
        if spec.encoders["image"].width == 24:
            clock.append(spec)
            raise Untrainable("cannot be exported: no")
        return measure(spec)

    monkeypatch.setattr(latency, "milliseconds", some)
    text = TIMED.replace("trials: 8", "trials: 48")
    front = search(study(tmp_path, text), tmp_path / "out", evaluate=formula)
    assert {t.params["encoders.image.width"] for t in front.trained} == {8, 16, 32}
    assert len(front.trained) == 36
    assert len(clock) == 48


def test_latencies_of_another_processor_are_not_gone_on_with(tmp_path, clock, monkeypatch):
    search(study(tmp_path, TIMED), tmp_path / "out", evaluate=formula)
    monkeypatch.setattr(latency, "processor", lambda: "another")
    with pytest.raises(UserError, match="cannot be compared"):
        search(study(tmp_path, TIMED), tmp_path / "out", evaluate=formula, resume=True)


@pytest.mark.slow
def test_the_exported_file_of_more_blocks_takes_longer(tmp_path):
    import mmspec

    (tmp_path / "small.yaml").write_text(BASE)
    (tmp_path / "deep.yaml").write_text(
        BASE.replace("patch_size: 4, width: 16, depth: 1", "patch_size: 4, width: 16, depth: 8")
    )
    small, deep = (latency.milliseconds(mmspec.load(tmp_path / f"{name}.yaml")) for name in ("small", "deep"))
    assert 0 < small < deep


def left(shares):
    def evaluate(spec, folder, seed, tick):
        found = formula(spec, folder, seed, tick)
        return {**found, "exits": {"joint": [{"share": share} for share in shares]}}

    return evaluate


def test_a_cost_that_is_learned_lies_between_its_bounds_as_the_exits_say(tmp_path):
    text = STUDY.replace("minimize: [flops]", "minimize: [flops.expected]").replace("[1, 2, 3, 4]", "[2]")
    found = search(study(tmp_path, text, HALTING), tmp_path / "out", evaluate=left([0.75, 0.25]))
    for t in found.trained:
        low, high = t.figures["flops.minimum"], t.figures["flops.maximum"]
        assert t.values["flops.expected"] == pytest.approx(0.75 * low + 0.25 * high)
    assert found.reference[1] == max(t.figures["flops.maximum"] for t in found.trained)


def test_no_limit_speaks_of_what_is_learned(tmp_path):
    with pytest.raises(SpecError, match=r"may speak of flops\.minimum or flops\.maximum"):
        survey(study(tmp_path, STUDY + "limits: ['flops.expected <= 1e6']\n"))


def test_exits_that_nobody_counted_are_said(tmp_path):
    text = STUDY.replace("minimize: [flops]", "minimize: [flops.expected]").replace("[1, 2, 3, 4]", "[2]")
    with pytest.raises(UserError, match=r"'flops\.expected' is not known after training"):
        search(study(tmp_path, text, HALTING), tmp_path / "out", evaluate=formula)
