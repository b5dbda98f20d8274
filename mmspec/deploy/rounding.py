"""What float32 itself costs: how far torch's own answers are from those that the same module gives in float64.

A network's rounding grows with its depth and with the size of what it computes: logits of about 10 are off by 1e-5 where two
correct runtimes add up in another order. What a file may be off by is therefore the target's tolerance, or TIMES what torch is off
by, whichever is more. So it is with the leads of routers' choices: within what rounding moves them, two correct runtimes may choose
differently.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmspec.deploy.cases import let_go, plain_case
from mmspec.deploy.contract import Contract
from mmspec.deploy.target import Deviation, Verify
from mmspec.deploy.watching import watching

SAMPLES = 8
TIMES = 8.0  # the worst of some hundred samples is about four times the usual one, of each of two runtimes


@dataclass(frozen=True)
class Rounding:
    """Of the median sample, which none moves that takes another exit or another expert in float64: the largest error by output of
    numbers; how far the smallest lead moves in the module of choices where that is the most."""

    outputs: dict[str, float]
    lead: float


def with_rounding(verify: Verify, module: nn.Module, contract: Contract) -> Verify:
    """The same, with outputs and leads allowed as much as float32 needs."""
    found = rounding(module, contract)
    allowed = {name: verify.of(name, "float32") for name in found.outputs}
    raised = {
        name: Deviation(tolerance=_needed(off), relative=allowed[name].relative)
        for name, off in found.outputs.items()
        if TIMES * off > allowed[name].absolute
    }
    lead = _needed(found.lead) if TIMES * found.lead > verify.lead else verify.lead
    return verify.model_copy(update={"outputs": {**verify.outputs, **raised}, "lead": lead})


def rounding(module: nn.Module, contract: Contract) -> Rounding:
    """What float32 costs the module, found with one batch."""
    case = plain_case(contract, contract.batch(SAMPLES), 23)
    exact = _in_float64(module)
    with torch.no_grad():
        with watching(module, case.batch) as seen:
            found = module(*case.inputs)
        with watching(exact, case.batch) as truly:
            true = exact(*(_double(tensor) for tensor in case.inputs))
    let_go(exact)
    names = [port.name for port in contract.outputs if port.dtype == "float32"]
    return Rounding(
        {name: float(_by_sample(found[name] - true[name], case.batch).median()) for name in names},
        max((_moved(lead, truly.leads[name]) for name, lead in seen.leads.items() if name in truly.leads), default=0.0),
    )


def _needed(off: float) -> float:
    return float(f"{TIMES * off:.2g}")


def _moved(lead: Tensor, true: Tensor) -> float:
    """The median distance of the smallest leads, where both runs chose.   f64[B] x 2"""
    both = lead.isfinite() & true.isfinite()
    return float((lead - true)[both].abs().median()) if both.any() else 0.0


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
