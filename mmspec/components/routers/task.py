"""Experts by task."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from mmspec.components.routers.base import ROW, Expert, Row
from mmspec.components.routers.scored import BalancedRouter, Decision, chances
from mmspec.ir import Scope, ShapeError, Value


class Task(BalancedRouter):
    r"""All tokens of a sample go to the k experts that the router favours for its task.

        p = softmax(W t),   t the trained vector of the sample's task, in float32
        y = sum_{e in top_k(p)} p_e / (sum_{top_k} p) * expert_e(x);   p_e expert_e(x) for k = 1, from which the router learns

    Shapes   [B, N, D], task i64[B] -> [B, N, D]
    Raises   ShapeError: k is larger than the number of experts; the input is no category, or the tokens are no whole samples
    Source   Beyond Distillation: Task-level Mixture-of-Experts, arXiv:2110.03742, sec. 3.2 (routing by task)
    Differs  the paper learns a score for each task and expert; here they come from vectors of tasks of `embedding` channels

        router: {type: task, task: kind, experts: 4, k: 1}
    """

    type: Literal["task"] = "task"
    names_input: ClassVar[str] = "task"
    sees_tokens: ClassVar[bool] = False
    task: str = Field(description="the input that says which task a sample is, a category")
    k: PositiveInt = Field(1, description="how many of them a task meets")
    embedding: PositiveInt = Field(32, description="channels of the vector of a task")

    @property
    def said(self) -> str:
        return f"Each task meets {self.k} of {self.experts} experts."

    def check(self, g: Scope, x: Value, row: Row) -> None:
        if self.k > self.experts:
            raise ShapeError(f"a task cannot meet {self.k} of {self.experts} experts", "router.k")

    def route(self, g: Scope, name: str, x: Value, expert: Expert, row: Row) -> Value:
        return self._by_task(g, name, "MixtureOfExperts", expert, x)

    def route_samples(self, g: Scope, name: str, expert: Expert, *values: Value, seen: int = 1) -> Value:
        return self._by_task(g, name, f"Routed{expert.class_name}", expert, *values)

    def _by_task(self, g: Scope, name: str, kind: str, expert: Expert, *values: Value) -> Value:
        self.check(g, values[0], ROW)
        task = g.model_input(self.task)
        if task.dtype != "i64" or len(task.shape) != 1:
            hint = f"inputs: {{{self.task}: {{type: category, classes: 4}}}}"
            raise ShapeError(f"{self.task} is no category", "router.task", hint=hint)
        if task.shape[0] != values[0].shape[0]:
            raise ShapeError("the tokens here are no whole samples, which have a task", "router")

        def mixture(g: Scope, *values: Value) -> Value:
            told = g.embedding("task", values[-1], task.bound, self.embedding)
            return self.mixed(g, self.logits(g, told, ROW), expert, None, *values[:-1])

        arguments = {"width": values[0].width, "experts": self.experts, "k": self.k, **expert.arguments}
        y: Value = g.call(name, kind, mixture, *values, task, arguments=arguments, doc=self.said)
        return y

    def decide(self, g: Scope, logits: Value, mask: Value | None) -> Decision:
        p = chances(logits)
        choice = g.emit("choose", p, name="choose", k=self.k).named("choice")
        weights = g.emit("weights_of", p, choice, normalise=self.k > 1, nobody=False).named("weights")
        self.balanced(g, p, choice, weights, None)
        return Decision(choice, weights)
