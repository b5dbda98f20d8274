"""What may be said of times that were measured."""

import pytest

from mmspec.measuring import times as module
from mmspec.measuring.times import Times, interleaved, span


def test_runs_that_agree_have_a_time_and_runs_that_do_not_have_a_range():
    steady = Times((0.0123, 0.0122, 0.0121, 0.0124, 0.0122))
    assert (steady.unsteady, steady.said) == ("", "12.2 ms")
    wide = Times((0.0121, 0.0124, 0.0150, 0.0180, 0.0198))
    assert wide.said == "12.1 to 19.8 ms"
    assert "37%" in wide.unsteady  # (18.0 - 12.4) / 15.0


def test_the_middle_half_decides_and_not_one_run_that_was_disturbed():
    disturbed = Times((0.010, 0.010, 0.010, 0.010, 0.010, 0.010, 0.010, 0.500))
    assert not disturbed.unsteady and disturbed.said == "10.0 ms"


def test_the_rule_is_a_tenth_of_the_median():
    assert not Times((10.0, 10.0, 10.0, 11.0, 11.0)).unsteady  # quartiles 10 and 11
    assert Times((10.0, 10.0, 10.0, 11.01, 11.01)).unsteady


@pytest.mark.parametrize(("runs", "said"), [(1, "2.00 s"), (2, "2.00 to 3.00 s"), (4, "2.00 to 5.00 s")])
def test_few_runs_have_no_time_however_close_they_are(runs, said):
    times = Times(tuple(2.0 + i for i in range(runs)))
    assert times.said == said
    assert times.unsteady == ("1 run" if runs == 1 else f"{runs} runs")


def test_of_many_runs_the_range_is_that_of_nine_in_ten():
    assert Times(tuple(0.001 * i for i in range(10, 30))).said == "10.0 to 27.0 ms"


def test_a_range_may_cross_units():
    assert span(0.0007, 0.0014) == "700 µs to 1.40 ms"


class Counted:
    """A clock that each run moves on, whatever the machine does."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)

    def run(self, name, seconds):
        def call():
            self.now += seconds
            self.log.append(name)

        return call


def test_slow_runs_take_turns_until_the_time_is_over(monkeypatch):
    clock = Counted(monkeypatch)
    found = interleaved({"a": clock.run("a", 1.0), "b": clock.run("b", 2.0)}, seconds=7.0)
    assert clock.log == ["a", "b"] * 3
    assert found["a"].seconds == (1.0, 1.0, 1.0) and found["b"].seconds == (2.0, 2.0, 2.0)


def test_one_run_is_made_however_little_time_there_is(monkeypatch):
    clock = Counted(monkeypatch)
    assert interleaved({"a": clock.run("a", 60.0)}, seconds=1.0)["a"].seconds == (60.0,)


def test_quick_runs_come_several_in_a_turn_and_the_first_of_a_turn_is_not_counted(monkeypatch):
    clock = Counted(monkeypatch)
    found = interleaved({"a": clock.run("a", 0.01), "b": clock.run("b", 0.01)}, seconds=0.03)
    assert clock.log[:2] == ["a", "b"]
    assert clock.log[2:] == ["a"] * 5 + ["b"] * 5
    assert len(found["a"].seconds) == 1 + 4
