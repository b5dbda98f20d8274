"""The parts that systems of several modalities are composed of, sample by sample and token by token."""

import pytest
import torch
from torch import Tensor

import mmspec
from mmspec.backend.runtime import insert_tokens, token_mask
from mmspec.components import CATALOGUE
from mmspec.ir.placeholders import Placeholder, placeholders
from mmspec.spec import SpecError, read
from mmspec.testing import check_spec


def built(text: str) -> torch.nn.Module:
    model = mmspec.build(read(text, CATALOGUE)).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.5, generator=generator)
    return model


# tokens at places -------------------------------------------------------------------------------------------------------


def test_the_kth_token_takes_the_kth_place_of_its_own_sample() -> None:
    x, tokens = torch.randn(3, 6, 2), torch.randn(3, 2, 2)
    ids = torch.tensor([[9, 1, 9, 2, 3, 4], [1, 2, 3, 4, 9, 9], [1, 9, 2, 3, 4, 9]])
    found = insert_tokens(x, tokens, ids, 9)
    for sample in range(3):
        waiting = list(tokens[sample])
        for place in range(6):
            wanted = waiting.pop(0) if ids[sample, place] == 9 else x[sample, place]
            assert torch.equal(found[sample, place], wanted)
        assert not waiting


def test_what_is_put_in_learns_and_what_is_replaced_does_not() -> None:
    x, tokens = torch.randn(1, 4, 2, requires_grad=True), torch.randn(1, 2, 2, requires_grad=True)
    insert_tokens(x, tokens, torch.tensor([[9, 1, 9, 2]]), 9).sum().backward()
    assert x.grad is not None and tokens.grad is not None
    assert x.grad[0, :, 0].tolist() == [0, 1, 0, 1]
    assert tokens.grad[0, :, 0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("ids", "kept"), [([[9, 1, 2], [9, 9, 1]], 1), ([[9, 9, 9], [9, 9, 1]], 3), ([[9, 9, 1], [1, 2, 3]], 0)]
)
def test_as_many_places_as_tokens_in_every_sample_or_an_error_that_counts_them(ids: list[list[int]], kept: int) -> None:
    with pytest.raises(ValueError, match=rf"a text keeps {kept} places \(id 9\) for 2 tokens"):
        insert_tokens(torch.randn(2, 3, 2), torch.randn(2, 2, 2), torch.tensor(ids), 9)


INSERT = """
name: merged
inputs: {image: {type: image, size: 8}, text: {type: text, vocab_size: 20, length: 9}}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}
  text: {type: embedding, width: 12}
fusion:
  merged: {type: insert, from: [text, image, inputs.text], placeholder: 7}
decoders:
  language: {type: transformer, width: 12, depth: 1, heads: 2}
heads: {label: {type: classification, classes: 3, pool: last}}
outputs: [merged]
"""


def test_tokens_of_another_width_are_projected_and_the_graph_knows_its_places() -> None:
    graph = mmspec.lower(read(INSERT, CATALOGUE))
    assert list(placeholders(graph)) == [Placeholder("text", 7, 4)]
    assert graph.notes == ("merged.adapt_image: a projection from 8 to 12 channels was inserted",)
    model = built(INSERT)
    image, ids = torch.randn(1, 3, 8, 8), torch.tensor([[1, 7, 7, 2, 7, 7]])
    merged = model(image=image, text=ids)["merged"]
    projected = model.merged.adapt_image(model.image(image))
    assert torch.equal(merged[0, [1, 2, 4, 5]], projected[0])
    assert torch.equal(merged[0, [0, 3]], model.text.embedding[[1, 2]])


def test_a_causal_language_model_sees_the_image_from_its_place_on() -> None:
    model = built(INSERT.replace("outputs: [merged]", "outputs: [language]"))
    ids = torch.tensor([[1, 7, 7, 7, 7, 2]])
    one, other = (model(image=torch.randn(1, 3, 8, 8), text=ids)["language"] for _ in range(2))
    changed = (one - other).abs().amax(dim=-1)[0] > 1e-6
    assert changed.tolist() == [False, True, True, True, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[text, image, inputs.text]", "[text, image]"), "it takes a text, the tokens to put in, and the text's ids"),
        (("[text, image, inputs.text]", "[image, text, inputs.text]"), "the third is not the ids of image"),
        (("placeholder: 7", "placeholder: 20"), "the ids of the text are below 20"),
    ],
)
def test_an_insertion_that_cannot_be_is_refused(change: tuple[str, str], message: str) -> None:
    with pytest.raises(SpecError) as found:
        mmspec.lower(read(INSERT.replace(*change), CATALOGUE))
    assert message in str(found.value)


# the end of a text ------------------------------------------------------------------------------------------------------


def test_a_text_is_present_up_to_its_first_end_whatever_follows() -> None:
    ids = torch.tensor([[1, 9, 0, 0], [9, 1, 9, 2], [0, 1, 2, 0], [1, 2, 3, 9]])
    wanted = [[True, True, False, False], [True] + [False] * 3, [True] * 4, [True] * 4]
    assert token_mask(ids, None, 0, end=9).tolist() == wanted
    assert token_mask(ids, ids > 0, 0, end=9).equal(ids > 0)


def test_what_follows_the_end_changes_nothing_and_the_end_has_seen_all_before_it() -> None:
    model = built(
        """
        name: ends
        inputs: {text: {type: text, vocab_size: 20, length: 6, end: 9}}
        encoders: {text: {type: text_transformer, width: 8, depth: 2, heads: 2, attention: causal}}
        heads: {e: {type: projection, width: 4, pool: last}}
        """
    )
    base = model(text=torch.tensor([[1, 2, 9, 0, 0, 0]]))["e"]
    assert torch.equal(base, model(text=torch.tensor([[1, 2, 9, 4, 9, 5]]))["e"])
    torch.testing.assert_close(base, model(text=torch.tensor([[1, 2, 9]]))["e"])
    for other in ([2, 2, 9, 0, 0, 0], [1, 3, 9, 0, 0, 0]):
        assert not torch.allclose(base, model(text=torch.tensor([other]))["e"])


def test_an_end_that_is_no_id_is_refused_at_its_place() -> None:
    with pytest.raises(SpecError, match="ids are below 20, and the end is 20"):
        read(
            "name: x\ninputs: {text: {type: text, vocab_size: 20, end: 20}}\nencoders: {text: text_transformer}",
            CATALOGUE,
        )


# inner blocks -----------------------------------------------------------------------------------------------------------

TAPS = """
name: taps
inputs: {image: {type: image, size: 8}}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 3, heads: 2, class_token: true, registers: 1, taps: [1, 3]}
heads: {label: {type: classification, classes: 3, from: image.block_1}}
outputs: [image.block_1, image.block_3]
"""


def test_an_inner_block_gives_its_patches_as_they_leave_it() -> None:
    model = built(TAPS)
    seen: list[Tensor] = []
    for block in model.image.blocks:
        block.register_forward_hook(lambda module, given, result: seen.append(result))
    out = model(image=torch.randn(2, 3, 8, 8))
    assert torch.equal(out["image.block_1"], seen[0][:, 2:])  # without class token and register, before the last norm
    assert torch.equal(out["image.block_3"], seen[2][:, 2:])


def test_a_block_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match="there is no block 4: the depth is 3"):
        mmspec.lower(read(TAPS.replace("taps: [1, 3]", "taps: [4]"), CATALOGUE))
    with pytest.raises(SpecError, match="has no output 'block_2'"):
        mmspec.lower(read(TAPS.replace("from: image.block_1", "from: image.block_2"), CATALOGUE))


# a query that pools -----------------------------------------------------------------------------------------------------


def test_a_query_pools_what_it_attends_to_and_is_not_added_itself() -> None:
    model = built(
        """
        name: pooled
        inputs: {text: {type: text, vocab_size: 20, length: 6}}
        encoders: {text: {type: embedding, width: 8}}
        heads: {e: {type: projection, width: null, normalise: false, pool: {type: query, heads: 2, hidden: 12, activation: relu}}}
        """
    )
    head = model.e
    ids = torch.tensor([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    found = model(text=ids)["e"]
    for sample, length in ((0, 3), (1, 5)):
        x = model.text.embedding[ids[sample, :length]]
        query = head.attention.query(head.query)[0].view(2, 4)
        key, value = (layer(x).view(length, 2, 4) for layer in (head.attention.key, head.attention.value))
        mixed = []
        for h in range(2):
            weights = torch.softmax(key[:, h] @ query[h] / 2, dim=0)
            mixed.append(weights @ value[:, h])
        a = head.attention.output(torch.cat(mixed))
        inner = torch.relu(head.feed_forward.up(head.pool_norm(a)))
        torch.testing.assert_close(found[sample], a + head.feed_forward.down(inner))


# an mlp -----------------------------------------------------------------------------------------------------------------


def test_an_mlp_has_an_activation_between_its_layers_and_none_after_the_last() -> None:
    model = built(
        """
        name: projector
        inputs: {text: {type: text, vocab_size: 20, length: 6}}
        encoders: {text: {type: embedding, width: 8}, p: {type: mlp, from: text, width: 5, hidden: 7, depth: 3, activation: relu}}
        heads: {label: {type: classification, classes: 3, from: p}}
        outputs: [p]
        """
    )
    x = model.text.embedding[[1, 2, 3]]
    y = model.p.layer3(torch.relu(model.p.layer2(torch.relu(model.p.layer1(x)))))
    torch.testing.assert_close(model(text=torch.tensor([[1, 2, 3]]))["p"][0], y)
    assert [tuple(layer.weight.shape) for layer in (model.p.layer1, model.p.layer2, model.p.layer3)] == [
        (7, 8),
        (7, 7),
        (5, 7),
    ]


# siblings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("llava_1_5_7b", ["encoders.projector.depth=1"]),  # LLaVA 1.0
        ("llava_1_5_7b", ["encoders.image.class_token=false", "encoders.image.patch_bias=true"]),  # a SigLIP tower
        ("clip_vit_b32", ["encoders.image.activation=gelu", "encoders.text.activation=gelu"]),  # open_clip
        ("siglip_base", ["heads.image_embedding.pool=mean", "encoders.text.position=rotary"]),
    ],
)
def test_a_relative_of_a_published_system_is_the_same_spec_with_other_values(name: str, changes: list[str]) -> None:
    check_spec(mmspec.load(name, changes, "small"))
