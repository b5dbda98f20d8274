"""A student learns to say of one view what its teacher says of another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from mmspec.components.objectives.base import Seen
from mmspec.ir import Scope, ShapeError, Value, symbol
from mmspec.ir.dims import Dim
from mmspec.ir.functions import rearrange
from mmspec.spec import Objective

VIEWS_LIMIT = 64


class DinoLoss(Objective):
    """Cross-entropy of the student with the sharpened, centred teacher, the mean over all pairs of different views.

        L = mean over i != j of  -sum_k softmax(t_i / T_t)_k log softmax(s_j / T_s)_k

    Views of a picture lie side by side in the batch, as an input with `views` puts them. The student may see more of them than
    the teacher, whose views come first: smaller ones are an input of their own, read by nodes that are tied to the student's,
    and the head at their end is `local`. No gradient goes to the teacher, which is an `average_of` the student.

    Shapes   f32[B S, K], f32[B T, K] and perhaps f32[B L, K] -> f32[]
    Raises   ShapeError: one view alone; heads of different sizes
    Source   Emerging Properties in Self-Supervised Vision Transformers, arXiv:2104.14294, eq. 2 and 3, and sec. 3.2

        objectives: [{type: dino, head: student, teacher: taught}]
    """

    type: Literal["dino"] = "dino"
    teacher: str = Field(description="the head that teaches")
    local: str | None = Field(None, description="the head that answers for views that the teacher does not see")
    student_temperature: PositiveFloat = Field(0.1, description="of what the student says")
    teacher_temperature: PositiveFloat = Field(0.04, description="of what the teacher says: lower is sharper")
    first_temperature: PositiveFloat | None = Field(
        None, description="of the teacher at the beginning, where it is not the same all the time"
    )
    warmup: float = Field(0.3, gt=0, le=1, description="share of the training in which the one becomes the other")
    weight: NonNegativeFloat = Field(1.0, description="weight in the sum of all objectives")

    def reads(self) -> dict[str, str]:
        return {"teacher": self.teacher} | ({} if self.local is None else {"local": self.local})

    def emit(self, g: Scope, seen: Seen) -> Value:
        assert self.head is not None
        student, teacher = (self.by_view(x) for x in (seen.output(self.head), seen.output("teacher")))
        said = {self.teacher: teacher} | (
            {} if self.local is None else {self.local: self.by_view(seen.output("local"))}
        )
        for name, other in said.items():
            if student.width != other.width:
                message = f"{self.head} says {student.width} numbers, {name} {other.width}"
                field = "teacher" if name == self.teacher else "local"
                raise ShapeError(message, field, hint="both heads need as many prototypes")
        if self.local is not None:
            student = g.row(student, said[self.local]).named("all_views")
        first, last = self.first_temperature, self.teacher_temperature
        warm: tuple[Value, ...] = ()
        if first is not None:
            warm = (g.emit("warmed", seen.progress(), start=first, end=last, share=self.warmup).named("temperature"),)
        loss = g.emit("self_distillation", student, teacher, *warm, student=self.student_temperature, teacher=last)
        return loss * self.weight

    def by_view(self, x: Value) -> Value:
        """[B V, K] -> [B, V, K]"""
        batch: Dim = symbol("B")
        views = next((n for n in range(1, VIEWS_LIMIT + 1) if x.shape[0] == batch * n), None)
        if views is None or len(x.shape) != 2:
            raise ShapeError(f"{x.name} is not one vector for each view", "head")
        return rearrange(x, "(b v) k -> b v k", v=views)
