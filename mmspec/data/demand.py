"""What a spec asks of its data: a column per input, a column per objective, and how many classes each may have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmspec.reading.categories import CategoryColumn
from mmspec.reading.clips import ClipColumn
from mmspec.reading.columns import Column
from mmspec.reading.images import TYPES, ImageColumn
from mmspec.reading.sounds import WaveformColumn
from mmspec.reading.text import TextColumn, Tokenizer
from mmspec.reading.views import AREA, ViewsColumn
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
class Itself:
    """An objective that compares the model with what it reads, or with itself, and wants no column.   path: its place in the
    spec; head: what it judges, and is measured by."""

    path: str
    head: str
    objective: Any


@dataclass(frozen=True)
class Demand:
    """columns by the input's name; the data's column that an input is read from, where it bears another name; a target for each
    objective (several may want one column); the objectives that want none."""

    columns: dict[str, Column]
    targets: tuple[Target, ...]
    shown: dict[str, str]
    itself: tuple[Itself, ...]

    def source(self, name: str) -> str:
        """The column of the data that an input is read from."""
        return self.shown.get(name, name)


OPTIONAL = ("noise", "number")  # inputs that may be left out
CONTRAST = ("info_nce", "sigmoid")  # objectives of pairs
OF_ITSELF = ("masked_patches", "dino")  # objectives that compare the model with what it reads, or with itself
GUESSES = {"next_token": "{}.next", "masked_token": "{}"}  # objectives of texts, and the column of what is asked for


def demand_of(
    spec: ModelSpec, tokenizer: Tokenizer, pairs: str | None = None, texts: bool = False, pictures: bool = False
) -> Demand:
    """Read a spec's inputs and objectives.   pairs: the column that says which samples are alike, in data of pairs; texts: whether
    tokens of inputs may be asked for; pictures: whether they are enough, without a column that says what is on them

    Raises   SpecError: an input that no column can be read for, too small a vocabulary, no objective to train for, two
             objectives that want one column with different numbers of classes; all of them at once.
    """
    problems: list[Diagnostic] = []
    columns: dict[str, Column] = {}
    for name, component in spec.inputs.items():
        if component.type in OPTIONAL:  # type: ignore[attr-defined]  # no column: the model does without
            continue
        try:
            columns[name] = _column(component, tokenizer, pictures)
        except _Unfit as unfit:
            problems.append(spec.diagnostic(f"inputs.{name}.{unfit.field}", unfit.message, hint=unfit.hint))

    targets: list[Target] = []
    itself: list[Itself] = []
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
            itself.append(Itself(path, objective.head or next(iter(spec.heads)), objective))
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
    if itself and not targets and not pictures:
        message = (
            f"an objective of type '{itself[0].objective.type}' learns from pictures alone, and this data has more"
        )
        problems.append(spec.diagnostic(f"{itself[0].path}.type", message, hint=_PICTURES))
    if not spec.objectives:
        problems.append(spec.diagnostic("objectives", "there is nothing to train for", hint=_OBJECTIVE))
    refuse(problems)
    return Demand(columns, tuple(targets), shown_columns(spec), tuple(itself) if pictures else ())


def shown_columns(spec: ModelSpec) -> dict[str, str]:
    """The columns that inputs show, where they say another than that of their own name."""
    said = {name: getattr(component, "column", None) for name, component in spec.inputs.items()}
    return {name: column for name, column in said.items() if column is not None}


def shown_parts(spec: ModelSpec) -> dict[str, tuple[Any, ...]]:
    """What inputs of pictures ask of the data beside their sizes."""
    pictures: dict[str, Any] = {name: each for name, each in spec.inputs.items() if hasattr(each, "area")}
    return {name: (each.column, each.area, each.mirror) for name, each in pictures.items()}


def refuse(problems: Iterable[Diagnostic]) -> None:
    """Raise SpecError with all of these, if there are any."""
    problems = tuple(problems)
    if problems:
        raise SpecError(problems)


_PICTURES = "--data digits_pictures, or a manifest (.csv, .jsonl) with a column of pictures"
_OBJECTIVE = "objectives: [{type: cross_entropy, head: <a head>, target: <a column of the data>}]"


class _Unfit(Exception):
    """An input that the data cannot fill."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.field, self.message, self.hint = field, message, hint


def _column(component: Any, tokenizer: Tokenizer, pictures: bool) -> Column:
    match component.type:
        case "image":
            if component.channels not in TYPES:
                raise _Unfit("channels", f"a picture has 1 channel (grey) or 3 (RGB), not {component.channels}")
            size = component.size
            height, width = (size, size) if isinstance(size, int) else size
            picture = ImageColumn(height, width, component.channels)
            single = component.views == 1
            if single and component.area is None and not component.mirror:
                return picture
            if not pictures:
                field = next(field for field in ("views", "area", "mirror") if field in component.model_fields_set)
                raise _Unfit(field, "this data has no parts of pictures to show", _PICTURES)
            area = component.area or ((1.0, 1.0) if single else AREA)
            return ViewsColumn(picture, component.views, area, component.mirror, single)
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
