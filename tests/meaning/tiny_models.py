"""Models of a few thousand parameters, every one of them re-randomised, and examples with ragged masks."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import ModelSpec, read

INPUTS = {
    "image": "{type: image, size: 12, channels: 2}",
    "text": "{type: text, vocab_size: 11, length: 6}",
    "note": "{type: text, vocab_size: 7, length: 5}",
}
ENCODERS = {  # nine patches of width 16, up to six tokens of width 24, up to five of width 16
    "image": "{type: vit, patch_size: 4, width: 16, depth: 1, heads: 2, expansion: 2}",
    "text": "{type: text_transformer, width: 24, depth: 1, heads: 3, expansion: 2}",
    "note": "{type: text_transformer, width: 16, depth: 1, heads: 2, expansion: 2}",
}
HEAD = "{type: classification, classes: 5}"


def spec(
    fusion: str = "",
    streams: Iterable[str] = ("image", "text"),
    heads: dict[str, str] | None = None,
    encoders: dict[str, str] | None = None,
    inputs: dict[str, str] | None = None,
    objectives: Iterable[str] = (),
    outputs: Iterable[str] = (),
    name: str = "tiny",
) -> ModelSpec:
    """A spec with `fusion: {joint: {from: [streams], <fusion>}}`, or without a fusion where none is given."""
    streams = tuple(streams)
    lines = [f"name: {name}", "inputs:"]
    lines += [f"  {stream}: {(INPUTS | (inputs or {}))[stream]}" for stream in streams]
    lines += [
        f"  {name}: {text}" for name, text in (inputs or {}).items() if name not in (*INPUTS, *streams)
    ]  # read in a slot
    lines += ["encoders:"] + [f"  {stream}: {(ENCODERS | (encoders or {}))[stream]}" for stream in streams]
    if fusion:
        lines += ["fusion:", f"  joint: {{from: [{', '.join(streams)}], {fusion}}}"]
    lines += ["heads:"] + [f"  {name}: {text}" for name, text in (heads or {"label": HEAD}).items()]
    if objectives:
        lines += ["objectives:"] + [f"  - {text}" for text in objectives]
    if outputs:
        lines += [f"outputs: [{', '.join(outputs)}]"]
    return read("\n".join(lines) + "\n", CATALOGUE)


def built(spec: ModelSpec, seed: int = 0, std: float = 0.3) -> nn.Module:
    """The model in evaluation mode, all parameters drawn from a normal distribution: zero biases and norms of one hide bugs."""
    model = mmspec.build(spec).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.normal_(std=std, generator=generator)
    return model


def example(
    streams: Iterable[str] = ("image", "text"), batch: int = 4, seed: int = 1, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Inputs by name, in this order. Texts are of different lengths, padded with 0; a note's mask has holes, and every fourth
    note is absent."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([6, 3, 1, 4]).repeat(batch)[:batch, None]
    holes = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
    made = {
        "image": torch.randn(batch, 2, 12, 12, generator=g).to(dtype),
        "text": torch.randint(1, 11, (batch, 6), generator=g) * (torch.arange(6) < lengths),
        "note": torch.randint(0, 7, (batch, 5), generator=g),
        "note_mask": holes.repeat(batch, 1)[:batch],
    }
    return {name: made[name] for stream in streams for name in (stream, f"{stream}_mask") if name in made}


def masks(inputs: dict[str, Tensor]) -> dict[str, Tensor | None]:
    """Which tokens of each stream are there."""
    return {
        name: None if value.dim() == 4 else inputs.get(f"{name}_mask", value != 0)
        for name, value in inputs.items()
        if not name.endswith("_mask")
    }


def assert_agree(found: Tensor, expected: Tensor, tolerance: float | None = None) -> None:
    """Equal within `tolerance` times the spread of what is expected: 2e-5 in single, 1e-9 in double precision."""
    if tolerance is None:
        tolerance = 2e-5 if found.dtype == torch.float32 else 1e-9
    assert found.shape == expected.shape
    spread = expected.detach().double().std()
    assert torch.isfinite(expected).all() and spread > 0.01, "a reference without spread proves nothing"
    error = (found.detach().double() - expected.detach().double()).abs().max()
    assert error <= tolerance * spread, f"off by {error / spread:.1e} of the spread"
