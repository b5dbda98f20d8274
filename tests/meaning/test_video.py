"""What a patch of a clip sees: its place over time, its own frame, the whole clip, the past alone."""

import pytest
import torch
from influence import entering, influence

import mmspec
from mmspec.backend import build
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import check_spec, randomise

FRAMES, PLACES = 4, 4  # 2 x 2 patches of 4 pixels
FRAME = torch.arange(FRAMES).repeat_interleave(PLACES)  # of each token
PLACE = torch.arange(PLACES).repeat(FRAMES)
SAME_FRAME = FRAME[:, None] == FRAME
SAME_PLACE = PLACE[:, None] == PLACE
EARLIER = FRAME[:, None] >= FRAME  # token m stands in no later frame than n


def spec(fields, frames=FRAMES, head="clip", more="", size=8):
    fields = fields if "patch_size" in fields else f"patch_size: 4, {fields}"
    return read(
        f"""
        name: watching
        inputs: {{clip: {{type: video, frames: {frames}, size: {size}, channels: 1}}}}
        encoders:
          clip: {{type: video_transformer, width: 16, heads: 2, {fields}}}
          {more}
        heads: {{label: {{type: classification, classes: 3, from: {head}}}}}
        outputs: [{head}]
        """,
        CATALOGUE,
    )


def built(*said, **more):
    model = build(spec(*said, **more)).eval()
    randomise(model)
    return model


def clip(batch=2, frames=FRAMES, size=8):
    return {"clip": torch.randn(batch, frames, 1, size, size, generator=torch.Generator().manual_seed(3))}


def seen(fields, blocks=1):
    """Which tokens move which through so many blocks, [N, N]."""
    model = built(f"depth: {blocks}, {fields}")
    outputs, before = entering(model, clip(), "clip.blocks.0")
    found = influence(outputs["clip"], before)
    assert found[0].equal(found[1])
    return found[0]


def test_divided_attention_sees_its_own_place_over_time_and_its_own_frame():
    """Through one block: first what is at the same place, then all of the frame, which has seen each its own place. A cross
    spanned by both would leave out what is neither; in sequence they reach the whole clip."""
    assert seen("space_time: divided").all()


@pytest.mark.parametrize(("part", "wanted"), [("time_attention", SAME_PLACE), ("attention", SAME_FRAME)])
def test_each_half_of_divided_attention_sees_one_axis(part, wanted):
    model = built("depth: 1")
    silent = "attention" if part == "time_attention" else "time_attention"
    with torch.no_grad():
        model.get_parameter(f"clip.blocks.0.{silent}.output.weight").zero_()
    outputs, before = entering(model, clip(), "clip.blocks.0")
    assert influence(outputs["clip"], before)[0].equal(wanted)


def test_joint_attention_sees_the_whole_clip_and_separate_frames_themselves_alone():
    assert seen("space_time: joint").all()
    model = built("depth: 2, space_time: separate")
    inputs = clip()
    changed = {"clip": inputs["clip"].clone()}
    changed["clip"][:, 2] += 1
    differs = (model(**inputs)["clip"] - model(**changed)["clip"]).abs().amax(-1) > 1e-6
    assert differs.equal((FRAME == 2).expand(2, -1))


@pytest.mark.parametrize("first", ["time", "space"])
def test_causal_attention_over_time_sees_no_later_frame(first):
    assert seen(f"time_attention: causal, first: {first}", blocks=2).equal(EARLIER)


def test_a_bounded_memory_carries_so_many_moments_for_each_block():
    """Keys and values of the last `size` moments are what a block remembers; two blocks reach twice as far back."""
    memory = "time_attention: {type: window, size: 1, causal: true}"
    since = FRAME[:, None] - FRAME
    assert seen(memory).equal((since >= 0) & (since <= 1))
    assert seen(memory, blocks=2).equal((since >= 0) & (since <= 2))


def test_a_bounded_memory_costs_no_more_for_each_moment_of_a_longer_clip():
    said = "depth: 1, time_attention: {type: window, size: 4, causal: true}"
    costs = [mmspec.profile(spec(said, frames=frames))["flops.total"] for frames in (8, 16, 32)]
    assert costs[2] - costs[1] == 2 * (costs[1] - costs[0])


def test_the_class_token_takes_part_in_every_frame_and_goes_on_as_the_mean():
    """By hand: the clip's class token is the mean over frames of what it becomes as the first token of each frame."""
    model = built("depth: 1, class_token: true, time_attention: causal", head="clip.class")
    block = model.clip.blocks[0]
    x = torch.randn(2, 1 + FRAMES * PLACES, 16, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        y = block(x)
        patches = x[:, 1:].unflatten(1, (FRAMES, PLACES))
        normed = block.norm_time(patches)
        over_time = [block.time_attention(_row(normed, place)) for place in range(PLACES)]
        over_time = torch.cat([_places(t) for t in over_time], dim=2)
        patches = patches + over_time
        fronts, frames = [], []
        for t in range(FRAMES):
            own = torch.cat([x[:, :1], patches[:, t]], dim=1)
            attended = own + _alone(block.attention, block.norm1(own))
            fronts.append(attended[:, :1])
            frames.append(attended[:, 1:])
        expected = torch.cat([torch.stack(fronts).mean(0), *frames], dim=1)
        expected = expected + block.feed_forward(block.norm2(expected))
    assert (y - expected).abs().max() < 1e-5


def _row(x, place):
    """One place over time, among others that are copies of it: each sees its own copies alone.   -> [B, T * 4, D]"""
    return x[:, :, place : place + 1].expand(-1, -1, PLACES, -1).flatten(1, 2)


def _places(y):
    return y.unflatten(1, (FRAMES, PLACES))[:, :, :1]


def _alone(attention, own):
    """Attention within one frame: all frames are that one, and so is the mean of the class tokens."""
    everywhere = torch.cat([own[:, :1], *[own[:, 1:]] * FRAMES], dim=1)
    return attention(everywhere)[:, : 1 + PLACES]


def test_a_tubelet_is_a_convolution_over_time_as_well():
    model = built("depth: 1, tubelet: 2, space_time: joint, time_position: none", head="clip")
    kernel = model.get_parameter("clip.patches.weight")
    assert kernel.shape == (16, 1, 2, 4, 4)
    inputs = clip()
    _, before = entering(model, inputs, "clip.blocks.0")
    tubelets = inputs["clip"].reshape(2, 2, 2, 1, 2, 4, 2, 4)  # batch, (moments, 2), channels, (rows, 4), (columns, 4)
    by_hand = torch.einsum("btpcihjw,ocphw->btijo", tubelets, kernel).flatten(1, 3)
    by_hand = by_hand + model.get_parameter("clip.patches.bias") + model.get_parameter("clip.position")
    assert (before - by_hand).abs().max() < 1e-5


def test_factorised_encoding_is_a_node_for_frames_and_one_for_the_clip():
    """ViViT's model 2: class tokens of separate frames, then a transformer over those."""
    further = "whole: {type: token_transformer, from: clip.class, width: 16, depth: 2, heads: 2, attention: causal}"
    said = {"head": "whole", "more": further}
    check_spec(spec("depth: 1, space_time: separate, class_token: true", **said), gradients=False)
    model, inputs = built("depth: 1, space_time: separate, class_token: true", **said), clip()
    changed = {"clip": inputs["clip"].clone()}
    changed["clip"][:, 2] += 1
    differs = (model(**inputs)["whole"] - model(**changed)["whole"]).abs().amax(-1) > 1e-6
    assert differs.tolist() == [[False, False, True, True]] * 2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("patch_size: 3", "patches of 3 do not tile a frame of 8"),
        ("tubelet: 3", "tubelets of 3 do not tile 4 frames"),
        ("time_attention: {type: axial, axes: [0]}", "axial attention needs a grid of tokens, and a text has none"),
        ("attention: {type: axial, axes: [2]}", "axes [2] are not axes of a grid of 2"),
        ("space_time: joint, tubelet: 3", "tubelets of 3 do not tile 4 frames"),
    ],
)
def test_what_cannot_be_seen_is_an_error(fields, said):
    with pytest.raises(SpecError) as caught:
        mmspec.lower(spec(fields))
    assert [problem.message for problem in caught.value.diagnostics] == [said]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("space_time: joint, time_attention: causal", "time_attention says nothing where attention is joint"),
        ("space_time: separate, first: space", "first says nothing where attention is separate"),
        ("space_time: joint, time_position: rotary", "rotary is for attention over time, and here it is joint"),
    ],
)
def test_a_field_that_would_say_nothing_is_an_error(fields, said):
    with pytest.raises(SpecError, match=said):
        spec(fields)
