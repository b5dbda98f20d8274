"""A drawing shows everything that is there, nothing on top of something else, and no text outside its box."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import matplotlib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

import mmspec
from mmspec.components import CATALOGUE
from mmspec.cost.quantities import quantity, share
from mmspec.drawing import draw
from mmspec.drawing.contents import size
from mmspec.drawing.diagram import Box, Diagram, Edge, diagram
from mmspec.drawing.layout import BEND, layout
from mmspec.drawing.measure import cut, width
from mmspec.drawing.sublayers import Chip, Lane, Stack
from mmspec.drawing.svg import TOP, svg
from mmspec.shipped import names
from mmspec.spec import read

SVG = "{http://www.w3.org/2000/svg}"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"  # DejaVu, the widest of the faces that browsers fall back to

THREE = """
name: three_modalities
inputs:
  photo: {type: image, size: 64}
  scan: {type: image, size: 32, channels: 1}
  report: {type: text, length: 128}
encoders:
  photo: {type: vit, patch_size: 16, width: 192, depth: 6, heads: 6}
  scan: {type: vit, patch_size: 8, width: 96, depth: 4, heads: 4, frozen: true}
  report: {type: text_transformer, width: 128, depth: 3, heads: 4, router: {type: top_k, experts: 8, k: 1}}
fusion:
  joint: {type: attention, from: [photo, scan, report], depth: 2, heads: 6}
heads:
  diagnosis: {type: classification, classes: 40, pool: attention}
  urgency: {type: classification, classes: 3}
objectives:
  - {type: cross_entropy, head: diagnosis, target: diagnosis}
  - {type: cross_entropy, head: urgency, target: urgency}
"""
STREAMS = """
name: streams
inputs:
  image: {type: image, size: 32, channels: 3}
  text:  {type: text, vocab_size: 257, length: 32}
encoders:
  image: {type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}
  text:  {type: text_transformer, width: 96, depth: 3, heads: 4}
fusion:
  joint: {type: transformer, from: [image, text], streams: multi, depth: 3, halting: {type: confidence, threshold: 0.8, head: label}}
heads:
  label: {type: classification, classes: 12}
objectives: [{type: cross_entropy, target: answer}]
outputs: [joint.image, label.exit]
"""
WEB = """
name: web
inputs:
  image: {type: image, size: 32, channels: 3}
  text:  {type: text, vocab_size: 257, length: 32}
encoders:
  image: {type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}
  text:  {type: text_transformer, width: 128, depth: 1, heads: 4}
fusion:
  early: {type: concat, from: [image, text], depth: 1}
  looked: {type: cross_attention, from: [text, image], depth: 2}
  all: {type: gated, from: [early, looked, image], depth: 2}
heads:
  label: {type: classification, classes: 12, from: all}
  side: {type: classification, classes: 3, from: image}
objectives: [{type: cross_entropy, head: label, target: answer}]
"""
PLAIN = """
name: plain
inputs: {image: {type: image, size: 32, channels: 1}}
encoders: {image: {type: vit, patch_size: 8, width: 64, depth: 2, heads: 2}}
heads: {label: {type: classification, classes: 10}}
objectives: [{type: cross_entropy, target: answer}]
"""
SPECS = {"three": THREE, "streams": STREAMS, "web": WEB, "plain": PLAIN, **dict.fromkeys(names("specs"), "")}


def spec_of(name):
    return read(SPECS[name], CATALOGUE) if SPECS[name] else mmspec.load(name)


def drawing(name):
    spec = spec_of(name)
    return ET.fromstring(draw(mmspec.lower(spec), mmspec.profile(spec)))


@pytest.mark.parametrize("name", SPECS)
def test_every_input_node_and_output_has_one_box(name):
    spec = spec_of(name)
    boxes = [group.findtext(f"{SVG}title").partition(":")[0] for group in drawing(name).iter(f"{SVG}g")]
    written = [*spec.inputs, *(node.name for node in spec.nodes), *spec.heads, *spec.outputs]
    assert sorted(boxes) == sorted(written)


@pytest.mark.parametrize("name", SPECS)
def test_no_text_leaves_its_box_in_the_widest_common_font(name):
    for group in drawing(name).iter(f"{SVG}g"):
        body = next(rect for rect in group.iter(f"{SVG}rect") if rect.get("class") == "body")
        left, top = float(body.get("x")), float(body.get("y"))
        right, bottom = left + float(body.get("width")), top + float(body.get("height"))
        for text in group.iter(f"{SVG}text"):
            start, end = extent(text)
            assert left < start, text.text
            assert end < right, text.text
            assert top < float(text.get("y")) < bottom, text.text


@pytest.mark.parametrize("name", SPECS)
def test_no_two_texts_stand_on_each_other(name):
    lines = {}
    for text in drawing(name).iter(f"{SVG}text"):
        lines.setdefault(float(text.get("y")), []).append((*extent(text), text.text))
    for line in lines.values():
        for a, b in combinations(sorted(line), 2):
            assert a[1] <= b[0], (a, b)


@pytest.mark.parametrize("name", SPECS)
def test_each_role_has_its_own_class_and_a_frozen_node_says_so(name):
    spec = spec_of(name)
    groups = {
        g.findtext(f"{SVG}title").partition(":")[0]: g
        for g in drawing(name).iter(f"{SVG}g")
        if g.get("class") not in ("input", "output")
    }
    for node in spec.nodes:
        assert groups[node.name].get("class") == node.path.partition(".")[0].removesuffix("s")
        said = any("frozen" in (text.text or "") for text in groups[node.name].iter(f"{SVG}text"))
        assert said == (node.component.frozen or node.component.average_of is not None)


def test_a_stack_shows_its_block_once_with_its_count_and_its_exit():
    found = diagram(mmspec.lower(spec_of("fusion_gated")))
    (stack,) = found.boxes["node joint"].parts
    assert isinstance(stack, Stack)
    assert (stack.count, stack.exit) == (2, "p > 0.9")
    assert [part.label for part in stack.parts] == ["self-attention", "cross-attention", "gate", "experts"]
    assert stack.parts[-1] == Chip("experts", "2 of 4")


def test_streams_stand_side_by_side():
    found = diagram(mmspec.lower(spec_of("streams")))
    stack = next(part for part in found.boxes["node joint"].parts if isinstance(part, Stack))
    (lanes,) = stack.parts
    assert [lane.label for lane in lanes] == ["image", "text"]
    assert all(
        isinstance(lane, Lane)
        and [c.label for c in lane.chips] == ["cross-attention", "self-attention", "feed-forward"]
        for lane in lanes
    )


def test_an_inserted_projection_is_drawn():
    found = diagram(mmspec.lower(spec_of("streams")))
    assert Chip("adapt text", "96 → 128") in found.boxes["node joint"].parts


def test_a_head_at_exits_is_reached_by_a_full_and_a_dashed_edge():
    found = diagram(mmspec.lower(spec_of("fusion_gated")))
    between = [edge for edge in found.edges if (edge.source, edge.target) == ("node joint", "node label")]
    assert [edge.dashed for edge in between] == [False, True]
    assert between[0].label == "[B, 16, 128]"


def test_masks_and_losses_are_not_drawn():
    for name in SPECS:
        found = diagram(mmspec.lower(spec_of(name)))
        assert not any(
            text.endswith("mask") or "balance" in text
            for edge in found.edges
            for text in (edge.source, edge.target, edge.port)
        )


def test_light_and_dark_are_both_there_and_everything_is_readable_without_seeing():
    root = drawing("fusion_gated")
    assert "prefers-color-scheme: dark" in root.findtext(f"{SVG}style")
    assert root.get("role") == "img"
    assert "joint (fusion, gated) reads image and text." in root.findtext(f"{SVG}desc")


def test_markup_in_a_name_stays_text():
    box = Box("node x", "encoder", '<script>"&\x00', "a<b")
    drawn = Diagram("<&>", {"node x": box})
    root = ET.fromstring(svg(drawn, layout(drawn, TOP), "<&>", "", ""))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "<&>" in texts
    assert '<script>"&' in texts


# any graph -----------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw_from):
    count = draw_from(st.integers(2, 12))
    drawn = Diagram("any")
    for i in range(count):
        chips = tuple(Chip("attention", "4 heads") for _ in range(draw_from(st.integers(0, 5))))
        drawn.boxes[f"b{i}"] = Box(
            f"b{i}",
            draw_from(st.sampled_from(["encoder", "fusion", "head"])),
            "n" * draw_from(st.integers(1, 40)),
            "k",
            chips,
        )
    for j in range(1, count):
        for i in draw_from(st.sets(st.integers(0, j - 1), max_size=3)):
            drawn.edges.append(Edge(f"b{i}", f"b{j}", "[B, 16, 128]", draw_from(st.sampled_from(["", "other"]))))
    return drawn


@given(graphs())
@settings(max_examples=60)
def test_boxes_never_overlap_and_edges_never_run_through_a_box(drawn):
    found = layout(drawn, TOP)
    for (a, x), (b, y) in combinations(found.boxes.items(), 2):
        apart = x.right <= y.x or y.right <= x.x or x.bottom <= y.y or y.bottom <= x.y
        assert apart, (a, b)
    for rect in found.boxes.values():
        assert rect.x >= 0
        assert rect.right <= found.width
        assert rect.y > TOP - 1
        assert rect.bottom <= found.height
    for route in found.routes:
        assert found.boxes[route.edge.source].right == route.points[0][0]
        assert found.boxes[route.edge.target].x == route.points[-1][0]
        for i, ((x1, y1), (x2, _)) in enumerate(zip(route.points, route.points[1:], strict=False)):
            if i % 2:  # through a layer
                assert all(
                    not (x1 < box.right and box.x < x2 and box.y < y1 < box.bottom) for box in found.boxes.values()
                )
            else:  # between two layers, where no box is
                assert x2 - x1 >= BEND
                assert all(box.right <= x1 or x2 <= box.x for box in found.boxes.values())


@given(graphs())
@settings(max_examples=40)
def test_an_edge_always_leads_to_the_right(drawn):
    found = layout(drawn)
    assert all(found.boxes[edge.source].right < found.boxes[edge.target].x for edge in drawn.edges)


# text ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("face", "style"), [("DejaVuSans", {}), ("DejaVuSans-Bold", {"bold": True}), ("DejaVuSansMono", {"mono": True})]
)
def test_the_estimated_width_is_at_least_the_widest_common_font_and_at_most_a_third_more(face, style):
    font = ImageFont.truetype(str(FONTS / f"{face}.ttf"), 100)
    for character in map(chr, [*range(32, 127), *map(ord, "×→·…äßéΩ")]):
        assert width(character, 100, **style) >= font.getlength(character) - 0.5, character
    sentence = "1.39 M parameters, 859 k active"
    assert width(sentence, 100, **style) < 1.33 * font.getlength(sentence)


@given(st.text(max_size=80), st.floats(20, 300))
def test_a_cut_text_fits_and_an_uncut_one_is_whole(text, most):
    shown = cut(text, most, 12)
    assert width(shown, 12) <= most or shown == "…"
    if width(text, 12) <= most:
        assert shown == text


def test_quantities_have_three_digits_and_a_share_is_never_rounded_to_nothing():
    assert [quantity(n) for n in (0, 999, 1548, 820_096, 999_950, 2_839_436, 35_127_300_096)] == [
        "0",
        "999",
        "1.55 k",
        "820 k",
        "1.00 M",
        "2.84 M",
        "35.1 G",
    ]
    assert quantity(11_357_744, "B") == "11.4 MB"
    assert [share(n, 1000) for n in (0, 0.5, 2, 95, 340)] == ["0 %", "< 0.1 %", "0.2 %", "9.5 %", "34 %"]


def test_a_box_is_as_wide_as_what_it_says():
    short, long = (
        Box("a", "head", "x", "k"),
        Box("b", "head", "a_much_longer_name_than_the_other_one", "classification"),
    )
    assert size(long, None)[0] > size(short, None)[0]


def extent(text):
    """Where a text of the drawing begins and ends in DejaVu, from its anchor."""
    classes = (text.get("class") or "").split()
    face = "DejaVuSansMono" if "mono" in classes else "DejaVuSans-Bold" if "strong" in classes else "DejaVuSans"
    length = (
        ImageFont.truetype(str(FONTS / f"{face}.ttf"), 100).getlength(text.text or "")
        * float(text.get("font-size"))
        / 100
    )
    x = float(text.get("x"))
    start = {None: x, "middle": x - length / 2, "end": x - length}[text.get("text-anchor")]
    assert re.fullmatch(r"-?\d+\.\d", text.get("x"))
    return start, start + length
