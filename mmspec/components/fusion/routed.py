"""Whole fusions as experts: each sample takes the branch that suits it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmspec.components.halting.never import Never
from mmspec.components.routers.base import Expert, TokenRouter
from mmspec.components.routers.scored import ScoredRouter
from mmspec.components.routers.top_k import TopK
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.scope import Body
from mmspec.spec import Fusion


class RoutedFusion(Fusion):
    """Fusions side by side over the same streams, of which each sample meets those that a router favours.

        p = softmax(W [mean X_1; mean X_2; ...])                    in float32
        Y = sum_{b in top_k(p)} p_b / (sum_{top_k} p) * branch_b(X_1, X_2, ...)

    A branch computes the samples that take it. FLOPs are those of the k costliest branches; `flops_by_branch` has each.

    Shapes   [B, N_i, D_i], ... -> [B, N, width], as all branches answer alike
    Raises   ShapeError: branches of several shapes, one that says where it stands or may halt, a router that sends tokens, or of
             another number of experts than there are branches
    Source   Dynamic Multimodal Fusion, arXiv:2204.00102, sec. 3.2 (modality-level decisions)
    Differs  the paper learns a discrete choice (router: learned) by a loss that counts each branch's cost

        joint: {type: routed, from: [image, text], branches: [{type: gated, depth: 2}, {type: cross_attention, depth: 1}]}
    """

    type: Literal["routed"] = "routed"
    branches: tuple[Fusion, ...] = Field(min_length=2, description="fusions, each as it would stand by itself")
    router: TokenRouter = Field(
        default_factory=lambda: TopK(k=1, normalise=False), description="of samples: top_k, soft, task or learned"
    )

    def emit(self, g: Scope, *streams: Value) -> Value:
        for i, branch in enumerate(self.branches):
            self.check(i, branch)
        bodies: dict[Fusion, Body] = {branch: _tokens_of(branch) for branch in self.branches}
        kinds = tuple(bodies[branch] for branch in self.branches)
        names = tuple(type(branch).__name__ for branch in bodies)
        router, count = self.router, len(self.branches)
        if isinstance(router, ScoredRouter):
            if "experts" in router.model_fields_set and router.experts != count:
                raise ShapeError(
                    f"there are {count} branches, and the router has {router.experts} experts", "router.experts"
                )
            router = router.model_copy(update={"experts": count})
        y = router.route_samples(
            g, "branches", Expert(kinds[0], "Branch", {}, kinds, names), *streams, seen=len(streams)
        )
        if y.tokens != streams[0].tokens and any(stream.mask is not None for stream in streams):
            masks = [stream.mask or g.emit("all_present", stream) for stream in streams]
            y.mask = g.emit("concat", *masks, axis=1).named("mask")
        return y

    def check(self, index: int, branch: Fusion) -> None:
        """Raises ShapeError: a branch that says what only a whole node may"""
        for field in ("from_", "frozen", "tie", "average_of"):
            if getattr(branch, field):
                key = field.rstrip("_")
                raise ShapeError(
                    f"a branch has no `{key}` of its own: the node's is for all", f"branches.{index}.{key}"
                )
        if not isinstance(getattr(branch, "halting", Never()), Never):
            raise ShapeError("a branch cannot be left early", f"branches.{index}.halting", hint="halting: none")


def _tokens_of(branch: Fusion) -> Body:
    def body(g: Scope, *streams: Value) -> Value:
        result = branch.emit(g, *streams)  # type: ignore[attr-defined]
        tokens: Value = result if isinstance(result, Value) else result[""]
        return tokens

    return body
