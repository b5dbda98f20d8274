"""How many specs a search can price in a second: choose values, validate, lower, profile. One core, flagship size.

Printed beside a limit (at least 300 specs/s) and a peer measured in the same run: building the same model in torch and
counting it with torch's FlopCounterMode. Processor time is used, so that a busy machine does not decide.
"""

from __future__ import annotations

import gc
import itertools
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

import mmspec
from mmspec.spec import add_domains

LIMIT = 300
SPACE = {
    "fusion.joint.depth": {"choice": [2, 3, 4]},
    "encoders.image.width": {"choice": [64, 96, 128]},
    "encoders.text.depth": {"choice": [1, 2, 3]},
    "fusion.joint.router.experts": {"choice": [2, 4, 8]},
}


def main() -> None:
    torch.set_num_threads(1)
    spec = add_domains(mmspec.load("fusion_gated"), SPACE)
    choices = [
        dict(zip(SPACE, values, strict=True)) for values in itertools.product(*(d["choice"] for d in SPACE.values()))
    ]

    def price(choice: dict[str, int]) -> int:
        return mmspec.profile(spec.choose(choice))["flops.total"]

    price(choices[0])
    gc.freeze()  # as a search does
    seconds = []
    for _ in range(5):
        start = time.process_time()
        for choice in choices:
            price(choice)
        seconds.append((time.process_time() - start) / len(choices))
    best, median = min(seconds) * 1e3, sorted(seconds)[2] * 1e3
    rate = 1e3 / best

    start = time.process_time()
    some = choices[:: len(choices) // 5]
    for choice in some:
        model = mmspec.build(spec.choose(choice)).train()
        inputs = {"image": torch.randn(1, 3, 32, 32), "text": torch.ones(1, 32, dtype=torch.int64)}
        with torch.no_grad(), FlopCounterMode(display=False):
            model(**inputs)
    peer = (time.process_time() - start) / len(some)

    print(f"validate + lower + profile   {rate:7.0f} specs/s   {best:.2f} ms each, median {median:.2f} ms")
    print(
        f"limit                        {LIMIT:7.0f} specs/s   ratio {rate / LIMIT:.2f} {'met' if rate >= LIMIT else 'MISSED'}"
    )
    print(f"build and count in torch     {1 / peer:7.1f} specs/s   ratio {peer * 1e3 / best:.0f}")


if __name__ == "__main__":
    main()
