"""Which token can influence which, by gradients."""

import torch
from torch import Tensor, nn


def run(model: nn.Module, inputs: dict[str, Tensor], *modules: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The outputs, and what each of `modules` gave as a leaf of its own: gradients stop there."""
    leaves: dict[str, Tensor] = {}

    def cut(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, args: object, output: Tensor) -> Tensor:
            leaves[name] = output.detach().requires_grad_(output.is_floating_point())
            return leaves[name]

        return model.get_submodule(name).register_forward_hook(hook)

    handles = [cut(name) for name in modules]
    outputs = model(**inputs)
    for handle in handles:
        handle.remove()
    return outputs, leaves


def entering(model: nn.Module, inputs: dict[str, Tensor], module: str) -> tuple[dict[str, Tensor], Tensor]:
    """The outputs, and what a module was given first as a leaf."""
    leaves: list[Tensor] = []

    def cut(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        leaves.append(args[0].detach().requires_grad_())
        return (*leaves, *args[1:])

    handle = model.get_submodule(module).register_forward_pre_hook(cut)
    outputs = model(**inputs)
    handle.remove()
    return outputs, leaves[0]


def influence(out: Tensor, leaf: Tensor) -> Tensor:
    """Whether any channel of token m of the leaf moves any channel of token n of `out`.   bool[B, N, M]"""
    rows = []
    direction = torch.randn(out.shape[-1], generator=torch.Generator().manual_seed(5)).to(out.dtype)
    for n in range(out.shape[1]):  # a random direction: the sum over channels of what a norm gives would not move
        (gradient,) = torch.autograd.grad((out[:, n] @ direction).sum(), leaf, retain_graph=True, allow_unused=True)
        rows.append(torch.zeros_like(leaf[:, :, 0]) if gradient is None else gradient.abs().amax(-1))
    return torch.stack(rows, dim=1) > 0


def itself(batch: int, tokens: int) -> Tensor:
    """Each token is influenced by itself alone.   bool[B, N, N]"""
    return torch.eye(tokens, dtype=torch.bool).expand(batch, -1, -1)


def whom(present: Tensor, queries: int) -> Tensor:
    """Each of so many tokens is influenced by all that are present.   bool[B, M] -> bool[B, N, M]"""
    return present[:, None].expand(-1, queries, -1)
