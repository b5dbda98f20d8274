"""Objectives of texts: their losses are the formulas', and a model of a few thousand parameters learns a toy language with them."""

import pytest
import torch
from tiny_models import built

from mmspec.backend import build, build_objectives
from mmspec.components import CATALOGUE
from mmspec.data.masking import NOT_ASKED, hide, hidings
from mmspec.spec import SpecError, read

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0, 0]])
ENCODER = "width: 16, depth: 2, heads: 2"
MASK_ID, RULE = 10, 7  # of the toy language: each token is the one before it plus 3, modulo 7, then plus 1


def language(
    objective: str, head: str = "language_model", encoder: str = f"{ENCODER}, attention: causal", **inputs: str
):
    text = inputs.get("text", "{type: text, vocab_size: 11, length: 12}")
    spec = f"""
    name: language
    inputs: {{text: {text}}}
    encoders: {{text: {{type: text_transformer, {encoder}}}}}
    heads: {{words: {{type: {head}, from: [text, text.embedding]}}}}
    objectives: [{objective}]
    """
    return read(spec, CATALOGUE)


def losses(spec, ids: torch.Tensor, targets: dict[str, torch.Tensor], **inputs: torch.Tensor):
    model = built(spec).train()
    outputs = model(text=ids, **inputs)
    return build_objectives(spec)(outputs, targets)["total"], outputs["words"].log_softmax(-1)


def test_the_next_token_is_asked_for_at_every_token_that_has_one() -> None:
    total, chances = losses(language("{type: next_token, text: text}"), IDS, {})
    asked = [(b, n) for b in range(3) for n in range(6) if IDS[b, n + 1] != 0]
    assert len(asked) == 6 + 2
    expected = -sum(chances[b, n, IDS[b, n + 1]] for b, n in asked) / len(asked)
    torch.testing.assert_close(total, expected)


def test_a_mask_that_is_given_says_which_tokens_are_asked_for() -> None:
    present = torch.ones_like(IDS, dtype=torch.bool)
    present[0, 4:] = False
    total, chances = losses(language("{type: next_token, text: text}"), IDS, {}, text_mask=present)
    asked = [(b, n) for b in range(3) for n in range(6) if present[b, n + 1]]
    torch.testing.assert_close(total, -sum(chances[b, n, IDS[b, n + 1]] for b, n in asked) / len(asked))


def test_a_text_of_one_token_asks_for_nothing() -> None:
    total, _ = losses(language("{type: next_token, text: text, weight: 2.0}"), IDS[2:], {})
    assert total == 0


def test_weight_and_smoothing_are_those_of_cross_entropy() -> None:
    total, chances = losses(language("{type: next_token, text: text, weight: 0.5, label_smoothing: 0.2}"), IDS[:1], {})
    rows, asked = chances[0, :-1], IDS[0, 1:]
    picked = rows.gather(1, asked[:, None]).mean()
    torch.testing.assert_close(total, -0.5 * (0.8 * picked + 0.2 * rows.mean()))


def test_hidden_tokens_alone_are_asked_for() -> None:
    spec = language(f"{{type: masked_token, text: text, mask_id: {MASK_ID}}}", "masked_language_model", ENCODER)
    target = torch.full_like(IDS, NOT_ASKED)
    target[0, 2], target[1, 1] = 4, 5
    total, chances = losses(spec, IDS, {"text": target})
    torch.testing.assert_close(total, -(chances[0, 2, 4] + chances[1, 1, 5]) / 2)
    assert losses(spec, IDS, {"text": torch.full_like(IDS, NOT_ASKED)})[0] == 0


def test_what_is_hidden_is_a_share_of_the_tokens_most_masked_some_swapped_some_kept() -> None:
    spec = language(
        f"{{type: masked_token, text: text, mask_id: {MASK_ID}, never: [1]}}", "masked_language_model", ENCODER
    )
    (hiding,) = hidings(spec)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 10, (400, 200), generator=draw)
    read_ids, target = hide(ids, hiding, draw)
    chosen, free = target != NOT_ASKED, (ids > 1)  # neither padding nor what is never hidden
    assert torch.equal(target[chosen], ids[chosen]) and torch.equal(read_ids[~chosen], ids[~chosen])
    assert not chosen[~free].any()
    assert abs(chosen.sum() / free.sum() - 0.15) < 0.005
    masked = (read_ids == MASK_ID) & chosen
    kept = (read_ids == ids) & chosen
    assert abs(masked.sum() / chosen.sum() - (0.8 + 0.1 / 11)) < 0.02  # a random token may be the mask,
    assert abs(kept.sum() / chosen.sum() - (0.1 + 0.1 / 11)) < 0.02  # or what was there
    again, _ = hide(ids, hiding, torch.Generator().manual_seed(5))
    same, _ = hide(ids, hiding, torch.Generator().manual_seed(5))
    assert torch.equal(again, same) and not torch.equal(again, read_ids)


@pytest.mark.parametrize(
    ("objective", "head", "said"),
    [
        ("{type: next_token, text: words}", "language_model", "there is no output 'inputs.words'"),
        (
            "{type: masked_token, text: text, mask_id: 11}",
            "language_model",
            "the ids of text are below 11, and mask_id is 11",
        ),
        ("{type: masked_token, text: text, mask_id: 3, masked: 0.9, random: 0.2}", "language_model", "more than all"),
        ("{type: masked_token, text: text, mask_id: 3, never: [99]}", "language_model", "and never is 99"),
    ],
)
def test_what_cannot_be_asked_is_said_where_it_stands(objective: str, head: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        build_objectives(language(objective, head))
    assert said in str(error.value)
    assert error.value.diagnostics[0].position.line == 6


def sentences(count: int, seed: int) -> torch.Tensor:
    """Texts of 12 in which a token says the next."""
    start = torch.randint(0, RULE, (count, 1), generator=torch.Generator().manual_seed(seed))
    return (start + 3 * torch.arange(12)) % RULE + 1


def learnt(spec, batches, steps: int = 120):
    torch.manual_seed(0)
    model, objectives = build(spec), build_objectives(spec)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        inputs, targets = batches(step)
        loss = objectives(model.train()(**inputs), targets)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_a_causal_model_learns_to_go_on() -> None:
    spec = language("{type: next_token, text: text}")
    model = learnt(spec, lambda step: ({"text": sentences(16, step)}, {}))
    texts = sentences(64, seed=10_000)
    guesses = model(text=texts)["words"].argmax(-1)
    assert (guesses[:, :-1] == texts[:, 1:]).float().mean() > 0.99


def test_a_bidirectional_model_learns_to_fill_in() -> None:
    objective = f"{{type: masked_token, text: text, mask_id: {MASK_ID}}}"
    spec = language(objective, "masked_language_model", "width: 32, depth: 1, heads: 2")
    (hiding,) = hidings(spec)

    def batch(step: int):
        ids, target = hide(sentences(32, step), hiding, torch.Generator().manual_seed(step))
        return {"text": ids}, {"text": target}

    model = learnt(spec, batch, steps=200)
    texts = sentences(64, seed=10_000)
    hidden = texts.clone()
    hidden[:, 5] = MASK_ID
    assert (model(text=hidden)["words"][:, 5].argmax(-1) == texts[:, 5]).float().mean() > 0.95


def test_a_decoder_learns_to_write_a_text_backwards() -> None:
    spec = read(
        """
        name: backwards
        inputs:
          text: {type: text, vocab_size: 6, length: 4}
          target: {type: text, vocab_size: 6, length: 5, start: 0}
        encoders: {text: {type: text_transformer, width: 32, depth: 1, heads: 2}}
        decoders: {answer: {type: text_decoder, from: [target, text, text.embedding], width: 32, depth: 1, heads: 2}}
        heads: {words: {type: language_model, from: [answer, text.embedding]}}
        objectives: [{type: next_token, text: target}]
        """,
        CATALOGUE,
    )

    def texts(count: int, seed: int) -> dict[str, torch.Tensor]:
        ids = torch.randint(1, 6, (count, 4), generator=torch.Generator().manual_seed(seed))
        return {"text": ids, "target": torch.cat([torch.zeros(count, 1, dtype=torch.int64), ids.flip(1)], dim=1)}

    model = learnt(spec, lambda step: (texts(64, step), {}), steps=200)
    unseen = texts(64, seed=10_000)
    guesses = model(**unseen)["words"].argmax(-1)
    assert (guesses[:, :-1] == unseen["target"][:, 1:]).float().mean() > 0.95
