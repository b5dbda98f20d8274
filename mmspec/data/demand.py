"""What a spec asks of its data: a column per input, a column per objective, and how many classes each may have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmspec.data.categories import CategoryColumn
from mmspec.data.clips import ClipColumn
from mmspec.data.columns import Column
from mmspec.data.images import TYPES, ImageColumn
from mmspec.data.sounds import WaveformColumn
from mmspec.data.text import TextColumn, Tokenizer
from mmspec.spec import SpecError

if TYPE_CHECKING:
    from mmspec.spec import Diagnostic, ModelSpec


@dataclass(frozen=True)
class Target:
    """A column of labels.   path: the objective's place in the spec; classes: how many its head can tell apart; pair: where the
    head compares a batch with itself, what its rows and its columns are, and the labels say which samples are alike; text: where
    the head guesses tokens, the input whose they are, and the column has one for each place.
    """

    path: str
    column: str
    head: str
    classes: int
    pair: tuple[str, str] | None = None
    text: str = ""


@dataclass(frozen=True)
class Demand:
    """columns by the input's name; a target for each objective (several may want one column)."""

    columns: dict[str, Column]
    targets: tuple[Target, ...]


OPTIONAL = ("noise", "number")  # inputs that may be left out
CONTRAST = ("info_nce", "sigmoid")  # objectives of pairs
OF_ITSELF = ("masked_patches",)  # objectives that compare the model with what it reads
GUESSES = {"next_token": "{}.next", "masked_token": "{}"}  # objectives of texts, and the column of what is asked for


def demand_of(spec: ModelSpec, tokenizer: Tokenizer, pairs: str | None = None, texts: bool = False) -> Demand:
    """Read a spec's inputs and objectives.   pairs: the column that says which samples are alike, in data of pairs; texts: whether
    tokens of inputs may be asked for

    Raises   SpecError: an input that no column can be read for, too small a vocabulary, no objective to train for, two
             objectives that want one column with different numbers of classes; all of them at once.
    """
    problems: list[Diagnostic] = []
    columns: dict[str, Column] = {}
    for name, component in spec.inputs.items():
        if component.type in OPTIONAL:  # type: ignore[attr-defined]  # no column: the model does without
            continue
        try:
            columns[name] = _column(component, tokenizer)
        except _Unfit as unfit:
            problems.append(spec.diagnostic(f"inputs.{name}.{unfit.field}", unfit.message, hint=unfit.hint))

    targets: list[Target] = []
    for index, component in enumerate(spec.objectives):
        objective: Any = component  # its fields are those of its type, which is checked first
        path = f"objectives.{index}"
        if objective.type in CONTRAST and pairs is not None:
            first, second = spec.heads[objective.head].from_  # type: ignore[attr-defined]  # what it judges reads two
            targets.append(Target(path, objective.target or pairs, objective.head, 0, (first, second)))
            continue
        if objective.type in GUESSES and texts:
            column = GUESSES[objective.type].format(objective.text)
            targets.append(Target(path, column, objective.head, 0, text=objective.text))
            continue
        if objective.type in OF_ITSELF:
            continue
        if objective.type != "cross_entropy":
            message = f"there is no data for an objective of type '{objective.type}'"
            hint = "train it in a loop of your own, with mmspec.backend.build_objectives"
            problems.append(spec.diagnostic(f"{path}.type", message, hint=hint))
            continue
        head = objective.head or next(iter(spec.heads))  # the only one, or the spec would not be valid
        target = Target(path, objective.target, head, _classes(spec.heads[head]))
        targets.append(target)
        known = next(other for other in targets if other.column == target.column)
        if known.classes != target.classes:
            message = f"the column '{target.column}' has {known.classes} classes for '{known.head}'"
            problems.append(spec.diagnostic(f"{path}.target", f"{message} and {target.classes} for '{target.head}'"))
    if spec.objectives and not targets and not problems:
        message = "no objective has a column that accuracy could be told by"
        hint = f"add one, such as {_OBJECTIVE}, or train it in a loop of your own, with mmspec.backend.build_objectives"
        problems.append(spec.diagnostic("objectives", message, hint=hint))
    if not spec.objectives:
        problems.append(spec.diagnostic("objectives", "there is nothing to train for", hint=_OBJECTIVE))
    refuse(problems)
    return Demand(columns, tuple(targets))


def refuse(problems: Iterable[Diagnostic]) -> None:
    """Raise SpecError with all of these, if there are any."""
    problems = tuple(problems)
    if problems:
        raise SpecError(problems)


_OBJECTIVE = "objectives: [{type: cross_entropy, head: <a head>, target: <a column of the data>}]"


class _Unfit(Exception):
    """An input that the data cannot fill."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.field, self.message, self.hint = field, message, hint


def _column(component: Any, tokenizer: Tokenizer) -> Column:
    match component.type:
        case "image":
            if component.channels not in TYPES:
                raise _Unfit("channels", f"a picture has 1 channel (grey) or 3 (RGB), not {component.channels}")
            if component.views > 1:
                message = "there is no reader for several views of a picture yet"
                raise _Unfit("views", message, "train it in a loop of your own, with mmspec.backend.build_objectives")
            size = component.size
            height, width = (size, size) if isinstance(size, int) else size
            return ImageColumn(height, width, component.channels)
        case "text":
            if component.vocab_size < tokenizer.vocabulary:
                message = f"the tokenizer has {tokenizer.vocabulary} tokens, the vocabulary only {component.vocab_size}"
                raise _Unfit("vocab_size", message, f"vocab_size: {tokenizer.vocabulary}")
            if component.pad is None and component.end is None:
                raise _Unfit(
                    "pad", "texts of several lengths make a batch with an id that fills up the short ones", "pad: 0"
                )
            return TextColumn(tokenizer, component.length, component.pad, component.start, component.end)
        case "category":
            return CategoryColumn(component.classes)
        case "waveform":
            return WaveformColumn(component.rate, component.samples)
        case "video":
            if component.channels not in TYPES:
                raise _Unfit("channels", f"a picture has 1 channel (grey) or 3 (RGB), not {component.channels}")
            return ClipColumn(component.frames, component.size, component.channels)
        case "spectrogram":
            message = "there are sounds to read, not spectrograms"
            raise _Unfit("type", message, "a waveform, and a log_mel encoder that reads it")
    raise _Unfit("type", f"there is no reader for an input of type '{component.type}'; there is one for: {_READ}")


_READ = "image, text, video, waveform, category"


def _classes(head: Any) -> int:
    return int(head.classes)
