"""Published networks as specs: parameters and FLOPs beside those of the reference implementations, what pricing one takes, and
how fast they run.

    python benchmarks/encoders.py              every network of encoders.json: parameters, FLOPs, time and memory of pricing
    python benchmarks/encoders.py --speed      forward and build times of four, as ratios to transformers measured in the same run
    python benchmarks/encoders.py --speed vit_b16 --batch 1 --rounds 15

Prices must be equal. Pricing one is a process of its own that loads, lowers and prices: at most 0.4 s, 120 MB, torch not imported.
Forward passes of both sides are run by turns, in one process and with the same threads, and the median of the rounds' ratios is
what counts: at most 1.00 for the serving form, 1.05 for the training form in evaluation mode. Building, initialisation included,
is compared in the same way: at most 0.5. On a machine that others use too, `--processor` compares processor time on one thread; the
quartiles of the ratios say how steady they were. Pricing is judged by processor time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mmspec import shipped

NETWORKS: list[dict[str, Any]] = json.loads(Path(__file__).with_suffix(".json").read_text())
SECONDS, MEGABYTES = 0.4, 120
SPEED = ("vit_b16", "bert_base", "swin_t", "convnext_t")
SERVING, TRAINING, BUILD = 1.00, 1.05, 0.5

PRICE = """
import json, sys, mmspec
name, sizes = sys.argv[1], json.loads(sys.argv[2])
price = mmspec.profile(mmspec.load(name), **sizes)
print(json.dumps([price["parameters.total"], price["flops.total"], "torch" in sys.modules]))
"""


# prices -----------------------------------------------------------------------------------------------------------------


def priced(network: dict[str, Any], times: int = 3) -> tuple[int, int, bool, float, float]:
    """Parameters, FLOPs, whether torch was imported, processor seconds and megabytes: the best of several processes."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    arguments = [sys.executable, "-c", PRICE, network["name"], json.dumps(network.get("sizes", {}))]
    seconds, megabytes = [], []
    for _ in range(times):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
        if status:
            raise SystemExit(f"pricing {network['name']} failed")
        seconds.append(usage.ru_utime + usage.ru_stime)
        megabytes.append(usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20))
    parameters, flops, torch = json.loads(said)
    return parameters, flops, torch, min(seconds), min(megabytes)


def compare_prices() -> bool:
    print(f"{'':20} {'parameters':>15}  {'':8} {'FLOPs':>19}  {'':18} {'seconds':>7}  {'MB':>4}")
    kept = True
    for network in NETWORKS:
        name = network["name"]
        if name not in shipped.names("specs"):
            print(f"{name:20} no spec yet")
            continue
        parameters, flops, torch, seconds, megabytes = priced(network)
        same = [difference(parameters, network["params"]), difference(flops, network["flops"])]
        known = network.get("difference", "")
        print(
            f"{name:20} {parameters:15,}  {same[0]:8} {flops:19,}  {same[1]:18} {seconds:7.2f}  {megabytes:4.0f}  {known}"
        )
        fits = seconds <= SECONDS and megabytes <= MEGABYTES and not torch
        kept &= fits and same[0] == "equal" and (same[1] == "equal" or bool(known))
    print(
        f"limits: equal, or the difference explained; {SECONDS} s, {MEGABYTES} MB, no torch: {'met' if kept else 'MISSED'}"
    )
    return kept


def difference(found: int, expected: int) -> str:
    return "equal" if found == expected else f"{found - expected:+,}"


# speed ------------------------------------------------------------------------------------------------------------------


def reference(network: dict[str, Any]) -> Any:
    """The model of transformers, with fresh weights."""
    module, _, name = network["class"].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    return kind(kind.config_class(**network["config"])).eval()


def compare_speed(names: list[str], batches: list[int], rounds: int, processor: bool) -> bool:
    import torch

    import mmspec

    kept = True
    clock = time.process_time if processor else time.perf_counter
    if processor:
        torch.set_num_threads(1)  # threads that wait for each other would count as work
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.2f} before")
    print(f"{'':12} {'batch':>5}  {'transformers':>12}  {'training form':>22}  {'serving form':>22}")
    for network in (network for network in NETWORKS if network["name"] in names):
        name = network["name"]
        spec, peer = mmspec.load(name), reference(network)
        training = mmspec.build(spec).eval()
        serving = mmspec.build(spec, form="serving")
        serving.load_state_dict(training.state_dict())
        (keyword, (shape, dtype)), *_ = network["inputs"].items()
        (ours,) = (port for port in spec.inputs)
        for batch in batches:
            size = [batch, *shape[1:]]
            x = torch.randn(size) if dtype == "float32" else torch.randint(5, 1000, size)
            runs: list[Callable[[], Any]] = [partial(peer, **{keyword: x})]
            runs += [partial(model, **{ours: x}) for model in (training, serving)]
            with torch.inference_mode():
                seconds = by_turns(runs, rounds, clock)
            ratios = [[own / theirs for theirs, own in zip(seconds[0], column, strict=True)] for column in seconds[1:]]
            median = [statistics.median(column) for column in ratios]
            kept &= median[0] <= TRAINING and median[1] <= SERVING
            said = "  ".join(
                f"{m:6.3f} ({low:.3f} to {high:.3f})"
                for m, (low, high) in zip(median, map(middle, ratios), strict=True)
            )
            print(f"{name:12} {batch:5}  {statistics.median(seconds[0]) * 1e3:9.1f} ms  {said}", flush=True)
        del training, serving, peer
        seconds = by_turns(
            [lambda n=network: reference(n), lambda n=name: mmspec.build(mmspec.load(n))], max(3, rounds // 3), clock
        )
        ratio = statistics.median(own / theirs for theirs, own in zip(*seconds, strict=True))
        kept &= ratio <= BUILD
        print(f"{name:12} build  {statistics.median(seconds[0]) * 1e3:9.1f} ms  {ratio:6.3f}", flush=True)
    print(f"load {os.getloadavg()[0]:.2f} after")
    print(f"limits: serving {SERVING}, training {TRAINING}, build {BUILD}: {'met' if kept else 'MISSED'}")
    return kept


def by_turns(runs: list[Callable[[], Any]], rounds: int, clock: Callable[[], float]) -> list[list[float]]:
    """Seconds of each, one after the other in every round, in an order that turns; one round beforehand is not counted."""
    seconds: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for turn in range(rounds):
        for i in range(len(runs)):
            index = (turn + i) % len(runs)
            began = clock()
            runs[index]()
            seconds[index].append(clock() - began)
    return seconds


def middle(ratios: list[float]) -> tuple[float, float]:
    """The quartiles: half of the rounds lie between."""
    low, _, high = statistics.quantiles(ratios, n=4)
    return low, high


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("names", nargs="*", default=SPEED, help="networks whose speed is measured")
    parser.add_argument("--speed", action="store_true", help="forward and build times instead of prices")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--processor", action="store_true", help="processor time on one thread instead of wall time")
    said = parser.parse_args()
    kept = compare_speed(list(said.names), said.batch, said.rounds, said.processor) if said.speed else compare_prices()
    if not kept:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
