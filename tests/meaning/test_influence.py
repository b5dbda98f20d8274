"""Which token can influence which, found by gradients from each token that comes out to each that went in."""

import pytest
import torch
from influence import influence, itself, run, whom
from tiny_models import assert_agree, built, example, masks, spec

import mmspec

FUSIONS = [
    "type: concat",
    "type: attention",
    "type: gated",
    "type: cross_attention",
    "type: cross_attention, order: parallel",
    "type: transformer",
    "type: transformer, streams: multi",
]
ASKING = FUSIONS[1:5]  # what comes out is the first stream
IMAGE, TEXT, WIDTH = 9, 6, 16  # tokens of each; channels of the first stream


def everything(tokens: int, batch: int = 4) -> torch.Tensor:
    return torch.ones(batch, tokens, dtype=torch.bool)


def test_in_a_concatenation_each_token_sees_itself_alone() -> None:
    outputs, leaves = run(built(spec("type: concat", outputs=["joint"])), example(), "image", "text")
    of_image, of_text = influence(outputs["joint"], leaves["image"]), influence(outputs["joint"], leaves["text"])
    assert of_image[:, :IMAGE].equal(itself(4, IMAGE)) and not of_image[:, IMAGE:].any()
    assert of_text[:, IMAGE:].equal(itself(4, TEXT)) and not of_text[:, :IMAGE].any()


@pytest.mark.parametrize("fusion", ASKING)
def test_the_asking_stream_sees_all_of_itself_and_all_that_is_there_of_the_others(fusion: str) -> None:
    streams = ("image", "text", "note")
    inputs = example(streams)
    outputs, leaves = run(built(spec(f"{fusion}, depth: 1", streams, outputs=["joint"])), inputs, *streams)
    assert influence(outputs["joint"], leaves["image"]).all()
    for name in ("text", "note"):
        assert influence(outputs["joint"], leaves[name]).equal(whom(masks(inputs)[name], IMAGE))


@pytest.mark.parametrize("fusion", ASKING)
def test_an_asking_text_sees_the_words_that_are_there(fusion: str) -> None:
    inputs = example()
    outputs, leaves = run(
        built(spec(f"{fusion}, depth: 1", ("text", "image"), outputs=["joint"])), inputs, "image", "text"
    )
    present = inputs["text"] != 0
    assert influence(outputs["joint"], leaves["text"]).equal(whom(present, TEXT) | itself(4, TEXT))
    assert influence(outputs["joint"], leaves["image"]).all()


def test_in_a_single_stream_every_token_sees_every_token_that_is_there() -> None:
    inputs = example()
    outputs, leaves = run(built(spec("type: transformer, depth: 1", outputs=["joint"])), inputs, "image", "text")
    there = inputs["text"] != 0
    assert influence(outputs["joint"], leaves["image"]).all()
    of_text = influence(outputs["joint"], leaves["text"])
    assert of_text[:, :IMAGE].equal(whom(there, IMAGE))
    assert of_text[:, IMAGE:].equal(whom(there, TEXT) | itself(4, TEXT))


@pytest.mark.parametrize("order", [("image", "text"), ("text", "image")], ids=" then ".join)
@pytest.mark.parametrize(
    "pairs", [[], [("text", "image")], [("image", "text")], [("image", "text"), ("text", "image")]]
)
def test_a_modality_sees_itself_and_those_it_is_paired_with(
    pairs: list[tuple[str, str]], order: tuple[str, str]
) -> None:
    inputs = example()
    said = ", ".join(f"[{asks}, {seen}]" for asks, seen in pairs)
    fusion = f"type: transformer, depth: 1, attention: {{type: modalities, pairs: [{said}]}}"
    outputs, leaves = run(built(spec(fusion, order, outputs=["joint"])), inputs, *order)
    there = {"image": everything(IMAGE), "text": inputs["text"] != 0}
    sizes = {"image": IMAGE, "text": TEXT}
    joint = dict(zip(order, outputs["joint"].split([sizes[name] for name in order], dim=1), strict=True))
    for asks in order:
        for seen in order:
            expected = whom(there[seen], sizes[asks]) & (asks == seen or (asks, seen) in pairs)
            if asks == seen:
                expected = expected | itself(4, sizes[asks])
            assert influence(joint[asks], leaves[seen]).equal(expected), f"{seen} -> {asks}"


def test_modalities_that_are_not_paired_cost_nothing() -> None:
    def flops(attention: str) -> int:
        return mmspec.profile(spec(f"type: transformer, depth: 1, attention: {attention}"), text=TEXT)["flops.total"]

    def saved(*pairs: int) -> int:
        return sum(4 * asking * seen * WIDTH for asking, seen in pairs)

    full = flops("full")
    assert full - flops("modalities") == saved((IMAGE, TEXT), (TEXT, IMAGE))
    assert full - flops("{type: modalities, pairs: [[text, image]]}") == saved((IMAGE, TEXT))
    assert full == flops("{type: modalities, pairs: [[text, image], [image, text]]}")


def test_of_several_streams_each_sees_itself_and_what_is_there_of_the_others() -> None:
    streams = ("image", "text", "note")
    inputs = example(streams)
    fusion = "type: transformer, streams: multi, depth: 1"
    outputs, leaves = run(
        built(spec(fusion, streams, outputs=["joint.image", "joint.text", "joint.note"])), inputs, *streams
    )
    there = {"image": everything(IMAGE)} | {name: masks(inputs)[name] for name in ("text", "note")}
    for out in streams:
        tokens = outputs[f"joint.{out}"]
        for name in streams:
            expected = whom(there[name], tokens.shape[1])
            if name == out:
                expected = expected | itself(4, tokens.shape[1])
            assert influence(tokens, leaves[name]).equal(expected), f"{name} -> {out}"


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_absent_token_receives_no_gradient_and_a_present_one_does(fusion: str) -> None:
    for streams in (("image", "text"), ("text", "image")):
        inputs = example()
        outputs, leaves = run(built(spec(fusion, streams)), inputs, "image", "text")
        (outputs["label"] @ torch.randn(5)).sum().backward()
        assert (leaves["text"].grad.abs().amax(-1) > 0).equal(inputs["text"] != 0)
        assert (leaves["image"].grad.abs().amax(-1) > 0).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_stands_at_absent_places_changes_nothing_and_neither_does_more_padding(fusion: str) -> None:
    for streams in (("image", "text"), ("text", "image")):
        model, inputs = built(spec(f"{fusion}, router: {{type: top_k}}", streams)), example(batch=3)
        there = inputs["text"] != 0
        other = inputs | {"text": torch.where(there, inputs["text"], 7), "text_mask": there}
        label = model(**inputs)["label"]
        assert_agree(model(**other)["label"], label)
        short = slice(1, 3)  # the samples of three words and of one
        trimmed = {"image": inputs["image"][short], "text": inputs["text"][short, :3]}
        assert_agree(model(**trimmed)["label"], label[short])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_samples_of_a_batch_do_not_see_one_another(fusion: str) -> None:
    streams = ("image", "text", "note")
    model, inputs = built(spec(f"{fusion}, router: {{type: top_k}}", streams)), example(streams)
    together = model(**inputs)["label"]
    alone = [model(**{name: value[b : b + 1] for name, value in inputs.items()})["label"] for b in range(4)]
    assert_agree(together, torch.cat(alone))


def renamed(state: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {name.replace(old, new): value for name, value in state.items()}


def test_one_context_is_attended_to_alike_in_sequence_and_in_parallel() -> None:
    sequential = built(spec("type: cross_attention"))
    parallel = built(spec("type: cross_attention, order: parallel"), seed=3)
    parallel.load_state_dict(renamed(sequential.state_dict(), "text_attention_norm", "cross_norm"))
    assert parallel(**example())["label"].equal(sequential(**example())["label"])


def test_two_contexts_in_sequence_depend_on_their_order_and_in_parallel_they_do_not() -> None:
    def label(order: str, streams: tuple[str, ...]) -> torch.Tensor:
        model = built(spec(f"type: cross_attention, order: {order}", streams))
        state = built(spec(f"type: cross_attention, order: {order}", ("image", "text", "note"))).state_dict()
        model.load_state_dict(state)
        return model(**example(streams))["label"]

    forth, back = ("image", "text", "note"), ("image", "note", "text")
    assert_agree(label("parallel", forth), label("parallel", back))
    with pytest.raises(AssertionError, match="off by"):
        assert_agree(label("sequential", forth), label("sequential", back), tolerance=0.01)
