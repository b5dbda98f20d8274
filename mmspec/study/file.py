"""A study file: what to search around, what for, within which limits, and for how long.

    base: ../specs/fusion_gated.yaml
    space: {fusion.joint.depth: {choice: [1, 2, 3]}}      # beside the domains that the base leaves open
    maximize: [accuracy]                                  # of the training's or the hook's metrics
    minimize: [flops.total]                               # of the profile's figures
    limits: ["parameters.total <= 2M"]
    recipe: {data: digits_questions, steps: 300}          # or `evaluate`: your own code, see mmspec.training.evaluate
    budget: {trials: 12}

Reading one imports neither torch nor optuna.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    model_validator,
)

from mmspec import shipped
from mmspec.cost.limits import Limit, LimitError, canonical, parse_limit
from mmspec.spec import reader, tree
from mmspec.spec.diagnostics import Diagnostic, SpecError
from mmspec.spec.document import Document, read_document
from mmspec.spec.source import Source
from mmspec.study.result import Objective
from mmspec.training import Evaluation, Recipe

UNNAMED = "<study>"


class Budget(BaseModel):
    """Where a search ends: at whichever comes first."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    trials: PositiveInt = Field(description="specs that are trained")
    seconds: PositiveFloat | None = Field(None, description="of training and measuring; the one under way is finished")


class Rungs(BaseModel):
    """Where a training is compared with the others before it goes on."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    steps: list[PositiveInt] = Field(
        min_length=1, description="of the recipe's, rising; the last of all is the end itself"
    )
    keep: float = Field(
        0.5, gt=0, lt=1, description="share of those that came to a rung that goes on; its front always does"
    )
    trust: float = Field(
        0.3, ge=-1, le=1, description="least rank correlation with the end, below which a rung is left out"
    )


class Study(BaseModel):
    """The file, as it is written."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    name: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][\w.-]{0,99}$", description="of the folder in runs/; the file's by default"
    )
    base: str = Field(description="the spec to search around: a path from here, or a shipped spec's name")
    variant: str | None = Field(None, description="a variant of the base")
    space: dict[str, Any] = Field(
        default_factory=dict, description="domains by dotted path, beside those the base leaves open"
    )
    maximize: list[str] = Field(default_factory=list, description="metrics of the task, such as accuracy")
    minimize: list[str] = Field(
        default_factory=list, description="figures of the profile, such as flops.total, or metrics"
    )
    limits: list[str] = Field(
        default_factory=list, description="of the profile's figures: figure <= number; checked before training"
    )
    reference: dict[str, float] = Field(
        default_factory=dict, description="of the hypervolume, by objective; stated by default"
    )
    start: list[str | dict[str, Any]] = Field(
        default_factory=list, description="specs that are trained first: choices by domain, or a spec of the space"
    )
    recipe: Recipe | None = Field(None, description="how each spec is trained")
    evaluate: Evaluation | None = Field(
        None, description="your own code instead: a built folder in, metrics as JSON out"
    )
    budget: Budget = Field(description="trials, and seconds if you like")
    rungs: list[PositiveInt] | Rungs | None = Field(
        None, description="steps at which trainings are compared and the worse half is stopped, see docs/studies.md"
    )
    features: Literal["shared", "own"] = Field(
        "shared", description="outputs of frozen encoders: computed once for all trainings, or by each for itself"
    )
    inherit: bool = Field(
        False,
        description="a training begins with the trained weights of the nodes that it has in common with a finished one",
    )
    sampler: Literal["known_cost", "tpe", "nsga2", "random"] = Field(
        "known_cost",
        description="who proposes: known_cost (models only what is learned), tpe (multivariate), nsga2, random",
    )
    confirm: NonNegativeInt = Field(
        3,
        description="fresh trainings of each spec on the front and just behind it, whose means are then the front; 0: none",
    )
    seed: NonNegativeInt = Field(0, description="of the proposals and, with the trial's number, of each training")

    _document: "Document[Study] | None" = PrivateAttr(None)

    @model_validator(mode="after")
    def _has_aims(self) -> Self:
        names = [canonical(name) for name in (*self.maximize, *self.minimize)]
        if not names:
            raise ValueError("nothing is sought; write maximize: [accuracy] and minimize: [flops.total]")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice!r} is sought twice")
        if (self.recipe is None) == (self.evaluate is None):
            raise ValueError("write either a recipe (we train) or evaluate (your code does)")
        if self.inherit and self.recipe is None:
            raise ValueError("inherit needs a recipe: what your own code begins with is its own affair")
        if self.ladder and self.recipe is None:
            raise ValueError("rungs need a recipe: what your own code trains is not stopped on the way")
        if self.ladder and self.recipe and self.ladder.steps[-1] >= self.recipe.steps:
            raise ValueError(
                f"the rung after {self.ladder.steps[-1]} steps is not before the end, {self.recipe.steps} steps"
            )
        if self.ladder and self.ladder.steps != sorted(set(self.ladder.steps)):
            raise ValueError(f"rungs rise from each to the next, unlike {self.ladder.steps}")
        return self

    @property
    def ladder(self) -> Rungs | None:
        """The rungs before the end; a last one that is the end is none."""
        if self.rungs is None:
            return None
        rungs = self.rungs if isinstance(self.rungs, Rungs) else Rungs.model_validate({"steps": self.rungs})
        end = self.recipe.steps if self.recipe else None
        steps = rungs.steps[:-1] if rungs.steps[-1] == end else rungs.steps
        return rungs.model_copy(update={"steps": steps}) if steps else None

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return Path(self._document.source.name if self._document else UNNAMED)

    @property
    def title(self) -> str:
        return self.name or self.path.stem

    @property
    def text(self) -> str:
        """The file's own words; the data where it was not read from a file."""
        return self._document.source.text if self._document else self.model_dump_json(indent=2, exclude_defaults=True)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(
            Objective(canonical(name), up)
            for names, up in ((self.maximize, True), (self.minimize, False))
            for name in names
        )

    @property
    def parsed_limits(self) -> tuple[Limit, ...]:
        return tuple(parse_limit(text) for text in self.limits)

    @property
    def space_as_written(self) -> tree.Map | dict[str, Any]:
        """The space with its places in the file, for messages."""
        node = tree.child(self._document.root, "space") if self._document else None
        return node if isinstance(node, tree.Map) else self.space

    def diagnostic(self, path: tree.Path, message: str, *notes: str, at_key: bool = False) -> Diagnostic:
        """A mistake at a place of the file: `("limits", 0)`."""
        if self._document is None:
            return Diagnostic(message, notes=notes, file=UNNAMED)
        return self._document.diagnostic(path, message, *notes, at_key=at_key)


def load_study(path: str | Path) -> Study:
    """A study by path, or by the name of a shipped one (`digits_pareto`).

    Raises   SpecError: everything that is wrong with the file, located. What it says about its base is checked by `search`.
    """
    path = str(path)
    if not Path(path).exists() and (packaged := shipped.find("search", path)):
        path = str(packaged)
    return _study(reader.read_file(path))


def read_study(text: str, origin: str = UNNAMED) -> Study:
    """The same from text."""
    return _study(reader.read_text(text, origin))


def _study(source: Source) -> Study:
    document = read_document(source, Study, "the study")
    study = document.record
    study._document = document
    if problems := list(_limit_problems(study)):
        raise SpecError(problems)
    return study


def _limit_problems(study: Study) -> Iterable[Diagnostic]:
    for i, text in enumerate(study.limits):
        try:
            parse_limit(text)
        except LimitError as error:
            yield study.diagnostic(("limits", i), str(error), "for example: parameters.total <= 2M, flops <= 50 MFLOP")
