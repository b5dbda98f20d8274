"""How well a model's time is known before it runs: the calibrated estimate and the roofline beside the time that it takes.

    python benchmarks/latency.py                 four networks, batch 1, one thread
    python benchmarks/latency.py vit_b16:8       others, as SPEC:BATCH
    python benchmarks/latency.py --seconds 30    of each, half for its operations and half for itself
    python benchmarks/latency.py --processor     processor time on both sides, for a machine that has other things to do

Limits: the estimate within 10 % of the fastest run, the lower bound below it. Operations and model are measured by turns, so
that what else happens on the machine happens to both. Where runs of the model spread over more than a tenth, or take more time
than the processor gave them, the machine is not quiet, and nothing is judged. The roofline is that of the
machine itself, as `mmspec calibrate-device` measures it, in the same run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import mmspec
from mmspec.cost import Sizes
from mmspec.cost.budgets import with_costs
from mmspec.cost.devices import Device, read_device
from mmspec.cost.ledger import ledger
from mmspec.cost.roofline import roofline
from mmspec.measuring.calibration import Bench, Calibration
from mmspec.measuring.device import measure_device
from mmspec.measuring.estimate import ERROR, Estimate, estimated
from mmspec.measuring.examples import inputs_of
from mmspec.measuring.machine import this_machine
from mmspec.measuring.operations import go_on
from mmspec.measuring.times import Times, interleaved

CASES = ("vit_b16:1", "bert_base:1", "swin_t:1", "fusion_gated:8")
TURNS = 5
THREADS = 1
WAITED = 0.03  # of the time of all runs, in which the process did not run


def main() -> None:
    torch.set_num_threads(THREADS)
    arguments = sys.argv[1:]
    seconds = 20.0
    if "--seconds" in arguments:
        at = arguments.index("--seconds")
        seconds = float(arguments[at + 1])
        del arguments[at : at + 2]
    processor = "--processor" in arguments
    arguments = [each for each in arguments if each != "--processor"]
    print(f"{this_machine(THREADS)}, {'processor time' if processor else 'wall time'}")
    device = own_device()
    clock = time.process_time if processor else time.perf_counter
    print(f"products {device.peak('fp32') / 1e9:.0f} GFLOP/s, memory {device.bandwidth / 1e9:.1f} GB/s\n")
    print(f"{'':18} lower bound  op by op  estimate   fastest    median  spread  error  typical")
    failed, unjudged = [], []
    for case in arguments or CASES:
        name, _, batch = case.partition(":")
        spec = mmspec.load(name)
        estimate, times, waited = predicted_and_measured(spec, int(batch or 1), seconds, clock)
        graph = mmspec.lower(spec)
        sizes = Sizes({"B": int(batch or 1), **graph.limits})
        bound = roofline(ledger(spec, graph, sizes), graph, sizes, device, "fp32").whole
        error = estimate.seconds / times.minimum - 1
        kept = abs(error) <= ERROR and bound.least <= times.minimum
        said = "" if kept else "   MISSED"
        if times.unsteady or (waited > WAITED and not processor):
            unjudged.append(case)
            said = f"   not judged: {times.unsteady or f'{waited:.0%} of the time others had the processor'}"
        elif not kept:
            failed.append(case)
        milliseconds = [
            1e3 * each for each in (bound.least, bound.op_by_op, estimate.seconds, times.minimum, times.median)
        ]
        numbers = "  ".join(f"{each:8.2f}" for each in milliseconds)
        print(
            f"{case:18}    {numbers}  {times.spread:6.1%} {error:+6.1%}  {estimate.typical / times.median - 1:+6.1%}{said}"
        )
    verdict = "MISSED" if failed else f"{len(unjudged)} cases not judged" if unjudged else "met"
    print(f"\nms; limits: error within {ERROR:.0%} of the fastest run, the lower bound below it: {verdict}")
    if failed:
        raise SystemExit(1)


def own_device() -> Device:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "this_machine.yaml"
        path.write_text(measure_device(THREADS).to_yaml())
        return read_device(str(path))


def predicted_and_measured(
    spec: mmspec.spec.ModelSpec, batch: int, seconds: float, clock: Callable[[], float]
) -> tuple[Estimate, Times, float]:
    """The estimate, the runs, and the share of their time in which others had the processor."""
    graph = with_costs(mmspec.lower(spec))
    sizes = Sizes({"B": batch, **graph.limits})
    bench = Bench(graph, sizes)
    torch.manual_seed(0)
    model = mmspec.build(spec).eval()
    go_on(model)
    inputs = inputs_of(graph, sizes)
    times: list[float] = []
    wall = processor = 0.0

    def run() -> None:
        with torch.inference_mode():
            model(**inputs)

    for _ in range(TURNS):
        bench.run(seconds / 2 / TURNS, clock)
        run()
        began = time.perf_counter(), time.process_time()
        times += interleaved({"torch": run}, seconds / 2 / TURNS, clock=clock)["torch"].seconds
        wall, processor = wall + time.perf_counter() - began[0], processor + time.process_time() - began[1]
    known = Calibration(this_machine(THREADS).to_dict())
    return estimated(graph, sizes, known, bench.tell(known)), Times(tuple(times)), 1 - processor / wall


if __name__ == "__main__":
    main()
