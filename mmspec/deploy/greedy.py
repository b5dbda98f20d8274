"""Whole texts: what the writer goes on with, against the module, which computes the text of one sample anew for every token.

Beginnings are ragged, filled up behind or in front; what is not text is random, and absent for some samples where it may be. A text
may differ from the token on at which the module's two likeliest are nearer than twice the tolerance: rounding decides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mmspec.deploy.cases import Case, draw, drawn
from mmspec.deploy.contract import Contract
from mmspec.deploy.file import Load
from mmspec.deploy.parity import Compared, Mismatch
from mmspec.deploy.target import Tolerance, Verify
from mmspec.ir import Graph

if TYPE_CHECKING:
    from mmspec.deploy.writing import Files

TOKENS = 10  # that are written at most


def check_texts(
    files: Files, module: nn.Module, graph: Graph, contract: Contract, verify: Verify, progress: Callable[[str], None],
    load: Load, own: bool = False,
) -> Iterator[Compared]:  # fmt: skip
    """Each comparison that held, with its own weights and, where not `own`, random ones.   Raises Mismatch."""
    allowed = verify.of(files.plan["head"], "float32")
    for number, weights in enumerate(("own weights",) if own else ("own weights", "random weights 1")):
        with drawn(module, graph, number) as model:
            state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
            writer = (files.with_arrays(state) if number else files).writer(load)
            for batch in verify.batches:
                for filled in ("behind", "in front"):
                    case = _case(contract, files.plan, batch, filled, seed=31 * number + batch)
                    progress(f"{weights}, {case.name}")
                    found = writer.generate(_arrays(contract, case.inputs), TOKENS, stop=[])
                    close = 0
                    for sample, text in enumerate(found):
                        wrong = _parted(model, contract, files.plan, case, sample, text, allowed)
                        close += wrong == ""
                        if wrong:
                            raise Mismatch(
                                weights, "none", case, files.plan["head"], wrong, copy.deepcopy(model), files
                            )
                    told = f"{case.name}: up to {TOKENS} more, as torch writes them"
                    yield Compared(weights, "none", told, batch, {}, {}, close, close)


def _case(contract: Contract, plan: Mapping[str, Any], batch: int, filled: str, seed: int) -> Case:
    """A batch of beginnings, each of one to all of a third of the longest text's tokens, the places that it keeps first."""
    places = {port.name: port for port in contract.inputs}[plan["text"]].places
    kept = [place.id for place in places for _ in range(place.count)]
    length = min(plan["length"], len(kept) + max(1, plan["length"] // 3))
    sizes = {name: (size.low + size.high) // 2 for name, size in contract.dims.items()} | {"batch": batch}
    sizes[_row(contract, plan)] = length
    inputs = dict(zip(_names(contract), draw(contract, sizes, seed), strict=True))
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(len(kept) + 1, length + 1, (batch, 1), generator=generator)
    present = torch.arange(length) < lengths
    ids = torch.randint(_bound(contract, plan), (batch, length), generator=generator)
    for place in places:
        ids = torch.where(ids == place.id, (place.id + 1) % _bound(contract, plan), ids)
    ids[:, : len(kept)] = torch.tensor(kept, dtype=ids.dtype)
    if filled == "in front":  # what was first stays first among those that are present
        ids, present = (
            torch.stack([row.roll(int(length - n)) for row, n in zip(rows, lengths, strict=True)])
            for rows in (ids, present)
        )
    inputs |= {plan["text"]: ids, plan["mask"]: present}
    return Case(f"batch {batch}, texts begun by up to {length} tokens, filled up {filled}", tuple(inputs.values()))


def _parted(
    model: nn.Module, contract: Contract, plan: Mapping[str, Any], case: Case, sample: int, text: list[int], allowed: Tolerance
) -> str | None:  # fmt: skip
    """How a sample's text differs from the module's; "" where it was a close call, None where it does not."""
    inputs = {name: value[sample : sample + 1] for name, value in zip(_names(contract), case.inputs, strict=True)}
    end = int(inputs[plan["mask"]].nonzero()[:, 1].max()) + 1
    ids, present = inputs[plan["text"]][:, :end], inputs[plan["mask"]][:, :end]
    for number in range(min(TOKENS, plan["length"] - end)):
        row = {**inputs, plan["text"]: ids, plan["mask"]: present}
        with torch.no_grad():
            logits: Tensor = model(*(row[name] for name in _names(contract)))[plan["head"]][0, -1]
        wanted = int(logits.argmax())
        found = text[number] if number < len(text) else None
        if wanted in plan["places"] and found is None:
            return None  # the writer ends here, and torch cannot go on
        if found != wanted:
            ahead = float(logits.max() - logits[found]) if found is not None else np.inf
            if ahead <= 2 * max(allowed.absolute, allowed.relative * float(logits.abs().max())):
                return ""
            told = f"writes {found} where torch writes {wanted}, which is ahead by {ahead:.3g}"
            return f"token {number} of sample {sample} is wrong: it {told}"
        ids = torch.cat([ids, torch.tensor([[wanted]])], dim=1)
        present = torch.cat([present, torch.ones(1, 1, dtype=torch.bool)], dim=1)
    return None


def _names(contract: Contract) -> list[str]:
    return [port.name for port in contract.inputs]


def _arrays(contract: Contract, inputs: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in zip(_names(contract), inputs, strict=True)}


def _row(contract: Contract, plan: Mapping[str, Any]) -> str:
    """The name of the text's length."""
    return str({port.name: port for port in contract.inputs}[plan["text"]].dims[1])


def _bound(contract: Contract, plan: Mapping[str, Any]) -> int:
    return {port.name: port for port in contract.inputs}[plan["text"]].bound
