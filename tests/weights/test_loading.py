"""A checkpoint loads whole, or the error says everything that keeps it from that, and nothing has changed."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from vit_names import SPEC, tiny, vit_names

import mmspec
from mmspec.errors import UserError
from mmspec.weights.checkpoint import open_checkpoint


def refused(model, path, *patterns, **options):
    """The message, which has all of these in it; and the model is as it was."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        mmspec.load_weights(model, path, **options)
    for pattern in patterns:
        assert re.search(pattern, str(caught.value)), f"{pattern!r} is not in\n{caught.value}"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return str(caught.value)


def test_every_tensor_goes_to_its_place(model, saved):
    theirs = vit_names()
    loaded = mmspec.load_weights(model, saved(theirs))
    ours = model.state_dict()
    assert (loaded.layout, loaded.tensors, loaded.notes) == ("transformers/vit", len(ours), ())
    assert len(ours) == len(theirs)
    assert torch.equal(ours["image.blocks.1.attention.key.weight"], theirs["vit.layers.1.attention.k_proj.weight"])
    assert torch.equal(ours["image.class_token"], theirs["vit.embeddings.cls_token"][0])
    assert torch.equal(ours["label.output.bias"], theirs["classifier.bias"])


def test_names_without_their_prefix_and_names_of_older_files_are_the_same_tensors(model, saved):
    theirs = vit_names()
    mmspec.load_weights(model, saved(theirs))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    bare = {name.removeprefix("vit."): tensor for name, tensor in theirs.items()}
    older = {
        re.sub(r"layers\.(\d)\.attention\.q_proj", r"encoder.layer.\1.attention.attention.query", name): tensor
        for name, tensor in theirs.items()
    }
    assert older.keys() != theirs.keys()
    for state in (bare, older):
        fresh = mmspec.build(tiny())
        mmspec.load_weights(fresh, saved(state))
        assert all(torch.equal(tensor, expected[name]) for name, tensor in fresh.state_dict().items())


def test_the_serving_form_loads_the_same_weights(model, saved):
    path = saved(vit_names())
    mmspec.load_weights(model, path)
    serving = mmspec.build(tiny(), form="serving").eval()
    mmspec.load_weights(serving, path)
    image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(serving(image=image)["label"], model.eval()(image=image)["label"], atol=1e-4)


def test_half_precision_is_widened_and_said(model, saved):
    theirs = {name: tensor.bfloat16() for name, tensor in vit_names().items()}
    loaded = mmspec.load_weights(model, saved(theirs))
    assert loaded.notes == ("bfloat16 in the file is float32 in the model",)
    assert torch.equal(model.state_dict()["label.output.bias"], theirs["classifier.bias"].float())


def test_what_is_missing_and_what_is_unused_is_listed_with_its_shape(model, saved):
    theirs = vit_names(depth=3)
    del theirs["vit.layernorm.bias"], theirs["vit.layers.0.mlp.fc1.weight"]
    theirs["extra.table"] = torch.zeros(5, 6)
    message = refused(
        model,
        saved(theirs),
        r"tiny by the layout transformers/vit: 2 missing, 17 unused",
        r"missing +image\.norm\.bias +\[8\] +from layernorm\.bias",
        r"missing +image\.blocks\.0\.feed_forward\.up\.weight +\[32, 8\] +from layers\.0\.mlp\.fc1\.weight",
        r"unused +extra\.table +\[5, 6\]",
        r"unused +vit\.layers\.2\.attention\.q_proj\.weight +\[8, 8\] +the model has no image\.blocks\.2\.attention\.query\.weight",
    )
    assert len([line for line in message.splitlines() if line.startswith("  unused")]) == 17


def test_tensors_that_differ_by_their_number_alone_share_a_line(model, saved):
    refused(
        model,
        saved(vit_names(width=12)),
        r"0-1\.attention\.query\.weight +\[8, 8\], and vit\.layers\.0-1\.attention\.q_proj\.weight gives \[12, 12\]",
        r"shape +image\.class_token +\[1, 8\], and vit\.embeddings\.cls_token gives \[1, 12\]",
    )


def test_another_architecture_is_told_which_node_is_not_there(saved):
    text = """\
name: reader
inputs:
  text: {type: text, vocab_size: 9, length: 4}
encoders:
  text: {type: text_transformer, width: 8, depth: 1, heads: 2}
heads:
  label: {type: classification, classes: 3}
"""
    model = mmspec.build(tiny(text))
    pattern = r"here image is the only one of encoders of type vit; reader has none"
    refused(model, saved(vit_names()), pattern, r"missing +text\.embedding +\[9, 8\]")


def test_names_that_no_layout_knows(model, saved):
    refused(model, saved({"a.b": torch.zeros(2)}), r"no layout of transformers knows a name in .*: a\.b")


def test_what_is_ours_is_not_theirs(model, saved):
    mine = saved(dict(model.state_dict()), "mine.safetensors")
    refused(model, saved(vit_names()), r"its names are those of transformers/vit", layout="mmspec")
    with torch.no_grad():
        model.get_parameter("label.output.bias").fill_(7.0)
    mmspec.load_weights(model, mine, layout="mmspec")
    assert not (model.state_dict()["label.output.bias"] == 7.0).all()


def test_a_layout_that_is_not_there(model, saved):
    refused(model, saved(vit_names()), r"no layout 'timm'; there are mmspec .*transformers/vit", layout="timm")


def test_what_a_user_asks_to_ignore_is_left_out_and_said(model, saved):
    theirs = vit_names() | {"extra.table": torch.zeros(5, 6)}
    refused(model, saved(theirs), r"left out by `ignore: \[extra\.\*\]`")
    loaded = mmspec.load_weights(model, saved(theirs), ignore=["extra.*"])
    assert loaded.notes == ("left out extra.table: as asked",)


def test_what_a_layout_ignores_is_said_with_its_reason(model, saved):
    loaded = mmspec.load_weights(model, saved(vit_names() | {"vit.pooler.dense.weight": torch.zeros(8, 8)}))
    assert loaded.notes == ("left out vit.pooler.dense.weight: a pooler that image classification does not read",)


def test_one_node_of_a_checkpoint(saved):
    model = mmspec.build(tiny(SPEC.replace("classes: 3", "classes: 5")))
    head = model.state_dict()["label.output.weight"].clone()
    loaded = mmspec.load_weights(model, saved(vit_names()), node="image")
    assert loaded.notes == ("left out classifier.bias, classifier.weight: not of image",)
    assert torch.equal(model.state_dict()["label.output.weight"], head)
    assert torch.equal(model.state_dict()["image.norm.bias"], vit_names()["vit.layernorm.bias"])
    refused(model, saved(vit_names()), r"no node 'picture'; it has image, label", node="picture")


def test_several_nodes_that_fit_are_an_error_that_says_how_to_say_which(saved):
    text = SPEC.replace(
        "encoders:\n",
        "encoders:\n  other: {type: vit, patch_size: 4, width: 8, depth: 2, heads: 2, from: inputs.image}\n",
    )
    text += "outputs: [other]\n"
    model = mmspec.build(tiny(text))
    refused(model, saved(vit_names()), r"tiny has several: .*; say which with `nodes: \{image: ")
    mmspec.load_weights(model, saved(vit_names()), node="image")
    refused(model, saved(vit_names()), r"image: nobody", nodes={"image": "nobody"})
    # the other encoder has nothing yet, and the whole model is asked for
    refused(model, saved(vit_names()), r"missing +other\.position", nodes={"image": "image"})


# files ------------------------------------------------------------------------------------------------------------------


def sharded(tmp_path, state, files=2):
    names = sorted(state)
    weight_map = {}
    for i in range(files):
        part = {name: state[name].contiguous() for name in names[i::files]}
        save_file(part, tmp_path / f"model-{i}.safetensors")
        weight_map |= dict.fromkeys(part, f"model-{i}.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def test_shards_are_one_checkpoint_by_their_index_or_their_folder(model, tmp_path):
    theirs = vit_names()
    index = sharded(tmp_path, theirs)
    for path in (index, tmp_path):
        fresh = mmspec.build(tiny())
        mmspec.load_weights(fresh, path)
        assert torch.equal(fresh.state_dict()["label.output.bias"], theirs["classifier.bias"])


def test_shards_that_are_not_there_or_hold_less_than_the_index_says(model, tmp_path):
    index = sharded(tmp_path, vit_names())
    said = json.loads(index.read_text())
    said["weight_map"]["vit.more"] = "model-0.safetensors"
    index.write_text(json.dumps(said))
    refused(model, index, r"model-0\.safetensors has no tensor vit\.more")
    (tmp_path / "model-1.safetensors").unlink()
    refused(model, index, r"needs model-1\.safetensors beside it")
    said["weight_map"] = {"vit.more": "../elsewhere.safetensors"}
    index.write_text(json.dumps(said))
    refused(model, index, r"points outside its folder")
    for text in ("{}", "[" * 100_000, '{"weight_map": {"a": 3}}', "\0"):
        index.write_text(text)
        refused(model, index, r"is no index of shards|which are not there")


def test_a_truncated_file(model, saved):
    path = saved(vit_names())
    whole = path.read_bytes()
    for length in (len(whole) - 100, len(whole) // 2, 100, 8, 1, 0):
        path.write_bytes(whole[:length])
        refused(model, path, r"vit\.safetensors is torn, or no safetensors file")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_pickled_content_is_refused_by_what_it_is_unless_asked_for(model, tmp_path, name):
    path = tmp_path / name
    torch.save(vit_names(), path)
    refused(model, path, r"is pickled.*say `pickled: true`")
    mmspec.load_weights(model, path, pickled=True)
    assert torch.equal(model.state_dict()["label.output.bias"], vit_names()["classifier.bias"])


@pytest.mark.parametrize("start", [b"PK", b"\x80\x02"])
def test_a_header_whose_length_reads_like_a_pickle_is_none(tmp_path, start):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(2)}, path)
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    length = int.from_bytes(start, "little")
    path.write_bytes(length.to_bytes(8, "little") + whole[8:end].rstrip().ljust(length) + whole[end:])
    assert path.read_bytes().startswith(start)
    assert torch.equal(open_checkpoint(path).read("a"), torch.ones(2))


class Payload:
    def __reduce__(self):
        return print, ("this ran",)


def test_a_pickle_runs_nothing_even_where_it_is_asked_for(model, tmp_path, capsys):
    torch.save({"classifier.weight": Payload()}, tmp_path / "model.bin")
    refused(model, tmp_path / "model.bin", r"holds more than tensors", pickled=True)
    assert "this ran" not in capsys.readouterr().out


def test_a_path_that_is_not_there(model, tmp_path):
    refused(model, tmp_path / "nothing.safetensors", r"there are no weights at .*nothing\.safetensors")
    refused(model, "a" * 5000, r"cannot look for weights at aaaa.*: File name too long")
    refused(model, "a\0b", r"there are no weights at")
    refused(model, tmp_path, r"has neither model\.safetensors nor")


def test_a_name_on_the_hub_without_a_network(model, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(
        model,
        "mmspec-tests/no-such-model",
        r"mmspec-tests/no-such-model is no path here, and the Hub cannot be reached",
    )


def test_a_name_on_the_hub_is_what_its_folder_holds(model, tmp_path, monkeypatch):
    asked = []

    def download(repository, allow_patterns):
        asked.append((repository, tuple(allow_patterns)))
        return str(tmp_path)

    sharded(tmp_path, vit_names())
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    mmspec.load_weights(model, "google/vit-1.5-tiny")
    assert asked == [("google/vit-1.5-tiny", ("*.safetensors", "model.safetensors.index.json"))]
    assert torch.equal(model.state_dict()["label.output.bias"], vit_names()["classifier.bias"])


def test_a_module_of_unknown_origin_needs_its_spec(model, saved):
    model.meta.pop("spec")
    refused(model, saved(vit_names()), r"Give load_weights the spec")
    mmspec.load_weights(model, saved(vit_names()), spec=tiny())
