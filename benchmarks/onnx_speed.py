"""Exported files in ONNX Runtime beside eager torch, and beside the files that torch makes of transformers' own networks.

    python benchmarks/onnx_speed.py [SPEC ...]      fusion_gated vit_b16 clip_vit_b32 bert_base swin_t by default

Texts are as long as they may be. Everything runs on one thread, by turns in one process; what counts is the median of the rounds'
ratios, with its quartiles.

    torch    eager time of the serving form, on the same inputs, over the file's: at least what is claimed
    theirs   the file's time over that of transformers' network with the same configuration, exported as transformers documents it
             (torch.onnx.export with dynamo, a dynamic batch, torch's own optimiser on): at most 1
"""

from __future__ import annotations

import importlib
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

import mmspec
from mmspec.deploy import load_target
from mmspec.deploy.cases import draw
from mmspec.deploy.draft import Draft, draft_of
from mmspec.deploy.subject import subject_of
from mmspec.deploy.tracing import quiet
from mmspec.host import session

CLAIMS = {  # eager over the file, by batch
    "fusion_gated": {1: 2.0, 8: 1.3},
    "vit_b16": {1: 1.05, 8: 0.95},
    "clip_vit_b32": {1: 1.05, 8: 0.95},
}
NAMES = (*CLAIMS, "bert_base", "swin_t")
NETWORKS = {each["name"]: each for each in json.loads(Path(__file__).with_name("encoders.json").read_text())}
ROUNDS = 25


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, load {os.getloadavg()[0]:.1f} before\n")
    print(f"{'spec':14} {'batch':>5} {'file':>9}  {'torch / file':>24} {'claim':>6} {'':6}  {'file / theirs':>24}")
    for name in names:
        draft = draft_of(subject_of(mmspec.load(name)), load_target("edge_cpu_fp32"))
        file = session(draft.proto.SerializeToString(), 1)
        peer = theirs(name)
        for batch in (1, 8):
            runs = [ours(draft, file, batch), eager(draft, batch)] + ([peer(batch)] if peer else [])
            seconds = by_turns(runs)
            claim = CLAIMS.get(name, {}).get(batch)
            gain, told = ratio(seconds[1], seconds[0])
            verdict = "" if claim is None else "met" if gain >= claim else "MISSED"
            line = f"{name:14} {batch:5} {1e3 * statistics.median(seconds[0]):6.1f} ms  {told:>24} {claim or '':>6} {verdict:6}"
            if peer:
                share, told = ratio(seconds[0], seconds[2])
                line += f"  {told:>24} {'met' if share <= 1 else 'MISSED'}"
            print(line, flush=True)


def ours(draft: Draft, file: Callable[..., Any], batch: int) -> Callable[[], Any]:
    ports = draft.contract.inputs
    feed = {port.name: value.numpy() for port, value in zip(ports, longest(draft, batch), strict=True)}
    return lambda: file(feed)


def eager(draft: Draft, batch: int) -> Callable[[], Any]:
    inputs = longest(draft, batch)
    return lambda: draft.module(*inputs)


def longest(draft: Draft, batch: int) -> tuple[torch.Tensor, ...]:
    sizes = {name: size.high for name, size in draft.contract.dims.items()} | {"batch": batch}
    return draw(draft.contract, sizes, seed=1)


def theirs(name: str) -> Callable[[int], Callable[[], Any]] | None:
    """A run of transformers' network by batch, where there is one of the same configuration."""
    network = NETWORKS.get(name)
    if network is None:
        return None
    module, _, kind = network["class"].rpartition(".")
    network_class = getattr(importlib.import_module(module), kind)
    model = network_class(network_class.config_class(**network["config"])).eval()
    dims = {name: {0: torch.export.Dim("batch", min=1, max=256)} for name in given(network, 2)}
    content = io.BytesIO()
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            model,
            (),
            kwargs=given(network, 2),
            dynamo=True,
            dynamic_shapes=dims,
            verbose=False,
        )
    assert program is not None
    program.save(content, external_data=False)
    run = session(content.getvalue(), 1)

    def by_batch(batch: int) -> Callable[[], Any]:
        feed = {key: value.numpy() for key, value in given(network, batch).items()}
        return lambda: run(feed)

    return by_batch


def given(network: dict[str, Any], batch: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    found = {}
    for name, (shape, dtype) in network["inputs"].items():
        size = [batch, *shape[1:]]
        found[name] = (
            torch.randn(size, generator=generator)
            if dtype == "float32"
            else torch.randint(5, 1000, size, generator=generator)
        )
    if "input_ids" in found:  # ours takes a mask too
        found["attention_mask"] = torch.ones_like(found["input_ids"])
    return found


def by_turns(runs: list[Callable[[], Any]]) -> list[list[float]]:
    """Seconds of each, round by round; the first rounds are not counted."""
    seconds: list[list[float]] = [[] for _ in runs]
    with torch.inference_mode():
        for number in range(ROUNDS + 3):
            for column, run in zip(seconds, runs, strict=True):
                start = time.perf_counter()
                run()
                if number >= 3:
                    column.append(time.perf_counter() - start)
    return seconds


def ratio(above: list[float], below: list[float]) -> tuple[float, str]:
    """The median of the rounds' ratios, and it in words with its quartiles."""
    found = [a / b for a, b in zip(above, below, strict=True)]
    low, middle, high = statistics.quantiles(found, n=4)
    return middle, f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main(sys.argv[1:] or list(NAMES))
