"""The page of a price: offline, escaped, its rectangles in proportion, its figures those of the profile."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

import mmspec
from mmspec.components import CATALOGUE
from mmspec.cost import Sizes
from mmspec.cost.quantities import quantity
from mmspec.cost.step import Step
from mmspec.cost.timeline import timeline
from mmspec.drawing.price import Roof, memory, render, roofs, treemap
from mmspec.drawing.price.page import _held
from mmspec.spec import read

SOME = (
    "fusion_gated",
    "swin_t",
    "t5_base",
    "mixtral_8x7b",
    "fusion_routed",
    "act_fusion",
    "dino_s16_teaching",
    "wav2vec2_base",
)
ROOF = Roof("a device", "bf16", 100e12, 1e12)  # the ridge is at 100 FLOPs per byte


class Tags(HTMLParser):
    VOID = {"meta", "br", "input", "rect", "circle", "line", "path"}

    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for key, value in attributes if key in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("device", [None, "h200"])
@pytest.mark.parametrize("name", SOME)
def test_a_page_is_whole_and_fetches_nothing(name, device):
    page = render(mmspec.profile(mmspec.load(name), device=device))
    tags = Tags()
    tags.feed(page)
    assert not tags.open and not tags.links
    assert "http" not in page.replace("http-equiv", "") and "url(" not in page and "@import" not in page
    for drawn in re.findall(r"<svg.*?</svg>", page, re.S):
        ET.fromstring(drawn)  # well-formed
        assert "nan" not in drawn and "inf" not in drawn.replace("info", "")


def test_the_page_says_the_figures_of_the_profile():
    price = mmspec.profile(mmspec.load("fusion_gated"), exit_rates={"joint": [0.4, 0.6]})
    page = render(price)
    for figure in ("parameters.total", "flops.total", "flops.expected"):
        assert f"<b>{quantity(price[figure])}</b>" in page
    assert f"<b>{quantity(price['memory.peak_inference'], 'B')}</b>" in page
    assert "Not known" in page and "memory.peak_training" in page


def test_a_user_s_words_are_text():
    price = mmspec.profile(
        read(
            json.dumps(
                {
                    "name": "x",
                    "description": "<script>alert(1)</script> & more",
                    "inputs": {"image": {"type": "image", "size": 16}},
                    "encoders": {"image": {"type": "vit", "patch_size": 8, "width": 16, "depth": 1, "heads": 2}},
                    "heads": {"label": {"type": "classification", "classes": 2}},
                }
            ),
            CATALOGUE,
        )
    )
    page = render(price, ["<i>"])
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "<i>" not in page.split("<footer>")[1]


# the treemap ---------------------------------------------------------------------------------------------------------


def test_areas_are_in_proportion_and_fill_the_whole():
    """The example of Bruls, Huizing and van Wijk: 6, 6, 4, 3, 2, 2, 1 in a rectangle of 6 by 4; the first two share the left column."""
    values = [6, 6, 4, 3, 2, 2, 1]
    places = treemap.squarified(values, treemap.Area(0, 0, 6, 4))
    assert [place.width * place.height for place in places] == pytest.approx(values)
    assert [(p.x, p.y, p.width, p.height) for p in places[:2]] == [(0, 0, 3, 2), (0, 2, 3, 2)]
    assert (places[2].x, places[2].y) == (3, pytest.approx(0))
    assert places[2].width == pytest.approx(12 / 7) and places[2].height == pytest.approx(7 / 3)


def test_rectangles_do_not_overlap():
    places = treemap.squarified([90, 30, 20, 5, 5, 1, 0.5], treemap.Area(10, 20, 300, 200))
    for i, a in enumerate(places):
        assert a.x >= 10 - 1e-6 and a.y >= 20 - 1e-6 and a.x + a.width <= 310 + 1e-6 and a.y + a.height <= 220 + 1e-6
        for b in places[i + 1 :]:
            apart = a.x + a.width <= b.x + 1e-6 or b.x + b.width <= a.x + 1e-6
            assert apart or a.y + a.height <= b.y + 1e-6 or b.y + b.height <= a.y + 1e-6


@pytest.mark.parametrize("name", ["fusion_gated", "swin_t", "mixtral_8x7b", "t5_base"])
def test_the_tiles_of_a_model_are_its_price(name):
    price = mmspec.profile(mmspec.load(name))
    flops = treemap.tile(price.ledger, lambda line, runs, copies: runs * line.forward.flops)
    parameters = treemap.tile(price.ledger, lambda line, runs, copies: copies * line.parameters)
    assert flops.value == sum(each.value for each in flops.inside) == price["flops.total"]
    assert parameters.value == sum(each.value for each in parameters.inside) == price["parameters.total"]


@pytest.mark.parametrize("name", ["fusion_gated", "bert_base"])
def test_memory_at_the_peak_is_weights_and_what_is_alive(name):
    price = mmspec.profile(mmspec.load(name), 4)
    tile = _held(price, timeline(price.graph, Sizes(price.sizes)))
    assert tile.value == sum(each.value for each in tile.inside) == price["memory.peak_inference"]


# memory and roofline -------------------------------------------------------------------------------------------------


def test_the_peak_is_where_the_timeline_has_it():
    price = mmspec.profile(mmspec.load("clip_vit_b32"))
    found = timeline(price.graph, Sizes(price.sizes))
    drawn = memory.draw(found.moments)
    assert f"{quantity(found.peak.alive, 'B')} at {found.peak.path}" in drawn
    assert ">image<" in drawn and ">text<" in drawn


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_training_step_is_drawn_to_its_peak(checkpoint):
    price = mmspec.profile(mmspec.load("fusion_gated"), 8, step=Step(checkpoint=checkpoint))
    step = price.training
    assert max(moment.alive for moment in step.course) == step.peak
    phases = [moment.phase for moment in step.course]
    assert phases[0] == "forward" and phases[-1] == "optimizer" and ("recomputation" in phases) == checkpoint
    drawn = memory.draw(step.course, step.always)
    assert f"{quantity(step.peak, 'B')} at " in drawn and f"{quantity(step.always, 'B')} throughout" in drawn
    assert drawn in render(price)


def test_a_line_of_equal_time_is_where_the_roof_says_that_long():
    """At 10 FLOPs per byte the device does 10 TFLOP/s, at 1,000 its peak of 100 TFLOP/s."""
    assert ROOF.ridge == 100
    assert ROOF.seconds(1e12, 10) == pytest.approx(0.1)
    assert ROOF.seconds(1e12, 1000) == pytest.approx(0.01)


def test_every_operation_with_products_is_a_point():
    price = mmspec.profile(mmspec.load("fusion_gated"))
    points = roofs.points(price.ledger)
    assert sum(point.flops for point in points) == price["flops.total"]
    drawn = ET.fromstring(roofs.draw(points, ROOF))
    circles = [each for each in drawn.iter() if each.tag == "circle"]
    assert len(circles) == len(points)
    assert all("held up by memory" in each.get("data-tip") for each in circles)  # none has 100 FLOPs per byte
