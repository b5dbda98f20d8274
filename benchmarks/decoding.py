"""Tokens per second of a text that is written greedily: from kept keys and values in ONNX Runtime (`decoding: cache`), by computing
the whole text at every step in ONNX Runtime (`decoding: none`), and by transformers' own `generate` with its cache, in torch.

One small GPT-2 with the same random weights for all three, which write the same ids, or the run ends. They are timed in turn in the
same run, on one thread; printed is the best of a few rounds, and its ratio to transformers'. Then the same network in fewer bits:
int8 and int4 beside float32, in turn, tokens per second and bytes as ratios to float32, and how many tokens of the float32 files'
texts are the same. Needs the package transformers.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

import mmspec
from mmspec.backend import write_folder
from mmspec.deploy import read_target
from mmspec.host import session
from mmspec.spec import ModelSpec
from mmspec.writer import Writer

WIDTH, DEPTH, HEADS, VOCABULARY, LENGTH = 384, 6, 6, 4096, 256
BEGUN, MORE = 32, 128  # tokens of the beginning, and that are written
ROUNDS = 3
INT4 = """
device: cpu
runtime: onnxruntime
precision: int4
decoding: cache
weights: beside
"""

Texts = list[list[int]]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    theirs = peer()
    with tempfile.TemporaryDirectory() as home:
        theirs.save_pretrained(Path(home) / "published")
        model = mmspec.build(spec())
        mmspec.load_weights(model, Path(home) / "published", layout="transformers")
        write_folder(spec(), model, Path(home) / "built")
        packages = {name: Path(home) / name for name in ("edge_cpu_writer", "edge_cpu_fp32")}
        files = {name: mmspec.export(Path(home) / "built", name, folder).path for name, folder in packages.items()}
        writer = Writer.load(files["edge_cpu_writer"].parent, threads=1)
        whole = session(str(files["edge_cpu_fp32"]), 1)
        few = {"float32": files["edge_cpu_writer"].parent.parent} | {
            name: mmspec.export(Path(home) / "built", target, Path(home) / name).folder
            for name, target in (("int8", "edge_cpu_writer_int8"), ("int4", read_target(INT4)))
        }
        fewer = {name: Writer.load(folder / "onnx", threads=1) for name, folder in few.items()}
        sizes = {name: sum(file.stat().st_size for file in (folder / "onnx").iterdir()) for name, folder in few.items()}
        kept = {name: texts_of(folder) for name, folder in few.items() if name != "float32"}
    print(f"GPT-2, width {WIDTH}, {DEPTH} blocks, {BEGUN} tokens of beginning, {MORE} written; tokens per second\n")
    print(f"{'batch':>5} {'cache, ORT':>12} {'no cache, ORT':>14} {'transformers':>13} {'ORT / transformers':>19}")
    for batch in (1, 8):
        ids = np.random.default_rng(0).integers(0, VOCABULARY, (batch, BEGUN))
        given = {"text": ids, "text_mask": np.ones_like(ids, bool)}
        ways: dict[str, Callable[[], Texts]] = {
            "cache": lambda given=given: writer.generate(given, MORE, stop=[]),
            "none": lambda given=given: recomputed(whole, given),
            "theirs": lambda ids=ids: generated(theirs, ids),
        }
        texts = {name: way() for name, way in ways.items()}
        assert texts["cache"] == texts["none"] == texts["theirs"], "they do not write the same"
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                best[name] = min(best[name], time.perf_counter() - start)
        rates = {name: batch * MORE / seconds for name, seconds in best.items()}
        ratio = rates["cache"] / rates["theirs"]
        print(
            f"{batch:5} {rates['cache']:12.0f} {rates['none']:14.0f} {rates['theirs']:13.0f} {ratio:19.2f}", flush=True
        )

    print(f"\nin fewer bits, as ratios to float32 ({sizes['float32'] / 1e6:.1f} MB)\n")
    print(f"{'':>8} {'bytes':>7} {'batch 1':>8} {'batch 8':>8} {'same tokens':>12} {'error of logits':>16}")
    rates = {batch: tokens_per_second(fewer, batch) for batch in (1, 8)}
    for name, found in kept.items():
        gains = " ".join(f"{rates[batch][name] / rates[batch]['float32']:8.2f}" for batch in (1, 8))
        size = sizes[name] / sizes["float32"]
        print(f"{name:>8} {size:7.2f} {gains} {1 - found['other']:12.3f} {found['error']:16.3f}")


def tokens_per_second(writers: dict[str, Writer], batch: int) -> dict[str, float]:
    """Of each, in turn; the best of a few rounds."""
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (batch, BEGUN))
    given = {"text": ids, "text_mask": np.ones_like(ids, bool)}
    best = dict.fromkeys(writers, float("inf"))
    for _ in range(ROUNDS + 1):
        for name, writer in writers.items():
            start = time.perf_counter()
            writer.generate(given, MORE, stop=[])
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: batch * MORE / seconds for name, seconds in best.items()}


def texts_of(folder: Path) -> dict[str, float]:
    """What the export found along the float32 files' texts."""
    found: dict[str, float] = json.loads((folder / "verification.json").read_text())["precision"]["loss"]["texts"]
    return found


def spec() -> ModelSpec:
    sizes = [f"inputs.text.vocab_size={VOCABULARY}", f"inputs.text.length={LENGTH}"]
    sizes += [f"encoders.text.{name}={size}" for name, size in (("width", WIDTH), ("depth", DEPTH), ("heads", HEADS))]
    return mmspec.load("gpt2_small", sizes)


def peer() -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=WIDTH, n_layer=DEPTH, n_head=HEADS, initializer_range=0.05,
        bos_token_id=0, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def recomputed(whole: Callable[..., dict[str, np.ndarray]], given: dict[str, np.ndarray]) -> Texts:
    ids = given["text"]
    for _ in range(MORE):
        logits = whole({"text": ids, "text_mask": np.ones_like(ids, bool)})["next"]
        ids = np.append(ids, logits[:, -1:].argmax(axis=-1), axis=1)
    return ids[:, BEGUN:].tolist()


def generated(model: GPT2LMHeadModel, ids: np.ndarray) -> Texts:
    with torch.no_grad():
        given = torch.from_numpy(ids)
        found = model.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=MORE, do_sample=False, use_cache=True
        )
    return found[:, BEGUN:].tolist()


if __name__ == "__main__":
    main()
