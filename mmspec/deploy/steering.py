"""Routers steered: towards experts that no token met, and away from experts that a runtime may never have seen without tokens.

A router is W x, without a bias: no weights keep a token from an expert whatever comes. But for the tokens of one small sample
there is a v with v . x >= 1 for each of them, unless they surround the origin; what is subtracted of it from an expert's row is
subtracted from its score for every one of them. And an expert whose row is a token's own direction, long enough, is that token's
first choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Choose, Cover, Decide, Draw, Experts, NextBest
from mmspec.deploy.file import Arrays

APART = 12.0  # by which the score of an expert without tokens is less than any other's: e^-12 of its probability
STEPS = 500  # of the search for a direction


def _chosen(decision: Any, tokens: int) -> int:
    return cast(int, decision.k)


def _likeliest(decision: Any, tokens: int) -> int:
    return 1


def _with_room(decision: Any, tokens: int) -> int:
    return 1 if decision.capacity is None else -(-tokens // decision.capacity)


FEWEST = {  # experts that meet a token whatever the scores are; by another decision all of them do
    Choose: _chosen,
    Decide: _likeliest,
    Draw: _likeliest,
    Cover: _likeliest,
    NextBest: _with_room,
}


def spare(module: nn.Module, inputs: Sequence[Tensor]) -> dict[str, int]:
    """How many experts of each module can go without tokens of these inputs: none where all are asked, as by a soft router; where
    each claims its own; where a token's modality says which, for all modalities are there; where the others have no room."""
    found = {name: 0 for name, child in module.named_modules() if isinstance(child, Experts)}

    def hook(name: str) -> Any:
        def counted(decision: nn.Module, args: tuple[Tensor, ...]) -> None:
            experts, tokens = args[0].shape[-1], args[0].shape[1] if args[0].dim() == 3 else 1
            found[name] = max(0, experts - FEWEST[type(decision)](decision, tokens))

        return counted

    handles = []
    for name in found:
        for child in module.get_submodule(name.rpartition(".")[0]).children():
            if type(child) in FEWEST:
                handles.append(child.register_forward_pre_hook(hook(name)))
    _run(module, inputs, handles)
    return found


@contextmanager
def starved(module: nn.Module, inputs: Sequence[Tensor], idle: Mapping[str, Sequence[int]]) -> Iterator[Arrays]:
    """Within, of each module of experts these meet no token of the inputs; yields the routers' weights by name. Where a router sees
    tokens that surround the origin it is left as it is.   inputs: of few tokens"""
    with _steered(module, inputs, idle, _never, _away) as weights:
        yield weights


@contextmanager
def fed(module: nn.Module, inputs: Sequence[Tensor], wanted: Mapping[str, Sequence[int]]) -> Iterator[Arrays]:
    """Within, of each module of experts each of these is the first choice of a token (or of a modality) of the inputs, or as many
    of them as there are tokens; yields the routers' weights by name.   inputs: with nothing absent"""
    with _steered(module, inputs, wanted, _one_each, _towards) as weights:
        yield weights


Change = Callable[[Tensor, list[int]], None]  # of a table of scores by modality
Turn = Callable[[list[int]], Callable[[nn.Linear, tuple[Tensor, ...]], None]]  # of a router that meets tokens


@contextmanager
def _steered(
    module: nn.Module, inputs: Sequence[Tensor], experts: Mapping[str, Sequence[int]], change: Change, turn: Turn
) -> Iterator[Arrays]:
    """Routers are changed as the inputs reach them, so that each sees what those before it now make of the tokens."""
    weights, tables, handles = dict[str, Tensor](), list[tuple[Tensor, list[int]]](), list[Any]()
    for name, numbers in experts.items():
        chosen = list(numbers)
        path = name.rpartition(".")[0]
        mixture = module.get_submodule(path)
        table = dict(mixture.named_parameters(recurse=False)).get("modality")
        if table is not None:
            weights[f"{path}.modality"] = table
            tables.append((table, chosen))
        if hasattr(mixture, "router"):
            router = cast(nn.Linear, mixture.get_submodule("router"))
            weights[f"{path}.router.weight"] = router.weight
            handles.append(router.register_forward_pre_hook(turn(chosen)))
    before = {name: weight.clone() for name, weight in weights.items()}
    try:
        with torch.no_grad():
            for scores, chosen in tables:
                change(scores, chosen)
        _run(module, inputs, handles)
        yield {name: weight.detach().numpy() for name, weight in weights.items()}
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(before[name])


def _run(module: nn.Module, inputs: Sequence[Tensor], handles: list[Any]) -> None:
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()


def _never(table: Tensor, chosen: list[int]) -> None:
    table[:, chosen] -= APART + table.max() - table.min()


def _one_each(table: Tensor, chosen: list[int]) -> None:
    """One expert for each modality, beyond what a router adds to a score."""
    ahead = 2 * APART + table.max() - table.min()
    for modality, expert in enumerate(chosen[: len(table)]):
        table[modality, expert] += ahead


def _away(chosen: list[int]) -> Callable[[nn.Linear, tuple[Tensor, ...]], None]:
    met: list[Tensor] = []

    def hook(router: nn.Linear, args: tuple[Tensor, ...]) -> None:
        met.append(args[0].flatten(0, -2).double())  # a loop asks its router more than once
        tokens = torch.cat(met)
        others = [expert for expert in range(router.out_features) if expert not in chosen]
        scores = tokens @ router.weight.double().T
        behind = scores[:, others].amin(dim=1) - scores[:, chosen].amax(dim=1)
        v = direction(tokens) if behind.min() < APART else None
        if v is not None:
            router.weight[chosen] -= ((APART - behind.min()) * v).float()

    return hook


def _towards(chosen: list[int]) -> Callable[[nn.Linear, tuple[Tensor, ...]], None]:
    asked = False

    def hook(router: nn.Linear, args: tuple[Tensor, ...]) -> None:
        nonlocal asked
        if asked:  # by a loop, whose first round is enough
            return
        asked = True
        tokens = args[0].flatten(0, -2).double()
        size = tokens.norm(dim=1, keepdim=True).clamp(min=1e-12)
        picked = apart(tokens / size, len(chosen))
        best = (tokens @ router.weight.double().T).amax(dim=1, keepdim=True).clamp(min=0)
        rows = tokens[picked] / size[picked] * ((best + APART) / size)[picked].amax()
        router.weight[chosen[: len(picked)]] = rows.float()

    return hook


def apart(directions: Tensor, count: int) -> list[int]:
    """Numbers of at most so many directions, each the farthest from those before it.   f64[T, D]"""
    picked = [0]
    nearest = directions @ directions[0]
    while len(picked) < min(count, len(directions)):
        picked.append(int(nearest.argmin()))
        nearest = torch.maximum(nearest, directions @ directions[picked[-1]])
    return picked


def direction(tokens: Tensor) -> Tensor | None:
    """v with v . x >= 1 for each token x, by Ho and Kashyap (1965): least squares towards targets that grow where they are
    exceeded. None where there is none, or STEPS steps do not find it.   f64[T, D] -> f64[D]"""
    inverse = torch.linalg.pinv(tokens)
    wanted = torch.ones_like(tokens[:, 0])
    for _ in range(STEPS):
        v = inverse @ wanted
        reached = tokens @ v
        if reached.min() > 0.1 * wanted.min():
            return cast(Tensor, v / reached.min())
        wanted = wanted + (reached - wanted).clamp(min=0)
    return None
