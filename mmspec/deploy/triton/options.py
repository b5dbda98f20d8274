"""What a target says of Triton.

serving: {triton: {instances: 1, delay_us: 100, preferred_batches: [4, 8]}}
"""

from pydantic import Field, NonNegativeInt, PositiveInt

from mmspec.deploy.record import Record


class Triton(Record):
    """How Triton serves the model."""

    instances: PositiveInt = Field(1, description="of the model at a time, on each device")
    delay_us: NonNegativeInt = Field(
        100, description="microseconds that a request may wait for others to be computed with"
    )
    preferred_batches: list[PositiveInt] = Field([], description="batch sizes that are not waited beyond")


class Serving(Record):
    """What serves the model, beside what runs it."""

    triton: Triton | None = Field(None, description="a model repository for Triton")
