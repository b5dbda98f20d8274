"""A whole search: what is trained, what is refused, what is on disk at the end, and what a resume may not change."""

import json
import os
from types import SimpleNamespace

import optuna
import pytest
import torch
from optuna.trial import TrialState
from tiny import STUDY, formula, study

import mmspec
from mmspec.errors import Failure, UserError
from mmspec.study import events as say
from mmspec.study import search
from mmspec.study.candidate import price
from mmspec.study.evaluation import Untrainable
from mmspec.study.storage import LOCK


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One finished search: its folder, its front, its events."""
    folder, heard = tmp_path_factory.mktemp("study"), []
    front = search(study(folder), folder / "out", events=heard.append, evaluate=formula)
    return folder / "out", front, heard


def kinds(heard, kind):
    return [e for e in heard if isinstance(e, kind)]


def test_the_budget_is_spent_on_different_specs(done):
    _, front, _ = done
    assert len(front.trained) == 8
    assert len({t.digest for t in front.trained}) == 8


def test_the_base_and_the_ends_of_the_cost_axis_come_first(done):
    _, front, _ = done
    flops = [t.values["flops.total"] for t in front.trained]
    assert front.trained[0].params["encoders.image.width"] == 16
    assert flops[1] == min(flops)
    assert flops[2] == max(flops)


def test_each_member_is_a_folder_whose_spec_has_the_price_that_was_searched(done):
    folder, front, _ = done
    assert len(front) >= 3
    for i, member in enumerate(front):
        spec = mmspec.load(folder / "front" / str(i) / "spec.yaml")
        assert spec.domains == {}
        assert price(spec)["flops.total"] == member.values["flops.total"]
        assert spec.fusion["joint"].depth == member.params["fusion.joint.depth"]


def test_the_knee_is_a_link_that_survives_moving_the_folder(done, tmp_path):
    folder, front, _ = done
    assert (folder / "knee").resolve() == (folder / "front" / str(front.knee)).resolve()
    assert not os.path.isabs(os.readlink(folder / "knee"))


def test_the_plot_the_report_and_the_tables_are_there(done):
    folder, front, heard = done
    assert [path.name for path in front.files] == ["front.png", "front.svg", "report.html", "front.csv", "front.json"]
    assert all(path.stat().st_size > 500 for path in front.files)
    assert kinds(heard, say.Written)[0].files == front.files
    assert json.loads((folder / "front.json").read_text())["knee"] == front.knee


def test_the_events_tell_the_whole_story_in_order(done):
    _, front, heard = done
    assert isinstance(heard[0], say.Started)
    assert (heard[0].trials, heard[0].finished, heard[0].size) == (8, (), 48)
    finished = kinds(heard, say.Finished)
    assert [e.trial for e in finished] == list(range(8))
    assert [e.values for e in finished] == [t.values for t in front.trained]
    assert finished[-1].remaining_s == 0
    assert [e.step for e in kinds(heard, say.Progress)] == [1, 2] * 8


def test_the_same_study_gives_the_same_front_again(done, tmp_path):
    again = search(study(tmp_path), tmp_path / "out", evaluate=formula)
    assert [(t.params, t.values) for t in again.trained] == [(t.params, t.values) for t in done[1].trained]


def test_another_seed_draws_otherwise(tmp_path):  # the sampler that knows costs looks at all of so small a space
    drawn = STUDY + "sampler: random\n"
    one, other = (
        search(study(tmp_path, drawn + f"seed: {seed}\n"), tmp_path / f"out{seed}", evaluate=formula) for seed in (0, 1)
    )
    assert [t.params for t in other.trained[3:]] != [t.params for t in one.trained[3:]]


@pytest.mark.parametrize("sampler", ["random", "nsga2"])
def test_the_other_samplers_search_too(tmp_path, sampler):
    front = search(study(tmp_path, STUDY + f"sampler: {sampler}\n"), tmp_path / "out", evaluate=formula)
    assert len({t.digest for t in front.trained}) == 8


def test_a_small_space_is_trained_whole_and_nothing_twice(tmp_path):
    small = (
        STUDY.replace("[8, 16, 24, 32]", "[8, 16]").replace("[1, 2, 3, 4]", "[1]").replace("trials: 8", "trials: 50")
    )
    front = search(study(tmp_path, small), tmp_path / "out", evaluate=formula)
    assert len(front.trained) == len({t.digest for t in front.trained}) == 6


def test_what_breaks_a_limit_or_does_not_compile_is_never_trained_but_counted(tmp_path):
    odd = STUDY.replace("encoders.image.depth: {choice: [1, 2, 3]}", "encoders.image.heads: {choice: [2, 3, 5]}")
    folder = tmp_path
    heard = []
    front = search(
        study(folder, odd + 'limits: ["parameters <= 20000"]\nsampler: random\n'),
        folder / "out",
        events=heard.append,
        evaluate=formula,
    )
    assert all(t.figures["parameters.total"] <= 20000 for t in front.trained)
    assert all(t.params["encoders.image.width"] % t.params["encoders.image.heads"] == 0 for t in front.trained)
    assert sum(front.refused.values()) == len(kinds(heard, say.Refused)) > 0
    assert any(reason.startswith("does not compile") for reason in front.refused)


def test_a_training_that_diverges_is_remembered_and_not_tried_again(tmp_path):
    tried = []

    def fragile(spec, folder, seed, tick):
        width = spec.encoders["image"].width
        tried.append((width, spec.encoders["image"].depth, spec.fusion["joint"].depth))
        if width == 32:
            raise Untrainable("diverged: loss is nan")
        return formula(spec, folder, seed, tick)

    front = search(study(tmp_path), tmp_path / "out", evaluate=fragile)
    assert front.failed["diverged: loss is nan"] >= 1
    assert len(front.trained) == 8
    assert len(tried) == len(set(tried))


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        (lambda: torch.empty(1 << 50), "out of memory"),
        (lambda: torch.ones(2, 3) @ torch.ones(2, 3), "cannot be built or trained: mat1 and mat2 shapes cannot be"),
    ],
)
def test_what_torch_cannot_hold_or_build_is_pruned_with_a_constraint_that_it_breaks(
    tmp_path, monkeypatch, breaks, reason
):
    def train(spec, recipe, folder, **_):
        if spec.encoders["image"].width >= 24:
            breaks()
        metrics = formula(spec, folder, recipe.seed, lambda *_: None)
        return SimpleNamespace(metrics={"validation": metrics})

    monkeypatch.setattr("mmspec.training.train", train)
    front = search(study(tmp_path), tmp_path / "out")
    failed = sum(count for told, count in front.failed.items() if told.startswith(reason))
    assert failed == sum(front.failed.values()) > 0
    (known,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path / 'out' / 'study.db'}")
    trials = optuna.load_study(study_name=known.study_name, storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}").trials
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert len(pruned) >= failed
    assert all(max(trial.constraints.values()) > 0 for trial in pruned)
    assert not [trial for trial in trials if trial.state == TrialState.FAIL]


def test_a_metric_that_is_not_finite_is_a_failure_of_that_spec(tmp_path):
    def sometimes(spec, folder, seed, tick):
        metrics = formula(spec, folder, seed, tick)
        return metrics | ({"accuracy": float("nan")} if spec.encoders["image"].depth == 3 else {})

    front = search(study(tmp_path), tmp_path / "out", evaluate=sometimes)
    assert front.failed["its accuracy is nan"] >= 1


def test_a_metric_that_is_missing_stops_the_search_with_what_there_is(tmp_path):
    with pytest.raises(UserError, match="the objective 'accuracy' is not among the metrics, did you mean 'acuracy'"):
        search(study(tmp_path), tmp_path / "out", evaluate=lambda *_: {"acuracy": 0.5})


def test_a_study_that_is_there_is_not_overwritten_unless_it_is_said(done):
    folder, front, _ = done
    made = study(folder.parent)
    with pytest.raises(UserError, match="already holds a study; go on with --resume"):
        search(made, folder, evaluate=formula)
    heard = []
    again = search(
        made, folder, resume=True, evaluate=lambda *_: pytest.fail("everything is known"), events=heard.append
    )
    before = heard[0].finished  # what a resumed search knows is said at once
    assert [(e.trial, e.values) for e in before] == [(t.trial, t.values) for t in front.trained]
    assert {e.trial for e in before if e.on_front} == {m.trial for m in front.members}
    assert [t.values for t in again.trained] == [t.values for t in front.trained]


def test_restart_throws_the_old_study_away(tmp_path):
    first = search(study(tmp_path, STUDY.replace("trials: 8", "trials: 3")), tmp_path / "out", evaluate=formula)
    second = search(
        study(tmp_path, STUDY.replace("trials: 8", "trials: 4") + "seed: 5\n"),
        tmp_path / "out",
        restart=True,
        evaluate=formula,
    )
    assert (len(first.trained), len(second.trained)) == (3, 4)


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    for way in ({}, {"resume": True}, {"restart": True}):
        with pytest.raises(UserError, match="did not write"):
            search(study(tmp_path), tmp_path / "out", evaluate=formula, **way)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "x"


def test_more_trials_may_be_added_but_the_question_may_not_change(tmp_path):
    short = STUDY.replace("trials: 8", "trials: 4")
    search(study(tmp_path, short), tmp_path / "out", evaluate=formula)
    with pytest.raises(UserError) as caught:
        search(
            study(tmp_path, short.replace("[8, 16, 24, 32]", "[8, 16]")),
            tmp_path / "out",
            resume=True,
            evaluate=formula,
        )
    assert "space.encoders.image.width: choice: 8, 16, 24, 32 -> choice: 8, 16" in str(caught.value)
    longer = search(study(tmp_path, STUDY), tmp_path / "out", resume=True, evaluate=formula)
    assert len(longer.trained) == 8


def test_one_folder_is_searched_by_one_process_at_a_time(done):
    import fcntl

    folder, _, _ = done
    with (folder / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another search is running in"):
            search(study(folder.parent), folder, resume=True, evaluate=formula)


def test_a_torn_store_is_said_in_one_line(tmp_path):
    search(study(tmp_path, STUDY.replace("trials: 8", "trials: 3")), tmp_path / "out", evaluate=formula)
    whole = (tmp_path / "out" / "study.db").read_bytes()
    (tmp_path / "out" / "study.db").write_bytes(whole[:100] + b"\0" * 3000)
    with pytest.raises(UserError, match=r"study\.db cannot be read"):
        search(study(tmp_path), tmp_path / "out", resume=True, evaluate=formula)


def test_a_member_whose_price_is_not_what_was_searched_is_our_fault_and_said_so(tmp_path):
    def liar(spec, folder, seed, tick):
        metrics = formula(spec, folder, seed, tick)
        (folder / "spec.yaml").write_text(spec.choose({"encoders.text.width": 32}).to_yaml())
        return metrics

    with pytest.raises(Failure, match="was searched; this is a defect of mmspec"):
        search(study(tmp_path, STUDY.replace("trials: 8", "trials: 3")), tmp_path / "out", evaluate=liar)
    assert not (tmp_path / "out" / "front").exists()


def test_a_budget_of_seconds_ends_the_search_after_the_training_under_way(tmp_path):
    front = search(
        study(tmp_path, STUDY.replace("trials: 8", "trials: 8, seconds: 1e-9")), tmp_path / "out", evaluate=formula
    )
    assert len(front.trained) == 1


def test_when_nothing_can_be_trained_the_reasons_are_given(tmp_path):
    def never(*_):
        raise Untrainable("out of memory")

    small = STUDY.replace("[8, 16, 24, 32]", "[8]").replace("[1, 2, 3, 4]", "[1]")
    with pytest.raises(UserError, match="nothing could be trained: 3 times out of memory"):
        search(study(tmp_path, small), tmp_path / "out", evaluate=never)
