"""What `make demo`'s search found: `python benchmarks/front.py [runs/digits_pareto]`.

Limits: at least four points, each rebuilt from its spec to the same price, each at least 0.1 above what text alone allows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mmspec
from mmspec.backend import read_folder
from mmspec.ir import parameter_count

POINTS, ABOVE = 4, 0.1


def main(folder: Path) -> None:
    if not (folder / "front.json").is_file():
        print(f"{folder} holds no finished search: run `make demo` first")
        return
    members = json.loads((folder / "front.json").read_text())["front"]
    print(f"{'member':8} {'accuracy':>9} {'above text alone':>17} {'FLOPs':>12} {'rebuilt':>12}  parameters rebuilt")
    kept = 0
    for member in members:
        spec, model = read_folder(folder / member["folder"])
        price = mmspec.profile(spec)
        rebuilt = price["flops.total"]
        parameters = sum(parameter.numel() for parameter in model.parameters())
        same = rebuilt == member["values"]["flops.total"] and parameters == member["figures"]["parameters.total"]
        above = member["values"]["accuracy"] - member["baselines"]["text alone"]
        kept += same and above >= ABOVE and parameters == parameter_count(mmspec.lower(spec))
        print(
            f"{member['folder']:8} {member['values']['accuracy']:9.3f} {above:+17.3f} {member['values']['flops.total']:12,} "
            f"{rebuilt:12,}  {parameters:,} {'equal' if same else 'DIFFERENT'}"
        )
    verdict = "met" if kept >= POINTS and kept == len(members) else "MISSED"
    print(f"{kept} of {len(members)} members keep every limit; at least {POINTS} wanted: {verdict}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits_pareto"))
