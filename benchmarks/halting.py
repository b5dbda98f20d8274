"""What halting saves on the digits questions: accuracy, mean FLOPs and time of every policy, beside the same model run to its end.

    python benchmarks/halting.py                                    specs/halting_confidence.yaml with each policy
    python benchmarks/halting.py confidence act --steps 300         these policies
    python benchmarks/halting.py specs/a.yaml runs/b --loss 0.01    these specs; a folder that is trained is not trained again

Thresholds are calibrated where a policy has any. A budget is given as 0.6 of the full cost.

Limit: after calibration the first is within 0.01 of the full model's accuracy at no more than 0.6 of its mean FLOPs, on the
validation split that thresholds were chosen on; the test split, which nothing was chosen on, is printed beside it.
Times are milliseconds per example, eager, the mean over batches of the fastest of three runs; `full` is
the same module with every sample forced to the end, in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mmspec
from mmspec.backend.runtime import Experts, Loop, Stages, Still
from mmspec.training import Goal, Recipe, calibrate
from mmspec.training.calibrate import SCALES
from mmspec.training.loop import EVALUATION_BATCH
from mmspec.training.metrics import evaluate
from mmspec.training.trained import Trained, open_trained

BASE = "halting_confidence"
FUSION = "fusion.joint={type: transformer, from: [image, text], streams: multi, depth: 6, heads: 4, halting: by_stream}"
POLICIES = {
    "confidence": (),
    "entropy": ("fusion.joint.halting={type: entropy, head: label}",),
    "improvement": ("fusion.joint.halting={type: improvement, threshold: 0.3, head: label}",),
    "patience": ("fusion.joint.halting={type: patience, head: label}",),
    "ponder": ("fusion.joint.halting={type: ponder, prior: 0.3, head: label}",),
    "distilled": ("fusion.joint.halting.own_heads=true", "fusion.joint.halting.distil=0.5"),
    "budget": ("inputs.budget={type: number}", "fusion.joint.halting={type: budget, head: label, own_heads: true}"),
    "act": ("fusion.joint.halting={type: act, ponder: 0.01}",),
    "by_stream": (FUSION,),
}
LOST, SHARE = 0.01, 0.6
BATCHES = {1: 100, 64: 8}  # how many of each size are timed
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="*", default=list(POLICIES))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument(
        "--loss", type=float, default=0.0, help="what calibration may lose of the accuracy on validation"
    )
    parser.add_argument(
        "--width", type=int, default=128, help="of the policies' model; 64 trains in a third of the time"
    )
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(f"{torch.get_num_threads()} threads, {asked.steps} steps, thresholds for a loss of at most {asked.loss:g}")
    heads = ("validation", "full", "test", "full", "mean FLOPs", "of full", "b1 ms", "of full", "b64 ms", "of full")
    print(f"{'':22}" + "".join(f"{head:>11}" for head in heads))
    results = []
    with tempfile.TemporaryDirectory() as place:
        for number, spec in enumerate(asked.specs):
            results.append(measure(spec, asked.steps, asked.loss, asked.width, Path(place) / str(number)))
            print(row(results[-1]), flush=True)
    first = results[0]
    lost, share = first["full"]["validation"] - first["own"]["validation"], first["flops"] / first["total"]
    met = lost <= LOST and share <= SHARE
    print(
        f"{first['name']}: {lost:+.4f} lost (limit {LOST}) at {share:.3f} of the mean FLOPs (limit {SHARE})   "
        f"{'met' if met else 'MISSED'}"
    )


def measure(spec: str, steps: int, loss: float, width: int, place: Path) -> dict[str, Any]:
    """A spec trained, calibrated where its policy has thresholds, and measured against itself run to its end."""
    folder = Path(spec)
    if not (folder / "metrics.json").is_file():
        folder = place / "trained"
        sizes = [f"encoders.{name}.width={width}" for name in ("image", "text")]
        said = mmspec.load(BASE, [*sizes, *POLICIES[spec]]) if spec in POLICIES else mmspec.load(spec)
        mmspec.train(said, Recipe(steps=steps), folder)
    trained = open_trained(folder)
    policies = [getattr(node.component, "halting", None) for node in trained.spec.nodes]
    if any(policy is not None and policy.type in SCALES for policy in policies):
        trained = open_trained(calibrate(folder, Goal("loss", loss), out=place / "calibrated").folder)
    price = mmspec.profile(trained.spec)
    budgeted = [name for name, said in trained.spec.inputs.items() if said.type == "number"]
    module = Within(trained.module, budgeted, SHARE * price["flops.total"]).eval()
    own, flops = accuracies(trained, module), spent(trained, module, price)
    force(module, to_the_end=True)
    full = accuracies(trained, module)
    times = {size: timed(trained, module, size) for size in BATCHES}
    name = spec if spec in POLICIES else trained.spec.name
    return {"name": name, "own": own, "full": full, "times": times, "flops": flops, "total": price["flops.total"]}


class Within(nn.Module):
    """A model that is given what each sample may cost, where it asks for that."""

    def __init__(self, module: nn.Module, names: list[str], budget: float) -> None:
        super().__init__()
        self.module, self.names, self.budget = module, names, budget

    def forward(self, **inputs: torch.Tensor) -> Any:
        batch = len(next(iter(inputs.values())))
        return self.module(**inputs, **{name: torch.full((batch,), self.budget) for name in self.names})


def spent(trained: Trained, module: nn.Module, price: Any) -> float:
    """Mean FLOPs over validation, by where each sample left each stack or loop, or stopped each stream."""
    exits: dict[str, list[torch.Tensor]] = {}
    handles = []
    for path, child in trained.module.named_modules():
        if isinstance(child, (Stages, Loop)):

            def note(stack: Any, _: Any, outputs: Any, node: str = path.split(".")[0]) -> None:
                exits.setdefault(node, []).append(outputs[stack.carried if isinstance(stack, Stages) else 1])

            handles.append(child.register_forward_hook(note))
    streams = {
        name: layer for name, layer in trained.module.named_modules() if isinstance(layer, Experts) and len(layer) == 1
    }
    computed = {name: [0, 0] for name in streams}  # samples that a stream went on for, of how many
    for name, layer in streams.items():

        def count(_: Any, args: Any, name: str = name) -> None:
            computed[name] = [computed[name][0] + int((args[0] == 0).sum()), computed[name][1] + len(args[0])]

        handles.append(layer.register_forward_pre_hook(count))
    accuracies(trained, module, ("validation",))
    for handle in handles:
        handle.remove()
    total = float(price["flops.total"])
    for node in price.nodes:
        if node.name in exits:
            costs = torch.tensor(node.exits, dtype=torch.float64)
            total += float(costs[torch.cat(exits[node.name])].mean()) - node.exits[-1]
    for layer in price.experts:
        if layer.module in computed:
            went, came = computed[layer.module]
            total -= layer.flops[0] * (1 - went / came)
    return total


def accuracies(trained: Trained, module: nn.Module, splits: Sequence[str] = ("validation", "test")) -> dict[str, float]:
    return {split: evaluate(module, trained.data, split, EVALUATION_BATCH)["accuracy"] for split in splits}


def timed(trained: Trained, module: nn.Module, size: int) -> tuple[float, float]:
    """Milliseconds per example, as calibrated and run to the end, in turns."""
    batches = [
        batch
        for batch, _ in zip(trained.data.evaluation_batches("validation", size), range(BATCHES[size]), strict=False)
    ]
    found: dict[bool, list[float]] = {False: [], True: []}
    with torch.no_grad():
        for batch in batches:
            seconds: dict[bool, list[float]] = {False: [], True: []}
            for to_the_end in (False, True) * REPEATS:
                force(module, to_the_end)
                began = time.perf_counter()
                module(**batch.inputs)
                seconds[to_the_end].append(time.perf_counter() - began)
            for to_the_end, taken in seconds.items():
                found[to_the_end].append(1000 * min(taken) / len(batch.weights))
    return statistics.mean(found[False]), statistics.mean(found[True])


def force(module: nn.Module, to_the_end: bool) -> None:
    """Let every sample run to the end of every stack, loop and stream; or let them leave again."""
    for child in module.modules():
        if isinstance(child, (Stages, Loop)):
            child.force(child.earlier if to_the_end else None)
        if isinstance(child, Still):
            child.never = to_the_end


def row(found: dict[str, Any]) -> str:
    cells = []
    for split in ("validation", "test"):
        cells += [f"{found['own'][split]:.4f}", f"{found['full'][split]:.4f}"]
    cells += [f"{found['flops'] / 1e6:.1f} M", f"{found['flops'] / found['total']:.3f}"]
    for own, full in found["times"].values():
        cells += [f"{own:.2f}", f"{own / full:.2f}"]
    return f"{found['name']:22}" + "".join(f"{cell:>11}" for cell in cells)


if __name__ == "__main__":
    main()
