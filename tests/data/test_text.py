"""Texts to ids and back to a folder: bytes, and a tokenizer.json."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mmspec.errors import UserError
from mmspec.reading.columns import restore
from mmspec.reading.text import ByteTokenizer, TextColumn, open_tokenizer


@pytest.fixture
def words(tmp_path):
    """A tokenizer.json of four words that frames a text and would pad and cut it, if it were let."""
    vocabulary = {"[PAD]": 0, "[CLS]": 1, "is": 2, "it": 3, "even": 4, "[UNK]": 5}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.enable_padding(length=20)
    tokenizer.enable_truncation(3)
    path = tmp_path / "words.json"
    tokenizer.save(str(path))
    return path


def test_bytes_leave_zero_to_padding_and_need_257_ids():
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode("aé?")
    assert bytes(i - 1 for i in ids).decode() == "aé?"
    assert 0 not in ids
    assert tokenizer.vocabulary == 257


def test_a_tokenizer_file_frames_but_neither_pads_nor_cuts(words):
    tokenizer = open_tokenizer(words)
    assert tokenizer.vocabulary == 6
    assert tokenizer.encode("is it even even odd") == [1, 2, 3, 4, 4, 5]


@pytest.mark.parametrize("text", ["", "is it even", "aé? 🙂"])
def test_what_bytes_say_can_be_read_again(text):
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode([0, *tokenizer.encode("é")[:1], 257]) == ""  # padding, half a letter, an end


def test_what_a_tokenizer_file_says_can_be_read_again(words):
    tokenizer = open_tokenizer(words)
    assert tokenizer.decode([2, 3, 4]) == "is it even"


def test_the_beginning_of_a_text_has_its_start_and_no_end(words):
    begun = TextColumn(ByteTokenizer(), 9, start=0, end=257)
    assert begun.begin("").tolist() == [0]
    assert begun.begin("ab").tolist() == [0, 98, 99]
    closed = TextColumn(open_tokenizer(words), 9, end=4)
    assert closed.begin("is even").tolist() == [1, 2]  # a tokenizer that ends texts is not asked to


def test_a_tokenizer_survives_its_folder(words, tmp_path):
    for tokenizer in (open_tokenizer(words), ByteTokenizer()):
        column = TextColumn(tokenizer, 9, 0)
        again = restore(column.save(tmp_path), tmp_path)
        assert again == column
        assert again.read("is it even").tolist() == column.read("is it even").tolist()


def test_a_token_that_looks_like_padding_is_refused(words):
    with pytest.raises(ValueError, match="token 1 the id 1, which is padding"):
        TextColumn(open_tokenizer(words), 9, pad=1).read("even")


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="empty text"):
        TextColumn(ByteTokenizer(), 9).read("")


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not a tokenizer.json"), ("{}", "not a tokenizer.json"), (None, "No such file")]
)
def test_a_file_that_is_no_tokenizer_is_refused_in_a_line(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        open_tokenizer(path)
    assert len(str(error.value).splitlines()) == 1


def test_a_text_with_an_end_ends_with_it_and_may_hold_the_id_that_fills_up():
    column = TextColumn(ByteTokenizer(), 8, pad=98, end=257)
    first, second = column.read("ab"), column.read("c")
    assert first.tolist() == [98, 99, 257]
    assert column.batch([first, second]).tolist() == [[98, 99, 257], [100, 257, 98]]
    assert TextColumn(ByteTokenizer(), 8, pad=None, end=257).batch([first, second]).tolist()[1] == [100, 257, 257]


def test_an_end_that_the_tokenizer_writes_is_not_written_twice_and_none_may_stand_inside():
    column = TextColumn(ByteTokenizer(), 8, end=ord("!") + 1)
    assert column.read("a!").tolist() == [98, 34]
    with pytest.raises(ValueError, match="gives token 2 the id 34, which is the end"):
        column.read("a!b")
