"""What float32 itself costs: how far torch's own answers are from those that the same module gives in float64.

A network's rounding grows with its depth and with the size of what it computes: logits of about 10 are off by 1e-5 where two
correct runtimes add up in another order. What a file may be off by is therefore the target's tolerance, or TIMES what torch is off
by, whichever is more.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmspec.deploy.cases import let_go, plain_case
from mmspec.deploy.contract import Contract
from mmspec.deploy.target import Deviation, Verify

SAMPLES = 8
TIMES = 8.0  # the worst of some hundred samples is about four times the usual one, of each of two runtimes


def with_rounding(verify: Verify, module: nn.Module, contract: Contract) -> Verify:
    """The same, with outputs allowed as much as float32 needs."""
    known = {
        port.name: verify.of(port.name, port.dtype).absolute for port in contract.outputs if port.dtype == "float32"
    }
    needed = {name: TIMES * off for name, off in rounding(module, contract).items() if TIMES * off > known[name]}
    relative = {name: verify.of(name, "float32").relative for name in needed}
    raised = {
        name: Deviation(tolerance=float(f"{limit:.2g}"), relative=relative[name]) for name, limit in needed.items()
    }
    return verify.model_copy(update={"outputs": {**verify.outputs, **raised}})


def rounding(module: nn.Module, contract: Contract) -> dict[str, float]:
    """By output of numbers: the largest error of a sample, of the median sample, which no sample moves that takes another exit or
    another expert in float64."""
    case = plain_case(contract, contract.batch(SAMPLES), 23)
    exact = _in_float64(module)
    with torch.no_grad():
        found, true = module(*case.inputs), exact(*(_double(tensor) for tensor in case.inputs))
    let_go(exact)
    names = [port.name for port in contract.outputs if port.dtype == "float32"]
    return {name: float(_by_sample(found[name] - true[name], case.batch).median()) for name in names}


def _in_float64(module: nn.Module) -> nn.Module:
    """A copy of its own, made in one step: one in float32 on the way would be held as well."""
    held = (*module.parameters(), *module.buffers())
    wide = {id(tensor): tensor.detach().double() for tensor in held if tensor.is_floating_point()}
    parameters = {id(tensor) for tensor in module.parameters()}
    return copy.deepcopy(module, {
        key: nn.Parameter(value, requires_grad=False) if key in parameters else value for key, value in wide.items()
    })  # fmt: skip


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _by_sample(error: Tensor, batch: int) -> Tensor:
    """[B V, ...] -> [B]"""
    return error.abs().reshape(batch, -1).amax(dim=1)
