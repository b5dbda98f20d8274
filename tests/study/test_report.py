"""What a person gets: a plot, a page that opens offline, tables. Numbers in them are the front's own."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from made import front, trained
from PIL import Image

from mmspec.study import page, plot, tables
from mmspec.study.caveats import caveats, unlearned
from mmspec.study.result import Front


class Elements(HTMLParser):
    """Collects tags with their attributes, and fails where they do not nest."""

    VOID = ("meta", "br", "line", "circle", "path", "input")

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.text = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def rendered():
    return page.render(front(), page.Background("name: made\nbase: <b>&", {"fusion.joint.depth": 2}))


def test_the_page_is_well_formed_and_fetches_nothing(rendered):
    tags = Elements(rendered).found
    assert not [a for _, a in tags if a.keys() & {"src", "href"}]
    assert not re.search(r"https?://|@import|url\(", rendered)


def test_every_trained_network_is_a_point_with_a_card(rendered):
    tags = Elements(rendered).found
    cards = {a["id"].removeprefix("card-") for tag, a in tags if tag == "template"}
    points = [a["data-card"] for _, a in tags if "data-card" in a]
    assert sorted(points, key=int) == [str(t.trial) for t in front().trained]
    assert set(points) == cards


def test_the_page_gives_each_member_its_commands_and_its_accuracy_with_an_error(rendered):
    found = front()
    for i, member in enumerate(found.members):
        assert f"mmspec build runs/made/front/{i}/spec.yaml" in rendered
        assert f"{member.accuracy:.3f} &plusmn; {member.error:.3f}" in rendered


def test_the_words_of_the_user_are_escaped(rendered):
    assert "base: &lt;b&gt;&amp;" in rendered
    evil = trained(0, 0.9, 10, {"<script>.x.y": "</td><script>alert(1)</script>"})
    other = trained(1, 0.8, 5, {"<script>.x.y": "b"})
    text = page.render(Front("<i>", front().folder, front().objectives, (evil, other)), page.Background("x: 1"))
    assert text.count("<script>") == 1  # our own
    assert "<i>" not in re.sub(r"<i style.*?>", "", text).replace("<i></i>", "")


def test_a_front_of_one_and_a_front_of_three_objectives_are_drawn(tmp_path):
    one = Front("one", tmp_path, front().objectives, front().trained[:1])
    three = Front("three", tmp_path, (*front().objectives, type(front().objectives[0])("parameters.total", False)), tuple(
        type(t)(**{**t.__dict__, "values": {**t.values, "parameters.total": t.figures["parameters.total"]}}) for t in front().trained
    ))  # fmt: skip
    for found in (one, three):
        plot.draw_front(found, tmp_path / "front.png")
        Elements(page.render(found, page.Background("x: 1")))
        assert Image.open(tmp_path / "front.png").size[0] > 1000


def test_the_plot_shows_the_knee_in_its_colour_and_a_dot_for_every_member(tmp_path):
    plot.draw_front(front(), tmp_path / "front.png")
    pixels = np.asarray(Image.open(tmp_path / "front.png").convert("RGB")).astype(int)

    def painted(colour):
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return int((np.abs(pixels - rgb).sum(axis=2) < 12).sum())

    assert painted(plot.KNEE) > 200
    assert painted(plot.FRONT) > 200 * (len(front()) - 1)
    assert painted(plot.BOUND) > 100


def test_the_csv_and_the_json_hold_every_training_with_numbers_in_full():
    found = front()
    lines = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    assert [float(line["accuracy"]) for line in lines] == [t.accuracy for t in found.trained]
    assert [line["trial"] for line in lines if line["front"] == str(found.knee)] == [
        str(found.members[found.knee].trial)
    ]
    data = json.loads(tables.as_json(found))
    assert [m["values"]["flops.total"] for m in data["front"]] == [m.values["flops.total"] for m in found.members]
    assert len(data["front"]) + len(data["dominated"]) == len(found.trained)
    assert data["knee"] == found.knee


def test_the_table_for_a_terminal_marks_the_knee():
    titles, cells = tables.rows(front())
    assert titles[1:4] == ("accuracy", "FLOPs per example", "parameters")
    assert [row[-1] for row in cells].index("knee") == front().knee
    assert tables.markdown(front()).count("\n") == len(cells) + 2


def test_the_caveats_name_the_neighbours_that_cannot_be_told_apart_and_the_bounds():
    params = [{"a.b.c": i} for i in range(3)]
    close = Front("close", front().folder, front().objectives, (
        trained(0, 0.70, 10, params[0]), trained(1, 0.93, 20, params[1]), trained(2, 0.94, 30, params[2])
    ), recipe={"steps": 300, "batch": 128})  # fmt: skip
    said = " ".join(caveats(close))
    assert "for 300 steps of 128 examples" in said
    assert "noise of one another: 1 and 2." in said
    assert "360 validation examples" in said
    assert "text alone 0.424, image alone 0.251" in said


def test_a_member_that_is_not_above_a_single_modality_is_named_on_the_page():
    stuck = Front(
        "stuck",
        front().folder,
        front().objectives,
        (trained(0, 0.43, 10, {"a.b.c": 0}), trained(1, 0.9, 20, {"a.b.c": 1})),
    )
    assert unlearned(stuck) == (0,)
    assert "Member 0 is not above what a single modality can reach" in page.render(stuck, page.Background("x: 1"))


def test_metrics_of_the_users_own_need_no_accuracy(tmp_path):
    values = [{"score": s, "flops.total": f} for s, f in ((1.5, 10), (2.5, 20))]
    own = tuple(
        type(t)(**{**t.__dict__, "values": v, "metrics": v}) for t, v in zip(front().trained, values, strict=False)
    )
    found = Front("own", tmp_path, (type(front().objectives[0])("score", True), front().objectives[1]), own)
    plot.draw_front(found, tmp_path / "front.png")
    Elements(page.render(found, page.Background("x: 1")))
    assert len(caveats(found)) == 1  # that each was trained once
