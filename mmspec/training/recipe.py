"""How a model is trained, as a user writes it in a recipe, in a study, or behind `mmspec train`.

    recipe: {data: digits_questions, steps: 500, batch: 64}

Torch is not needed to read one.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from mmspec.errors import UserError

EMBEDDED = ("digits_questions", "digits_captions", "digits_pictures", "spoken_words")


class Recipe(BaseModel):
    """Everything that a training run depends on besides the spec."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    data: str = Field(
        "digits_questions",
        description="digits_questions, digits_captions, digits_pictures, spoken_words, or a manifest's path (.csv, .jsonl)",
    )
    tokenizer: str = Field("bytes", description="bytes, or the path of a tokenizer.json")
    split_seed: NonNegativeInt = Field(0, description="deals the examples to training, validation and test")
    augment: NonNegativeFloat | None = Field(
        None,
        description="strength of the small variation of pictures in training, of views their light; 1 for digits, else 0",
    )
    steps: PositiveInt = Field(500, description="updates of the weights")
    batch: PositiveInt = Field(64, description="examples per step")
    learning_rate: PositiveFloat = Field(1e-3, description="at its peak; up in a line, then down as a cosine")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: NonNegativeFloat = Field(0.05, description="of matrices; biases, norms and embeddings are left alone")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW: memory of the gradient")
    beta2: float = Field(0.98, ge=0, lt=1, description="AdamW: memory of its square")
    average: float = Field(
        0.996,
        ge=0,
        le=1,
        description="what nodes that are an `average_of` others keep of themselves at first, later more",
    )
    precision: Literal["fp32", "bf16-autocast"] = Field(
        "fp32", description="bf16-autocast: products of matrices in bfloat16, weights and their updates in float32"
    )
    checkpoint: bool = Field(
        False,
        description="blocks of stacks keep their input only and are run again for their gradients: less memory, more time",
    )
    clip: PositiveFloat | None = Field(1.0, description="largest norm of the gradient; null leaves it alone")
    seed: NonNegativeInt = Field(0, description="of the initial weights, the order of examples, variation and dropout")
    evaluate_every: PositiveInt | None = Field(
        None, description="steps between validations, at which a checkpoint is also written; a fifth of all by default"
    )
    keep: Literal["last", "best"] = Field("last", description="weights that are kept; best: by validation accuracy")

    @property
    def interval(self) -> int:
        """Steps between validations."""
        return self.evaluate_every or -(-self.steps // 5)

    @classmethod
    def read(cls, values: Mapping[str, Any], folder: str | Path | None = None, origin: str = "recipe") -> Self:
        """A recipe from plain data; `folder`: what relative paths in it are relative to.

        Raises   UserError: all that is wrong, a line each, with the nearest field name.
        """
        try:
            recipe = cls.model_validate(dict(values))
        except ValidationError as error:
            raise UserError("\n".join(_problems(error, origin))) from None
        if folder is None:
            return recipe
        data = recipe.data if recipe.data in EMBEDDED else str(Path(folder) / recipe.data)
        tokenizer = recipe.tokenizer if recipe.tokenizer == "bytes" else str(Path(folder) / recipe.tokenizer)
        return recipe.model_copy(update={"data": data, "tokenizer": tokenizer})


def _problems(error: ValidationError, origin: str) -> list[str]:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(name, Recipe.model_fields, 1)
            lines.append(
                f"{origin}: unknown field '{name}'"
                + (f", did you mean '{near[0]}'?" if near else f"; fields are: {', '.join(Recipe.model_fields)}")
            )
        else:
            message = problem["msg"][0].lower() + problem["msg"][1:]
            lines.append(f"{origin}.{name}: {message}, not {problem['input']!r:.60}")
    return lines
