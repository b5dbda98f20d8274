"""How far exported files are from torch: every shipped spec at its full size, over every case of the verification (batches 1, 2,
7 and a larger one, the shortest, a middle and the longest text, absent texts, every exit forced, mixed exits, every expert hit),
with the model's own weights and with all of them drawn anew.

One line for each spec: its runs of a batch and their samples, the largest absolute error in ONNX Runtime and in OpenVINO, how
often an expert met no token, what it took. 1e-5 is allowed in ONNX Runtime, or a ten thousandth of the number; an export that is
further off fails. Each spec has a process of its own; one whose weights do not fit into memory COPIES times is not tried, and its
line says so.

    python benchmarks/export.py                 # all of them, the smallest first: about an hour and a half on two cores
    python benchmarks/export.py vit_b16 gpt2_small
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mmspec
from mmspec import shipped

COPIES = 6  # of the weights: two modules and two files, and twice more in float64 or in the runtime
GIB = 1 << 30
HEADER = ("spec", "GiB", "runs", "samples", "ORT", "OpenVINO", "experts", "idle", "s", "peak")
LINE = "{:29} {:>6} {:>5} {:>8} {:>8} {:>9} {:>8} {:>5} {:>5} {:>6}"


def main(names: list[str]) -> None:
    asked = sorted(names or shipped.names("specs"), key=weights)
    print(LINE.format(*HEADER))
    failed = []
    for name in asked:
        size = weights(name) / GIB
        if COPIES * size > memory() / GIB:
            print(
                f"{name:29} {size:6.2f} not tried: {COPIES * size:.0f} GiB of {memory() / GIB:.0f} GiB would be needed"
            )
            continue
        child = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
        if child.returncode:
            killed = "killed, as a process is that takes more memory than there is"
            reason = (
                [killed] if child.returncode == -9 else child.stderr.strip().splitlines() or ["ended without a word"]
            )
            print(f"{name:29} {size:6.2f} FAILED: {' | '.join(reason[-6:])}", flush=True)
            failed.append(name)
            continue
        told = json.loads(child.stdout.splitlines()[-1])
        print(LINE.format(name, f"{size:.2f}", *told), flush=True)
    print(f"{len(asked)} specs, failed: {', '.join(failed) or 'none'}")


def weights(name: str) -> int:
    """Bytes of a spec's parameters in float32."""
    return 4 * int(mmspec.profile(mmspec.load(name)).to_dict()["parameters"]["total"])


def memory() -> int:
    """Bytes of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def one(name: str) -> list[str]:
    """The export of one spec, in this process: what its line says after the name and the size."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        report = mmspec.export(mmspec.load(name), "edge_cpu_fp32", Path(home) / "package")
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    parity = report.parity
    agreement = next(each.facts for each in report.beside if each.name == "runtimes")["agreement"]
    second = max(agreement["max_abs_error"].values(), default=0.0) if isinstance(agreement, dict) else None
    return [
        str(len(parity.compared)),
        str(parity.samples),
        f"{report.max_error:.1e}",
        "no" if second is None else f"{second:.1e}",
        str(sum(map(len, parity.experts.values())) or ""),
        str(min(parity.idle.values(), default="")),
        f"{seconds:.0f}",
        f"{peak:.1f}",
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2])))
    else:
        main(sys.argv[1:])
