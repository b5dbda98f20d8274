"""How long the formulas of a spec take, each held to the price at other sizes; beside it the price in numbers, and importing sympy
in a fresh process, which expressions made with sympy would pay before they begin. Processor time of one core.
"""

from __future__ import annotations

import subprocess
import sys
import time

import mmspec
from mmspec.cost.symbolic import symbolic

SPECS = ("vit_b16", "fusion_gated", "llama_70b", "vit_b_r50_s16", "swin_t")


def seconds(what: object, times: int = 5) -> float:
    """The fastest of some runs."""
    assert callable(what)
    found = []
    for _ in range(times):
        start = time.process_time()
        what()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    program = "import time; s = time.process_time(); import sympy; print(time.process_time() - s)"
    peer = min(float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(3))
    for name in SPECS:
        spec = mmspec.load(name)
        numbers = seconds(lambda spec=spec: (spec.memory.clear(), mmspec.profile(spec)["forward"]))
        formulas = seconds(lambda spec=spec: symbolic(spec))
        print(
            f"{name:16} formulas {formulas * 1e3:7.1f} ms   {formulas / numbers:6.1f} x the price in numbers   "
            f"{formulas / peer:5.2f} x importing sympy ({peer * 1e3:.0f} ms)"
        )


if __name__ == "__main__":
    main()
