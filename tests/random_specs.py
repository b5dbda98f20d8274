"""Random specs that are valid: every choice that a spec leaves open is drawn, sizes are small."""

from __future__ import annotations

import json
import random
from typing import Any

from mmspec.components import CATALOGUE
from mmspec.spec import ModelSpec, read


def random_spec(seed: int) -> ModelSpec:
    return read(json.dumps(random_data(seed)), CATALOGUE)


def random_data(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    modalities = draw.choice(
        [["image"], ["text"], ["image", "text"], ["image", "text"], ["text", "image"], ["image", "text", "caption"]]
    )
    inputs: dict[str, Any] = {}
    encoders: dict[str, Any] = {}
    for name in modalities:
        heads = draw.choice([1, 2, 4])
        width = heads * draw.choice([2, 4, 6])
        encoder = {
            "width": width,
            "heads": heads,
            "depth": draw.choice([1, 2, 3]),
            "expansion": draw.choice([1.0, 2.5, 4.0]),
            "router": router(draw),
        }
        if name == "image":
            patch = draw.choice([2, 4, 8])
            inputs[name] = {"type": "image", "size": patch * draw.choice([1, 2, 3]), "channels": draw.choice([1, 3])}
            position = draw.choice(["none", "learned", "learned_2d"])
            encoders[name] = {"type": "vit", "patch_size": patch, "position": position, **encoder}
        else:
            inputs[name] = {"type": "text", "vocab_size": draw.choice([5, 50]), "length": draw.choice([3, 7])}
            encoders[name] = {"type": "text_transformer", "position": draw.choice(["none", "learned"]), **encoder}
    data: dict[str, Any] = {"name": f"random_{seed}", "inputs": inputs, "encoders": encoders}
    source = modalities[0]
    if len(modalities) > 1:
        data["fusion"] = {"joint": fusion(draw, modalities)}
        source = "joint"
    pool = draw.choice(["mean", "max", "first", "last", "attention"])
    data["heads"] = {"label": {"type": "classification", "classes": draw.choice([2, 9]), "pool": pool, "from": source}}
    if source == "joint" and draw.random() < 0.3:
        data["heads"]["second"] = {"type": "classification", "classes": 3, "from": "joint"}
    data["objectives"] = [{"type": "cross_entropy", "head": head, "target": head} for head in data["heads"]]
    return data


def fusion(draw: random.Random, modalities: list[str]) -> dict[str, Any]:
    kind = draw.choice(["concat", "attention", "gated", "cross_attention", "transformer"])
    heads = draw.choice([1, 2, 4])
    joint: dict[str, Any] = {"type": kind, "from": modalities, "depth": draw.choice([1, 2, 3]), "router": router(draw)}
    joint["width"] = heads * draw.choice([4, 6])
    if kind != "concat":
        joint["heads"] = heads
    if kind == "cross_attention":
        joint["order"] = draw.choice(["sequential", "parallel"])
    if kind == "transformer":
        joint["streams"] = draw.choice(["single", "multi"])
    if joint["depth"] > 1 and draw.random() < 0.5:
        joint["halting"] = {"type": "confidence", "head": "label", "threshold": draw.choice([0.0, 0.3, 0.6, 1.0])}
    return joint


def router(draw: random.Random) -> Any:
    experts = draw.choice([1, 2, 4])
    return draw.choice(["dense", {"type": "top_k", "experts": experts, "k": draw.randint(1, experts)}])
