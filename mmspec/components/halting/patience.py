"""Early exit when exits agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt

from mmspec.components.halting.base import ExitPolicy
from mmspec.ir import ShapeError


class Patience(ExitPolicy):
    """A sample leaves the stack when `patience` exits in a row have given the same answer as the exit before them.

        n_0 = 0,   n_i = n_{i-1} + 1  if  argmax head(x_i) = argmax head(x_{i-1}),  else 0
        exit at i  if  n_i >= patience

    Raises   ShapeError: patience that no sample can satisfy before the end
    Source   BERT Loses Patience (PABEE), arXiv:2006.04152, sec. 3.1

        halting: {type: patience, patience: 2, head: label}
    """

    type: Literal["patience"] = "patience"
    patience: PositiveInt = Field(1, description="exits in a row that confirm the answer of the one before")

    def check(self, depth: int) -> None:
        super().check(depth)
        if self.patience >= self.earlier(depth):
            message = (
                f"{self.patience} exits cannot confirm an earlier one: there are {self.earlier(depth)} before the last"
            )
            hint = (
                f"patience below {self.earlier(depth)}"
                if self.earlier(depth) > 1
                else "at least two exits before the last"
            )
            raise ShapeError(message, "halting.patience", hint=hint)

    def criterion(self) -> Mapping[str, Any]:
        return {"criterion": "Patience", "threshold": self.patience - 0.5}
