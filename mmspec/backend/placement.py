"""Experts on the devices that a spec places them on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mmspec.backend.runtime import Experts
from mmspec.errors import UserError


def distribute(model: nn.Module, devices: Sequence[str | torch.device]) -> nn.Module:
    """The model on the first of the devices, and each placed expert on the one whose number it has; tokens travel there and back.

    Raises   UserError: an expert is placed on a device that is not there
    """
    placed = {
        name: module for name, module in model.named_modules() if isinstance(module, Experts) and module.placement
    }
    for name, experts in placed.items():
        if max(experts.placement) >= len(devices):
            raise UserError(f"{name} places an expert on device {max(experts.placement)}, and there are {len(devices)}")
    model.to(devices[0])
    for experts in placed.values():
        for expert, device in zip(experts, experts.placement, strict=True):
            expert.to(devices[device])
    return model
