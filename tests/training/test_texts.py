"""`mmspec train` on a manifest of texts: no label column, the text is its own target."""

import pytest

import mmspec
from mmspec.components import CATALOGUE
from mmspec.errors import UserError
from mmspec.spec import SpecError, read
from mmspec.training import predict

NEXT = "{type: next_token, text: text}"
HIDDEN = "{type: masked_token, text: text, mask_id: 1, share: 0.3}"


def spec(objective=NEXT, attention="causal", head="language_model", text="{type: text, vocab_size: 257, length: 16}"):
    return read(
        f"""
        name: writer
        inputs: {{text: {text}}}
        encoders: {{text: {{type: text_transformer, width: 32, depth: 1, heads: 2, attention: {attention}}}}}
        heads: {{words: {{type: {head}, from: [text, text.embedding]}}}}
        objectives: [{objective}]
        """,
        CATALOGUE,
    )


@pytest.fixture
def corpus(tmp_path):
    """Texts in which a letter says the next: runs of the alphabet."""
    letters = "abcdefghijklmnopqrstuvwxyz" * 2
    rows = [letters[start : start + 8 + start % 6] for start in range(26)] * 4
    path = tmp_path / "corpus.csv"
    path.write_text("text\n" + "\n".join(rows) + "\n")
    return path


def recipe(corpus, steps, **more):
    return {"data": str(corpus), "steps": steps, "batch": 16, "learning_rate": 1e-2, **more}


def test_a_language_model_is_trained_on_texts_alone(corpus, tmp_path):
    result = mmspec.train(spec(), recipe(corpus, 60), tmp_path / "run")
    found = result.metrics["validation"]
    assert found["accuracy"] > 0.95
    assert found["heads"]["words"]["perplexity"] < 2
    assert found["baselines"]["commonest token"] < 0.1
    said = predict(tmp_path / "run", {"text": "cde"}, tokens=10)["words"]
    assert said == {"text": "fghijklmno", "tokens": 10, "ended": False}
    assert predict(tmp_path / "run", {"text": "cde"})["words"]["tokens"] == 13  # as long as its texts may be
    assert predict(tmp_path / "run", {"text": "xyz"}, tokens=4)["words"]["text"] == "abcd"
    example = result.metrics["example"]["inputs"]["text"]
    assert predict(tmp_path / "run", {"text": example}, tokens=3)["words"]["tokens"] == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [("", "the input 'text' is missing|empty text"), ("abcdefghijklmnopq", "17 tokens, and the model's")],
)
def test_a_text_goes_on_from_something_that_leaves_room(corpus, tmp_path, given, said):
    mmspec.train(spec(), recipe(corpus, 1), tmp_path / "run")
    with pytest.raises(UserError, match=said):
        predict(tmp_path / "run", {"text": given})


def test_a_model_that_fills_in_tokens_writes_nothing(corpus, tmp_path):
    mmspec.train(spec(HIDDEN, "full", "masked_language_model"), recipe(corpus, 1), tmp_path / "run")
    with pytest.raises(UserError, match="it fills in tokens"):
        predict(tmp_path / "run", {"text": "abc"})


def test_hidden_tokens_are_the_same_when_a_run_is_done_again(corpus):
    masked = spec(HIDDEN, "full", "masked_language_model")
    first, again = (mmspec.train(masked, recipe(corpus, 12)) for _ in range(2))
    assert first.losses == again.losses
    assert first.metrics["validation"]["accuracy"] == again.metrics["validation"]["accuracy"]
    other = mmspec.train(masked, recipe(corpus, 12, seed=1))
    assert other.losses != first.losses


def test_a_text_that_is_written_about_another_is_a_second_column(tmp_path):
    path = tmp_path / "pairs.csv"
    words = ["abc", "bca", "cab", "aab", "bbc", "cca", "aba", "bcb"]
    path.write_text("text,target\n" + "".join(f"{word},{word[::-1]}\n" for word in words * 3))
    backwards = read(
        """
        name: backwards
        inputs:
          text: {type: text, vocab_size: 257, length: 4}
          target: {type: text, vocab_size: 258, length: 6, start: 0, end: 257}
        encoders: {text: {type: text_transformer, width: 16, depth: 1, heads: 2}}
        decoders: {answer: {type: text_decoder, from: [target, text], width: 16, depth: 1, heads: 2}}
        heads: {words: {type: language_model, from: [answer, answer.embedding]}}
        objectives: [{type: next_token, text: target}]
        """,
        CATALOGUE,
    )
    result = mmspec.train(backwards, recipe(path, 300), tmp_path / "run")
    assert result.losses[-1] < 0.1 * result.losses[0]
    for word in words:  # from nothing but the start, to the end that the model says
        assert predict(tmp_path / "run", {"text": word})["words"] == {"text": word[::-1], "tokens": 3, "ended": True}
    assert predict(tmp_path / "run", {"text": "bca", "target": "ac"})["words"]["text"] == "b"
    assert result.metrics["example"]["inputs"].keys() == {"text"}


@pytest.mark.parametrize(
    ("changes", "data", "said"),
    [
        ({}, "digits_questions", "there is no data for an objective of type 'next_token'"),
        ({"text": "{type: text, vocab_size: 257, length: 16, pad: null}"}, "", "makes a batch|make a batch"),
        ({"text": "{type: text, vocab_size: 99, length: 16}"}, "", "the vocabulary only 99"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_starts(corpus, changes, data, said):
    with pytest.raises(SpecError, match=said):
        mmspec.train(spec(**changes), recipe(data or corpus, 5))
