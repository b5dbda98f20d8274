"""Experts that nothing is sent to: a runtime that fails at an empty batch fails there, and random weights may never ask it.

A router is W x, without a bias: no weights keep a token from an expert whatever comes. But for the tokens of one small sample
there is a v with v . x >= 1 for each of them, unless they surround the origin; what is subtracted of it from an expert's row is
subtracted from its score for every one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Choose, Cover, Decide, Draw, Experts, NextBest

BEHIND = 12.0  # by which the score of an expert without tokens is less than any other's: e^-12 of its probability
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
        for child in _mixture(module, name).children():
            if type(child) in FEWEST:
                handles.append(child.register_forward_pre_hook(hook(name)))
    _run(module, inputs, handles)
    return found


def starve(module: nn.Module, inputs: Sequence[Tensor], idle: Mapping[str, Sequence[int]]) -> None:
    """Change the weights of routers so that of each module of experts these meet no token of the inputs. Where a router sees tokens
    that surround the origin it is left as it is.   inputs: of few tokens"""
    handles = []
    for name, experts in idle.items():
        mixture, chosen = _mixture(module, name), list(experts)
        table = dict(mixture.named_parameters(recurse=False)).get("modality")
        if table is not None:  # a score for each modality, whatever the token
            with torch.no_grad():
                table[:, chosen] -= BEHIND + table.max() - table.min()
        if table is None or hasattr(mixture, "router"):
            handles.append(mixture.get_submodule("router").register_forward_pre_hook(_starving(chosen)))
    _run(module, inputs, handles)


def _mixture(module: nn.Module, experts: str) -> nn.Module:
    return module.get_submodule(experts.rpartition(".")[0])


def _run(module: nn.Module, inputs: Sequence[Tensor], handles: list[Any]) -> None:
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()


def _starving(chosen: list[int]) -> Any:
    met: list[Tensor] = []

    def hook(router: nn.Linear, args: tuple[Tensor, ...]) -> None:
        met.append(args[0].flatten(0, -2).double())  # a loop asks its router more than once
        tokens = torch.cat(met)
        others = [expert for expert in range(router.out_features) if expert not in chosen]
        scores = tokens @ router.weight.double().T
        behind = scores[:, others].amin(dim=1) - scores[:, chosen].amax(dim=1)
        v = direction(tokens) if behind.min() < BEHIND else None
        if v is not None:
            router.weight[chosen] -= ((BEHIND - behind.min()) * v).float()

    return hook


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
