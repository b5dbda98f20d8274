"""What fewer bits cost a decoder that was trained: captions of handwritten digits, written letter by letter.

A picture's encoder and a text's decoder are trained here, on 1,078 scans of digits with their captions, for two minutes on one
thread. Files in each precision then write the captions of 359 other scans, from nothing but the start. Printed beside float32:

    same tokens       along the float32 files' texts, begun by half of each caption (what an export counts)
    error of logits   ||file - float32|| / ||float32|| along these
    next letter       accuracy on the validation split, by training's own count, and its loss
    same captions     share of the whole captions that are, letter for letter, those of the float32 files
    right captions    share of the whole captions that are true of the scan, and its loss
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import mmspec
from mmspec.components import CATALOGUE
from mmspec.data.batch import SPLITS, split_rows
from mmspec.data.captions import CAPTIONS, captions_of
from mmspec.data.digits import SHARES, load_scans
from mmspec.deploy import Target, read_target
from mmspec.deploy.file import Load
from mmspec.deploy.precision.lowering import lowered_of
from mmspec.deploy.precision.task import task_of
from mmspec.deploy.runtimes import float32_load_of, load_of
from mmspec.deploy.subject import subject_of
from mmspec.deploy.writing import Files, WritingDraft, writing_draft_of
from mmspec.spec import read

START, END = MARKS = (0, 257)  # of a caption; the first fills up the shorter ones as well
SPEC = f"""name: captions
inputs:
  image:   {{type: image, size: 16, channels: 1}}
  caption: {{type: text, vocab_size: 258, length: 64, start: {START}, end: {END}}}
encoders:
  image: {{type: vit, patch_size: 4, width: 96, depth: 2, heads: 4}}
decoders:
  words: {{type: text_decoder, from: [caption, image], width: 96, depth: 2, heads: 4}}
heads:
  next: {{type: language_model, from: words, vocab_size: 258}}
objectives: [{{type: next_token, text: caption}}]
"""
RECIPE = {"steps": 800, "batch": 64, "learning_rate": 2e-3}
TARGETS = {
    "float16 (CUDA's file, on the CPU)": "device: cuda\nruntime: onnxruntime\nprecision: fp16",
    "bfloat16, OpenVINO": "device: cpu\nruntime: openvino\nprecision: bf16",
    "int8, dynamic": "device: cpu\nruntime: onnxruntime\nprecision: int8",
    "int8, static u8s8": "device: cpu\nruntime: onnxruntime\nprecision: int8\nquantisation: {activations: static}",
    "int8, static s8s8, OpenVINO": "device: cpu\nruntime: openvino\nprecision: int8",
    "int4 weights": "device: cpu\nruntime: onnxruntime\nprecision: int4",
}
FREE = "loss: {outputs: 10, tokens: 1, metric: 1}"  # nothing is refused here: it is told

Texts = list[list[int]]


def main(folders: list[str]) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        trained = Path(folders[0]) if folders else Path(home) / "trained"
        if not folders:
            data = manifest(Path(home))
            mmspec.train(read(SPEC, CATALOGUE, origin="captions.yaml"), {"data": str(data), **RECIPE}, trained)
        told(trained)


def manifest(folder: Path) -> Path:
    """Every scan as a picture, with its caption and the split that it has in the digits questions."""
    scans, digits = load_scans()
    captions, rows = captions_of(scans, digits), split_rows(len(digits), SHARES, 0)
    splits = {int(row): split for split in SPLITS for row in rows[split]}
    path = folder / "captions.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "caption", "split"])
        for row, scan in enumerate(scans):
            Image.fromarray((scan / 16 * 255).round().to(torch.uint8).numpy()).save(folder / f"{row}.png")
            table.writerow([f"{row}.png", CAPTIONS[int(captions[row])], splits[row]])
    return path


def told(trained: Path) -> None:
    draft = writing_draft_of(subject_of(trained), target("device: cpu\nruntime: onnxruntime\nprecision: fp32"))
    draft.check()
    draft.prove()
    pictures, true = validation(draft)
    plain = written(draft.files, float32_load_of(draft.target), pictures)
    right, letters = share(plain, true), np.mean([len(text) for text in true])
    print(f"\n{len(true)} captions of validation, of {letters:.0f} letters; in float32 {right:.3f} are right")
    print(f"\n{'':34} {'same':>7} {'error of':>9} {'next letter':>16} {'same':>9} {'right captions':>16}")
    print(f"{'':34} {'tokens':>7} {'logits':>9} {'accuracy':>9} {'loss':>6} {'captions':>9} {'share':>9} {'loss':>6}")
    for name, text in TARGETS.items():
        made = lowered_of(replace(draft, target=target(text)), lambda said: nullcontext())
        found = made.prove()
        assert found.metric is not None and found.texts is not None and isinstance(made.files, Files)
        texts = written(made.files, load_of(made.target), pictures)
        mine = share(texts, true)
        print(
            f"{name:34} {1 - found.texts.other:7.4f} {found.texts.error:9.4f} {found.metric.file:9.4f} "
            f"{found.metric.loss:6.4f} {share(texts, plain):9.3f} {mine:9.3f} {right - mine:6.3f}", flush=True,
        )  # fmt: skip


def target(text: str) -> Target:
    return read_target(f"{text}\ndecoding: cache\n{'' if 'fp32' in text else FREE}")


def validation(draft: WritingDraft) -> tuple[list[np.ndarray], Texts]:
    """Pictures of the validation split, in batches f32[B, 1, H, W], and the ids of their captions."""
    task = task_of(draft.subject, draft.contract)
    assert task is not None
    inputs = [batch.inputs for _, batch in task.validation()]
    texts = [text for given in inputs for text in given["caption"].tolist()]
    return [given["image"].numpy() for given in inputs], [
        [each for each in text if each not in MARKS] for text in texts
    ]


def written(files: Files, load: Load, pictures: Sequence[np.ndarray]) -> Texts:
    writer, texts = files.writer(load), []
    for image in pictures:
        start = np.full((len(image), 1), START)
        texts += writer.generate({"image": image, "caption": start, "caption_mask": start == START}, most=64)
    return texts


def share(texts: Texts, wanted: Texts) -> float:
    return float(np.mean([text == other for text, other in zip(texts, wanted, strict=True)]))


if __name__ == "__main__":
    main(sys.argv[1:])
