"""mmspec build"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mmspec.cli.options import opened, takes_spec


@click.command
@takes_spec
@click.option("-o", "--out", metavar="DIR", help="build/<name> by default; replaced whole if it is one of ours")
@click.option("--weights", metavar="FILE", help="a .safetensors of this model, instead of fresh weights")
@click.option("--seed", default=0, show_default=True, help="of fresh weights")
def command(
    spec: str, out: str | None, weights: str | None, seed: int, changes: tuple[str, ...], variant: str | None
) -> None:
    """A torch module in a folder: resolved spec, stand-alone source, weights, price and picture."""
    from mmspec.cli.ink import Ink
    from mmspec.cli.price import table
    from mmspec.cost import profile
    from mmspec.files import check_replaceable
    from mmspec.passes import lower

    read = opened(spec, changes, variant).require_closed()
    graph = lower(read)
    price = profile(read, graph=graph)
    folder = Path(out) if out else Path("build") / read.name
    check_replaceable(folder)
    ink = Ink(sys.stdout)
    click.echo("\n".join(table(read, graph, price, ink)), color=ink.coloured)

    import torch

    from mmspec.backend import build, write_folder
    from mmspec.backend.folder import FILES

    torch.manual_seed(seed)
    write_folder(read, build(read, weights=weights), folder)
    click.echo(f"\n  wrote {folder}: {' '.join(FILES)}")
