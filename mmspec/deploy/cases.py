"""What the file and torch are compared on: inputs of many shapes and masks, and weights that hide nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mmspec.cost.flops import Sizes, op_flops
from mmspec.cost.memory import peak_activations
from mmspec.deploy.contract import Contract, Port
from mmspec.errors import UserError
from mmspec.ir import Graph, parameters
from mmspec.ir.placeholders import Placeholder

FLOPS, ACTIVATIONS = 20 * 10**9, 1 << 30  # that the largest batch may take


@dataclass(frozen=True)
class Case:
    """A batch, in the order of the contract's inputs, and in words what is special about it. `alone`: what it is held against is
    each sample computed by itself."""

    name: str
    inputs: tuple[Tensor, ...]
    alone: bool = False

    @property
    def batch(self) -> int:
        return self.inputs[0].shape[0]

    @property
    def samples(self) -> Iterator[tuple[Tensor, ...]]:
        """Batches of one."""
        return (tuple(tensor[i : i + 1] for tensor in self.inputs) for i in range(self.batch))


def cases(contract: Contract, batches: list[int], seed: int) -> Iterator[Case]:
    """Every batch size with the shortest, a middle and the longest texts, ragged; then each text absent, masked at a middle length
    and as short as a caller can make it, and all of them."""
    texts = [port.name for port in contract.inputs if port.dtype == "bool"]
    lengths = {name: size for name, size in contract.dims.items() if name != "batch"}
    for batch in batches:
        for word, share in (("shortest", 0.0), ("middle", 0.5), ("longest", 1.0)) if lengths else (("", 0.0),):
            sizes = {name: size.low + round(share * (size.high - size.low)) for name, size in lengths.items()}
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            name = f"batch {batch}, {told} ({word}), ragged" if told else f"batch {batch}"
            yield Case(name, draw(contract, {"batch": batch, **sizes}, seed + batch * 3 + round(2 * share)))
    middle = {"batch": max(batches)} | {name: (size.low + size.high) // 2 for name, size in lengths.items()}
    for absent in [[text] for text in texts] + ([texts] if len(texts) > 1 else []):
        named = " and ".join(text.removesuffix("_mask") for text in absent)
        yield Case(f"batch {max(batches)}, {named} absent", draw(contract, middle, seed + 97, absent))
        short = middle | {
            name: size.low for name, size in lengths.items() if f"{name.removesuffix('_length')}_mask" in absent
        }
        if short != middle:
            yield Case(f"batch {max(batches)}, {named} absent and short", draw(contract, short, seed + 98, absent))


def largest_batch(graph: Graph, contract: Contract) -> int:
    """The largest batch, at the longest texts, within FLOPS and ACTIVATIONS by the graph's own price: the same on every machine.
    Of a graph with something that nobody can price, 0."""
    sizes = Sizes({"B": 1, **graph.limits})
    try:
        work, held = sum(op_flops(op, sizes).total for op in graph.ops), peak_activations(graph, sizes)
    except UserError:
        return 0
    if not isinstance(work, int):  # of a size that is known only when it runs
        return 0
    return min(contract.batch_limit, FLOPS // max(work, 1), ACTIVATIONS // max(held, 1))


def largest_case(graph: Graph, contract: Contract, batches: Sequence[int]) -> Case | None:
    """The largest batch, where it is larger than these."""
    most = largest_batch(graph, contract)
    return replace(plain_case(contract, most, 17), name=f"batch {most}, the largest") if most > max(batches) else None


def full_case(contract: Contract, batch: int, seed: int) -> Case:
    """One batch of that size of the longest texts, with nothing absent."""
    sizes = {name: size.high for name, size in contract.dims.items()} | {"batch": batch}
    ports = zip(contract.inputs, draw(contract, sizes, seed), strict=True)
    return Case(
        f"batch {batch}, nothing absent",
        tuple(torch.ones_like(tensor) if port.dtype == "bool" else tensor for port, tensor in ports),
    )


def plain_case(contract: Contract, batch: int, seed: int) -> Case:
    """One batch of that size, texts of middle length, ragged."""
    sizes = {name: (size.low + size.high) // 2 for name, size in contract.dims.items()} | {"batch": batch}
    return Case(f"batch {batch}", draw(contract, sizes, seed))


def smallest_case(contract: Contract, seed: int) -> Case:
    """The smallest batch of the shortest texts."""
    sizes = {name: size.low for name, size in contract.dims.items()}
    return Case(f"batch {contract.batch(1)}, the smallest", draw(contract, sizes, seed))


def draw(
    contract: Contract, sizes: Mapping[str, int], seed: int, absent: list[str] | None = None
) -> tuple[Tensor, ...]:
    """Random inputs of these sizes; the masks in `absent` are False everywhere, the others ragged."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_tensor(port, _shape(port, sizes), generator, port.name in (absent or ())) for port in contract.inputs)


def _shape(port: Port, sizes: Mapping[str, int]) -> list[int]:
    return [sizes[dim] if isinstance(dim, str) else dim for dim in port.dims]


def _tensor(port: Port, shape: list[int], generator: torch.Generator, absent: bool) -> Tensor:
    if port.dtype == "float32" and port.bound:
        return torch.rand(shape, generator=generator) * (1.1 * port.bound)
    if port.dtype == "float32":
        return torch.randn(shape, generator=generator)
    if port.dtype == "int64":  # absent tokens have ids as well: nothing but the mask may decide
        ids = torch.randint(port.bound, shape, generator=generator)
        for place in port.places:
            ids = planted(ids, place, generator)
        return ids
    if absent:
        return torch.zeros(shape, dtype=torch.bool)
    batch, length = shape
    mask = torch.arange(length) < torch.randint(1, length + 1, (batch, 1), generator=generator)
    if batch >= 4:
        mask[0] = True
        mask[1] = torch.rand(length, generator=generator) < 0.5  # with holes
        mask[2] = False
    return mask


def planted(ids: Tensor, place: Placeholder, generator: torch.Generator) -> Tensor:
    """The ids with as many places as are asked for in every row, anywhere, and no others.   i64[B, N] -> i64[B, N]"""
    others = ids.masked_fill(ids.eq(place.id), place.id - 1 if place.id else 1)
    order = torch.rand(ids.shape, generator=generator).argsort(dim=1)
    return others.scatter(1, order[:, : place.count], place.id)


@contextmanager
def drawn(module: nn.Module, graph: Graph, seed: int) -> Iterator[nn.Module]:
    """The module with every parameter drawn anew, inside of the `with` statement; for seed 0 the module itself."""
    if not seed:
        yield module
        return
    model = randomised(module, graph, seed)
    try:
        yield model
    finally:
        let_go(model)


def let_go(copy: nn.Module) -> None:
    """Give a copy's memory back. Compiled modules refer to themselves: Python would find them late, and there may be no room."""
    copy.to("meta")


def randomised(module: nn.Module, graph: Graph, seed: int) -> nn.Module:
    """A copy with every parameter drawn anew: what starts as zeros or ones, or small, cannot hide a mistake there."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(module)
    state = dict(other.named_parameters()) | dict(other.named_buffers())
    with torch.no_grad():
        for placed in parameters(graph):
            if placed.parameter.buffer == "i64":  # a count, which nothing reads
                continue
            tensor = state[placed.path]
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim >= 2:
                init = placed.parameter.init
                gain = init.scale if init.kind == "xavier_uniform" else 1.0  # which keeps scores at about one
                tensor.copy_(noise * (gain / tensor[0].numel() ** 0.5))  # keeps activations at about one
            else:
                noise = noise.abs() if placed.parameter.buffer else noise  # a variance is positive
                tensor.copy_((1.0 if placed.parameter.init.kind == "ones" else 0.0) + 0.3 * noise)
    return other
