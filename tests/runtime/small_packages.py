"""Packages of a small model, and what torch answered for them."""

import shutil
from contextlib import nullcontext

import safetensors.numpy

from mmspec.deploy import load_target
from mmspec.deploy.contents import contents_of
from mmspec.deploy.package import drafted
from mmspec.deploy.subject import subject_of

SPEC = """
name: small
inputs:
  image: {type: image, size: 8, channels: 1}
  text: {type: text, length: 32}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2, expansion: 2}
  text: {type: text_transformer, width: 12, depth: 1, heads: 2, expansion: 2}
fusion:
  joint:
    {type: concat, from: [image, text], width: 8, expansion: 2, depth: 2,
     halting: {type: confidence, threshold: 0.12, head: label}}
heads: {label: {type: classification, classes: 12}}
objectives: [{type: cross_entropy, head: label, target: answer}]
"""

WRITES = """
name: backwards
inputs:
  text: {type: text, vocab_size: 257, length: 8}
  target: {type: text, vocab_size: 258, length: 10, start: 0, end: 257}
encoders: {text: {type: text_transformer, width: 16, depth: 1, heads: 2}}
decoders: {answer: {type: text_decoder, from: [target, text], width: 16, depth: 1, heads: 2}}
heads: {words: {type: language_model, from: [answer, answer.embedding]}}
objectives: [{type: next_token, text: target}]
"""


def packed(trained, target, home):
    """What `export` writes of a draft, without the proofs, which tests/deploy is about."""
    target, subject = load_target(target), subject_of(trained)
    draft = drafted(subject, target, lambda step: nullcontext())
    files = {name: proto.SerializeToString(deterministic=True) for name, proto in draft.files.protos.items()}
    folder = home / "package"
    for name, content in contents_of(draft, {**files, **draft.accessories}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    shutil.copytree(trained / "data", folder / "data")
    return folder


def golden_of(package):
    """Requests and what torch gives for each, close calls left out."""
    arrays = safetensors.numpy.load_file(package / "golden.safetensors")
    pairs = []
    for case in range(sum(name.endswith(".judged") for name in arrays)):
        sides = [
            {name.removeprefix(start): value for name, value in arrays.items() if name.startswith(start)}
            for start in (f"{case}.inputs.", f"{case}.outputs.")
        ]
        rows = arrays[f"{case}.judged"].nonzero()[0]
        pairs += [tuple({name: value[row] for name, value in side.items()} for side in sides) for row in rows]
    return pairs
