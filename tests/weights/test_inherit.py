"""Nodes that begin with another model's weights: all of theirs, nobody else's, or nothing at all."""

import pytest
import torch
from safetensors.torch import save_file
from small_spec import small_spec

from mmspec.components import CATALOGUE
from mmspec.errors import UserError
from mmspec.spec import read
from mmspec.weights import build, inherit

SPEC = small_spec("tiny", size=8)
TEACHER = """\
name: taught
inputs:
  image: {type: image, size: 8, channels: 1}
encoders:
  student: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}
  teacher: {type: vit, from: image, patch_size: 4, width: 8, depth: 1, heads: 2, average_of: student}
heads:
  label: {type: classification, from: student, classes: 3}
  judge: {type: classification, from: teacher, classes: 3}
"""


def drawn(spec, seed):
    torch.manual_seed(seed)
    return build(spec)


def spec_of(text, *overrides):
    return read(text, CATALOGUE, origin="tiny.yaml", overrides=overrides)


@pytest.fixture
def other(tmp_path):
    """The weights of another model of the same spec."""
    state = drawn(spec_of(SPEC), 1).state_dict()
    save_file(state, tmp_path / "other.safetensors")
    return tmp_path / "other.safetensors", state


def test_the_nodes_that_are_named_are_the_others_and_all_else_is_what_the_seed_draws(other):
    file, theirs = other
    spec = spec_of(SPEC, "fusion.joint.depth=2")
    module, fresh = drawn(spec, 7), drawn(spec, 7).state_dict()
    loaded = inherit(module, spec, file, ["image", "label"])
    for name, tensor in module.state_dict().items():
        inherited = name.split(".")[0] in ("image", "label")
        assert torch.equal(tensor, theirs[name] if inherited else fresh[name]), name
    assert loaded.tensors == sum(name.startswith(("image.", "label.")) for name in theirs)
    assert loaded.notes == ("image, label began with them, other nodes did not",)


def test_a_tensor_of_another_shape_changes_nothing(other):
    spec = spec_of(SPEC, "fusion.joint.depth=2", "encoders.image.width=24")
    module, before = drawn(spec, 7), drawn(spec, 7).state_dict()
    with pytest.raises(
        UserError, match=r"image\.\S+ is \[.*24.* cannot be inherited from .*: there it is \[.*and \d+ more"
    ):
        inherit(module, spec, other[0], ["text", "image"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_what_the_file_has_not_cannot_be_inherited(other):
    spec = spec_of(SPEC, "encoders.text.depth=2")
    with pytest.raises(UserError, match=r"text\..* cannot be inherited from .*: it is not there"):
        inherit(drawn(spec, 0), spec, other[0], ["text"])


def test_an_average_begins_where_the_node_that_it_follows_does(tmp_path):
    spec = spec_of(TEACHER)
    theirs = drawn(spec, 1).state_dict()
    save_file(theirs, tmp_path / "w.safetensors")
    module = drawn(spec, 2)
    inherit(module, spec, tmp_path / "w.safetensors", ["student"])
    for name, parameter in module.student.named_parameters():
        assert torch.equal(parameter, theirs[f"student.{name}"])
        assert torch.equal(module.teacher.get_parameter(name), parameter)
