"""How far exported files are from torch, over every case of the verification: batches 1, 2, 7 and a large one, the shortest, a
middle and the longest text, absent texts, every exit forced, mixed exits, every expert hit.

One line for each shipped spec, with its largest absolute error (1e-5, or a ten thousandth of the number, is allowed), and the time
in ONNX Runtime as a ratio to eager torch, measured in turn in the same run on one thread, batch 1.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime
import torch

import mmspec
from mmspec import shipped
from mmspec.backend import read_folder, write_folder
from mmspec.testing import example


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'spec':22} {'cases':>6} {'largest error':>14} {'ORT / torch, batch 1':>22}")
    for name in names or shipped.names("specs"):
        spec = mmspec.load(name)
        with tempfile.TemporaryDirectory() as home:
            built, package = Path(home) / "built", Path(home) / "package"
            write_folder(spec, mmspec.build(spec), built)
            report = mmspec.export(built, "edge_cpu_fp32", package)
            ratio = speed(read_folder(built)[1], package / "onnx" / "model.onnx", mmspec.lower(spec))
        error, cases = report.max_error, len(report.parity.compared)
        print(f"{name:22} {cases:6} {error:14.1e} {ratio:22.2f}", flush=True)


def speed(model: torch.nn.Module, file: Path, graph: mmspec.ir.Graph, pairs: int = 30) -> float:
    """The median of time in ONNX Runtime over time in torch, one after the other."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = example(graph, 1)
    feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
    feeds |= {f"{name}_mask": tensor.numpy() != 0 for name, tensor in inputs.items() if tensor.dtype == torch.int64}
    model.eval()
    ratios = []
    with torch.no_grad():
        for _ in range(pairs):
            start = time.perf_counter()
            session.run(None, feeds)
            middle = time.perf_counter()
            model(**inputs)
            ratios.append((middle - start) / (time.perf_counter() - middle))
    return statistics.median(ratios[5:])


if __name__ == "__main__":
    main(sys.argv[1:])
