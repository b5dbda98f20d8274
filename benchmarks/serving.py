"""`mmspec serve` under load: many clients on loopback, each with a connection that stays open, asking again once it is answered.

Every answer is compared with the golden one of its request, which torch gave for that sample: a number may be off by what the
contract allows, whatever else was in its batch. Served twice, one sample at a time and in batches; the server is a process on a
core of its own, the clients another on another core. `CPU ms` is what the server spent for an answer, HTTP included.

    python benchmarks/serving.py [--seconds 60] [--clients 64] [--package DIR]      # by default two specs, exported first
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

WARM_UP = 2.0  # seconds that are not counted
SERVE = [sys.executable, "-c", "from mmspec.cli import main; main()", "serve"]


SPECS = (
    "fusion_gated",
    "anytime",
)  # golden samples of the first leave at its second exit; the other runs as long as it may
LINE = "{:16} {:>8} {:>7} {:>6} {:>7} {:>8} {:>8} {:>8} {:>7}"
CORES = sorted(os.sched_getaffinity(0))


@dataclass
class Question:
    """A request as it is sent, and the outputs and how far each may be off."""

    sent: bytes
    wanted: dict[str, np.ndarray]
    allowed: dict[str, np.ndarray]

    def wrong(self, outputs: dict[str, Any]) -> bool:
        return outputs.keys() != self.wanted.keys() or any(
            np.shape(outputs[name]) != wanted.shape or (np.abs(outputs[name] - wanted) > self.allowed[name]).any()
            for name, wanted in self.wanted.items()
        )


@dataclass
class Seen:
    errors: list[str] = field(default_factory=list)
    wrong: int = 0
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--package", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        packages = [asked.package] if asked.package else [exported(name, Path(home)) for name in SPECS]
        os.sched_setaffinity(0, CORES[-1:])
        for package in packages:
            questions = list(golden(package))
            print(
                f"{package.name}: {len(questions)} golden requests, {asked.clients} clients, {asked.seconds:g} s each"
            )
            print(LINE.format("", "answers", "errors", "wrong", "per s", "p50 ms", "p99 ms", "a batch", "CPU ms"))
            alone = measured("one at a time", package, 1, questions, asked)
            together = measured("batches to 32", package, 32, questions, asked)
            print(f"batches answer {together / alone:.2f} times as many")


def exported(name: str, home: Path) -> Path:
    import mmspec

    mmspec.export(mmspec.load(name), "edge_cpu_fp32", home / name)
    return home / name


def golden(package: Path) -> Iterator[Question]:
    """Each sample of the golden cases; close calls, on which runtimes may part, are left out."""
    contract = json.loads((package / "contract.json").read_text())
    arrays = safetensors.numpy.load_file(package / "golden.safetensors")
    for case in itertools.takewhile(lambda case: f"{case}.judged" in arrays, itertools.count()):
        for row in np.flatnonzero(arrays[f"{case}.judged"]):
            inputs = {name: raw(arrays[f"{case}.inputs.{name}"][row]) for name in contract["inputs"]}
            wanted = {name: arrays[f"{case}.outputs.{name}"][row] for name in contract["outputs"]}
            allowed = {
                name: np.maximum(told["tolerance"]["absolute"], told["tolerance"]["relative"] * np.abs(wanted[name]))
                for name, told in contract["outputs"].items()
            }
            body = json.dumps({"inputs": inputs}).encode()
            head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            yield Question(f"{head}\r\n\r\n".encode() + body, wanted, allowed)


def raw(array: np.ndarray) -> dict[str, Any]:
    return {"raw": base64.b64encode(array.tobytes()).decode(), "shape": list(array.shape)}


def measured(name: str, package: Path, batch: int, questions: list[Question], asked: argparse.Namespace) -> float:
    """Answers a second, and a line that says more."""
    command = [*SERVE, str(package), "--port", "0", "--threads", "1", "--batch", str(batch)]
    own = partial(os.sched_setaffinity, 0, CORES[:1])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=own) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rpartition(":")[2])
            seen, seconds, told = asyncio.run(load(port, questions, asked.clients, asked.seconds))
        finally:
            server.terminate()
    rate = len(seen.seconds) / seconds
    p50, p99 = (1e3 * float(np.quantile(seen.seconds, share)) for share in (0.5, 0.99))
    counts = f"{len(seen.seconds):8,} {len(seen.errors):7} {seen.wrong:6}"
    size = told["mmspec_batch_samples_sum"] / told["mmspec_batch_samples_count"]
    cpu_ms = 1e3 * told["process_cpu_seconds_total"] / told["mmspec_batch_samples_sum"]
    print(f"{name:16} {counts} {rate:7.1f} {p50:8.1f} {p99:8.1f} {size:8.1f} {cpu_ms:7.2f}", flush=True)
    for error, count in sorted((e, seen.errors.count(e)) for e in set(seen.errors)):
        print(f"    {count} times: {error}")
    return rate


async def load(
    port: int, questions: list[Question], clients: int, seconds: float
) -> tuple[Seen, float, dict[str, float]]:
    """What the clients saw after warming up, for how long, and by how much the server's counts rose, warming up included."""
    before = await counts(port)
    start = time.perf_counter() + WARM_UP
    seen = Seen()
    turned = [questions[i % len(questions) :] + questions[: i % len(questions)] for i in range(clients)]
    await asyncio.gather(*(client(port, each, start, seconds, seen) for each in turned))
    spent = time.perf_counter() - start
    return seen, spent, {name: value - before[name] for name, value in (await counts(port)).items()}


async def counts(port: int) -> dict[str, float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _, text = await ask(reader, writer, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    writer.close()
    lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if "{" not in name}


async def client(port: int, questions: list[Question], start: float, seconds: float, seen: Seen) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for question in itertools.cycle(questions):
        begun = time.perf_counter()
        if begun >= start + seconds:
            break
        try:
            code, body = await ask(reader, writer, question.sent)
            problem = "" if code == 200 else f"{code} {body[:200]!r}"
        except (OSError, EOFError, ValueError) as error:
            problem = repr(error)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if begun < start:
            continue
        if problem:
            seen.errors.append(problem)
            continue
        seen.seconds.append(time.perf_counter() - begun)
        seen.wrong += question.wrong(json.loads(body)["outputs"])
    writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> tuple[int, bytes]:
    """The status code and the body."""
    writer.write(sent)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


if __name__ == "__main__":
    main()
