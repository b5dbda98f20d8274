"""`mmspec`: the commands, and what a failure looks like.

Exit 0: done. 2: the user's to mend (a spec, data, a path, Ctrl-C). 1: ours, or the machine's. A traceback only when asked for.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from mmspec.cli.ink import Ink
from mmspec.errors import Failure, UserError

SECTIONS: dict[str, dict[str, str]] = {
    "Write a spec": {
        "init": "write a first spec, with completion for editors",
        "list": "components, and the specs, studies and targets that come with mmspec",
        "explain": "what a component does and what may be written in it",
        "validate": "is it valid, does it fit together",
        "schema": "the JSON Schema of specs, for editors",
    },
    "Look at it": {
        "show": "the compiled graph, as the program it is",
        "draw": "the compiled graph, as a picture",
        "profile": "parameters, FLOPs and memory, node by node",
        "devices": "what devices can do at most, with the source of each figure",
        "check": "is the price within limits, for CI",
        "diff": "what differs between two specs, and what that costs",
        "calibrate-device": "what this machine can do at most, measured",
    },
    "Use it": {
        "build": "a torch module: source, weights, price and picture in a folder",
        "train": "train it, and measure it",
        "calibrate": "choose where samples leave early, for a wanted cost or accuracy",
        "diagnose": "look into its exits, experts and gates",
        "predict": "ask a trained model one question",
        "search": "look for the best specs around one",
        "export": "an ONNX file, compared with torch",
        "verify": "is a package what it says it is",
        "serve": "answer requests over HTTP with what was exported",
    },
}
COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}


class Commands(click.Group):
    """Commands by name, imported when they are called: `mmspec.cli.commands.<name>.command`."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"mmspec.cli.commands.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, 1)
            hint = f", did you mean {near[0]!r}?" if near else f"; commands are: {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command {name!r}{hint}")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """By section, from the list above: help imports no command."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(9), text) for name, text in commands.items()])


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from mmspec.cli.environment import lines

        click.echo("\n".join(lines()))
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="also of what it runs on"
)
@click.option(
    "--traceback", is_flag=True, help="show Python's traceback of an internal error (or set MMSPEC_TRACEBACK=1)"
)
@click.pass_context
def cli(context: click.Context, traceback: bool) -> None:
    """A compiler for multi-modal networks: a YAML spec becomes a torch model, its price, a Pareto front and a verified ONNX file.

    SPEC is a file, or the name of a spec that comes with mmspec (see `mmspec list`).
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; what went wrong is said on stderr."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result = cli.main(typed, prog_name="mmspec", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _say("stopped", 2)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "mmspec"
        return _say(f"{_first_lower(error.format_message())}\ntry: {where} --help", 2)
    except click.ClickException as error:
        return _say(_first_lower(error.format_message()), 2)
    except UserError as error:
        return _say(str(error), 2)
    except Failure as error:
        return _say(str(error), 1)
    except BrokenPipeError:
        return _quiet()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _say(f"no space left on the disk{f' for {error.filename}' if error.filename else ''}", 1)
        if error.errno == errno.EFBIG:
            return _say("a file would be larger than may be written here (ulimit -f, or the file system)", 1)
        return _internal(error, typed)
    except MemoryError:
        return _say("out of memory", 1)
    except Exception as error:
        return _internal(error, typed)


def main() -> NoReturn:
    # read by torch's thread pool when it starts: threads that wait by spinning make a training step seven times slower
    # as soon as something else runs on the machine (1.07 s against 0.15 s, docs/log.md)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # pydantic looks through every installed distribution for plug-ins of its own: a tenth of the time of `mmspec validate`
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    sys.exit(run())


def _say(message: str, code: int) -> int:
    """A message that does not call itself an error gets that word first; its lines are coloured where there are colours."""
    ink = Ink(sys.stderr)
    if not message.startswith("error:") and message != "stopped":
        message = f"error: {message}"
    click.echo("\n".join(map(ink.diagnostic, message.splitlines())), err=True, color=ink.coloured)
    return code


def _internal(error: BaseException, typed: list[str]) -> int:
    if "--traceback" in typed or os.environ.get("MMSPEC_TRACEBACK", "0") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
        return 1
    text = " ".join(str(error).split()) or "no message"
    click.echo(f"mmspec: internal error: {type(error).__name__}: {text[:300]}", err=True)
    click.echo(
        "this is ours to mend; MMSPEC_TRACEBACK=1, or `mmspec --traceback ...`, shows where it happened", err=True
    )
    return 1


def _quiet() -> int:
    """Whoever read our output has left: nobody is there to be told."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (Python flushes it once more at exit)
    return 1


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def json_text(data: Any) -> str:
    """Data for machines, on stdout."""
    import json

    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
