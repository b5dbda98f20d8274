"""A run is deterministic, can be stopped anywhere and resumed as if it had not been, and never ruins its weights."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file

from mmspec.backend import build
from mmspec.data import open_data
from mmspec.data.questions import ANSWERS
from mmspec.errors import UserError
from mmspec.training import Diverged, Interrupted, Recipe, predict, train, unfinished
from mmspec.training.loop import Run
from mmspec.training.trainer import train_to

RECIPE = Recipe(steps=8, batch=16, evaluate_every=3, learning_rate=3e-3)


def same(one, other):
    assert one.losses == other.losses
    theirs = other.module.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in one.module.state_dict().items())


class StopAfter:
    """Does what Ctrl-C does, after a step: calls who listens to it. (A real one, in a long-lived process with threads of other
    libraries, has ended it; test_process presses keys.)"""

    def __init__(self, step):
        self.step = step

    def __call__(self, step, steps, loss, metrics):
        if step == self.step:
            listener = signal.getsignal(signal.SIGINT)
            assert callable(listener) and listener is not signal.default_int_handler
            listener(signal.SIGINT, None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption, in a folder, made by the first test that wants it."""
    made = {}

    def run(spec):
        if not made:
            made["result"] = train(spec, RECIPE, tmp_path_factory.mktemp("whole") / "out")
        return made["result"]

    return run


def test_the_same_seed_gives_the_same_losses_bit_for_bit_and_another_does_not(tiny, whole):
    again = train(tiny(), RECIPE)
    same(whole(tiny()), again)
    assert train(tiny(), RECIPE.model_copy(update={"seed": 1})).losses != again.losses


def test_the_callers_random_numbers_are_left_alone(tiny):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train(tiny(), RECIPE.model_copy(update={"steps": 1}))
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("step", [1, 3, 8])
def test_a_run_that_was_interrupted_and_resumed_is_the_uninterrupted_run(tiny, whole, tmp_path, step):
    out = tmp_path / "out"
    with pytest.raises(Interrupted) as error:
        train(tiny(), RECIPE, out, progress=StopAfter(step))
    assert f"stopped after step {step} of 8" in str(error.value)
    assert "--resume" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert unfinished(out)
    resumed = train(tiny(), RECIPE, out, resume=True)
    same(whole(tiny()), resumed)
    assert resumed.metrics["history"] == whole(tiny()).metrics["history"]
    assert resumed.metrics["validation"] == whole(tiny()).metrics["validation"]
    assert not unfinished(out)


def test_a_run_that_was_killed_resumes_from_its_last_checkpoint(tiny, whole, tmp_path):
    class Killed(Exception):
        pass

    def die(step, steps, loss, metrics):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(tiny(), RECIPE, tmp_path / "out", progress=die)
    same(whole(tiny()), train(tiny(), RECIPE, tmp_path / "out", resume=True))


def test_ctrl_c_works_as_usual_again_afterwards(tiny):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="nothing was kept"):
        train(tiny(), RECIPE, progress=StopAfter(1))
    assert signal.getsignal(signal.SIGINT) is before


def test_the_folder_holds_what_prediction_and_a_reader_need(tiny, whole):
    result = whole(tiny())
    names = {str(path.relative_to(result.folder)) for path in result.folder.rglob("*") if path.is_file()}
    assert {"spec.yaml", "model.safetensors", "metrics.json", "data/preprocessing.json"} <= names
    assert not any("checkpoint" in name for name in names)
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics == result.metrics
    assert metrics["recipe"] == RECIPE.model_dump()
    assert [row["step"] for row in metrics["history"]] == [3, 6, 8]
    validation = metrics["validation"]
    assert set(validation["baselines"]) == {"text alone", "image alone"}
    assert sum(map(sum, validation["heads"]["label"]["confusion"])) == 359 * 5
    assert metrics["warnings"]  # eight steps of sixteen examples teach nothing


def test_every_sample_leaves_at_one_exit_and_exits_agree_with_the_whole(tiny, whole):
    validation = whole(tiny()).metrics["validation"]
    rows = validation["exits"]["joint"]
    assert len(rows) == 2
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    together = sum(row["share"] * row["accuracy"] for row in rows if row["share"])
    assert together == pytest.approx(validation["accuracy"])


def test_exits_are_told_where_some_samples_leave_early(tiny):
    metrics = train(tiny("fusion.joint.halting.threshold=0.15"), RECIPE).metrics["validation"]
    rows = metrics["exits"]["joint"]
    assert 0 < rows[0]["share"] <= 1
    assert rows[0]["if_forced"] == rows[0]["accuracy"] or rows[0]["share"] < 1


def test_prediction_gives_the_modules_own_answer(tiny, whole, tmp_path):
    from PIL import Image

    result = whole(tiny())
    Image.new("L", (8, 8), 100).save(tmp_path / "a.png")
    answer = predict(result.folder, {"image": str(tmp_path / "a.png"), "text": "is it even?"})["label"]
    ids = torch.tensor([[byte + 1 for byte in b"is it even?"]])
    with torch.no_grad():
        logits = result.module(image=torch.full((1, 1, 8, 8), (100 / 255 - 0.5) / 0.5), text=ids)["label"][0]
    wanted = logits.double().softmax(dim=0)
    assert list(answer["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-6)
    assert answer["answer"] == [*"0123456789", "yes", "no"][int(wanted.argmax())]
    assert answer["probability"] == max(answer["probabilities"].values())


def test_the_example_in_the_folder_can_be_asked(tiny, whole):
    result = whole(tiny())
    example = result.metrics["example"]
    inputs = {**example["inputs"], "image": str(result.folder / example["inputs"]["image"])}
    assert predict(result.folder, inputs)["label"]["answer"] in ANSWERS
    assert example["answers"]["label"] in "0123456789"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"text": "x"}, "the input 'image' is missing"),
        ({"image": "none.png", "text": "x"}, "image: no such file: none.png"),
        ({"image": "none.png", "text": "x" * 33}, "text: 33 tokens where the model takes 32"),
        ({"image": "none.png", "text": "x", "sound": "y"}, "there is no input 'sound'"),
    ],
)
def test_an_example_that_does_not_fit_is_refused(tiny, whole, inputs, message):
    with pytest.raises(UserError, match=message):
        predict(whole(tiny()).folder, inputs)


def test_a_folder_that_was_not_trained_is_refused(tmp_path):
    with pytest.raises(UserError, match="not the folder of a built model"):
        predict(tmp_path, {})


def test_nan_stops_the_run_before_it_reaches_the_weights(tiny, tmp_path, monkeypatch):
    from mmspec.data.digits import DigitsQuestions

    draw = DigitsQuestions.training_batch

    def spoilt(self, step, size, seed):
        batch = draw(self, step, size, seed)
        if step == 4:
            batch.inputs["image"][0, 0, 0, 0] = float("nan")
        return batch

    monkeypatch.setattr(DigitsQuestions, "training_batch", spoilt)
    with pytest.raises(Diverged) as error:
        train(tiny(), RECIPE, tmp_path / "out")
    said = str(error.value)
    assert "diverged at step 5 of 8" in said
    assert "label is nan" in said
    assert "the weights after step 4 are in" in said
    assert len(said.splitlines()) == 1
    kept = load_file(tmp_path / "out" / "checkpoint.safetensors")
    assert all(torch.isfinite(tensor).all() for name, tensor in kept.items() if tensor.is_floating_point())
    assert len(kept["losses"]) == 4


def test_a_run_does_not_go_on_with_another_recipe_or_spec(tiny, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        train(tiny(), RECIPE, out, progress=StopAfter(3))
    with pytest.raises(UserError, match=r"recipe\.learning_rate was 0\.003, now 0\.1"):
        train(tiny(), RECIPE.model_copy(update={"learning_rate": 0.1}), out, resume=True)
    with pytest.raises(UserError, match=r"spec\.fusion\.joint\.dropout was 0\.1, now 0\.0"):
        train(tiny("fusion.joint.dropout=0.0"), RECIPE, out, resume=True)


def test_there_must_be_something_to_resume(tiny, tmp_path):
    with pytest.raises(UserError, match="no unfinished run"):
        train(tiny(), RECIPE, tmp_path, resume=True)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 20])
def test_a_damaged_checkpoint_is_refused(tiny, tmp_path, content):
    (tmp_path / ".mmspec").touch()
    (tmp_path / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint that mmspec wrote, or it is damaged"):
        train(tiny(), RECIPE, tmp_path, resume=True)


def test_a_folder_that_is_not_ours_is_refused_before_training(tiny, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="did not write"):
        train(tiny(), RECIPE, tmp_path, progress=lambda *_: pytest.fail("a step was made"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_best_weights_are_kept_where_the_recipe_says_so(tiny):
    seen = []
    recipe = RECIPE.model_copy(update={"keep": "best", "evaluate_every": 1, "learning_rate": 0.05})
    result = train(tiny(), recipe, progress=lambda step, steps, loss, metrics: seen.append(metrics["accuracy"]))
    assert result.accuracy == max(seen) > seen[-1]


@pytest.mark.parametrize(
    "change",
    [
        {"split_seed": 1}, {"augment": 0.0}, {"batch": 15}, {"learning_rate": 1e-3}, {"warmup": 0.9}, {"weight_decay": 9.0},
        {"beta1": 0.1}, {"beta2": 0.1}, {"clip": 1e-9}, {"clip": None}, {"seed": 2},
    ],
    ids=str,
)  # fmt: skip
def test_every_field_of_a_recipe_changes_the_losses(tiny, change):
    def losses(recipe):
        data = open_data(recipe.data, tiny(), split_seed=recipe.split_seed, augment=recipe.augment)
        torch.manual_seed(recipe.seed)
        run = Run(tiny(), recipe, data, build(tiny()), {})
        run.finish()
        return run.losses

    recipe = Recipe(steps=4, batch=16, learning_rate=1e-2, clip=0.5)
    assert losses(recipe.model_copy(update=change)) != losses(recipe)


def test_a_manifest_trains_and_its_labels_come_back_as_answers(tiny, tmp_path):
    from PIL import Image

    for shade in (0, 255):
        Image.new("L", (8, 8), shade).save(tmp_path / f"{shade}.png")
    rows = [
        f"{shade}.png,how is it?,{'light' if shade else 'dark'},{split}"
        for shade in (0, 255)
        for split in ("train", "val")
    ]
    (tmp_path / "data.csv").write_text("\n".join(["image,text,answer,split", *rows]))
    recipe = Recipe(data=str(tmp_path / "data.csv"), steps=60, batch=8, learning_rate=1e-2)
    result = train(tiny("heads.label.classes=2"), recipe, tmp_path / "out")
    assert result.accuracy == 1
    assert result.metrics["test"] is None
    answers = [predict(tmp_path / "out", {"image": str(tmp_path / f"{s}.png"), "text": "how is it?"}) for s in (0, 255)]
    assert [answer["label"]["answer"] for answer in answers] == ["dark", "light"]


def test_frozen_encoders_stay_as_they_were(tiny):
    spec = tiny("encoders.image.frozen=true")
    one = train(spec, RECIPE.model_copy(update={"steps": 1})).module.state_dict()
    other = train(spec, RECIPE.model_copy(update={"steps": 3})).module.state_dict()
    moved = {name.split(".")[0] for name, tensor in one.items() if not torch.equal(tensor, other[name])}
    assert moved == {"text", "joint", "label"}


def test_the_steps_of_a_loop_are_measured_as_exits_are(tiny):
    said = tiny("fusion.joint.depth=3", "fusion.joint.halting={type: act, halting_bias: 0.0}")
    validation = train(said, Recipe(steps=5, batch=16)).metrics["validation"]
    rows = validation["exits"]["joint"]
    assert [row["exit"] for row in rows] == [0, 1, 2]
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    right = [row["share"] * row["accuracy"] for row in rows if row["share"]]
    assert sum(right) == pytest.approx(validation["accuracy"]), "who is right is right at the step where it left"


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_run_that_was_compared_on_the_way_is_the_run_that_was_not(tiny, tmp_path, keep):
    recipe = RECIPE.model_copy(update={"keep": keep})
    out = tmp_path / "out"
    for step in (2, 6):  # between validations, and at one
        found = train_to(step, tiny(), recipe, out, resume=unfinished(out))
        assert 0 <= found["accuracy"] <= 1
        assert found == train_to(step, tiny(), recipe, out, resume=True)  # as after a crash
    resumed, plain = train(tiny(), recipe, out, resume=True), train(tiny(), recipe)
    same(plain, resumed)
    assert resumed.metrics["history"] == plain.metrics["history"]
    assert resumed.metrics["validation"] == plain.metrics["validation"]
    assert found["accuracy"] == plain.metrics["history"][1]["accuracy"]
