"""How many specs a search can price in a second: choose values, validate, lower, profile. One core, flagship size, all
figures that a study reads.

    new specs       each spec of a space, priced for the first time, one after the other as a search does: what a spec shares with
                    those before it (an encoder that is the same, a component that is valid) is not worked out again
    drawn at random the same in a space of 129,600 specs, most of whose parts are new too
    alone           each as if there were no other: nothing is remembered from one spec to the next
    again           specs that were priced before

The first is held to a limit (1,000 specs/s). Beside them stands a peer measured in the same run: building the same model in torch
and counting it with torch's FlopCounterMode. All give the same prices, which is checked. Processor time is used, so that a busy
machine does not decide.
"""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

import mmspec
from mmspec.spec import ModelSpec, add_domains
from mmspec.study.candidate import price

LIMIT = 1000
RUNS = 5
SPACE = {
    "fusion.joint.depth": [2, 3, 4],
    "encoders.image.width": [64, 96, 128],
    "encoders.text.depth": [1, 2, 3],
    "fusion.joint.router.experts": [2, 4, 8],
}
WIDE = {
    "encoders.image.width": [64, 80, 96, 112, 128, 144],
    "encoders.image.depth": [1, 2, 3, 4, 5],
    "encoders.text.width": [64, 80, 96, 112, 128, 144],
    "encoders.text.depth": [1, 2, 3, 4, 5],
    "fusion.joint.depth": [2, 3, 4],
    "fusion.joint.width": [64, 96, 128, 160],
    "fusion.joint.expansion": [1.0, 2.0, 3.0, 4.0],
    "fusion.joint.router.experts": [2, 4, 8],
}

Choice = Mapping[str, int | float]
Figures = Mapping[str, float]


def fastest(
    spec: ModelSpec, choices: Sequence[Choice], before: Callable[[], None], each: Callable[[], None] = lambda: None
) -> tuple[float, list[Figures]]:
    """Seconds for one spec in the best of several runs, and the prices. `before` each run, `each` spec: what is not counted."""
    seconds, prices = [], []
    for _ in range(RUNS):
        before()
        spent, prices = 0.0, []
        for choice in choices:
            each()
            start = time.process_time_ns()
            prices.append(price(spec.choose(choice)))
            spent += time.process_time_ns() - start
        seconds.append(spent / 1e9 / len(choices))
    return min(seconds), prices


def line(what: str, seconds: float, peer: float) -> str:
    return f"{what:42} {1 / seconds:7.0f} specs/s   {seconds * 1e3:6.2f} ms each   {peer / seconds:5.0f} x torch"


def main() -> None:
    torch.set_num_threads(1)
    base = mmspec.load("fusion_gated")
    spec = add_domains(base, {path: {"choice": values} for path, values in SPACE.items()})
    choices = [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())]
    wide = add_domains(base, {path: {"choice": values} for path, values in WIDE.items()})
    draw = random.Random(0)
    drawn = [{path: draw.choice(values) for path, values in WIDE.items()} for _ in range(300)]

    price(spec.choose(choices[0]))
    gc.collect()
    gc.freeze()  # as a search does
    forget = spec.memory.clear
    new, prices = fastest(spec, choices, before=forget)
    alone, prices_alone = fastest(spec, choices, before=forget, each=forget)
    again, prices_again = fastest(spec, choices, before=lambda: None)
    random_ones, _ = fastest(wide, drawn, before=wide.memory.clear)
    assert prices == prices_alone == prices_again, "a price depends on what was priced before"

    start = time.process_time()
    some = choices[:: len(choices) // 5]
    for choice in some:
        model = mmspec.build(spec.choose(choice)).train()
        inputs = {"image": torch.randn(1, 3, 32, 32), "text": torch.ones(1, 32, dtype=torch.int64)}
        with torch.no_grad(), FlopCounterMode(display=False):
            model(**inputs)
    peer = (time.process_time() - start) / len(some)

    print(line(f"new specs, {len(choices)} of a space", new, peer))
    print(line(f"drawn at random, {len(drawn)} of 129,600", random_ones, peer))
    print(line("alone, nothing remembered", alone, peer))
    print(line("again", again, peer))
    print(line("build and count in torch", peer, peer))
    print(f"limit {LIMIT} new specs/s: ratio {1 / new / LIMIT:.2f}, {'met' if 1 / new >= LIMIT else 'MISSED'}")


if __name__ == "__main__":
    main()
