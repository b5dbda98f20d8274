"""Decoders and heads of texts: which table is whose, what may be looked at, and mistakes at their line."""

import pytest
import torch

import mmspec
from mmspec.backend import build
from mmspec.components import CATALOGUE
from mmspec.errors import UserError
from mmspec.ir import parameters
from mmspec.passes import lower
from mmspec.spec import SpecError, read
from mmspec.testing import randomise

STACK = "width: 8, depth: 1, heads: 2"


def spec(
    decoder="from: [target, text, text.embedding]", head="from: [answer, text.embedding]", text="", target="start: 0"
):
    return read(
        f"""name: language
inputs:
  text: {{type: text, vocab_size: 12, length: 8{text}}}
  target: {{type: text, vocab_size: 12, length: 6, {target}}}
encoders: {{text: {{type: text_transformer, {STACK}}}}}
decoders:
  answer: {{type: text_decoder, {STACK}, {decoder}}}
heads:
  next: {{type: language_model, {head}}}
""",
        CATALOGUE,
    )


def tables(spec):
    return {p.path for p in parameters(lower(spec)) if p.path.endswith("embedding") or p.path.startswith("next.")}


def test_one_table_three_readers_and_a_table_or_a_matrix_for_each():
    assert tables(spec()) == {"text.embedding"}
    assert tables(spec("from: [target, text]")) == {"text.embedding", "answer.embedding"}
    assert tables(spec("from: [target, text]", "from: [answer, answer.embedding]")) == {
        "text.embedding",
        "answer.embedding",
    }
    own = tables(spec(head="from: answer, vocab_size: 12, bias: true"))
    assert own == {"text.embedding", "next.output.weight", "next.output.bias"}
    assert tables(spec(head="from: [answer, text.embedding], bias: true")) == {"text.embedding", "next.bias"}


@torch.no_grad()
def test_a_token_is_written_from_the_context_and_what_stands_before_it():
    model = build(spec()).eval()
    randomise(model)
    text, target = torch.tensor([[3, 4, 5, 0, 0]]), torch.tensor([[0, 7, 8, 9]])
    before = model(text=text, target=target)["next"]
    other = model(text=torch.tensor([[3, 4, 6, 0, 0]]), target=target)["next"]
    assert ((other - before).abs().amax(-1) > 0).all(), "every token sees the context"
    padded = model(text=text[:, :3], target=target)["next"]
    torch.testing.assert_close(padded, before)  # and nothing of its padding
    later = model(text=text, target=torch.tensor([[0, 7, 8, 1]]))["next"]
    assert torch.equal(later[:, :3], before[:, :3]) and not torch.equal(later[:, 3], before[:, 3])


@torch.no_grad()
def test_a_scaled_head_compares_smaller_vectors():
    plain, scaled = build(spec()).eval(), build(spec(head="from: [answer, text.embedding], scaled: true")).eval()
    scaled.load_state_dict(plain.state_dict())
    given = {"text": torch.tensor([[3, 4]]), "target": torch.tensor([[0, 7]])}
    torch.testing.assert_close(scaled(**given)["next"], plain(**given)["next"] * 8**-0.5)


@torch.no_grad()
def test_without_padding_every_id_is_a_token():
    model = build(spec(text=", pad: null", target="pad: null")).eval()
    given = {"text": torch.tensor([[0, 4, 0]]), "target": torch.tensor([[0, 0, 7]])}
    there = {f"{name}_mask": torch.ones_like(ids, dtype=torch.bool) for name, ids in given.items()}
    torch.testing.assert_close(model(**given)["next"], model(**given, **there)["next"])


@pytest.mark.parametrize(
    ("said", "line", "message"),
    [
        ({"decoder": "from: [text, target]"}, 7, "a text_decoder reads the token ids that it writes, and this is "),
        ({"decoder": "from: [target]"}, 7, "a text_decoder looks at tokens of a context, and there is none"),
        ({"decoder": "from: [target, inputs.text]"}, 7, "looks at tokens of a context, and the second is token ids"),
        ({"decoder": "from: [target, text, text.embedding, inputs.text]"}, 7, "reads 1 to 3, and here it is given 4"),
        ({"decoder": "from: [target, text, text]"}, 7, "reads 'text' twice"),
        ({"head": "from: answer"}, 9, "how many tokens are there to choose from?"),
        ({"head": "from: [answer, text.embedding], vocab_size: 12"}, 9, "it is not said again"),
        ({"head": "from: [answer, text]"}, 9, "cannot be compared with a table of shape"),
    ],
)
def test_a_mistake_is_told_at_its_line(said, line, message):
    with pytest.raises(SpecError) as error:
        lower(spec(**said))
    assert message in str(error.value)
    assert error.value.diagnostics[0].position.line == line


def test_a_table_of_another_size_is_refused():
    with pytest.raises(SpecError, match="12 vectors of 8 channels; this text has 12 ids, and the width is 16"):
        lower(spec().choose({"decoders.answer.width": 16}))
    with pytest.raises(SpecError, match="12 vectors of 8 channels; this text has 30 ids, and the width is 8"):
        lower(spec().choose({"inputs.target.vocab_size": 30}))


def test_a_length_is_said_by_the_name_of_its_text():
    price = mmspec.profile(spec(), text=3, target=2)
    assert dict(price.sizes) == {"B": 1, "N": 3, "N_target": 2}
    assert price["flops.total"] < mmspec.profile(spec())["flops.total"]
    for lengths, said in (
        ({"texts": 3}, "no input has a length 'texts'"),
        ({"text": 9}, "text has 1 to 8 tokens, not 9"),
    ):
        with pytest.raises(UserError, match=said):
            mmspec.profile(spec(), **lengths)
