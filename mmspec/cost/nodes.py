"""The price of each node: parameters, FLOPs with all exits, at the least, and on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mmspec.cost.counts import parameters
from mmspec.cost.flops import Flops, Sizes
from mmspec.cost.halting import last_of
from mmspec.ir import Op
from mmspec.ir.primitives import shape_text


@dataclass(frozen=True)
class NodePrice:
    """One node: parameters, those that one token meets; FLOPs with all exits, on average (None: not known), of samples that leave
    at each exit, the head included, and of everything through each branch. What a halting stack spends on a head is counted at the
    head's node.

    minimum      FLOPs if every sample leaves at the first exit
    uncompacted  on average, of a batch that runs to its last sample
    rates        share of samples that leave at each exit, and where that is known from: "stated", "measured"
    """

    name: str
    role: str
    type: str
    output: str
    parameters: int
    active: int
    flops: int
    expected: float | None
    exits: tuple[int, ...] = ()
    branches: tuple[int, ...] = ()
    minimum: int = 0
    uncompacted: float | None = None
    rates: tuple[float, ...] | None = None
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "role": self.role, "type": self.type, "output": self.output, "parameters": self.parameters,
            "active": self.active, "flops": self.flops, "expected_flops": self.expected,
            "minimum_flops": self.minimum, "expected_flops_uncompacted": self.uncompacted,
            **({"flops_by_exit": list(self.exits), "exit_rates": _listed(self.rates), "source": self.source} if self.exits else {}),
            **({"flops_by_branch": list(self.branches)} if self.branches else {}),
        }  # fmt: skip


Priced = Mapping[str, tuple[Op, Flops]]


def node_price(
    name: str,
    role: str,
    priced: Priced,
    means: Mapping[str, Means],
    sizes: Sizes,
    rates: Mapping[str, Sequence[float]],
    sources: Mapping[str, str],
) -> NodePrice:
    op, part = priced[name]
    body = op.bodies[0]
    total, idle = parameters(body) if "shares" not in op.attributes else (0, 0)  # they are counted with whose they are
    output = next(iter(body.outputs.values()))
    askers = [
        asker for asker, (_, other) in priced.items() if name in other.heads
    ]  # stacks that apply this node as a head
    flops = part.own + sum(priced[asker][1].heads[name] for asker in askers)

    least, compacted, uncompacted = (
        _with_heads(name, case, [means[asker][i] for asker in askers]) for i, case in enumerate(means[name])
    )
    assert least is not None
    return NodePrice(
        name,
        role,
        body.arguments["type"],
        shape_text(output.shape),
        total,
        total - idle,
        _whole(flops),
        compacted,
        tuple(_whole(spent.total) for spent in part.exits),
        tuple(map(_whole, part.branches)),
        minimum=round(least),
        uncompacted=uncompacted,
        rates=tuple(rates[name]) if name in rates else None,
        source=sources.get(name),
    )


@dataclass(frozen=True)
class _Mean:
    """What a node computes on average, itself and on heads."""

    own: float
    heads: Mapping[str, float]


class Means(NamedTuple):
    """If all leave at the first exit; over where samples leave; over where the last sample of a batch leaves."""

    least: _Mean | None
    compacted: _Mean | None
    uncompacted: _Mean | None


def means_of(part: Flops, shares: Sequence[float] | None, load: Sequence[float] | None, batch: int) -> Means:
    if part.branches:
        costs = sorted(map(_whole, part.branches))
        around = _whole(part.own) - sum(costs[-part.met :])
        least = _Mean(around + sum(costs[: part.met]), {})
        if load is None:
            return Means(least, None, None)
        spent = part.met * sum(share * _whole(cost) for share, cost in zip(load, part.branches, strict=True))
        return Means(least, _Mean(around + spent, {}), _Mean(around + spent, {}))
    first = [1, *(0 for _ in part.exits[1:])]  # whole, as large as they may be
    last = None if shares is None else last_of(shares, batch)
    return Means(_mean(part, first), _mean(part, shares), _mean(part, last))


def _with_heads(name: str, own: _Mean | None, askers: Sequence[_Mean | None]) -> float | None:
    """What a node computes itself, and as the head of stacks; None where one of them is not known."""
    known = [asker for asker in askers if asker is not None]
    if own is None or len(known) < len(askers):
        return None
    return own.own + sum(asker.heads[name] for asker in known)


def _mean(part: Flops, shares: Sequence[float] | None) -> _Mean | None:
    """Over where samples leave; None where that is not known."""
    if not part.exits:
        return _Mean(_whole(part.own), {})
    if shares is None:
        return None
    pairs = list(zip(shares, part.exits, strict=True))
    heads = {name: sum(share * _whole(spent.heads[name]) for share, spent in pairs) for name in part.heads}
    return _Mean(sum(share * _whole(spent.own) for share, spent in pairs), heads)


def _listed(shares: Sequence[float] | None) -> list[float] | None:
    return None if shares is None else list(shares)


def _whole(dim: Any) -> int:
    assert isinstance(dim, int), f"{dim} is not bound"
    return dim
