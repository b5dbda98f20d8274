"""Routers where they cannot be: the place in the spec, what is wrong, what to do."""

import pytest

from mmspec.components import CATALOGUE
from mmspec.passes import lower
from mmspec.spec import SpecError, read

TEXT = "inputs: {{text: {{type: text, length: 8}}}}\nencoders: {{text: {{type: text_transformer, depth: 1, {}}}}}\n"
PAIR = """\
inputs: {{image: {{type: image, size: 8}}, text: {{type: text, length: 6}}}}
encoders: {{image: {{type: vit, patch_size: 4, depth: 1}}, text: {{type: text_transformer, depth: 1}}}}
fusion: {{joint: {{{}}}}}
"""
HEAD = "heads: {label: {type: classification, classes: 3}}\n"
CASES = {
    "k above the number of experts": (
        TEXT.format("router: {type: top_k, experts: 2, k: 3}"),
        "each token cannot meet 3 of 2 experts", "3", "",
    ),
    "a capacity that must drop more than the spec allows": (
        TEXT.format("router: {type: switch, experts: 2, capacity: 3, dropped_at_most: 0.1}"),
        "2 experts with room for 3 tokens each drop 25% of 8 tokens at least", "3", "dropped_at_most is 0.1: room for 4 each",
    ),
    "a capacity twice": (
        TEXT.format("router: {type: switch, capacity: 3, capacity_factor: 1.0}"),
        "a capacity is given as tokens or as a factor, not both", "1.0", "",
    ),
    "experts that choose, in a causal stack": (
        TEXT.format("attention: causal, router: expert_choice"),
        "experts that choose among the whole sequence tell a token of later ones, which must not be seen here",
        "expert_choice", "top_k and switch decide for each token by itself",
    ),
    "the next best, in a causal stack": (
        TEXT.format("attention: causal, router: {type: switch, capacity: 8, drop: next}"),
        "who finds a place with the next-best expert depends on later tokens, which must not be seen here", "next",
        "drop: zero takes tokens in their order",
    ),
    "a route by the whole sequence, in a causal stack": (
        TEXT.format("attention: causal, attention_router: soft"),
        "a route by the whole sequence tells a token of later ones, which must not be seen here", "soft",
        "a router of type task looks at no token",
    ),
    "one modality": (
        TEXT.format("router: hard"),
        "there are no modalities to tell apart in this row of tokens", "hard",
        "a fusion of type transformer (streams: single) or concat puts several in a row",
    ),
    "the modality of a token where there is one": (
        PAIR.format("type: gated, router: {type: top_k, input: both}"),
        "there are no modalities to tell apart in this row of tokens", "both",
        "a fusion of type transformer (streams: single) or concat puts several in a row",
    ),
    "a router of tokens before samples": (
        PAIR.format("type: gated, attention_router: {type: switch, capacity: 3}"),
        "a router of type switch sends tokens, not samples", "{type: switch, capacity: 3}",
        "soft, top_k, task and learned send samples",
    ),
    "one answer that is to differ": (
        PAIR.format("type: gated, router: {type: top_k, k: 1, diversity: 0.1}"),
        "one answer has no other to differ from: each token meets a single expert", "0.1", "k at least 2, or diversity 0",
    ),
    "more than all experts": (
        PAIR.format("type: gated, router: {type: expert_choice, experts: 2, capacity_factor: 3.0}"),
        "a token cannot meet 3 of 2 experts", "3.0", "",
    ),
    "a task that is no category": (
        PAIR.format("type: gated, router: {type: task, task: text}"),
        "text is no category", "text", "inputs: {text: {type: category, classes: 4}}",
    ),
    "a task that is no input": (
        PAIR.format("type: gated, router: {type: task, task: texd}"),
        "there is no input 'texd', did you mean 'text'?", "texd", "inputs are: image, text",
    ),
    "experts without a place": (
        PAIR.format("type: gated, router: {type: top_k, experts: 3, placement: [0, 1]}"),
        "3 experts are placed on 2 devices: each has one", "[0, 1]", "placement: [0, 1, 0]",
    ),
    "tokens that are no samples, learned by what samples cost": (
        "inputs: {clip: {type: video, frames: 2, size: 8}}\nencoders: {clip: {type: video_transformer, patch_size: 4, depth: 1, "
        "space_time: separate, router: {type: learned, method: reinforce}}}\n",
        "what a sample costs cannot be told of tokens here, which are no whole samples", "reinforce", "method: gumbel",
    ),
    "branches of several shapes": (
        PAIR.format("type: routed, branches: [gated, concat]"),
        "all must answer in one shape, and here they answer in [4, 192], [N + 4, 192]", "", "",
    ),
    "a branch that may halt": (
        PAIR.format("type: routed, branches: [gated, {type: gated, halting: {type: confidence, head: label}}]"),
        "a branch cannot be left early", "{type: confidence, head: label}", "halting: none",
    ),
    "another number of experts than branches": (
        PAIR.format("type: routed, branches: [gated, cross_attention], router: {type: top_k, experts: 3, k: 1}"),
        "there are 2 branches, and the router has 3 experts", "3", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_router_that_cannot_be_is_an_error_at_its_place(name: str) -> None:
    text, message, marked, hint = CASES[name]
    with pytest.raises(SpecError) as caught:
        lower(read("name: bad\n" + text + HEAD, CATALOGUE, "bad.yaml"))
    (problem,) = caught.value.diagnostics
    assert problem.message == message
    position = problem.position
    assert position is not None
    line = position.source.text.splitlines()[position.line - 1]
    if marked:
        assert line[position.column - 1 : position.end_column - 1] == marked
    assert len(str(problem).splitlines()) <= 8
    if hint:
        assert hint in str(problem)
