"""What the compiler says, torch confirms: parameters, FLOPs and source of every shipped spec and of random ones.

FLOPs are those of torch's FlopCounterMode on the built module with real tensors and attention written out, in training, at
inference with all exits, and at each exit by itself. Beside them, what the counter says when attention stays fused, which is
what people usually see.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import mmspec
from mmspec import shipped
from mmspec.testing import check_spec, example

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from random_specs import random_spec

RANDOM = 300


def main() -> None:
    print(f"{'spec':22} {'parameters':>12} {'FLOPs':>14} {'counter, fused attention':>26}")
    for name in shipped.names("specs"):
        spec = mmspec.load(name)
        check_spec(spec, gradients=False)
        price = mmspec.profile(spec)
        model = mmspec.build(spec).train()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(**example(mmspec.lower(spec), 1))
        share = counter.get_total_flops() / price["flops.total"]
        print(f"{name:22} {price['parameters.total']:12,} {price['flops.total']:14,} {share:26.3f}")
    for seed in range(RANDOM):
        check_spec(random_spec(seed), gradients=False)
    count = len(shipped.names("specs"))
    print(f"\n{count} shipped and {RANDOM} random specs: parameters and FLOPs equal torch's (difference 0),")
    print("in training, at inference and at every exit; the stand-alone source gives the same bits")


if __name__ == "__main__":
    main()
