"""What the page says of the way to the front, of the parameters, and of trainings with fresh seeds."""

from dataclasses import replace

from made import front

from mmspec.cli.entry import run
from mmspec.study import course, page, plot
from mmspec.study.confirming import with_means
from mmspec.study.importance import LEAST, importance


def test_the_hypervolume_never_falls_and_ends_at_the_fronts():
    found = front()
    heights = course.volumes(found)
    assert heights == sorted(heights) and heights[0] == 0.0
    assert heights[-1] == found.hypervolume
    assert course.volumes(replace(found, reference=())) == []


def test_the_parameter_that_decides_is_the_first_and_shares_sum_to_one():
    made = front(count=40)
    decided = tuple(
        replace(t, values={**t.values, "accuracy": 0.2 * t.params["fusion.joint.depth"]}) for t in made.trained
    )
    found = importance(replace(made, trained=decided), "accuracy")
    assert next(iter(found.shares)) == "fusion.joint.depth" and found.shares["fusion.joint.depth"] > 0.9
    assert abs(sum(found.shares.values()) - 1) < 1e-9
    assert found.trainings == 40 and found.explained > 0.9


def test_a_conditional_parameter_is_not_credited_with_its_alternatives_effect():
    made = front(count=40)
    trained = []
    for i, t in enumerate(made.trained):
        params = {"fusion.joint": "gated", "fusion.joint.gate": i % 3} if i % 2 else {"fusion.joint": "concat"}
        trained.append(replace(t, params=params, values={**t.values, "accuracy": 0.9 if i % 2 else 0.5}))
    found = importance(replace(made, trained=tuple(trained)), "accuracy")
    assert found.shares["fusion.joint"] > 0.8


def test_importance_is_refused_below_ten_trainings():
    few = front(count=LEAST - 1)
    assert importance(few, "accuracy") is None
    assert f"fewer than {LEAST} trainings" in page.render(few, page.Background("x: 1"))


def test_every_training_is_a_line_of_the_parallel_coordinates():
    found = front()
    assert course.parallel(found).count("<title>trial ") == len(found.trained)


def test_members_trained_again_show_the_searchs_value_the_chance_and_the_test():
    found = front()
    again = {
        t.trial: [{**t.values, "accuracy": t.values["accuracy"] - d} for d in (0.01, 0.02, 0.03)] for t in found.trained
    }
    confirmed = with_means(found, again, {t.trial: [0.4321] for t in found.trained}, ["flops.total"])
    text = page.render(confirmed, page.Background("x: 1", limits=("parameters.total <= 2M",)))
    for m in confirmed.members:
        assert (
            f"<td class=n>{m.confirmed.searched['accuracy']:.3f}</td><td class=n>{m.confirmed.chance:.0%}</td>" in text
        )
        low, high = m.interval
        assert f"{low:.3f} to {high:.3f}" in text
    assert text.count("<td class=n>0.432</td>") == len(confirmed.members)
    assert "best under the limits (parameters.total &lt;= 2M)" in text
    assert "in the search" not in page.render(found, page.Background("x: 1"))


def test_paths_in_commands_are_quoted(tmp_path):
    text = page.render(front(tmp_path / "my runs"), page.Background("x: 1"))
    assert f"mmspec build &#x27;{tmp_path}/my runs/front/0/spec.yaml&#x27;" in text


def test_the_svg_is_an_svg_and_the_same_twice(tmp_path):
    for name in ("a", "b"):
        plot.draw_front(front(), tmp_path / name, "svg")
    assert b"<svg" in (tmp_path / "a").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_diff_takes_folders(tmp_path, capsys):
    import mmspec

    for name, depth in (("0", 2), ("1", 3)):
        (tmp_path / name).mkdir()
        spec = mmspec.load("fusion_gated", [f"fusion.joint.depth={depth}"])
        (tmp_path / name / "spec.yaml").write_text(spec.to_yaml())
    assert run(["diff", str(tmp_path / "0"), str(tmp_path / "1")]) == 0
    said = capsys.readouterr().out
    assert "fusion.joint.depth" in said and "FLOPs" in said


def test_the_best_under_the_limits_keeps_them():
    found = front(count=24)
    text = page.render(found, page.Background("x: 1", limits=("parameters.total <= 2M",)))
    able = [i for i, m in enumerate(found.members) if m.figures["parameters.total"] <= 2e6]
    best = max(able, key=lambda i: found.members[i].accuracy)
    assert best < len(found) - 1
    assert f"member {best}: best under the limits" in text
