"""What a spec says of weights: valid without the files, loaded where a model is built, trained or exported."""

import shutil

import pytest
import torch
from small_spec import small_spec
from vit_names import SPEC, tiny, vit_names

import mmspec
from mmspec.backend import read_folder
from mmspec.cli.entry import run
from mmspec.deploy.subject import subject_of
from mmspec.errors import UserError

WHOLE = "weights: {file: vit.safetensors, layout: transformers}\n"
IMAGE = "weights: {image: {file: vit.safetensors, layout: transformers}}\n"


@pytest.fixture
def written(tmp_path, saved):
    """Writes a spec beside a checkpoint; returns the spec."""

    def write(text, state=None):
        saved(vit_names() if state is None else state)
        (tmp_path / "tiny.yaml").write_text(text)
        return mmspec.load(tmp_path / "tiny.yaml")

    return write


def test_a_spec_has_a_price_without_its_files():
    spec = tiny(SPEC + "weights: {file: nothing.safetensors, layout: transformers}\n")
    assert mmspec.profile(spec)["parameters.total"] == mmspec.profile(tiny())["parameters.total"]
    with pytest.raises(UserError, match=r"there are no weights at nothing\.safetensors"):
        mmspec.build(spec)


def test_the_whole_model_begins_with_a_file_beside_the_spec(written, monkeypatch, tmp_path):
    spec = written(SPEC + WHOLE)
    monkeypatch.chdir(tmp_path.parent)  # a path is relative to the spec, not to where one stands
    model = mmspec.build(spec)
    assert torch.equal(model.state_dict()["label.output.bias"], vit_names()["classifier.bias"])
    (loaded,) = model.meta["loaded"]
    assert (loaded.layout, loaded.tensors) == ("transformers/vit", 40)


def test_a_name_on_the_hub_is_no_path(written):
    for name in ("google/vit-base-patch16-224", "meta-llama/Llama-3.1-8B"):
        spec = written(SPEC + f"weights: {{file: {name}, layout: transformers}}\n")
        assert spec.weights_at("") == name
    spec = written(SPEC + "weights: {file: deeper/vit.safetensors, layout: transformers}\n")
    assert spec.weights_at("").endswith("/deeper/vit.safetensors")


def test_a_node_begins_with_a_file_and_the_others_are_fresh(written):
    spec = written(SPEC.replace("classes: 3", "classes: 5") + IMAGE)
    model = mmspec.build(spec)
    assert torch.equal(model.state_dict()["image.norm.bias"], vit_names()["vit.layernorm.bias"])
    assert model.state_dict()["label.output.bias"].shape == (5,)


def test_weights_that_are_named_outright_take_the_place_of_those_of_the_spec(written, saved):
    spec = written(SPEC + WHOLE)
    other = mmspec.build(tiny()).state_dict()
    model = mmspec.build(spec, weights=saved(dict(other), "mine.safetensors"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in model.state_dict().items())


def test_a_resolved_spec_says_the_same_of_its_weights(written):
    spec = written(SPEC + IMAGE)
    assert tiny(spec.to_yaml()).weights == spec.weights
    assert (
        tiny(SPEC + "weights: mine.safetensors\n").weights
        == tiny(SPEC + "weights: {file: mine.safetensors, layout: mmspec}\n").weights
    )
    assert spec != tiny()


def test_what_is_frozen_stays_fixed_with_the_weights_it_was_given(written):
    text = (
        SPEC.replace("class_token: true", "class_token: true, frozen: true")
        + "objectives:\n  - {type: cross_entropy, target: answer}\n"
    )
    model = mmspec.build(written(text + WHOLE))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"label.output.weight", "label.output.bias"}
    assert torch.equal(model.state_dict()["image.norm.bias"], vit_names()["vit.layernorm.bias"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.train()(image=torch.randn(2, 3, 16, 16))["label"].square().sum().backward()
    optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == trained


def test_positions_of_another_grid_are_interpolated_and_said(written):
    model = mmspec.build(written(SPEC.replace("size: 16", "size: 24") + WHOLE))
    theirs = vit_names()["vit.embeddings.position_embeddings"][0]
    ours = model.state_dict()["image.position"]
    assert ours.shape == (37, 8)
    assert torch.equal(ours[0], theirs[0])
    pixels = theirs[1:].T.reshape(1, 8, 4, 4)
    expected = torch.nn.functional.interpolate(pixels, size=(6, 6), mode="bicubic", align_corners=False)
    assert torch.allclose(ours[1:], expected.flatten(2)[0].T)
    assert model.meta["loaded"][0].notes == (
        "image.position is interpolated from vit.embeddings.position_embeddings, which has another grid than 6 x 6",
    )


def test_a_grid_that_is_no_square_is_said(written):
    state = vit_names(places=1 + 3 * 5)
    with pytest.raises(UserError, match=r"image\.position +\[17, 8\] from .* \[1, 16, 8\]: its 15 places .* no square"):
        mmspec.build(written(SPEC + WHOLE, state))
    spec = written(SPEC + WHOLE.replace("layout", "grid: [3, 5], layout"), state)
    assert mmspec.build(spec).state_dict()["image.position"].shape == (17, 8)


def test_a_built_folder_has_its_weights_beside_it(written, tmp_path, capsys):
    spec = written(SPEC + IMAGE)
    assert run(["build", str(tmp_path / "tiny.yaml"), "-o", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "loaded 38 tensors from" in said
    assert "left out classifier.bias, classifier.weight: not of image" in said
    (tmp_path / "vit.safetensors").unlink()
    shutil.move(tmp_path / "a", tmp_path / "b")
    again = mmspec.build(mmspec.load(tmp_path / "b"))
    assert torch.equal(again.state_dict()["image.norm.bias"], vit_names()["vit.layernorm.bias"])
    assert spec.weights != mmspec.load(tmp_path / "b").weights


def test_an_export_says_whose_weights_it_has(written, tmp_path):
    spec = written(SPEC + WHOLE)
    subject = subject_of(spec)
    assert subject.origin == f"of {tmp_path / 'vit.safetensors'}"
    assert torch.equal(subject.state["label.output.bias"], vit_names()["classifier.bias"])


def test_the_command_line_loads_and_refuses(written, tmp_path, capsys):
    written(SPEC)
    file = str(tmp_path / "vit.safetensors")

    def build(*arguments):
        code = run(["build", str(tmp_path / "tiny.yaml"), "-o", str(tmp_path / "out"), *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    code, said = build("--weights", file, "--layout", "transformers")
    assert code == 0
    assert f"loaded 40 tensors from {file}, by the layout transformers/vit" in said
    code, said = build("--weights", file)
    assert code == 2
    assert "say so with the layout `transformers`" in said
    assert build("--layout", "transformers")[0] == 2
    torch.save(vit_names(), tmp_path / "vit.bin")
    pickled = ("--weights", str(tmp_path / "vit.bin"), "--layout", "transformers")
    assert build(*pickled)[0] == 2
    assert build(*pickled, "--pickled")[0] == 0


def test_training_begins_with_them_and_says_so(written, tmp_path):
    text = (
        small_spec().replace("depth: 1, heads: 2}", "depth: 1, heads: 2, class_token: true, frozen: true}", 1) + IMAGE
    )
    theirs = vit_names(width=16, depth=1, patch=8, places=5, channels=1)
    recipe = {"data": "digits_questions", "steps": 1, "batch": 4}
    result = mmspec.train(written(text, theirs), recipe, tmp_path / "run")
    assert torch.equal(result.module.state_dict()["image.norm.bias"], theirs["vit.layernorm.bias"])
    assert (
        f"loaded 22 tensors from {tmp_path / 'vit.safetensors'}, by the layout transformers/vit"
        in result.metrics["notes"]
    )
    spec, again = read_folder(tmp_path / "run")
    assert spec.weights_at("") == str(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(tensor, result.module.state_dict()[name]) for name, tensor in again.state_dict().items())
