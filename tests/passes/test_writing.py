"""A model that writes, cut in three: what the parts give together is what the model gives at once, wherever a text stands."""

import numpy as np
import pytest
import torch

import mmspec
from mmspec.backend import build_graph
from mmspec.components import CATALOGUE
from mmspec.deploy import load_target
from mmspec.deploy.draft import serving_of
from mmspec.deploy.subject import subject_of
from mmspec.deploy.writing import ENCODER, PREFILL, STEP, plan_of
from mmspec.ir import parameters
from mmspec.passes import lower_serving
from mmspec.passes.flattening import flatten
from mmspec.passes.writing import cut_for_writing
from mmspec.spec import SpecError, read
from mmspec.writer import Writer

TARGET = load_target("edge_cpu_writer")
SHIPPED = ["gpt2_small", "llama_1b", "mixtral_8x7b", "t5_base", "whisper_tiny", "llava_1_5_7b"]


def small(encoder="", attention="causal", head="type: language_model, from: [text, text.embedding]", more=""):
    return read(
        f"""
name: writes
inputs:
  text: {{type: text, vocab_size: 20, length: 12}}
encoders:
  text: {{type: text_transformer, width: 16, depth: 2, heads: 2, expansion: 2, attention: {attention}{encoder}}}
heads:
  next: {{{head}}}
{more}""",
        CATALOGUE,
        origin="writes.yaml",
    )


POSITIONS = {
    "none": ", position: none",
    "sinusoidal": ", position: {type: sinusoidal, order: halves}",
    "neighbours": ", position: {type: rotary, order: interleaved}, kv_heads: 1",
    "buckets": ", position: {type: relative_buckets, buckets: 6, largest: 8}, attention_scale: 0.5",
    "post": ", norm_order: post, norm: rms, layer_scale: 0.5",
    "experts": ", router: {type: top_k, experts: 3, k: 2}",
    "nobody": ", router: {type: top_p, experts: 3}",
}


CAPTIONS = """
name: captions
inputs:
  image: {type: image, size: 8, channels: 1}
  caption: {type: text, vocab_size: 20, length: 12, start: 1, end: 2}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 3, heads: 2, halting: {type: confidence, threshold: 0.35, head: label}}
decoders:
  answer: {type: text_decoder, from: [caption, image], width: 8, depth: 2, heads: 2}
heads:
  label: {type: classification, classes: 3, from: image}
  next: {type: language_model, from: [answer, answer.embedding]}
"""
SPECS = [
    pytest.param(lambda: read(CAPTIONS, CATALOGUE), id="early_exits_before"),
    *(pytest.param(lambda name=name: mmspec.load(name, variant="small"), id=name) for name in SHIPPED),
    *(pytest.param(lambda text=text: small(text), id=name) for name, text in POSITIONS.items()),
]


class Model:
    """A model with random weights, whole and in parts; the parts are run by the writer, as torch modules."""

    def __init__(self, spec):
        subject = subject_of(spec)
        generator = torch.Generator().manual_seed(0)
        for tensor in subject.state.values():
            if tensor.ndim > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
        graph, self.contract, self.module = serving_of(subject, TARGET)
        self.cut = cut_for_writing(spec, graph)
        parts = {ENCODER: self.cut.encoder, PREFILL: self.cut.prefill, STEP: self.cut.step}
        self.plan = plan_of(spec, graph, self.contract, self.cut)
        self.writer = Writer(self.plan, {name: runs(part, subject) for name, part in parts.items() if part is not None})

    def inputs(self, batch, length, seed=0):
        """Random, masks in full, except that the written text ends at different places; what it keeps places for stands first."""
        rng, given = np.random.default_rng(seed), {}
        for port in self.contract.inputs:
            own = port.name.removesuffix("_mask") == self.plan["text"]
            shape = [batch if d == "batch" else d if isinstance(d, int) else length if own else 5 for d in port.dims]
            if port.dtype == "bool":
                given[port.name] = np.arange(shape[1]) < rng.integers(min(5, length), shape[1] + 1, (batch, 1))
            elif port.dtype == "int64":
                given[port.name] = rng.integers(1, 50 if port.bound > 60 else port.bound - 4, shape)
                for place in port.places:
                    given[port.name][:, : place.count] = place.id
            else:
                given[port.name] = rng.standard_normal(shape).astype(np.float32)
        return given

    def whole(self, given):
        with torch.no_grad():
            return self.module(**{name: torch.from_numpy(v) for name, v in given.items()})[self.plan["head"]].numpy()


def runs(part, subject):
    module = build_graph(part).eval()
    module.load_state_dict({name: subject.state[name] for name in module.state_dict()})
    names = [value.name for value in part.inputs]

    def run(values):
        with torch.no_grad():
            found = module(*(torch.from_numpy(np.ascontiguousarray(values[name])) for name in names))
        return {name: value.numpy() for name, value in found.items()}

    return run


@pytest.mark.parametrize("make", SPECS)
def test_every_token_gets_the_logits_of_the_whole_text(make):
    model = Model(make())
    given = model.inputs(3, 10)
    mask = given[model.plan["mask"]]
    mask[2] = [True] * 5 + [False, True, False, True, True]  # holes as well
    wanted = model.whole(given)
    for begin in (1, 4, 10):
        found = np.stack(list(model.writer.walk(given, begin, 10)), axis=1)
        assert np.abs(found - wanted[:, begin - 1 :]).max() <= 2e-5
    assert np.abs(model.writer(given)[model.plan["head"]] - wanted).max() <= 2e-5


@pytest.mark.parametrize("filled", ["behind", "in front"])
@pytest.mark.parametrize("make", SPECS)
def test_what_is_written_is_what_torch_writes_for_each_sample_by_itself(make, filled):
    model = Model(make())
    for batch in (1, 2, 3):
        given = model.inputs(batch, 7, seed=batch)
        ids, mask = given[model.plan["text"]], given[model.plan["mask"]]
        if filled == "in front":
            ids[:], mask[:] = ids[:, ::-1].copy(), mask[:, ::-1].copy()
        stop = [int(model.whole(given).argmax(axis=-1)[0, -1])] if batch == 3 else []
        found = model.writer.generate(given, 5, stop=stop)
        assert found == [alone(model, given, sample, 5, stop) for sample in range(batch)]


def alone(model, given, sample, most, stop):
    one = {name: value[sample : sample + 1] for name, value in given.items()}
    text, mask = model.plan["text"], model.plan["mask"]
    end = np.flatnonzero(one[mask][0])[-1] + 1
    one |= {text: one[text][:, :end], mask: one[mask][:, :end]}
    new = []
    while len(new) < most and one[text].shape[1] < model.plan["length"]:
        token = int(model.whole(one)[0, -1].argmax())
        if token in (*stop, *model.plan["places"]):
            break
        new.append(token)
        one |= {text: np.append(one[text], [[token]], axis=1), mask: np.append(one[mask], [[True]], axis=1)}
    return new


def test_a_text_ends_at_its_longest_and_a_beginning_must_be_there():
    model = Model(small())
    given = model.inputs(2, 11)
    given["text_mask"][:] = [[True] * 11, [True] * 4 + [False] * 7]
    assert [len(text) for text in model.writer.generate(given, 100, stop=[])] == [1, 8]
    assert [len(text) for text in model.writer.generate(given, [0, 3], stop=[])] == [0, 3]
    given["text_mask"][1] = False
    with pytest.raises(ValueError, match="sample 1 has no beginning"):
        model.writer.generate(given, 3)
    with pytest.raises(ValueError, match="has 13 tokens, and a text at most 12"):
        model.writer.generate(model.inputs(1, 13), 3)


def test_what_the_text_is_about_is_computed_once():
    spec = mmspec.load("t5_base", variant="small")
    cut = cut_for_writing(spec, lower_serving(spec))
    encoder, prefill, step = ({p.path for p in parameters(g)} for g in (cut.encoder, cut.prefill, cut.step))
    cross = {f"answer.blocks.{i}.cross_attention.{name}.weight" for i in (0, 1) for name in ("key", "value")}
    assert cross <= encoder and not cross & (prefill | step)
    assert prefill == step and prefill & encoder == {"text.embedding"}
    assert encoder | prefill == {p.path for p in parameters(lower_serving(spec))}
    text = cut_for_writing(small(), lower_serving(small()))
    assert text.encoder is None


@pytest.mark.parametrize("name", ["gpt2_small", "llama_1b", "t5_base", "whisper_tiny"])
def test_what_is_kept_is_what_the_price_of_a_step_says(name):
    spec = mmspec.load(name, variant="small")
    cut = cut_for_writing(spec, lower_serving(spec))
    price = mmspec.profile(spec)["decoding"]
    numbers = [
        np.prod([d for d in v.shape if isinstance(d, int)]) for v in cut.step.inputs if v.name.startswith("past.")
    ]
    assert price["cache"]["per_token"] == 4 * sum(numbers) and len(numbers) == len(cut.kept)


@pytest.mark.parametrize("name", ["t5_base", "llava_1_5_7b", "switch_base_8", "fusion_gated", "digits_dino"])
def test_without_scopes_a_graph_has_the_same_parameters(name):
    spec = mmspec.load(name, variant=None if name in ("fusion_gated", "digits_dino") else "small")
    graph = lower_serving(spec)
    flat = flatten(graph)
    assert [p.path for p in parameters(flat)] == [p.path for p in parameters(graph)]
    assert not {op.kind for op in flat.ops} & {"call", "repeat"}


PREFIX = "{type: prefix, tokens: 3}"
WINDOW = "{type: window, size: 2, causal: true}"
REFUSED = {
    "sees later ones": (lambda: small(attention="full"), "6:90"),
    "see one another both ways": (lambda: small(attention=PREFIX), "6:90"),
    "looks at several of its tokens at once": (lambda: small(attention=WINDOW), "6:90"),
    "whether its experts have room": (lambda: small(", router: {type: switch, experts: 2, capacity: 3}"), "6:106"),
    "rearrange looks at several": (lambda: small(", position: convolutional"), "6:9"),
    "no keys and values in the blocks after it": (
        lambda: small(
            ", halting: {type: confidence, threshold: 0.5, head: label}",
            more="  label: {type: classification, classes: 3, from: text}",
        ),
        "6:107",
    ),
    "one text is written, by one head": (
        lambda: small(more="  other: {type: language_model, from: text, vocab_size: 20}"),
        "9:10",
    ),
    "nothing is written here": (lambda: small(head="type: classification, classes: 3"), "7:1"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_go_on_from_what_was_kept_is_refused_where_it_is_said(words):
    make, place = REFUSED[words]
    spec = make()
    with pytest.raises(SpecError, match=words) as caught:
        cut_for_writing(spec, lower_serving(spec))
    assert f"writes.yaml:{place}" in str(caught.value) and "decoding: none" in str(caught.value)
