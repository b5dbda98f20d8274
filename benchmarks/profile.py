"""FLOPs of published networks by mmspec and by the tools that people use: value, ratio to the truth, time, memory.

    python benchmarks/profile.py                       every network below, every tool that is installed
    python benchmarks/profile.py vit_b16 --tools mmspec fvcore

Each figure comes from a process of its own, whose wall time (imports included), processor time and peak memory are printed. The
truth is that of encoders.json: 2 for each multiply-add of linear layers, convolutions and attention products. Tools that count
multiply-adds are doubled. The others' networks are those of Hugging Face transformers; the row "building it" is what importing and
building them takes, which is in the rows below it. Tools that are not installed are skipped (`pip install mmspec[peers]`, and
`deepspeed`).

Held: mmspec equal everywhere; vit_b16, llama_70b and mixtral_8x7b in at most 0.4 s and 120 MB, less than any other's.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

if (
    __name__ == "profile"
):  # this folder comes first on the path of its scripts, and torch wants Python's own module of that name
    own = importlib.util.spec_from_file_location("profile", Path(sysconfig.get_path("stdlib"), "profile.py"))
    assert own is not None and own.loader is not None
    sys.modules["profile"] = importlib.util.module_from_spec(own)
    own.loader.exec_module(sys.modules["profile"])

NETWORKS: dict[str, Any] = {
    network["name"]: network for network in json.loads(Path(__file__).with_name("encoders.json").read_text())
}
SHOWN = ("vit_b16", "clip_vit_b32", "bert_base", "swin_t", "convnext_t", "t5_base", "mixtral_8x7b", "llama_70b")
LARGE = ("mixtral_8x7b", "llama_70b")  # nobody builds these here but on the meta device
SECONDS, MEGABYTES, TIMEOUT = 0.4, 120, 300
LIMITED = ("vit_b16", *LARGE)


# what runs in a process of its own: FLOPs of a network -------------------------------------------------------------------


def mmspec_static(network: dict[str, Any]) -> int:
    import mmspec

    return int(mmspec.profile(mmspec.load(network["name"]), **network.get("sizes", {}))["flops.total"])


def mmspec_exact(network: dict[str, Any]) -> int:
    import mmspec
    from mmspec.backend.exact import exact
    from mmspec.cost import Sizes

    spec = mmspec.load(network["name"])
    return exact(spec, Sizes(mmspec.profile(spec, **network.get("sizes", {})).sizes)).forward


def building(network: dict[str, Any]) -> None:
    model_and_inputs(network, "meta" if network["name"] in LARGE else "cpu")


def counter(network: dict[str, Any], device: str = "cpu") -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, inputs = model_and_inputs(network, device)
    with torch.no_grad(), FlopCounterMode(display=False) as counting:
        model(**inputs)
    return int(counting.get_total_flops())


def counter_fake(network: dict[str, Any]) -> int:
    """On mmspec's module: one that a spec of any size is built to."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    import mmspec
    from mmspec.backend.build import build_graph
    from mmspec.backend.exact import examples
    from mmspec.backend.priced import as_priced
    from mmspec.cost import Sizes

    spec = mmspec.load(network["name"])
    graph = mmspec.lower(spec)
    sizes = Sizes(mmspec.profile(spec, **network.get("sizes", {})).sizes)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = build_graph(graph, fresh=False, fits=True).eval()
        with as_priced(model, graph, sizes, fake=True), torch.no_grad(), FlopCounterMode(display=False) as counting:
            model(**examples(graph.inputs, sizes))
    return int(counting.get_total_flops())


def fvcore(network: dict[str, Any]) -> int:
    import torch
    from fvcore.nn import FlopCountAnalysis

    model, inputs = model_and_inputs(network, device_of(network))

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(**dict(zip(inputs, values, strict=True)))[0]

    analysis = FlopCountAnalysis(Positional(), tuple(inputs.values()))
    return 2 * int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def ptflops(network: dict[str, Any]) -> int:
    from ptflops import get_model_complexity_info

    model, inputs = model_and_inputs(network, device_of(network))
    macs, _ = get_model_complexity_info(
        model,
        (1,),
        input_constructor=lambda _: inputs,
        as_strings=False,
        print_per_layer_stat=False,
        verbose=False,
        backend="pytorch",
    )
    return 2 * int(macs)


def calflops(network: dict[str, Any]) -> int:
    from calflops import calculate_flops

    model, inputs = model_and_inputs(network, device_of(network))
    flops, *_ = calculate_flops(model, kwargs=dict(inputs), print_results=False, output_as_string=False)
    return int(flops)


def torchinfo(network: dict[str, Any]) -> int:
    from torchinfo import summary

    model, inputs = model_and_inputs(network, device_of(network))
    return 2 * int(summary(model, input_data=dict(inputs), verbose=0, device=device_of(network)).total_mult_adds)


def deepspeed(network: dict[str, Any]) -> int:
    from deepspeed.profiling.flops_profiler import get_model_profile

    model, inputs = model_and_inputs(network, device_of(network))
    flops, *_ = get_model_profile(model, kwargs=dict(inputs), print_profile=False, detailed=False, as_string=False)
    return int(flops)


TOOLS: dict[str, tuple[str, Callable[[dict[str, Any]], int | None], str]] = {  # by name: title, function, package
    "mmspec": ("mmspec profile", mmspec_static, ""),
    "mmspec_exact": ("mmspec profile --exact", mmspec_exact, ""),
    "building": ("building it (transformers)", building, "transformers"),
    "counter": ("FlopCounterMode", counter, "transformers"),
    "counter_meta": ("FlopCounterMode, meta", lambda network: counter(network, "meta"), "transformers"),
    "counter_fake": ("FlopCounterMode, fake tensors", counter_fake, ""),
    "fvcore": ("fvcore", fvcore, "fvcore"),
    "ptflops": ("ptflops", ptflops, "ptflops"),
    "calflops": ("calflops", calflops, "calflops"),
    "torchinfo": ("torchinfo", torchinfo, "torchinfo"),
    "deepspeed": ("DeepSpeed", deepspeed, "deepspeed"),
}


def device_of(network: dict[str, Any]) -> str:
    return "meta" if network["name"] in LARGE else "cpu"


def model_and_inputs(network: dict[str, Any], device: str) -> tuple[Any, dict[str, Any]]:
    """The network of transformers with fresh weights, and a batch of one."""
    import torch

    module, _, name = network["class"].rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    with torch.device(device):
        model = kind(kind.config_class(**network["config"])).eval()
        if device == "meta" and "num_local_experts" in network["config"]:
            model.bfloat16()  # grouped products take no other type there
        inputs = {
            name: torch.zeros(shape) if dtype == "float32" else torch.ones(shape, dtype=torch.int64)
            for name, (shape, dtype) in network["inputs"].items()
        }
    return model, inputs


def run(tool: str, name: str) -> None:
    """In the child: the figure, or why there is none, as the last line."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            found: Any = {"flops": TOOLS[tool][1](NETWORKS[name])}
        except Exception as error:  # a tool that cannot is part of the table
            found = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:90]}
    print(json.dumps(found))


# the table --------------------------------------------------------------------------------------------------------------


def measured(tool: str, name: str, times: int) -> dict[str, Any]:
    """FLOPs, and the least seconds and megabytes of several processes."""
    found: dict[str, Any] = {}
    for _ in range(times):
        began = time.perf_counter()
        command = [sys.executable, __file__, "--run", tool, name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            said = _output(process)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
        seconds = time.perf_counter() - began
        megabytes = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
        found |= (
            json.loads(said.splitlines()[-1]) if said and not status else {"error": f"stopped with status {status}"}
        )
        worked = usage.ru_utime + usage.ru_stime
        found["worked"] = min(worked, found.get("worked", worked))
        found["seconds"] = min(seconds, found.get("seconds", seconds))
        found["megabytes"] = min(megabytes, found.get("megabytes", megabytes))
    return found


def _output(process: subprocess.Popen[bytes]) -> str:
    """What it says; it is stopped where it takes too long."""
    timer = Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        return process.stdout.read().decode()
    finally:
        timer.cancel()


def compare(name: str, tools: list[str]) -> bool:
    truth = NETWORKS[name]["flops"]
    print(f"\n{name}   {truth:,} FLOPs")
    kept, others = True, []
    static: dict[str, Any] | None = None
    for tool in tools:
        title, _, package = TOOLS[tool]
        if package == "transformers" and "." not in NETWORKS[name]["class"]:
            continue  # transformers has it, but no configuration of it is at hand
        if name == "llama_70b" and tool not in ("mmspec", "mmspec_exact", "counter_fake"):
            continue
        if name in LARGE and tool == "counter":
            continue  # it has no such memory
        ours = tool in ("mmspec", "mmspec_exact")
        row = measured(tool, name, 5 if tool == "mmspec" else 1)
        cost = f"{row['seconds']:7.2f} s ({row['worked']:6.2f}) {row['megabytes']:6.0f} MB"
        if "error" in row:
            print(f"  {title:30} {'':>24} {'':9} {cost}   {row['error']}", flush=True)
            kept &= not ours
            continue
        if row["flops"] is None:
            print(f"  {title:30} {'':>24} {'':9} {cost}", flush=True)
            continue
        ratio = row["flops"] / truth
        said = "equal" if row["flops"] == truth else f"{ratio:.4f}"
        print(f"  {title:30} {row['flops']:24,} {said:>9} {cost}", flush=True)
        if ours:
            kept &= row["flops"] == truth
        if tool == "mmspec":
            static = row
            if name in LIMITED and (row["seconds"] > SECONDS or row["megabytes"] > MEGABYTES):
                print(f"    MISSED: at most {SECONDS} s and {MEGABYTES} MB")
                kept = False
        else:
            others.append((row["seconds"], row["megabytes"]))
    if static is not None and others:
        times, sizes = min(s for s, _ in others) / static["seconds"], min(m for _, m in others) / static["megabytes"]
        kept &= times > 1 and sizes > 1
        print(f"    mmspec profile beside the next: {times:.1f} times less time, {sizes:.1f} times less memory")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("networks", nargs="*", default=SHOWN, metavar="NETWORK")
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--run", nargs=2, metavar=("TOOL", "NETWORK"), help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.run:
        run(*said.run)
        return
    tools = []
    for tool in said.tools:
        package = TOOLS[tool][2]
        if package and importlib.util.find_spec(package) is None:
            print(f"{tool} is skipped: there is no {package}")
        else:
            tools.append(tool)
    kept = [compare(name, tools) for name in said.networks]
    print(
        f"\nlimits: mmspec equal and first in time and memory; {SECONDS} s and {MEGABYTES} MB for {', '.join(LIMITED)}: "
        + ("met" if all(kept) else "MISSED")
    )
    if not all(kept):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
