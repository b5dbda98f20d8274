"""What fewer bits gain, and what they cost.

speed   a ViT-B/16 of three blocks (its products are those of all twelve), one thread, batch 8: files in int8, int4 and OpenVINO as
        a ratio to the float32 file in ONNX Runtime, run in turn in one process: of processor time, which on one thread is the
        latency without what else the machine does, and of wall time; the size as a ratio to the float32 file
bf16    OpenVINO's bfloat16 over the float32 file in ONNX Runtime, batch 8, for other networks, and for a product by itself: no
        network can gain more on its products than that
loss    a network trained on the digits questions (the folder that is given, or one that is trained here): validation accuracy of
        the float32 file and of each other, by training's own count
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from onnx import helper, numpy_helper

import mmspec
from mmspec import clock
from mmspec.components import CATALOGUE
from mmspec.deploy import read_target
from mmspec.deploy.draft import draft_of
from mmspec.deploy.measurement import runtime_of, timed, written
from mmspec.deploy.precision.lowering import lowered_of
from mmspec.deploy.subject import Subject, subject_of
from mmspec.host import session
from mmspec.openvino_runtime import openvino
from mmspec.spec import read

TARGETS = {
    "dynamic int8": ("onnxruntime", "int8", "quantisation: {activations: dynamic}"),
    "static int8 u8s8": ("onnxruntime", "int8", "quantisation: {activations: static, examples: %s}"),
    "int4 weights": ("onnxruntime", "int4", ""),
    "OpenVINO bf16": ("openvino", "bf16", ""),
    "OpenVINO int8 s8s8": ("openvino", "int8", "quantisation: {activations: static, examples: %s}"),
}
SPEEDS = {"dynamic int8": 1.7, "OpenVINO bf16": 2.5}  # over float32 in ONNX Runtime
SIZE, LOSS = 0.5, 0.005
LARGE = ["encoders.image.depth=3"]
TOWER = """name: tower
inputs: {image: {type: image, size: 224}}
encoders:
  image: {type: vit, patch_size: 32, width: 768, depth: 3, heads: 12, activation: quick_gelu, patch_bias: false,
    class_token: true, embedding_norm: true, final_norm: false}
heads: {label: {type: classification, classes: 1000, from: image.class}}
objectives: [{type: cross_entropy, head: label, target: label}]
"""
RECIPE = {"data": "digits_questions", "steps": 500, "batch": 64}
SMALL = ["encoders.image.depth=1", "encoders.text.depth=1"]


def main(folders: list[str]) -> None:
    torch.set_num_threads(1)
    speed()
    print(f"\n{'bf16, batch 8':32} {'ratio':>7} {'wall':>7} {'of f32 in OpenVINO':>19}")
    for name, subject in others():
        bf16(name, subject)
    product()
    if folders:
        loss(folders[0])
        return
    with tempfile.TemporaryDirectory() as home:
        mmspec.train(mmspec.load("fusion_gated", SMALL), RECIPE, Path(home) / "trained")
        loss(str(Path(home) / "trained"))


def target(name: str, examples: str) -> mmspec.deploy.Target:
    runtime, precision, more = TARGETS[name]
    more = more % examples if "%s" in more else more
    measure = "measure: {batches: [8], threads: 1, runs: 20}"
    return read_target(f"device: cpu\nruntime: {runtime}\nprecision: {precision}\n{more}\n{measure}")


def speed() -> None:
    subject = subject_of(mmspec.load("vit_b16", LARGE))
    plain = read_target("device: cpu\nruntime: onnxruntime\nprecision: fp32\nmeasure: {batches: [8], runs: 20}")
    draft = draft_of(subject, plain)
    made = [(written(draft.files, {}), "onnxruntime")]
    for name in TARGETS:
        lowered = lowered_of(_for(draft, target(name, "random")), lambda text: nullcontext())
        made.append((written(lowered.files, {}), runtime_of(lowered.target)))
    times = [rows["8"] for rows in timed(plain, draft.contract, made)["folders"]]
    sizes = [sum(map(len, files.values())) for files, _ in made]
    print(f"{'speed, batch 8':20} {'ratio':>7} {'wall':>7} {'wanted':>7} {'':7} {'size':>6} {'wanted':>7}")
    for name, found, size in zip(TARGETS, times[1:], sizes[1:], strict=True):
        ratio, best = (times[0][key] / found[key] for key in ("processor_ms", "least_ms"))
        wanted = SPEEDS.get(name)
        verdict = "" if wanted is None else "met" if ratio >= wanted else "MISSED"
        share = size / sizes[0]
        bound = f"{SIZE:7.2f} {'met' if share <= SIZE else 'MISSED'}" if "int8" in name else ""
        asked = f"{wanted:7.1f}" if wanted else " " * 7
        print(f"{name:20} {ratio:7.2f} {best:7.2f} {asked} {verdict:7} {share:6.2f} {bound}", flush=True)


def others() -> Iterator[tuple[str, Subject]]:
    yield "fusion_gated", subject_of(mmspec.load("fusion_gated"))
    yield "clip_vit_b32, image, 3 blocks", subject_of(read(TOWER, CATALOGUE, origin="tower.yaml"))
    yield "bert_base, 3 blocks", subject_of(mmspec.load("bert_base", ["encoders.text.depth=3"]))


def bf16(name: str, subject: Subject) -> None:
    asked = target("OpenVINO bf16", "random")
    draft = draft_of(subject, asked)
    files = written(draft.files, {})
    told(
        name, timed(asked, draft.contract, [(files, runtime) for runtime in ("onnxruntime", "bf16", "f32")])["folders"]
    )


def told(name: str, folders: Sequence[Mapping[str, Mapping[str, float]]]) -> None:
    """Times in ONNX Runtime, in OpenVINO's bfloat16, in its float32."""
    first, low, float32 = (rows["8"] for rows in folders)
    ratio, wall = (first[key] / low[key] for key in ("processor_ms", "least_ms"))
    print(f"{name:32} {ratio:7.2f} {wall:7.2f} {float32['processor_ms'] / low['processor_ms']:19.2f}", flush=True)


def product() -> None:
    """[1576, 768] x [768, 3072], the widest of a ViT-B/16 at batch 8, with weights that are known."""
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((768, 3072), np.float32), "w")
    x, y = (helper.make_tensor_value_info(name, 1, ["rows", width]) for name, width in (("x", 768), ("y", 3072)))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "product", [x], [y], [weight])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    feed = {"x": np.random.default_rng(1).standard_normal((1576, 768), np.float32)}
    runs = [session(content, 1), openvino("bf16")(content, 1), openvino("f32")(content, 1)]
    told("a product by itself", [{"8": row} for row in clock.timed(runs, feed, 200)])


def loss(folder: str) -> None:
    draft = draft_of(subject_of(folder), read_target("device: cpu\nruntime: onnxruntime\nprecision: fp32"))
    print(f"\n{'loss on the digits':20} {'float32':>8} {'file':>8} {'loss':>8} {'wanted':>7}")
    for name in TARGETS:
        asked = target(name, "data")
        lowered = lowered_of(_for(draft, asked.model_copy(update={"loss": asked.loss.model_copy(update=FREE)})), _quiet)
        metric = lowered.prove().metric
        assert metric is not None
        verdict = "met" if metric.loss <= LOSS else "MISSED"
        print(
            f"{name:20} {metric.float32:8.4f} {metric.file:8.4f} {metric.loss:8.4f} {LOSS:7.3f} {verdict}", flush=True
        )


FREE = {"metric": 1.0, "outputs": 10.0, "exits": 1.0}  # nothing is refused here: it is told


def _quiet(text: str) -> nullcontext[None]:
    return nullcontext()


def _for(draft, asked):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(draft, target=asked)


if __name__ == "__main__":
    main(sys.argv[1:])
