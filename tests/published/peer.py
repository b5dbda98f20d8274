"""Published networks against their reference implementation in transformers. Imports: `from peer import agree, price`.

    from transformers import ViTConfig, ViTForImageClassification

    SIZES = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=192, image_size=32, patch_size=8)

    def test_vit_computes_what_transformers_computes():
        reference = ViTForImageClassification(ViTConfig(**SIZES, num_labels=10))
        agree(reference, "vit_b16", {"image": ("pixel_values", torch.randn(2, 3, 32, 32))}, {"label": "logits"})

    def test_vit_b16_costs_what_is_published():
        price("vit_b16", parameters=86_567_656, flops=35_127_656_448)

`agree` draws all parameters of the reference anew (those of norms too: defaults hide mistakes), saves them as safetensors by
transformers 5's names, builds ours (the variant `small` of the spec, or what you say), loads them through the layout file of the
family in `mmspec/weights/transformers/`, and asserts

  outputs      equal up to `tolerance` (1e-4) of the spread (standard deviation) of the reference's; the figure is printed
  parameters   as many as the reference has
  FLOPs        as many as torch's FlopCounterMode sees in the reference (attention and experts eager) and in ours, and as we price
  published    the names that `save_pretrained` writes, which are those of the files on the Hub and often older than the classes',
               load to the same weights

A layout may be told by its family: `layout="transformers/vit"`; "transformers" finds it by the names, as users will.

`outputs` leads our outputs to theirs: the name of a field of what they return, or a function of it:

    {"label": "logits", "supervised": lambda theirs: theirs.cls_logits}

What only one side is given: {"text_mask": (None, mask)} is ours alone, `theirs={"use_cache": False}` theirs alone. Boolean masks
go to them as numbers. Run once more with large epsilons, so that a misplaced one is seen: `layer_norm_eps=0.1` in their
configuration and `overrides=["encoders.image.norm_eps=0.1"]` in ours.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers.utils import logging

import mmspec
from mmspec.components import CATALOGUE
from mmspec.ir.graph import Graph
from mmspec.spec import ModelSpec, read
from mmspec.testing import bound_sizes, counted_flops

logging.disable_progress_bar()


def agree(
    reference: nn.Module,
    spec: str | ModelSpec,
    inputs: Mapping[str, tuple[str | None, Tensor]],
    outputs: Mapping[str, str | Callable],
    *,
    variant: str | None = "small",
    overrides: Sequence[str] = (),
    layout: str = "transformers",
    theirs: Mapping[str, object] | None = None,
    ignore: Sequence[str] = (),
    nodes: Mapping[str, str] | None = None,
    tolerance: float = 1e-4,
    flops: bool = True,
    published: bool = True,
    seed: int = 0,
) -> float:
    """Assert that our spec is the reference: outputs, parameters, FLOPs (see the top of this file). Returns the largest error.

    spec        the name of one of specs/, the text of a spec, or a ModelSpec
    inputs      by our name: their name and the tensor
    ignore      tensors of theirs that ours has no use for, as patterns; they are not counted either
    nodes       which of our nodes a layout's words mean, where several would do
    flops       False where the reference computes something that ours does not: say in the test what, and compare that
    published   False where `save_pretrained` cannot write the model
    """
    spec = ours_of(spec, overrides, variant)
    reference = eager(reference).eval()
    draw(reference, seed)
    model = mmspec.build(spec).eval()
    say = {"layout": layout, "ignore": ignore, "nodes": nodes}
    with tempfile.TemporaryDirectory() as folder:
        mmspec.load_weights(model, written(reference, Path(folder) / "state.safetensors"), **say)
        loaded = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        if published:
            draw(model, seed + 1)
            reference.save_pretrained(Path(folder) / "published")
            mmspec.load_weights(model, Path(folder) / "published", **say)
            for name, tensor in model.state_dict().items():
                assert torch.equal(tensor, loaded[name]), f"{name} is another one by the published names"
    error = compare_outputs(model, reference, inputs, outputs, theirs or {})
    print(f"{spec.name}: largest error {error:.1e} of the spread")
    assert error <= tolerance, f"{spec.name} differs by {error:.1e} of the spread"
    compare_parameters(spec, reference, ignore)
    if flops:
        compare_flops(spec, model, reference, inputs, theirs or {})
    return error


def price(name: str, parameters: int, flops: int | None = None, *, variant: str | None = None, overrides=(), **sizes):
    """Assert what a full-size spec costs, without building it. `sizes` as of `mmspec.profile`: batch, the length of a text input by
    its name. FLOPs None: not compared."""
    found = mmspec.profile(mmspec.load(name, overrides, variant), **sizes)
    assert found["parameters.total"] == parameters
    assert flops is None or found["flops.total"] == flops
    return found


def ours_of(spec: str | ModelSpec, overrides: Sequence[str] = (), variant: str | None = "small") -> ModelSpec:
    if isinstance(spec, ModelSpec):
        return spec
    return read(spec, CATALOGUE, overrides=overrides) if "\n" in spec else mmspec.load(spec, overrides, variant)


def eager(reference: nn.Module) -> nn.Module:
    """Attention and experts written out, so that the counter sees their products."""
    if hasattr(reference, "set_attn_implementation"):
        reference.set_attn_implementation("eager")
    if hasattr(reference, "set_experts_implementation"):
        reference.set_experts_implementation("eager")
    return reference


def draw(model: nn.Module, seed: int = 0) -> None:
    """New values for every parameter and for the statistics of batch norms: matrices keep the scale of what they read."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            wide = (
                parameter[0].numel() if parameter.dim() > 1 and parameter.shape[0] > 1 else parameter.shape[-1:].numel()
            )
            std = 1.5 * wide**-0.5 if parameter.dim() > 1 else 0.5
            parameter.normal_(std=std, generator=generator)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.5, generator=generator)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)


def written(reference: nn.Module, path: Path) -> Path:
    """Their state dict as safetensors by the names of the classes; tied tensors by all of their names."""
    save_file({name: tensor.clone().contiguous() for name, tensor in reference.state_dict().items()}, path)
    return path


def given_to_them(inputs: Mapping[str, tuple[str | None, Tensor]], theirs: Mapping[str, object]) -> dict[str, object]:
    given = {name: x.long() if x.dtype is torch.bool else x for name, x in inputs.values() if name is not None}
    return {**given, **theirs}


def compare_outputs(model, reference, inputs, outputs, theirs) -> float:
    """The largest difference of any output, relative to its spread."""
    with torch.no_grad():
        ours = model(**{name: x for name, (_, x) in inputs.items()})
        answer = reference(**given_to_them(inputs, theirs))
    errors = []
    for name, wanted in outputs.items():
        expected = wanted(answer) if callable(wanted) else getattr(answer, wanted)
        found = ours[name]
        assert found.shape == expected.shape, f"{name} is {list(found.shape)}, theirs {list(expected.shape)}"
        assert torch.isfinite(expected).all(), f"their {name} is not finite"
        assert torch.isfinite(found).all(), f"our {name} is not finite"
        assert expected.std() > 1e-3, f"their {name} is hardly more than a constant"
        errors.append(((found - expected).abs().max() / expected.std()).item())
    return max(errors)


def compare_parameters(spec: ModelSpec, reference: nn.Module, ignore: Sequence[str] = ()) -> None:
    counted = {
        name: parameter.numel()
        for name, parameter in reference.named_parameters()
        if not any(fnmatchcase(name, pattern) for pattern in ignore)
    }
    assert mmspec.profile(spec)["parameters.total"] == sum(counted.values())


def compare_flops(spec, model, reference, inputs, theirs) -> None:
    graph: Graph = mmspec.lower(spec)
    ours = {name: x for name, (_, x) in inputs.items()}
    sizes = {"batch" if name == "B" else name: size for name, size in bound_sizes(graph, ours).items()}
    priced = mmspec.profile(spec, graph=graph, **sizes)["flops.total"]
    assert counted_flops(model, ours) == priced
    assert counted_flops(reference, given_to_them(inputs, theirs)) == priced
