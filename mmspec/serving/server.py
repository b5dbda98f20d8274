"""The process that serves: it listens, answers until it is told to stop, and finishes what it has begun."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from mmspec.errors import UserError
from mmspec.runtime import Session
from mmspec.serving.limits import DEFAULT, Limits

WAITING = 1024  # connections that the system holds until they are accepted


def serve(
    package: str | Path,
    limits: Limits = DEFAULT,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int = 0,
    runtime: str | None = None,
    device: str | None = None,
    told: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a package until SIGTERM or SIGINT; what is being answered then is answered.

    port     0 for any that is free
    threads  of the runtime, 0 for as many as there are cores
    device   `cpu` or `cuda`; like `runtime`, what the package was exported for by default
    told     told the address once it listens

    Raises   UserError: fastapi or uvicorn is missing, it is no package, the device is not there, or the address is taken.
    """
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UserError(f"serving needs {' and '.join(missing)}: pip install 'mmspec[serve]'")
    import uvicorn
    from PIL import Image

    from mmspec.serving.application import application

    session = Session(package, threads, runtime, limits.batch, device)
    warnings.filterwarnings("ignore", module="PIL")  # of damaged pictures: the answer says what is wrong
    Image.MAX_IMAGE_PIXELS = limits.pixels  # this process reads what strangers send, and nothing else
    app = application(session, limits, Path(package).resolve().name)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=int(limits.seconds) + 1, lifespan="on",
        http="h11",  # httptools, taken where it is installed, reads heads of any size
    )  # fmt: skip
    with _listening(host, port) as listening:
        address = listening.getsockname()
        told(f"http://{f'[{address[0]}]' if ':' in address[0] else address[0]}:{address[1]}")
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host}, port {port}: {reason}") from error
    return listening
