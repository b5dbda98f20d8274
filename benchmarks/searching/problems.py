"""Problems with a known cost and an accuracy that costs a training: two families of formulas, and a table of real trainings.

The accuracy of a spec is one number (what a training with the spec's own seed gives), so that arms may be compared on what they
found: its noise is a function of the spec.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mmspec.study.known_cost import Structure

TABLE = Path(__file__).resolve().parent.parent / "results" / "digits_table.json"


@dataclass(frozen=True)
class Problem:
    name: str
    structure: Structure
    cost: Callable[[Mapping[str, Any]], float]
    accuracy: Callable[[Mapping[str, Any]], float]
    limit: float  # a spec that costs more is infeasible
    reference: tuple[float, float]  # of the hypervolume: accuracy, cost
    size: int = 0  # of a table

    def key(self, params: Mapping[str, Any]) -> str:
        return json.dumps(self.structure.complete(params), sort_keys=True)


def _noise(params: Mapping[str, Any], seed: int, scale: float) -> float:
    """Normal, from the spec and the problem's seed."""
    digest = hashlib.sha256(json.dumps([seed, dict(params)], sort_keys=True).encode()).digest()
    return scale * float(np.random.default_rng(int.from_bytes(digest[:8])).standard_normal())


def multimodal(seed: int) -> Problem:
    """Two encoders, a fusion with alternatives that have parameters of their own, experts or none: 15 parameters.

    Accuracy saturates with the capacity of each modality, what is missing in one is partly made up by the other, fusion and
    routing act through what they fuse; FLOPs are polynomials of widths, depths and tokens.
    """
    one = np.random.default_rng([seed, 11])
    space = Structure.of(
        {
            "image.type": CategoricalDistribution(["vit", "cnn", "mixer"]),
            "image.width": IntDistribution(16, 256, step=16),
            "image.depth": IntDistribution(1, 8),
            "image.patch": (CategoricalDistribution([4, 8, 16]), {"image.type": ("vit", "mixer")}),
            "image.kernel": (CategoricalDistribution([3, 5, 7]), {"image.type": "cnn"}),
            "text.type": CategoricalDistribution(["transformer", "gru"]),
            "text.width": IntDistribution(16, 256, step=16),
            "text.depth": IntDistribution(1, 6),
            "fusion": CategoricalDistribution(["concat", "cross", "gated", "bottleneck"]),
            "fusion.depth": (IntDistribution(1, 4), {"fusion": ("cross", "gated", "bottleneck")}),
            "fusion.tokens": (IntDistribution(2, 16), {"fusion": "bottleneck"}),
            "fusion.heads": (CategoricalDistribution([1, 2, 4, 8]), {"fusion": ("cross", "gated")}),
            "experts": CategoricalDistribution([1, 2, 4, 8]),
            "k": (IntDistribution(1, 2), {"experts": (2, 4, 8)}),
            "dropout": FloatDistribution(0.0, 0.5),
        }
    )
    kinds = {"vit": 1.0, "cnn": 0.8, "mixer": 0.9} | {
        k: float(v) for k, v in zip(("vit", "cnn", "mixer"), one.uniform(0.7, 1.1, 3), strict=True)
    }
    texts = dict(zip(("transformer", "gru"), one.uniform(0.75, 1.1, 2).tolist(), strict=True))
    fusions = dict(
        zip(
            ("concat", "cross", "gated", "bottleneck"),
            (one.uniform(0.6, 1.1, 4) + np.array([-0.1, 0.0, 0.05, 0.05])).tolist(),
            strict=True,
        )
    )
    share, best_drop, best_patch = one.uniform(0.35, 0.65), one.uniform(0.05, 0.3), one.choice([4, 8, 16])

    def tokens(p: Mapping[str, Any]) -> float:
        return (32 / p["image.patch"]) ** 2 if "image.patch" in p else 64.0

    def cost(p: Mapping[str, Any]) -> float:
        n, w, t = tokens(p), p["image.width"], p["text.width"]
        work = {
            "vit": 24 * n * w * w + 4 * n * n * w,
            "cnn": 2 * n * w * w * p.get("image.kernel", 3),
            "mixer": 16 * n * w * w,
        }
        image = p["image.depth"] * work[p["image.type"]]
        text = p["text.depth"] * (24 if p["text.type"] == "transformer" else 12) * 24 * t * t
        fused = p.get("fusion.depth", 0.3) * 24 * (p.get("fusion.tokens", n)) * w * w * (1 + 0.3 * (p.get("k", 1) - 1))
        return float(image + text + fused + 1e5)

    def accuracy(p: Mapping[str, Any]) -> float:
        n, w = tokens(p), p["image.width"]
        image = kinds[p["image.type"]] * (
            1 - math.exp(-((w / 90) ** 0.8) * (p["image.depth"] / 3) ** 0.5 * (n / 40) ** 0.25)
        )
        image *= (
            1
            - 0.05 * abs(math.log2(p.get("image.patch", best_patch) / best_patch))
            + 0.02 * (p.get("image.kernel", 3) - 3)
        )
        text = texts[p["text.type"]] * (1 - math.exp(-((p["text.width"] / 60) ** 0.8) * (p["text.depth"] / 2) ** 0.5))
        joint = fusions[p["fusion"]] * (
            1 - 0.5 * math.exp(-p.get("fusion.depth", 1) * min(p.get("fusion.tokens", 16), 16) / 8)
        )
        joint *= (
            1
            + 0.03 * math.log2(p.get("fusion.heads", 2))
            - 0.02 * (p["experts"] > 4)
            + 0.03 * math.log2(p["experts"]) * p.get("k", 1) / 2
        )
        overfit = 0.3 * (p["dropout"] - best_drop) ** 2 * (w / 128)
        evidence = share * image + (1 - share) * text + 1.2 * image * text * joint - overfit
        return 0.1 + 0.88 * (1 - math.exp(-1.3 * max(evidence, 0.0))) + _noise(p, seed, 0.006)

    return _with_limits("multi-modal, conditional", space, cost, accuracy, seed, share=0.8)


def deceptive(seed: int) -> Problem:
    """Twelve categorical choices without order, a stem that decides which of two groups is there; pairs of choices help only
    together, and what is best alone is not best in company. The cost is a product of the choices' factors."""
    one = np.random.default_rng([seed, 12])
    letters = [f"op{i}" for i in range(5)]
    entries: dict[str, Any] = {"stem": CategoricalDistribution(["a", "b", "c"])}
    entries |= {f"cell{i}": CategoricalDistribution(letters) for i in range(6)}
    entries |= {f"a{i}": (CategoricalDistribution(letters), {"stem": ("a", "c")}) for i in range(3)}
    entries |= {f"b{i}": (CategoricalDistribution(letters), {"stem": "b"}) for i in range(3)}
    entries["scale"] = FloatDistribution(0.25, 4.0, log=True)
    space = Structure.of(entries)
    names = [name for name in entries if name not in ("scale", "stem")]
    alone = {name: dict(zip(letters, one.normal(0, 0.25, 5).tolist(), strict=True)) for name in names}
    price = {name: dict(zip(letters, np.exp(one.normal(0, 0.35, 5)).tolist(), strict=True)) for name in names}
    pairs = [(f"cell{i}", f"cell{(i + 1) % 6}", one.normal(0, 0.35, (5, 5))) for i in range(6)]
    stems = dict(zip("abc", one.normal(0, 0.3, 3).tolist(), strict=True))

    def cost(p: Mapping[str, Any]) -> float:
        work = sum(price[name][p[name]] for name in names if name in p)
        return 1e6 * float(work) * p["scale"] ** 2 * math.prod(price[name][p[name]] for name in ("cell0", "cell1"))

    def accuracy(p: Mapping[str, Any]) -> float:
        fit = stems[p["stem"]] + sum(alone[name][p[name]] for name in names if name in p)
        fit += sum(float(table[letters.index(p[x]), letters.index(p[y])]) for x, y, table in pairs)
        fit += 1.1 * math.log(p["scale"]) - 0.15 * math.log(p["scale"]) ** 2
        return 0.1 + 0.85 / (1 + math.exp(-0.9 * fit - 0.3)) + _noise(p, seed, 0.006)

    return _with_limits("categorical, deceptive", space, cost, accuracy, seed, share=0.85)


def digits(_: int) -> Problem | None:
    """Real trainings, made once by `digits_table.py`; None where the table is not whole."""
    import digits_table

    entries = json.loads(TABLE.read_text())["entries"].values() if TABLE.is_file() else ()
    space = Structure.of(digits_table.space())
    if len(entries) < (digits_table.space().size() or 0):
        return None
    found = {json.dumps(space.complete(entry["params"]), sort_keys=True): entry for entry in entries}
    dearest = max(entry["flops"] for entry in found.values())

    def entry(p: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return found.get(json.dumps(space.complete(p), sort_keys=True))

    def cost(p: Mapping[str, Any]) -> float:
        known = entry(p)
        return float(known["flops"]) if known else math.inf

    def accuracy(p: Mapping[str, Any]) -> float:
        known = entry(p)
        assert known is not None
        return float(known["accuracy"])

    return Problem("digits, real trainings", space, cost, accuracy, dearest, (0.0, dearest * 1.01), len(found))


def _with_limits(
    name: str,
    space: Structure,
    cost: Callable[[Mapping[str, Any]], float],
    accuracy: Callable[[Mapping[str, Any]], float],
    seed: int,
    share: float,
) -> Problem:
    """The dearest of random specs are infeasible; the reference is their bound, and an accuracy of chance."""
    generator = np.random.default_rng([seed, 13])
    costs = sorted(cost(space.draw(generator)) for _ in range(1000))
    limit = costs[int(share * len(costs))]
    return Problem(name, space, cost, accuracy, limit, (0.0, limit))


GENERATORS = (multimodal, deceptive, digits)
