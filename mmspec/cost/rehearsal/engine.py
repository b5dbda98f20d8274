"""Gradients on their way back, in the order in which torch's engine takes them: the newest operation that has all of its
gradients goes next, leaves at once; gradients that meet are added, in place where nobody else looks at the first."""

from __future__ import annotations

import heapq
from sys import getrefcount
from typing import Any

from mmspec.cost.rehearsal.pointwise import add, cast
from mmspec.cost.rehearsal.state import STATE, set_for_a_while
from mmspec.cost.rehearsal.tensor import Accumulator, Node, Tensor, contiguous, dense, new, view
from mmspec.cost.rehearsal.views import sum_to

ALONE = 3  # references that are ours when nobody else has any: a list's, a variable's, and the question's


def backward(loss: Tensor) -> None:
    """Give every leaf its gradient. What operations have kept is let go as they are done."""
    with set_for_a_while(gradients=False, autocast=None):
        _run(loss)


def _run(loss: Tensor) -> None:
    root = loss.node
    assert root is not None, "nothing to differentiate"
    waiting = _readers(root)
    STATE.place = root.place._replace(phase="backward")
    buffers: dict[int, list[Any]] = {id(root): [None] * root.width}
    buffers[id(root)][loss.output] = new(loss.shape, loss.dtype)
    ready: list[tuple[float, int, Any]] = [(-root.time, 0, root)]
    order = 0
    while ready:
        node = heapq.heappop(ready)[2]
        STATE.place = node.place._replace(phase="backward")
        gradients = buffers.pop(id(node))
        if isinstance(node, Accumulator):
            _accumulate(node.leaf, gradients)
            continue
        results = _called(node, gradients)
        del gradients
        STATE.place = node.place._replace(phase="backward")
        for index, edge in enumerate(node.edges):
            gradient, results[index] = results[index], None
            if edge is None:
                continue
            target, slot = edge
            buffer = buffers.setdefault(id(target), [None] * target.width)
            if gradient is not None:
                if buffer[slot] is None:
                    buffer[slot] = gradient
                else:
                    _meet(buffer, slot, gradient)
            gradient = None
            waiting[id(target)] -= 1
            if not waiting[id(target)]:
                order += 1
                heapq.heappush(ready, (-target.time, order, target))
        node.edges = []


def _called(node: Node, gradients: list[Any]) -> list[Any]:
    kept = node.saved
    saved = kept if isinstance(kept, tuple) else kept.opened()
    node.saved = kept = ()
    STATE.place = node.place._replace(phase="backward")
    if all(gradient is None for gradient in gradients):
        return [None] * len(node.edges)
    results = node.run(gradients if node.several else gradients[0], node.needs, *saved)
    results = list(results) if isinstance(results, (tuple, list)) else [results]
    for index, of in enumerate(node.of):  # in the shape and the type of what it is for
        if of is not None and results[index] is not None:
            results[index] = sum_to(results[index], of[0])
            results[index] = cast(results[index], of[1])
    gradients.clear()
    return results


def _readers(root: Node) -> dict[int, int]:
    """How many gradients each node of the graph is going to get."""
    count: dict[int, int] = {}
    stack: list[Any] = [root]
    seen = {id(root)}
    while stack:
        for edge in stack.pop().edges:
            if edge is not None:
                target = edge[0]
                count[id(target)] = count.get(id(target), 0) + 1
                if id(target) not in seen:
                    seen.add(id(target))
                    if not isinstance(target, Accumulator):
                        stack.append(target)
    return count


def _meet(buffer: list[Any], slot: int, gradient: Tensor) -> None:
    old = buffer[slot]
    alone = (
        getrefcount(old) <= ALONE and getrefcount(old.storage) <= 2 and not old.view_of
    )  # a view refers to its whole
    if alone and not STATE.watched and dense(old):
        return  # added to the first where it lies
    buffer[slot] = add(old, gradient)


def _accumulate(leaf: Tensor, gradients: list[Any]) -> None:
    """A leaf takes over a gradient that nobody else has, and copies others."""
    gradient = gradients.pop()
    if leaf.grad is not None or gradient is None:
        return
    STATE.place = (leaf.home or STATE.place)._replace(phase="gradients")
    if getrefcount(gradient) <= ALONE - 1 and contiguous(leaf.shape, gradient.strides) and gradient.dtype == leaf.dtype:
        leaf.grad = view(gradient, gradient.shape, gradient.strides)
        storage = gradient.storage
        storage.meter.rename(storage.number, storage.size, STATE.place)
    else:
        leaf.grad = new(leaf.shape, leaf.dtype)
