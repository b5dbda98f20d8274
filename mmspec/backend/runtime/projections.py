"""Several linear layers of one input as one matrix product."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime.inference import inference_linear


class Projections(nn.Module):
    """Layers (name, width, has a bias) that read the same x: one product instead of several, split afterwards.

    The state dict has the layers' own names and shapes, beside this module instead of below it: what was trained as `query`,
    `key` and `value` is loaded as such.   [..., D] -> [..., width_1], [..., width_2], ...
    """

    bias: Tensor | None

    def __init__(self, inputs: int, parts: Sequence[tuple[str, int, bool]]) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.widths = [width for _, width, _ in self.parts]
        self.weight = nn.Parameter(torch.empty(sum(self.widths), inputs))
        biased = any(bias for _, _, bias in self.parts)  # a layer without one has zeros there
        self.register_parameter("bias", nn.Parameter(torch.zeros(sum(self.widths))) if biased else None)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(inference_linear(x, self.weight, self.bias), self.widths, dim=-1)

    def layers(self) -> dict[str, Tensor]:
        """Each layer's weight and bias by its own name: views of the whole."""
        whole = {"weight": torch.split(self.weight, self.widths)}
        if self.bias is not None:
            whole["bias"] = torch.split(self.bias, self.widths)
        return {
            f"{name}.{kind}": tensors[index]
            for index, (name, _, bias) in enumerate(self.parts)
            for kind, tensors in whole.items()
            if kind == "weight" or bias
        }

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        scope = prefix.removesuffix(".").rpartition(".")[0]
        for name, tensor in self.layers().items():
            destination[f"{scope}.{name}" if scope else name] = tensor if keep_vars else tensor.detach()

    def _load_from_state_dict(self, *_: Any) -> None:
        """Nothing: what is handed down ends in this module's own name. The scope calls `take`."""

    def take(self, state: dict[str, Any], scope: str, missing: list[str], errors: list[str]) -> None:
        """The layers' tensors out of a state dict, where they bear the scope's name and then their own."""
        with torch.no_grad():
            for name, place in self.layers().items():
                tensor = state.pop(f"{scope}{name}", None)
                if tensor is None:
                    missing.append(f"{scope}{name}")
                elif tensor.shape != place.shape:
                    errors.append(f"{scope}{name} is {list(tensor.shape)}, and the model's {list(place.shape)}")
                else:
                    place.copy_(tensor)
