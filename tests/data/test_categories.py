"""An input that is one of several things: a column of whole numbers, or the number of a question."""

import pytest

from mmspec.data import open_data
from mmspec.data.questions import TEMPLATES
from mmspec.errors import UserError
from mmspec.reading.columns import restore
from mmspec.spec import SpecError
from mmspec.training import Recipe, predict, train

CHANGES = {
    "encoders:": "  kind: {type: category, classes: 5}\nencoders:",
    "depth: 1, heads: 2}\nheads": "depth: 1, heads: 2, router: {type: task, task: kind, experts: 2}}\nheads",
}
HEADER = "text,kind,image,answer,split"


def test_a_cell_is_a_whole_number_below_the_number_of_classes(edited, tmp_path):
    from PIL import Image

    Image.new("L", (8, 8), 99).save(tmp_path / "a.png")
    rows = [f"what,{kind},a.png,{answer},{split}" for kind, answer, split in ((4, "x", "train"), (0, "y", "val"))]
    path = tmp_path / "data.csv"
    path.write_text("\n".join([HEADER, *rows, "what,2,a.png,x,test"]) + "\n")
    data = open_data(path, edited(CHANGES))
    assert data.training_batch(0, 1, 0).inputs["kind"].tolist() == [4]
    column = data.preprocessing.columns["kind"]
    assert restore(column.save(tmp_path), tmp_path) == column
    path.write_text("\n".join([HEADER, *rows, "what,5,a.png,x,test", "what,one,a.png,x,test"]) + "\n")
    with pytest.raises(UserError, match="a category is a whole number from 0 to 4, not '5'") as error:
        open_data(path, edited(CHANGES))
    assert "data.csv:5: kind: a category is a whole number from 0 to 4, not 'one'" in str(error.value)


def test_of_the_digits_it_is_the_number_of_the_question(edited, tmp_path):
    spec = edited(CHANGES)
    batch = open_data("digits_questions", spec).training_batch(0, 64, 0)
    asked = {name: index for index, name in enumerate(t.text for t in TEMPLATES)}
    texts = ["".join(chr(i - 1) for i in ids if i) for ids in batch.inputs["text"].tolist()]
    assert batch.inputs["kind"].tolist() == [asked[text] for text in texts]
    result = train(spec, Recipe(steps=3, batch=8), tmp_path / "run")
    assert len(result.losses) == 3
    cells = {"image": str(tmp_path / "run/data/example.png"), "text": TEMPLATES[0].text, "kind": "0"}
    assert predict(tmp_path / "run", cells)


def test_there_are_as_many_tasks_as_questions(edited):
    with pytest.raises(SpecError, match="digits_questions asks 5 kinds of questions"):
        open_data(
            "digits_questions", edited({**CHANGES, "encoders:": "  kind: {type: category, classes: 4}\nencoders:"})
        )
