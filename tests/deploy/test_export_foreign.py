"""A module of somebody else is traced like ours, or it is said at its place of the spec why it cannot be."""

from typing import Literal

import pytest
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmspec.components import CATALOGUE
from mmspec.deploy import load_target
from mmspec.deploy.draft import draft_of
from mmspec.deploy.subject import subject_of
from mmspec.ir import Scope, Value
from mmspec.spec import Catalogue, Encoder, SpecError, read


class Patches(nn.Module):
    """[B, C, H, W] -> [B, H W, C]"""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class Numbered(Patches):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.ones(int(x.shape[0]), 1, 1)


class Pairs(Patches):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).reshape(2, -1, *x.shape[1:]).reshape(-1, x.shape[2] * x.shape[3], x.shape[1])


class FewOrMany(Patches):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 if x.shape[0] < 4 else 2)


class Sign(Patches):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


class Array(Patches):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.from_numpy(x.numpy()))


class Borrowed(Encoder):
    """Patches by another's module."""

    type: Literal["borrowed"] = "borrowed"
    width: PositiveInt = Field(3, description="channels of the tokens")
    module: str = Field("Patches", description="which")

    def emit(self, g: Scope, x: Value) -> Value:
        batch, channels, rows, columns = x.shape
        return g.opaque(
            "body",
            f"{__name__}:{self.module}",
            x,
            shape=(batch, rows * columns, channels),
            flops=0,
            parameters=0,
            held=0,
        )


TEXT = """\
name: lent
inputs: {{image: {{type: image, size: 4, channels: 3}}}}
encoders:
  image: {{type: borrowed, module: {module}}}
heads: {{label: {{type: classification, classes: 5}}}}
objectives: [{{type: cross_entropy, target: answer}}]
"""


def drafted(module):
    spec = read(TEXT.format(module=module), Catalogue((*CATALOGUE, Borrowed)))
    return draft_of(subject_of(spec), load_target("edge_cpu_fp32"))


def test_one_that_computes_with_tensors_is_exported_and_agrees_with_torch():
    draft = drafted("Patches")
    draft.check()
    assert max(draft.prove().max_error.values()) <= 1e-5


@pytest.mark.parametrize("module", ["Numbered", "Pairs", "FewOrMany"])
def test_one_for_a_single_size_is_named_with_the_range_that_the_target_allows(module):
    with pytest.raises(SpecError) as caught:
        drafted(module)
    (found,) = caught.value.diagnostics
    assert (found.position.line, found.position.column) == (4, 10)
    assert f"image.body ({__name__}:{module}) cannot be traced for batch from 1 to 256" in str(found)
    assert "torch says" in str(found) and len(str(found).splitlines()) <= 7


@pytest.mark.parametrize("module", ["Sign", "Array"])
def test_so_is_one_that_computes_outside_of_tensors(module, capfd):
    with pytest.raises(SpecError) as caught:
        drafted(module)
    (found,) = caught.value.diagnostics
    assert found.position.line == 4 and f"{module}) cannot be traced" in str(found) and "batch from" not in str(found)
    assert capfd.readouterr() == ("", "")
