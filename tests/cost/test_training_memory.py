"""What a training step is said to hold is what torch holds."""

import json

import pytest
import torch
from held import HeldBytes, allocated, nbytes
from random_specs import random_spec

import mmspec
from mmspec.backend import build_objectives
from mmspec.backend.recompute import recompute_blocks
from mmspec.components import CATALOGUE
from mmspec.cost.step import Step
from mmspec.cost.training import step_memory
from mmspec.errors import UserError
from mmspec.ir import bind
from mmspec.passes import lower, lower_objectives
from mmspec.spec import read
from mmspec.testing import bound_sizes, example

MODELS = ["vit_b16", "bert_base", "clip_vit_b32", "swin_t", "convnext_t", "gpt2_small", "llama_1b", "t5_base"]
STEPS = {
    "plain": Step(),
    "autocast": Step(precision="bf16-autocast"),
    "checkpoint": Step(checkpoint=True),
    "materialised": Step(attention="materialised"),
    "bf16": Step(precision="bf16"),
}
DTYPES = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}
OPTIMIZERS = {
    "adamw": lambda weights: torch.optim.AdamW(weights),
    "adamw-foreach": lambda weights: torch.optim.AdamW(weights, foreach=True),
    "adamw-fused": lambda weights: torch.optim.AdamW(weights, fused=True),
    "sgd": lambda weights: torch.optim.SGD(weights, weight_decay=0.1),
    "sgd-momentum": lambda weights: torch.optim.SGD(weights, weight_decay=0.1, momentum=0.9),
}


class Training:
    """A model with its optimizer, its states there as after a first step, and one more step to be watched."""

    def __init__(self, spec, batch, step):
        torch.manual_seed(0)
        self.step = step
        self.graph, self.losses = lower(spec), lower_objectives(spec)
        self.model, self.objectives = mmspec.build(spec).train(), build_objectives(spec)
        recompute_blocks(self.model, step.checkpoint)
        self.inputs = example(self.graph, batch)
        if step.precision == "bf16":
            self.model.bfloat16()
            self.inputs = {name: x.bfloat16() if x.is_floating_point() else x for name, x in self.inputs.items()}
        self.sizes = {**self.graph.limits, **bound_sizes(self.graph, self.inputs)}
        asked = [value for value in self.losses.inputs if value.name not in self.graph.outputs]
        self.targets = {value.name.removesuffix("_target"): self.target(value) for value in asked}
        self.optimizer = OPTIMIZERS[step.optimizer]([p for p in self.model.parameters() if p.requires_grad])
        self.run()
        self.optimizer.zero_grad()

    def target(self, value):
        return torch.ones([bind(size, self.sizes) for size in value.shape], dtype=DTYPES[value.dtype])

    def run(self):
        fused = torch.nn.attention.SDPBackend.FLASH_ATTENTION
        written_out = torch.nn.attention.SDPBackend.MATH
        backends = [written_out] if self.step.attention == "materialised" else [fused, written_out]
        self.optimizer.zero_grad()
        lower = self.step.precision == "bf16-autocast"
        with torch.nn.attention.sdpa_kernel(backends), torch.autocast("cpu", torch.bfloat16, enabled=lower):
            losses = self.objectives(self.model(**self.inputs), self.targets)
        losses["total"].backward()
        self.optimizer.step()

    def there(self):
        states = [v for state in self.optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)]
        return [*self.model.parameters(), *self.model.buffers(), *states, *self.inputs.values(), *self.targets.values()]

    def predicted(self, watched):
        return step_memory(self.graph, self.losses, self.sizes, self.step, watched)


def small(name):
    return mmspec.load(name, variant="small")


@pytest.mark.parametrize("way", STEPS)
@pytest.mark.parametrize("name", MODELS)
def test_the_peak_of_a_step_is_that_of_the_storages_that_torch_holds(name, way):
    training = Training(small(name), 4, STEPS[way])
    predicted = training.predicted(watched=True)
    assert predicted.always == nbytes(training.there())
    with HeldBytes(training.there()) as held:
        training.run()
    assert predicted.peak == pytest.approx(predicted.always + held.peak, rel=0.002)


@pytest.mark.parametrize("way", ["plain", "checkpoint"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "convnext_t"])  # its convolutions hold scratch
def test_the_peak_of_a_step_is_that_of_the_allocator(name, way):
    training = Training(small(name), 8, STEPS[way])
    predicted = training.predicted(watched=False)
    assert predicted.peak == pytest.approx(nbytes(training.there()) + allocated(training.run), rel=0.005)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_an_optimizer_remembers_and_needs_for_a_moment(optimizer):
    """Few tokens and much weight, so that the optimizer's step is the worst moment where it holds anything."""
    spec = mmspec.load("gpt2_small", ["encoders.text.width=192", "encoders.text.depth=4"], variant="small")
    training = Training(spec, 1, Step(optimizer))
    predicted = training.predicted(watched=False)
    assert predicted.always == nbytes(training.there())
    assert predicted.peak == pytest.approx(nbytes(training.there()) + allocated(training.run), rel=0.002)


def test_states_of_a_byte_are_an_eighth_of_the_usual_and_their_scales():
    spec = small("gpt2_small")
    eight, usual = (step_of(spec, Step(name)) for name in ("adamw-8bit", "adamw"))
    sizes = [parameter.numel() for parameter in mmspec.build(spec).parameters()]
    scales = sum(2 * 4 * -(-size // 256) for size in sizes if size >= 4096)
    assert usual.states == sum(8 * size + 4 for size in sizes)
    assert eight.states == sum(2 * size if size >= 4096 else 8 * size for size in sizes) + scales


def step_of(spec, step, batch=2):
    graph = lower(spec)
    return step_memory(graph, lower_objectives(spec), {"B": batch, **graph.limits}, step)


def test_half_the_width_halves_everything_and_master_weights_are_what_is_added():
    spec = small("gpt2_small")
    whole, half, with_master = (
        step_of(spec, step) for step in (Step(), Step(precision="bf16"), Step(precision="bf16", master=True))
    )
    assert 2 * half.weights == whole.weights and 2 * half.gradients == whole.gradients
    assert with_master.master == whole.weights and with_master.states == whole.states
    assert half.master == 0


@pytest.mark.parametrize("seed", range(20))
def test_steps_of_random_specs_hold_what_is_predicted_and_where_routers_choose_no_more(seed):
    spec = random_spec(seed)
    training = Training(spec, 4, Step())
    predicted = training.predicted(watched=True)
    with HeldBytes(training.there()) as held:
        training.run()
    there = nbytes(training.there())
    routed = any(key in json.dumps(spec.resolved()) for key in ("router", "threshold", "select"))
    if routed:  # an expert that nobody chose has no gradient, and no state
        assert there <= predicted.always
        assert 0.98 * (there + held.peak) <= predicted.peak <= 1.3 * (there + held.peak) + predicted.always - there
    else:
        assert predicted.peak == pytest.approx(there + held.peak, rel=0.01)


def test_frozen_parts_keep_nothing_and_have_no_states():
    frozen = mmspec.load("vit_b16", ["encoders.image.frozen=true"], variant="small")
    trained, still = step_of(small("vit_b16"), Step()), step_of(frozen, Step())
    head = 48 * 10 + 10
    assert still.gradients == 4 * head and still.states == 8 * head + 2 * 4
    assert still.saved < 0.05 * trained.saved


def test_recomputed_blocks_keep_their_input_alone():
    """Sixteen blocks more keep sixteen inputs, and the state of the random numbers, more."""
    deep, deeper = (
        step_of(mmspec.load("gpt2_small", [f"encoders.text.depth={depth}"], variant="small"), Step(checkpoint=True), 4)
        for depth in (4, 20)
    )
    assert deeper.saved - deep.saved == 16 * (4 * 4 * 32 * 48 + 5056)


def test_memory_says_where_it_is_at_its_most_and_what_is_alive_there():
    memory = step_of(small("gpt2_small"), Step(), 8)
    assert sum(held.bytes for held in memory.alive) == memory.peak
    assert {"weights", "states", "forward"} <= {held.what for held in memory.alive}
    assert memory.at.kind == "token_cross_entropy"  # logits of 99 words are wider than all else here


def test_memory_over_time_begins_with_what_is_there_rises_to_the_peak_and_ends_with_the_step():
    memory = step_of(small("vit_b16"), Step(), 8)
    assert max(moment.alive for moment in memory.course) == memory.peak
    assert memory.always < memory.course[0].alive < memory.always + 0.2 * memory.saved
    assert list(dict.fromkeys(m.phase for m in memory.course if m.phase != "gradients")) == [
        "forward",
        "backward",
        "optimizer",
    ]
    # the optimizer's temporaries are above weights, states and all gradients
    assert (
        memory.course[-1].alive
        == memory.always
        + memory.gradients
        + 2 * 4 * max(parameter.numel() for parameter in mmspec.build(small("vit_b16")).parameters())
        + 4
    )  # and the loss


@pytest.mark.parametrize("name", sorted(path.stem for path in mmspec.shipped.folder("specs").glob("*.yaml")))
def test_every_shipped_spec_has_rules_for_all_that_it_does(name):
    spec = mmspec.load(name)  # without objectives, the sum of its outputs is trained
    graph = lower(spec.require_closed())
    losses = lower_objectives(spec) if spec.objectives else None
    step = Step(checkpoint=True, precision="bf16-autocast")
    memory = step_memory(graph, losses, {"B": 2, **graph.limits}, step)
    assert memory.unknown == () and memory.peak > memory.always


def test_a_spec_without_objectives_is_trained_on_the_sum_of_its_outputs():
    data = {
        "name": "plain",
        "inputs": {"image": {"type": "image", "size": 16}},
        "encoders": {"image": {"type": "vit", "patch_size": 4, "width": 16, "heads": 2, "depth": 2}},
        "heads": {"label": {"type": "classification", "classes": 2}},
    }
    price = mmspec.profile(read(json.dumps(data), CATALOGUE), batch=2, step=Step())
    assert price["memory.peak_training"] > price["memory.weights"]
    assert any("no objectives" in note for note in price["notes"])


def test_the_peak_is_computed_where_it_is_asked_for_alone():
    spec = small("vit_b16")
    price = mmspec.profile(spec, batch=2)
    assert price.to_dict()["memory"]["peak_training"] is None and "--train" in price["unknown"]["memory.peak_training"]
    asked = mmspec.profile(spec, batch=2, step=Step())
    assert price["memory.peak_training"] == asked["training.peak"] == asked.to_dict()["memory"]["peak_training"]
    assert "memory.peak_training" not in asked["unknown"]
    half = mmspec.profile(spec, batch=2, precision="bf16")
    assert half["memory.peak_training"] == step_of(spec, Step(precision="bf16")).peak


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "adamv"}, "did you mean 'adamw'"),
        ({"precision": "bf61"}, "did you mean 'bf16'"),
        ({"attention": "flash"}, "there are: fused, materialised"),
        ({"master": True}, "with precision fp32 there are none"),
    ],
)
def test_words_that_nobody_knows_are_said_with_the_nearest(given, said):
    with pytest.raises(UserError, match=said):
        Step(**given)


def test_the_allocator_of_a_card_holds_what_lives_and_reserves_more():
    memory = mmspec.profile(mmspec.load("fusion_gated"), 8, step=Step()).training
    assert memory.cuda.live == memory.peak <= memory.cuda.allocated <= memory.cuda.reserved
    assert memory.cuda.reserved % (2 << 20) == 0  # whole segments


def test_an_optimizer_reads_and_writes_every_number_that_it_trains_once():
    spec = mmspec.load("fusion_concat")
    trainable = mmspec.profile(spec)["parameters.trainable"]
    plain, adam = (mmspec.profile(spec, step=Step(name)).training for name in ("sgd", "adamw"))
    assert (plain.update.read, plain.update.written) == (8 * trainable, 4 * trainable)
    assert plain.update.pointwise == 4 * trainable
    assert (adam.update.read, adam.update.written) == (8 * trainable + adam.states, 4 * trainable + adam.states)
    assert 8 * trainable < adam.states < 8.01 * trainable
