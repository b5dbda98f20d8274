"""The user's own data: read as written, or refused with every wrong row and its line."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmspec.data import open_data
from mmspec.data.table import SHOWN
from mmspec.errors import UserError

COLOURS = {"dark": 20, "grey": 120, "light": 240}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three grey pictures, dark.png, grey.png and light.png."""
    for name, value in COLOURS.items():
        Image.new("L", (20, 10), value).save(tmp_path / f"{name}.png")
    return tmp_path


def manifest(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(count: int, header: str = "image,text,answer") -> str:
    """A good manifest: every picture with every label, in turn."""
    lines = [f"{list(COLOURS)[i % 3]}.png,how bright? {i},{'bright' if i % 2 else 'dim'}" for i in range(count)]
    return "\n".join([header, *lines]) + "\n"


def refusal(path: Path, spec) -> str:
    with pytest.raises(UserError) as error:
        open_data(path, spec)
    return str(error.value)


def test_a_row_becomes_a_picture_a_text_and_a_class(folder, spec_of):
    path = manifest(
        folder, 'image,text,answer,split\ngrey.png,"a, b",yes,train\ndark.png,cd,no,val\nlight.png,é,yes,test\n'
    )
    data = open_data(path, spec_of())
    batch = data.training_batch(0, 2, 0)
    assert batch.inputs["image"].shape == (2, 1, 16, 16)
    torch.testing.assert_close(batch.inputs["image"], torch.full((2, 1, 16, 16), (120 / 255 - 0.5) / 0.5))
    assert batch.inputs["text"].tolist() == [[byte + 1 for byte in b"a, b"]] * 2
    assert batch.targets["answer"].tolist() == [1, 1]  # sorted: no, yes
    assert data.preprocessing.answers["label"][:2] == ("no", "yes")
    (test,) = data.evaluation_batches("test", 8)
    assert test.inputs["text"].tolist() == [[byte + 1 for byte in "é".encode()]]


def test_the_example_is_a_row_with_its_picture(folder, spec_of, tmp_path_factory):
    path = manifest(folder, "image,text,answer,split\ngrey.png,a,x,train\ndark.png,b,y,val\nlight.png,c,x,test\n")
    data, target = open_data(path, spec_of()), tmp_path_factory.mktemp("example")
    example = data.save_example(target)
    assert (example.inputs["text"], example.answers) == ("c", {"label": "x"})
    assert (target / example.inputs["image"]).read_bytes() == (folder / "light.png").read_bytes()


def test_json_lines_say_the_same_as_csv(folder, spec_of):
    text = rows(12)
    header, *lines = [line.split(",") for line in text.splitlines()]
    as_json = "\n".join(json.dumps(dict(zip(header, line, strict=True))) for line in lines)
    one = open_data(manifest(folder, text), spec_of())
    other = open_data(manifest(folder, as_json, "data.jsonl"), spec_of())
    for step in range(3):
        a, b = one.training_batch(step, 5, 1), other.training_batch(step, 5, 1)
        assert torch.equal(a.inputs["image"], b.inputs["image"])
        assert torch.equal(a.targets["answer"], b.targets["answer"])


def test_texts_are_padded_to_the_longest_of_their_batch(folder, spec_of):
    path = manifest(
        folder,
        "image,text,answer,split\n"
        + "".join(f"grey.png,{'x' * n},a,val\n" for n in (3, 1, 2))
        + "grey.png,x,b,train\n",
    )
    batches = list(open_data(path, spec_of()).evaluation_batches("validation", 2))
    assert [batch.inputs["text"].shape[1] for batch in batches] == [2, 3]  # alike in length come together
    assert batches[0].inputs["text"].tolist() == [[121, 0], [121, 121]]


def test_whole_numbers_are_the_classes_themselves(folder, spec_of):
    path = manifest(folder, "image,text,answer,split\ngrey.png,a,11,train\ngrey.png,b,3,validation\n")
    data = open_data(path, spec_of())
    assert data.training_batch(0, 1, 0).targets["answer"].tolist() == [11]
    assert data.preprocessing.answers["label"] == tuple(map(str, range(12)))


def test_words_that_look_like_numbers_are_words(folder, spec_of):
    path = manifest(folder, "image,text,answer,split\ngrey.png,a,--5,train\ngrey.png,b,7,val\n")
    assert open_data(path, spec_of()).preprocessing.answers["label"][:2] == ("--5", "7")


def test_rows_that_share_a_picture_stay_in_one_split(folder, spec_of):
    for index in range(20):
        Image.new("L", (4, 4), index).save(folder / f"{index}.png")
    lines = [f"{index % 20}.png,question {index},{index % 2}" for index in range(100)]
    data = open_data(manifest(folder, "\n".join(["image,text,answer", *lines])), spec_of())
    seen = {
        split: {
            round(float(pixel) * 127.5 + 127.5)
            for batch in data.evaluation_batches(split, 64)
            for pixel in batch.inputs["image"][:, 0, 0, 0]
        }
        for split in ("training", "validation", "test")
    }
    assert {split: len(pictures) for split, pictures in seen.items()} == {"training": 16, "validation": 2, "test": 2}
    assert len(set.union(*seen.values())) == 20


def test_all_that_is_wrong_is_listed_with_its_line(folder, spec_of):
    Image.effect_noise((64, 64), 50).save(folder / "torn.png")
    (folder / "torn.png").write_bytes((folder / "torn.png").read_bytes()[:2000])
    (folder / "words.png").write_text("not a picture")
    text = (
        "image,text,answer,split\n"
        "grey.png,fine,1,train\n"
        "missing.png,x,1,train\n"
        "torn.png,x,1,train\n"
        "words.png,x,1,train\n"
        "grey.png,,1,train\n"
        f"grey.png,{'long ' * 7},1,train\n"
        "grey.png,x,12,train\n"
        "grey.png,x,,train\n"
        "grey.png,x,1,trian\n"
        "grey.png,x,1\n"
    )
    said = refusal(manifest(folder, text), spec_of())
    for line, message in [
        (3, "image: no such file: missing.png"),
        (4, "image: damaged image"),
        (5, "image: not an image"),
        (6, "text: the cell is empty"),
        (7, "text: 35 tokens where the model takes 32"),
        (8, "answer: 12 is out of range, the head 'label' has classes 0 to 11"),
        (9, "answer: the label is missing"),
        (10, "split: 'trian' is not one of training, validation, test"),
        (11, "3 cells where the header has 4"),
    ]:
        assert f"data.csv:{line}: {message}" in said
    assert "9 problems" in said
    assert "data.csv:2:" not in said
    assert "inputs.text.length of the spec is 32" in said


def test_a_list_of_problems_fits_on_a_screen_and_counts_the_rest(folder, spec_of):
    text = "image,text,answer\n" + "".join(f"gone{index}.png,x,1\n" for index in range(500))
    said = refusal(manifest(folder, text), spec_of())
    assert "500 problems in 500 rows" in said
    assert f"and {500 - SHOWN} more" in said
    assert len(said.splitlines()) <= SHOWN + 3


def test_lines_are_counted_as_an_editor_does(folder, spec_of):
    text = 'image,text,answer\ngrey.png,"two\nlines",1\n\ngone.png,x,1\n'
    assert "data.csv:5: image: no such file" in refusal(manifest(folder, text), spec_of())


def test_a_misspelt_label_is_one_too_many(folder, spec_of):
    text = rows(6).replace("dim", "dimm", 1)
    said = refusal(manifest(folder, text), spec_of("heads.label.classes=2"))
    assert "data.csv:2: answer: 'dimm' is one label too many (in 1 rows)" in said
    assert "'bright', 'dim'" in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.csv", b"image,txt,answer\na,b,c\n", "no column 'text'"),
        ("data.csv", b"image;text;answer\na;b;c\n", "separated by commas"),
        ("data.csv", b"image,text,text,answer\n", "'text' is there twice"),
        ("data.csv", b"image,text,answer\n", "has no rows"),
        ("data.csv", b"", "has no rows"),
        ("data.csv", b"image,text,answer\n\xff\xfe,b,c\n", "data.csv:2: not UTF-8"),
        ("data.jsonl", b'{"image": 1\n', "data.jsonl:1: not JSON"),
        ("data.jsonl", b"[1]\n", "data.jsonl:1: not a JSON object"),
        (
            "data.jsonl",
            b'{"image": "a", "text": 0.5, "answer": 1}\n',
            "data.jsonl:1: text: a text or a whole number is wanted",
        ),
        ("data.parquet", b"", "nor a manifest"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_in_a_line(folder, spec_of, name, content, message):
    (folder / name).write_bytes(content)
    assert message in refusal(folder / name, spec_of())


def test_a_missing_manifest_is_refused(folder, spec_of):
    assert "No such file" in refusal(folder / "none.csv", spec_of())


def test_a_column_that_nothing_reads_is_noted(folder, spec_of):
    data = open_data(
        manifest(
            folder,
            "\n".join(line + ",7" for line in rows(12, "image,text,answer,idx").splitlines()).replace("idx,7", "idx"),
        ),
        spec_of(),
    )
    assert data.notes == ("columns that are not used: 'idx'",)


def test_the_commonest_label_is_the_baseline_and_an_input_that_repeats_another(folder, spec_of):
    lines = [
        f"{name}.png,q{i},{label}"
        for i, (name, label) in enumerate([("dark", 0)] * 8 + [("light", 1)] * 6 + [("dark", 1)] * 2)
    ]
    body = "\n".join(f"{line},{split}" for split in ("train", "val") for line in lines)
    baselines = open_data(manifest(folder, "image,text,answer,split\n" + body), spec_of()).baselines("validation")
    assert baselines == {"commonest label": 0.5, "image alone": (8 + 6) / 16}  # every text is another: it says nothing


def test_pictures_too_many_to_keep_are_read_again(folder, spec_of, monkeypatch):
    path = manifest(folder, rows(12))
    kept = open_data(path, spec_of()).training_batch(0, 4, 0)
    monkeypatch.setattr("mmspec.data.manifest.KEPT_BYTES", 300)
    data = open_data(path, spec_of())
    assert torch.equal(data.training_batch(0, 4, 0).inputs["image"], kept.inputs["image"])
    for name in COLOURS:
        (folder / f"{name}.png").unlink()
    with pytest.raises(UserError, match="was there when training began; now: no such file"):
        data.training_batch(0, 4, 0)
