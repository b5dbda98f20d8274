"""What routing saves and costs, beside what does not route, measured in turn in the same run on one thread.

    sparse     a layer of top-2 of 8 experts against the same layer with every expert computed for every token, at 1,576 tokens:
               in torch, and both as ONNX files in ONNX Runtime; the ideal is 4; and the former with its experts in dynamic int8
    training   a step of a top-2-of-8 transformer against one of a dense transformer of the same active FLOPs
    balance    on digits questions, the busiest and the idlest expert's share of the validation tokens over the even share, with the
               balance loss and without

    digits     every router on digits questions: accuracy, FLOPs of a sample and time over those of no router

python benchmarks/routing.py [sparse] [training] [balance] [digits]
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

import mmspec
from mmspec.backend import build_objectives
from mmspec.backend.runtime import Experts
from mmspec.components import CATALOGUE
from mmspec.data import open_data
from mmspec.spec import ModelSpec, read
from mmspec.training import Recipe, train

EXPERTS, K, TOKENS = 8, 2, 1576
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main(asked: list[str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name, run in {"sparse": sparse, "training": training, "balance": balance, "digits": digits}.items():
        if not asked or name in asked:
            run()


class EveryExpert(nn.Module):
    """The same mixture, with each expert computed for each token."""

    def __init__(self, mixture: Any) -> None:
        super().__init__()
        self.router, self.experts = mixture.router, nn.ModuleList(mixture.experts)

    def forward(self, x: Tensor) -> Tensor:
        p = self.router(x).softmax(dim=-1)
        chosen = p.topk(K, dim=-1)
        weights = torch.zeros_like(p).scatter(-1, chosen[1], chosen[0] / chosen[0].sum(dim=-1, keepdim=True))
        return sum(weights[..., e, None] * expert(x) for e, expert in enumerate(self.experts))  # type: ignore[return-value]


def sparse(width: int = 256, hidden: int = 1024) -> None:
    mixture = _layer(width, hidden)
    dense, x = EveryExpert(mixture).eval(), torch.randn(1, TOKENS, width)
    with torch.no_grad():
        error = float((mixture(x) - dense(x)).abs().max())
        eager = ratio(lambda: dense(x), lambda: mixture(x))
    file = exported(mixture, x)
    sessions = [opened(file), session(dense, x), opened(quantised(file))]
    feeds = {"x": x.numpy()}
    found = float(abs(sessions[0].run(None, feeds)[0] - sessions[1].run(None, feeds)[0]).max())
    runtime = ratio(lambda: sessions[1].run(None, feeds), lambda: sessions[0].run(None, feeds))
    int8 = ratio(lambda: sessions[0].run(None, feeds), lambda: sessions[2].run(None, feeds))
    wanted, coarse = sessions[0].run(None, feeds)[0], sessions[2].run(None, feeds)[0]
    print(f"top-{K} of {EXPERTS} experts, {TOKENS:,} tokens: every expert / those chosen (ideal {EXPERTS // K})")
    print(f"  torch         {eager:5.2f}   wanted 3.2   largest difference {error:.0e}")
    print(f"  ONNX Runtime  {runtime:5.2f}   wanted 3.8   largest difference {found:.0e}")
    off = float(abs(coarse - wanted).max() / wanted.std())
    print(f"  int8 experts  {int8:5.2f}   wanted 2     on top; off by {off:.0%} of the spread at most", flush=True)


def _layer(width: int, hidden: int) -> nn.Module:
    """A mixture out of a model, with a router that uses all experts alike."""
    router = {"type": "top_k", "experts": EXPERTS, "k": K, "balance": 0.0}
    model = mmspec.build(spec_of(width, hidden, router, depth=1)).eval()
    mixture: Any = model.get_submodule("image.blocks.0.feed_forward")
    nn.init.normal_(mixture.router.weight)
    return mixture  # type: ignore[no-any-return]


def spec_of(width: int, hidden: int, router: Any, depth: int) -> ModelSpec:
    image = {
        "type": "vit", "patch_size": 4, "width": width, "heads": 4, "depth": depth, "hidden": hidden, "router": router,
    }  # fmt: skip
    data = {
        "name": "routing",
        "inputs": {"image": {"type": "image", "size": 56}},
        "encoders": {"image": image},
        "heads": {"label": {"type": "classification", "classes": 10}},
        "objectives": [{"type": "cross_entropy", "target": "answer"}],
    }
    return read(json.dumps(data), CATALOGUE)


def session(module: nn.Module, x: Tensor) -> onnxruntime.InferenceSession:
    return opened(exported(module, x))


def exported(module: nn.Module, x: Tensor) -> bytes:
    """A module as an ONNX file for any number of tokens."""
    tokens = torch.export.Dim("tokens", min=2, max=4096)
    with torch.no_grad():
        program = torch.export.export(module, (x,), dynamic_shapes=({1: tokens},), strict=False)
        made = torch.onnx.export(program, dynamo=True, opset_version=20, verbose=False, input_names=["x"])
    file = io.BytesIO()
    assert made is not None
    made.save(file)
    return file.getvalue()


def opened(file: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def quantised(file: bytes) -> bytes:
    """Its experts' products in dynamic int8; the router's, the only one without a bias, stays as it is."""
    model = onnx.load_from_string(file)
    del model.graph.value_info[:]
    with tempfile.TemporaryDirectory() as home:
        before, after = Path(home) / "before.onnx", Path(home) / "after.onnx"
        onnx.save(model, before)
        router = [node.name for node in model.graph.node if node.op_type == "MatMul"]
        kinds, how = ["MatMul", "Gemm"], {"weight_type": QuantType.QInt8, "per_channel": True}
        quantize_dynamic(before, after, op_types_to_quantize=kinds, nodes_to_exclude=router, **how)
        return after.read_bytes()


def training(width: int = 256, hidden: int = 512, depth: int = 4, batch: int = 16) -> None:
    """The dense feed-forward is K times as wide: the same FLOPs for a token."""
    router = {"type": "top_k", "experts": EXPERTS, "k": K}
    specs = {"experts": spec_of(width, hidden, router, depth), "dense": spec_of(width, K * hidden, "dense", depth)}
    flops = {name: mmspec.profile(spec)["flops.total"] for name, spec in specs.items()}
    x = torch.randn(batch, 3, 56, 56, device=DEVICE)
    target = {"answer": torch.randint(10, (batch,), device=DEVICE)}
    steps = {name: step(spec, x, target) for name, spec in specs.items()}
    found = ratio(steps["experts"], steps["dense"], pairs=12)
    share = flops["experts"] / flops["dense"]
    print(
        f"training step on {DEVICE}, {batch} x 196 tokens: top-{K} of {EXPERTS}, of {share:.3f} times the FLOPs / dense"
    )
    print(f"  {found:5.2f}   wanted 1.4 at most", flush=True)


def step(spec: ModelSpec, x: Tensor, target: dict[str, Tensor]) -> Callable[[], object]:
    model, losses = mmspec.build(spec).to(DEVICE).train(), build_objectives(spec)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def run() -> None:
        optimizer.zero_grad()
        losses(model(image=x), target)["total"].backward()
        optimizer.step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    return run


def balance(steps: int = 300) -> None:
    print(
        "digits questions, top-1 of 8 experts: share of the validation tokens over the even share (wanted 0.5 to 2 with the loss)"
    )
    for weight in (0.1, 0.0):
        overrides = [f"fusion.joint.router={{type: top_k, experts: 8, k: 1, normalise: false, balance: {weight}}}"]
        spec = mmspec.load("fusion_gated", [*overrides, *NARROW])
        result = train(spec, Recipe(steps=steps, batch=64))
        met = loads(result.module, spec)
        accuracy = result.metrics["validation"]["accuracy"]
        for name, load in met.items():
            share = load / load.mean()
            print(
                f"  balance {weight:<5} {name:40} idlest {share.min():4.2f}  busiest {share.max():4.2f}  (accuracy {accuracy:.3f})",
                flush=True,
            )


NARROW = ("fusion.joint.halting=none", "encoders.image.width=64", "encoders.text.width=64")
ROUTERS = {
    "dense": "dense",
    "soft": "{type: soft, experts: 4, importance: 0.01}",
    "top_k": "{type: top_k, experts: 4, k: 2, balance: 0.05}",
    "top_p": "{type: top_p, experts: 4, p: 0.6, balance: 0.05}",
    "switch": "{type: switch, experts: 4, capacity_factor: 1.25, drop: next, balance: 0.05}",
    "expert_choice": "{type: expert_choice, experts: 4, capacity_factor: 2.0}",
    "hard": "hard",
    "task": "{type: task, task: kind, experts: 4, k: 1, balance: 0.05}",
    "gumbel": "{type: learned, experts: 4, balance: 0.05}",
    "reinforce": "{type: learned, method: reinforce, experts: 4, balance: 0.05}",
}


def digits(steps: int = 300) -> None:
    """`hard` needs a row of modalities: its fusion is a transformer, and so is the model that it is compared with."""
    print(f"digits questions, {steps} steps: accuracy, FLOPs and time of a batch of 64 over those without a router")
    plain: dict[str, tuple[float, Callable[[], object]]] = {}
    for name, router in ROUTERS.items():
        kind = "transformer" if name == "hard" else "gated"
        spec = digits_spec(kind, router)
        flops, run, accuracy = trained(spec, steps)
        if kind not in plain:
            plain[kind] = (flops, run) if router == "dense" else trained(digits_spec(kind, "dense"), steps)[:2]
        time_ratio = ratio(run, plain[kind][1], pairs=15)
        print(f"  {name:14} {kind:12} {accuracy:6.3f} {flops / plain[kind][0]:6.2f} {time_ratio:6.2f}", flush=True)


def digits_spec(kind: str, router: str) -> ModelSpec:
    extra = ["inputs.kind={type: category, classes: 5}"] if "kind" in router else []
    fusion = f"fusion.joint={{type: {kind}, from: [image, text], depth: 2, width: 64, heads: 4, router: {router}}}"
    return mmspec.load("fusion_gated", [*extra, fusion, *NARROW[1:]])


def trained(spec: ModelSpec, steps: int) -> tuple[float, Callable[[], object], float]:
    """Its FLOPs, a batch of validation as something to run, and its accuracy there."""
    result = train(spec, Recipe(steps=steps, batch=64))
    model = result.module.eval()
    batch = next(iter(open_data("digits_questions", spec).evaluation_batches("validation", 64)))

    def run() -> object:
        with torch.no_grad():
            return model(**batch.inputs)

    return mmspec.profile(spec)["flops.total"], run, result.metrics["validation"]["accuracy"]


def loads(model: nn.Module, spec: ModelSpec) -> dict[str, Tensor]:
    """How many tokens of the validation split each expert met."""
    counts: dict[str, Tensor] = {}

    def count(name: str) -> Any:
        def hook(experts: Experts, args: tuple[Tensor, ...]) -> None:
            met = args[0].flatten().bincount(minlength=len(experts)).float()
            counts[name] = counts.get(name, torch.zeros_like(met)) + met

        return hook

    hooks = [m.register_forward_pre_hook(count(name)) for name, m in model.named_modules() if isinstance(m, Experts)]
    model.eval()
    with torch.no_grad():
        for batch in open_data("digits_questions", spec).evaluation_batches("validation", 256):
            model(**batch.inputs)
    for hook in hooks:
        hook.remove()
    return counts


def ratio(one: Callable[[], object], other: Callable[[], object], pairs: int = 40) -> float:
    """The median of the time of one over that of the other, one after the other."""
    ratios = []
    for _ in range(pairs):
        start = time.perf_counter()
        one()
        middle = time.perf_counter()
        other()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return statistics.median(ratios[pairs // 5 :])


if __name__ == "__main__":
    main(sys.argv[1:])
