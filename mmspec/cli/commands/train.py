"""mmspec train"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmspec.cli.options import opened, say, takes_spec

if TYPE_CHECKING:
    from mmspec.training import Recipe


@click.command
@takes_spec
@click.option(
    "--data",
    metavar="DATA",
    help="digits_questions, digits_captions, digits_pictures, spoken_words (embedded), or a manifest: .csv or .jsonl",
)
@click.option("--recipe", metavar="FILE", help="a YAML file of training settings; the options here go before it")
@click.option("--steps", type=int, help="updates of the weights")
@click.option("--batch", type=int, help="examples per step")
@click.option("--learning-rate", type=float, help="at its peak")
@click.option("--average", type=float, help="what a moving average keeps of itself at first")
@click.option("--augment", type=float, help="strength of the small variation of pictures")
@click.option("--precision", metavar="P", help="fp32, or bf16-autocast: products of matrices in bfloat16")
@click.option(
    "--checkpoint", is_flag=True, default=None, help="run blocks again for their gradients: less memory, more time"
)
@click.option("--seed", type=int, help="of weights, order and variation")
@click.option("-o", "--out", metavar="DIR", help="runs/<name> by default; replaced whole if it is one of ours")
@click.option("--resume", is_flag=True, help="go on with the unfinished run in DIR")
def command(
    spec: str,
    recipe: str | None,
    out: str | None,
    resume: bool,
    changes: tuple[str, ...],
    variant: str | None,
    **given: Any,
) -> None:
    """Train a spec and measure it; the folder is what `predict` and `export` take."""
    read = opened(spec, changes, variant).require_closed()
    settings = _recipe(recipe, given)
    folder = Path(out) if out else Path("runs") / read.name

    from mmspec.cli.progress import bar, ink
    from mmspec.training import train
    from mmspec.training.checkpoint import Checkpoint

    done = Checkpoint.read(folder).step if resume else 0
    say(f"{read.name} on {settings.data}: {settings.steps} steps of {settings.batch}, into {folder}")
    colours = ink()
    with bar("training", settings.steps, done) as shown:

        def progress(step: int, steps: int, loss: float, metrics: Mapping[str, Any] | None) -> None:
            shown.update(step, f"loss {loss:.3f}")
            if metrics is not None:
                digits = len(str(steps))
                text = f"  step {step:{digits}}/{steps}   loss {loss:.3f}   {_reached(metrics)}"
                shown.line(colours.dim(text))

        result = train(read, settings, folder, resume=resume, progress=progress)
    _report(result.metrics, folder)


def _recipe(file: str | None, given: Mapping[str, Any]) -> Recipe:
    """The settings of a file, then those that were typed."""
    from mmspec.errors import UserError
    from mmspec.spec.reader import read_file, read_tree
    from mmspec.spec.tree import plain
    from mmspec.training import Recipe

    values: dict[str, Any] = {}
    if file is not None:
        data = plain(read_tree(read_file(file)))
        if not isinstance(data, Mapping):
            raise UserError(f"{file}: expected a mapping of training settings, such as steps: 700")
        values = dict(data)
    typed = {key: value for key, value in given.items() if value is not None}
    if file is None:
        return Recipe.read(typed, origin="--")
    read = Recipe.read(values, Path(file).parent, origin=file)
    return Recipe.read({**read.model_dump(), **typed}, origin=file) if typed else read


def _reached(metrics: Mapping[str, Any]) -> str:
    """What a validation says, in a few words."""
    if metrics["accuracy"] is not None:
        return f"accuracy {metrics['accuracy']:.3f}"
    heads = metrics["heads"].items()
    return "   ".join(
        f"{head}: masked patches {found['loss']:.4f}" if "loss" in found else f"{head}: entropy {found['entropy']:.3f}"
        for head, found in heads
    )


def _report(metrics: Mapping[str, Any], folder: Path) -> None:
    """What it reached, beside what less than all inputs can reach, or who has not learned."""
    from mmspec.cli.ink import Ink
    from mmspec.cli.table import Column, lines

    ink = Ink(sys.stdout)
    splits = {split: metrics[split] for split in ("validation", "test") if metrics.get(split)}
    validation = splits["validation"]
    if validation["accuracy"] is not None:
        rows = [
            (split, f"{found['accuracy']:.3f} ± {found['standard_error']:.3f}", f"{found['examples']:,}")
            for split, found in splits.items()
        ]
        rows += [(f"best by {name}", f"{bound:.3f}", "") for name, bound in validation["baselines"].items()]
        columns = (Column(""), Column("accuracy", right=True), Column("examples", right=True))
        click.echo("\n".join(lines(columns, rows, ink)), color=ink.coloured)
        click.echo()
    for head in validation["heads"]:
        found = {split: metrics["heads"][head] for split, metrics in splits.items()}
        examples = {split: f"{metrics['examples']:,}" for split, metrics in splits.items()}
        for title, numbers in _of_itself(found):
            table = [(name, number, examples.get(name, "")) for name, number in numbers]
            columns = (Column(head), Column(title, right=True), Column("examples", right=True))
            click.echo("\n".join(lines(columns, table, ink)), color=ink.coloured)
            click.echo()
    for remark in (*metrics["warnings"], *metrics["notes"]):
        click.echo("\n".join(ink.wrapped(remark, "note:")), color=ink.coloured)
    click.echo(f"  wrote {folder}: {' '.join(sorted(path.name for path in folder.iterdir() if path.name[0] != '.'))}")
    if example := metrics.get("example"):
        click.echo(f"  try: {_question(folder, example['inputs'])}")


def _of_itself(found: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Tables of what a head has learned of pictures alone, by split: what is told, and the rows."""
    validation = found["validation"]
    if "limits" in validation:
        rows = [(split, f"{each['loss']:.4f}") for split, each in found.items()]
        yield "masked patches", [*rows, *((name, f"{limit:.4f}") for name, limit in validation["limits"].items())]
    if "accuracy_before" in validation:
        rows = [(split, f"{each['accuracy']:.3f}") for split, each in found.items()]
        before = ("before training", f"{validation['accuracy_before']:.3f}")
        yield "nearest neighbours", [*rows, before, ("of the pixels", f"{validation['accuracy_of_pixels']:.3f}")]
    if "entropy" in validation:
        rows = [(split, f"{each['entropy']:.3f}") for split, each in found.items()]
        rows += [(name, f"{validation[key]:.3f}") for name, key in ENTROPIES.items()]
        yield "entropy", rows


ENTROPIES = {"of the mean answer": "entropy_of_mean", "at most": "entropy_at_most"}


def _question(folder: Path, inputs: Mapping[str, str]) -> str:
    """A command that asks the trained model the example that lies beside it."""
    import shlex

    typed = ["mmspec", "predict", str(folder)]
    for name, value in inputs.items():
        typed += [f"--{name}", str(folder / value) if value.startswith("data/") else value]
    return shlex.join(typed)
