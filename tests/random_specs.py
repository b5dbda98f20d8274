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
            encoders[name] = {
                "type": "text_transformer",
                **encoder,
                **reading(draw, heads),
                "router": router(draw, True),
            }
        prune(draw, encoders[name])
    data: dict[str, Any] = {"name": f"random_{seed}", "inputs": inputs, "encoders": encoders}
    source = modalities[0]
    if len(modalities) > 1:
        data["fusion"] = {"joint": fusion(draw, modalities)}
        source = "joint"
    pool = draw.choice(["mean", "max", "first", "last", "attention"])
    data["heads"] = {"label": {"type": "classification", "classes": draw.choice([2, 9]), "pool": pool, "from": source}}
    if source == "joint" and draw.random() < 0.3:
        data["heads"]["second"] = {"type": "classification", "classes": 3, "from": "joint"}
    if "text" in modalities and draw.random() < 0.4:
        data["inputs"]["answer"] = {"type": "text", "vocab_size": 9, "length": 4, "start": draw.choice([0, 1, None])}
        data["decoders"] = {"writer": writer(draw, ["inputs.answer", source])}
        data["heads"]["words"] = draw.choice(
            [
                {
                    "type": "language_model",
                    "from": ["writer", "writer.embedding"],
                    "scaled": draw.choice([True, False]),
                },
                {"type": "language_model", "from": "writer", "vocab_size": 9, "bias": draw.choice([True, False])},
                {"type": "masked_language_model", "from": ["writer", "writer.embedding"]},
            ]
        )
    judged = [head for head in data["heads"] if head != "words"]
    data["objectives"] = [{"type": "cross_entropy", "head": head, "target": head} for head in judged]
    if "words" in data["heads"]:
        data["objectives"].append({"type": "next_token", "head": "words", "text": "answer"})
    return data


def reading(draw: random.Random, heads: int) -> dict[str, Any]:
    """Who sees whom in a text, and how places are told."""
    blocks = {"type": "block_top_k", "block": draw.choice([1, 2]), "k": 1, "causal": draw.choice([True, False])}
    norms = {"norm": draw.choice(["layer", "rms"]), "norm_order": draw.choice(["pre", "post", "sandwich"])}
    return norms | {
        "attention": draw.choice(["full", "causal", {"type": "prefix", "tokens": 2}, blocks]),
        "position": draw.choice(["none", "learned", "rotary", "relative_buckets"]),
        "kv_heads": draw.choice([None, 1, heads]),
        "gated": draw.choice([True, False]),
        "bias": draw.choice([True, False]),
    }


def prune(draw: random.Random, encoder: dict[str, Any]) -> None:
    """Some stacks in which every token may stand anywhere leave tokens out."""
    anywhere = encoder.get("attention", "full") == "full" and encoder["position"] in ("none", "learned", "learned_2d")
    if anywhere and draw.random() < 0.5:
        blocks = sorted(draw.sample(range(1, encoder["depth"] + 1), draw.randint(1, encoder["depth"])))
        share = {"type": "ratio", "keep": draw.choice([0.2, 0.5, 0.7]), "fuse": draw.choice([True, False])}
        rules = [share, {"type": "threshold", "threshold": 0.9}]
        rules += [{"type": "learned", "keep": 0.5}] if encoder["width"] >= 4 else []
        encoder["pruning"] = {**draw.choice(rules), "blocks": blocks}
    elif anywhere and encoder.get("kv_heads") in (None, encoder["heads"]) and draw.random() < 0.5:
        encoder["head_policy"] = {"type": "top_k", "k": draw.randint(1, encoder["heads"])}


def writer(draw: random.Random, reads: list[str]) -> dict[str, Any]:
    heads = draw.choice([1, 2])
    sizes = {
        "width": heads * draw.choice([2, 6]),
        "heads": heads,
        "depth": draw.choice([1, 2]),
        "router": router(draw, True),
    }
    return {"type": "text_decoder", "from": reads, **sizes, **reading(draw, heads)}


def fusion(draw: random.Random, modalities: list[str]) -> dict[str, Any]:
    kind = draw.choice(["concat", "attention", "gated", "cross_attention", "transformer"])
    heads = draw.choice([1, 2, 4])
    joint: dict[str, Any] = {"type": kind, "from": modalities, "depth": draw.choice([1, 2, 3]), "router": router(draw)}
    joint["width"] = heads * draw.choice([4, 6])
    if kind != "concat":
        joint["heads"] = heads
    if kind == "cross_attention":
        joint["order"] = draw.choice(["sequential", "parallel"])
    if kind in ("attention", "gated", "cross_attention") and draw.random() < 0.5:
        joint["selection"] = {"type": draw.choice(["top_k", "learned"]), "k": 1}
    if kind == "transformer":
        joint["streams"] = draw.choice(["single", "multi"])
        if joint["streams"] == "single" and "caption" not in modalities and draw.random() < 0.5:
            joint["router"] = draw.choice(
                ["hard", {"type": "top_k", "experts": 3, "input": draw.choice(["modality", "both"])}]
            )
    if kind != "concat" and draw.random() < 0.2:
        joint["attention_router"] = draw.choice(
            [{"type": "top_k", "experts": 2, "k": 1}, {"type": "soft", "experts": 2}]
        )
    if joint["depth"] > 1 and draw.random() < 0.6:
        policy = joint["halting"] = halting(draw, joint["depth"], joint.get("streams") == "multi")
        trying = isinstance(joint["router"], dict) and joint["router"].get("method") == "reinforce"
        if policy["type"] == "by_stream" or (policy["type"] == "act" and trying):
            joint["router"] = "dense"
            joint.pop("attention_router", None)
    return joint


def halting(draw: random.Random, depth: int, several: bool) -> dict[str, Any]:
    """A policy for a stack that `label` reads; a loop where there is one stream."""
    judged = {"head": "label", "own_heads": draw.choice([True, False]), "distil": draw.choice([0.0, 0.5])}
    policies = [
        {"type": "confidence", "threshold": draw.choice([0.0, 0.3, 0.6, 1.0]), **judged},
        {"type": "entropy", "threshold": draw.choice([0.0, 0.5]), **judged},
        {
            "type": "improvement",
            "threshold": draw.choice([0.0, 0.5, 2.0]),
            "exits": [draw.randrange(1, depth)],
            **judged,
        },
        {"type": "ponder", "prior": draw.choice([None, 0.3]), **judged},
        *([] if depth < 3 else [{"type": "patience", **judged}]),
        *([{"type": "by_stream", "threshold": draw.choice([0.0, 0.5])}] if several else []),
        *([] if several else [{"type": "act", "per": draw.choice(["token", "sample"])}]),
    ]
    return draw.choice(policies)


def router(draw: random.Random, causal: bool = False) -> Any:
    experts = draw.choice([1, 2, 4])
    top_k = {
        "type": "top_k",
        "experts": experts,
        "k": draw.randint(1, experts),
        "normalise": draw.choice([True, False]),
    }
    top_k |= {
        "shared": draw.choice([0, 0, 1]),
        "capacity_factor": draw.choice([None, None, 1.0]),
        "noise": draw.random() < 0.2,
    }
    switch = {"type": "switch", "experts": experts, "capacity": draw.choice([1, 3, None])}
    few = [
        "dense",
        {"type": "top_p", "experts": experts, "p": draw.choice([0.3, 0.7])},
        top_k,
        switch,
        {"type": "learned", "experts": experts, "method": draw.choice(["gumbel", "reinforce"])},
    ]
    if causal:  # others look at the whole sequence
        return draw.choice(few)
    share = draw.choice([0.5, 1.0, float(experts)])
    soft, claims = (
        {"type": "soft", "experts": experts},
        {"type": "expert_choice", "experts": experts, "capacity_factor": share},
    )
    return draw.choice([*few, soft, claims, {**switch, "drop": "next"}])
