"""mmspec serve"""

from __future__ import annotations

import signal
import sys

import click

from mmspec.serving.limits import DEFAULT


@click.command
@click.argument("package", metavar="PACKAGE")
@click.option("--host", default="127.0.0.1", show_default=True, help="the address that is listened on")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 for any that is free")
@click.option("--threads", type=click.IntRange(0), default=0, help="of the runtime  [as many as there are cores]")
@click.option("--runtime", metavar="NAME", help="onnxruntime or openvino  [what the package was exported for]")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="[what the package was exported for]")
@click.option(
    "--batch", type=click.IntRange(1), default=DEFAULT.batch, show_default=True, help="samples that are run together"
)
@click.option(
    "--delay-ms", type=click.FloatRange(0), default=DEFAULT.delay_ms, show_default=True,
    help="how long the first of a batch waits for others",
)  # fmt: skip
@click.option(
    "--inside", type=click.IntRange(1), default=DEFAULT.inside, show_default=True,
    help="requests at a time; more are refused with 429",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=DEFAULT.seconds, show_default=True,
    help="for a request to arrive, and to be answered",
)  # fmt: skip
@click.option(
    "--body-bytes", type=click.IntRange(1), default=DEFAULT.body_bytes, show_default=True, help="largest request"
)
@click.option(
    "--pixels", type=click.IntRange(1), default=DEFAULT.pixels, show_default=True, help="largest picture that is read"
)
@click.option(
    "--tokens", type=click.IntRange(1), default=DEFAULT.tokens, show_default=True,
    help="written for a request at most, where the package writes",
)  # fmt: skip
def command(
    package: str, host: str, port: int, threads: int, runtime: str | None, device: str | None,
    batch: int, delay_ms: float, inside: int, seconds: float, body_bytes: int, pixels: int, tokens: int,
) -> None:  # fmt: skip
    """Answer requests over HTTP with what was exported, until SIGTERM or Ctrl-C. Addresses are listed at /docs.

    `mmspec serve package --port 8000`
    """
    from mmspec.serving import Limits, serve

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # to be told to stop is no failure of a server

    limits = Limits(body_bytes, pixels, inside, seconds, batch, delay_ms, tokens)
    told = lambda address: click.echo(f"serving {package} at {address}")  # noqa: E731
    serve(package, limits, host, port, threads, runtime, device, told)
