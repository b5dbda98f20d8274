"""What dynamic attention saves: the share of FLOPs and of measured time of each kind beside the same model without it, which
is timed in turn with it in the same run, batch 1, one thread; in eager torch and in ONNX Runtime.

A threshold's price is that of a sample that keeps all, and what it saves depends on the sample: its share of FLOPs is what
torch counts on the sample that is timed. Its exported file masks, and saves nothing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch

import mmspec
from mmspec.backend import write_folder
from mmspec.components import CATALOGUE
from mmspec.spec import ModelSpec, read
from mmspec.testing import counted_flops, example

IMAGE = """
name: {name}
inputs: {{image: {{type: image, size: 224}}}}
encoders:
  image: {{type: vit, patch_size: 16, width: 192, depth: 8, heads: 3, class_token: true{more}}}
heads: {{label: {{type: classification, classes: 10, from: image.class}}}}
"""
TEXT = """
name: {name}
inputs: {{text: {{type: text, vocab_size: 1000, length: 2048}}}}
encoders:
  text: {{type: text_transformer, width: 192, depth: 2, heads: 3{more}}}
heads: {{label: {{type: classification, classes: 10}}}}
"""
FUSED = """
name: {name}
inputs: {{image: {{type: image, size: 32}}, text: {{type: text, vocab_size: 1000, length: 1024}}}}
encoders:
  image: {{type: vit, patch_size: 4, width: 192, depth: 1, heads: 3}}
  text: {{type: embedding, width: 192}}
fusion: {{joint: {{type: cross_attention, from: [image, text], depth: 6, heads: 3{more}}}}}
heads: {{label: {{type: classification, classes: 10}}}}
"""
CASES = {
    "pruning: ratio 0.7": (IMAGE, "pruning: {type: ratio, blocks: [2, 4, 6], keep: 0.7}"),
    "pruning: ratio 0.5": (IMAGE, "pruning: {type: ratio, blocks: [2, 4, 6], keep: 0.5}"),
    "pruning: learned 0.7": (IMAGE, "pruning: {type: learned, blocks: [2, 4, 6], keep: 0.7}"),
    "pruning: threshold": (IMAGE, "pruning: {type: threshold, blocks: [2, 4, 6], threshold: 0.99}"),
    "selection: top_k 16": (FUSED, "selection: {type: top_k, k: 16}"),
    "selection: learned 16": (FUSED, "selection: {type: learned, k: 16}"),
    "head_policy: top_k 1": (IMAGE, "head_policy: {type: top_k, k: 1}"),
    "attention: block_top_k": (TEXT, "attention: {type: block_top_k, block: 64, k: 3}"),
}


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    print(f"{'':24}{'FLOPs':>8}{'eager':>8}{'ONNX Runtime':>14}   shares of the same model without it")
    for name, (text, more) in {name: CASES[name] for name in names or CASES}.items():
        plain, dynamic = (spec_of(text, said) for said in ("", f", {more}"))
        run = {key: runners(spec) for key, spec in (("plain", plain), ("dynamic", dynamic))}
        flops = run["dynamic"][2] / run["plain"][2]
        eager, served = (ratio(run["dynamic"][i], run["plain"][i]) for i in (0, 1))
        print(f"{name:24}{flops:8.2f}{eager:8.2f}{served:14.2f}", flush=True)


def spec_of(text: str, more: str) -> ModelSpec:
    return read(text.format(name="dynamic", more=more), CATALOGUE)


def runners(spec: ModelSpec) -> tuple[Callable[[], Any], Callable[[], Any], int]:
    """The model in eager torch and in ONNX Runtime on one sample, and the FLOPs that torch counts."""
    torch.manual_seed(0)
    model = mmspec.build(spec).eval()
    inputs = {key: longest(value) for key, value in example(mmspec.lower(spec), 1).items()}
    with tempfile.TemporaryDirectory() as home:
        built, package = Path(home) / "built", Path(home) / "package"
        write_folder(spec, model, built)
        mmspec.export(built, "edge_cpu_fp32", package)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(package / "onnx" / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
    feeds = {key: value.numpy() for key, value in inputs.items()}
    feeds |= {f"{key}_mask": value.numpy() != 0 for key, value in inputs.items() if value.dtype == torch.int64}

    def eager() -> None:
        with torch.inference_mode():
            model(**inputs)

    return eager, lambda: session.run(None, feeds), counted_flops(model, inputs)


def longest(value: torch.Tensor) -> torch.Tensor:
    """A text without padding."""
    if value.dtype != torch.int64:
        return value
    return torch.randint(1, 1000, value.shape, generator=torch.Generator().manual_seed(1))


def ratio(one: Callable[[], Any], other: Callable[[], Any], pairs: int = 15) -> float:
    """The median of the time of one over that of the other, in turn."""
    ratios = []
    for _ in range(pairs):
        start = time.perf_counter()
        one()
        middle = time.perf_counter()
        other()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return statistics.median(ratios[3:])


if __name__ == "__main__":
    main(sys.argv[1:])
