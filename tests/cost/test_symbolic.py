"""Formulas are the price: at held-out sizes, those that do not divide included, to the digit; and a formula that would be wrong is
not given out."""

import math

import pytest
import sympy
from random_specs import random_spec

import mmspec
from mmspec import shipped
from mmspec.components import CATALOGUE
from mmspec.cost.symbolic import symbolic
from mmspec.cost.terms import Names, along, factored, families, growth, largest
from mmspec.errors import UserError
from mmspec.ir.dims import symbol, value_of
from mmspec.ir.primitives.maps import MaxPool
from mmspec.spec import SpecError, read

FIGURES = ("parameters.total", "flops.total", "memory.weights", "memory.activations", "memory.peak_inference")

HELD_OUT = {  # five points each, none of them the spec's own
    "vit_b16": [{"S": 160}, {"S": 384, "B": 8}, {"S": 16}, {"S": 1024, "B": 3}, {"S": 240, "B": 2}],
    "vit_b_r50_s16": [{"S": 160}, {"S": 97}, {"S": 150, "B": 4}, {"S": 333}, {"S": 33, "B": 2}],
    "convnext_t": [{"S": 160}, {"S": 32}, {"S": 288, "B": 7}, {"S": 64}, {"S": 1024}],
    "swin_t": [{"S": 448}, {"S": 672}, {"S": 896, "B": 2}, {"S": 1120}, {"B": 5}],
    "pvt_v2_b2": [{"S": 160}, {"S": 97 + 31}, {"S": 253}, {"S": 416, "B": 3}, {"S": 96}],
    "mobilevit_s": [{"S": 128}, {"S": 192, "B": 2}, {"S": 320}, {"S": 191}, {"S": 127}],
    "fusion_single_stream": [{"S": 160}, {"S": 40, "N": 7}, {"N": 1}, {"B": 16, "N": 19}, {"S": 8, "N": 32}],
    "fusion_multi_stream": [{"S": 160}, {"S": 40, "N": 7}, {"N": 1}, {"B": 16, "N": 19}, {"S": 8, "N": 32}],
    "fusion_gated": [{"S": 160}, {"S": 40, "N": 7}, {"N": 1}, {"B": 16, "N": 19}, {"S": 8, "N": 32}],
    "fusion_gated_switch": [{"S": 160}, {"S": 40, "N": 7}, {"N": 1}, {"B": 16, "N": 19}, {"S": 8, "N": 32}],
    "bigbird_base": [{"N": 4095}, {"N": 1000}, {"N": 449, "B": 3}, {"N": 100}, {"N": 64, "B": 2}],
    "mixtral_8x7b": [{"N": 1}, {"N": 2048}, {"N": 3, "B": 2}, {"N": 1, "B": 100}, {"N": 32767}],
    "t5_base": [{"N": 100, "N_target": 3}, {"N": 1}, {"N_target": 128, "B": 5}, {"N": 17}, {"N": 511, "N_target": 127}],
    "wav2vec2_base": [{"L": 16000}, {"L": 33333}, {"L": 400}, {"L": 1001, "B": 6}, {"L": 480001}],
    "spoken_words": [{"L": 4000}, {"L": 12345}, {"L": 500}, {"L": 999, "B": 6}, {"L": 16001}],
    "whisper_tiny": [{"F": 1500, "N": 10}, {"F": 2999}, {"F": 1, "N": 1}, {"F": 77, "B": 4}, {"N": 447, "F": 3001}],
    "timesformer_base": [{"S": 160}, {"F": 16}, {"F": 5, "S": 96, "B": 2}, {"F": 1}, {"S": 448, "F": 3}],
    "vit_pruned": [{"S": 160}, {"S": 384}, {"S": 32, "B": 9}, {"S": 48}, {"S": 240}],
}


def priced(name, price, point):
    """The spec, read anew with these sizes, and priced in numbers."""
    fields, lengths = [], {}
    for size, value in point.items():
        path = price[size].path
        if path.endswith(".samples"):
            of = path.removesuffix(".samples")
            fields.append(f"{of}.seconds={value / mmspec.load(name).inputs[of.partition('.')[2]].rate!r}")
        elif path:
            fields.append(f"{path}={value}")
        elif size != "B":
            lengths[size] = value
    return mmspec.profile(mmspec.load(name, fields), point.get("B", 1), **lengths)


@pytest.mark.parametrize("name", HELD_OUT)
def test_formulas_are_the_price_at_held_out_sizes(name):
    price = symbolic(mmspec.load(name))
    assert len(HELD_OUT[name]) == 5
    covered = 0
    for point in [{}, *HELD_OUT[name]]:
        expected = priced(name, price, point)
        for figure in FIGURES:
            assert price.value(figure, **point) == expected[figure], (figure, point)
        for node in expected.nodes:
            assert price.value(f"flops.nodes.{node.name}", **point) == node.flops, (node.name, point)
        for family in ("linear", "convolution", "attention", "experts"):
            assert price.value(f"flops.{family}", **point) == expected[f"forward.{family}"], (family, point)
        covered += price.base.covers("flops.total", price.complete(point))
    assert covered > 1  # one formula says more than the point that it was made at


PADDED = """
inputs: {image: {type: image, size: 224}}
encoders:
  image:
    type: pyramid
    stem: {type: patches, size: 4}
    stages:
      - {type: transformer, width: 24, depth: 2, heads: 2, attention: {type: shifted_window, window: 7, pad: true}}
      - {type: convolution, width: 48, depth: 2, stride: 2, kernel: 3}
heads: {label: {type: classification, classes: 10}}
"""


def test_windows_that_do_not_tile_are_padded_in_formulas_too():
    price = symbolic(read(PADDED, CATALOGUE, overrides=["inputs.image.size=160"]))
    assert "floor((S + 24)/28)" in str(price.formula("flops.attention"))
    covered = 0
    for size in (100, 132, 144, 200, 224, 228, 500):
        expected = mmspec.profile(read(PADDED, CATALOGUE, overrides=[f"inputs.image.size={size}"]))
        covered += price.base.covers("flops.total", price.complete({"S": size}))
        for figure in FIGURES:
            assert price.value(figure, S=size) == expected[figure], (figure, size)
    assert covered >= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in shipped.names("specs") if name not in HELD_OUT])
def test_every_shipped_spec_has_formulas(name):
    price = symbolic(mmspec.load(name).require_closed())
    for point in ({}, {"B": 3}, {size.name: max(1, size.value // 2) for size in price.symbols if not size.path}):
        expected = priced(name, price, point)
        for figure in FIGURES:
            assert price.value(figure, **point) == expected[figure], (figure, point)


@pytest.mark.parametrize("seed", range(12))
def test_formulas_of_random_specs_are_their_price(seed):
    spec = random_spec(seed)
    price = symbolic(spec)
    for point in ({}, {"B": 3}, {size.name: max(1, size.value // 2) for size in price.symbols if not size.path}):
        lengths = {name: value for name, value in point.items() if name != "B"}
        expected = mmspec.profile(spec, point.get("B", 1), **lengths)
        for figure in FIGURES:
            assert price.value(figure, **point) == expected[figure], (figure, point)


def test_a_spec_that_was_traced_is_priced_in_plain_integers_as_before():
    spec = mmspec.load("fusion_gated")
    before = mmspec.profile(spec).to_dict()
    symbolic(spec)
    after = mmspec.profile(spec)
    assert after.to_dict() == before
    assert type(after["flops.total"]) is type(after["memory.activations"]) is int


def test_a_size_that_is_no_spec_is_an_error_as_it_is_anyhow():
    price = symbolic(mmspec.load("vit_b16"))
    with pytest.raises(SpecError, match="do not tile an image of 97"):
        price.value("flops.total", S=97)
    with pytest.raises(UserError, match="no size is called 'Q'; there are B, S"):
        price.value("flops.total", Q=97)
    with pytest.raises(UserError, match="B is from 1 to any size, not 0"):
        price.value("flops.total", B=0)


def test_patch_size_may_be_a_symbol():
    price = symbolic(mmspec.load("vit_b16"), further={"encoders.image.patch_size": "P"})
    for point in ({"P": 32}, {"P": 14}, {"P": 14, "S": 518, "B": 2}, {"P": 8, "S": 160}, {"P": 224}):
        expected = priced("vit_b16", price, point)
        for figure in FIGURES:
            assert price.value(figure, **point) == expected[figure], (figure, point)
    assert str(price.formula("flops.convolution")) == "4608*B*P^2*floor(S/P)^2"
    assert growth(price.formula("flops.attention"), "P") == -4


def test_a_further_size_is_a_whole_number_of_the_spec_under_a_name_of_its_own():
    spec = mmspec.load("vit_b16")
    for path in ("encoders.image.patch", "encoders.picture.width", "encoders.image.type", "encoders.image", "x"):
        with pytest.raises(UserError, match="is no whole number of vit_b16"):
            symbolic(spec, further={path: "P"})
    for name in ("B", "S"):
        with pytest.raises(UserError, match=r"is no name for encoders\.image\.patch_size"):
            symbolic(spec, further={"encoders.image.patch_size": name})


def test_a_size_whose_formulas_would_be_wrong_stays_a_number(monkeypatch):
    """A shape rule that goes through a float loses where its number came from."""

    def infer(self, x, *, kernel, stride, padding):
        return (*x.shape[:2], *(math.floor(1.0 * side) // stride for side in x.shape[2:])), x.dtype

    monkeypatch.setattr(MaxPool, "infer", infer)
    price = symbolic(mmspec.load("vit_b_r50_s16"))
    assert [size.name for size in price.symbols] == ["B"]
    assert price.notes[0].startswith("inputs.image.size stays 224: ")
    assert price.value("flops.total", B=4) == mmspec.profile(mmspec.load("vit_b_r50_s16"), 4)["flops.total"]


def test_a_size_that_the_rest_of_the_spec_settles_stays_a_number():
    price = symbolic(mmspec.load("mae_b"))
    assert price.notes == ("inputs.image.size stays 224: the spec asks for floor(S/16)^2 = 196",)


def test_what_is_written_is_read_by_sympy_as_the_same():
    for name, points in (("vit_b_r50_s16", HELD_OUT["vit_b_r50_s16"]), ("bigbird_base", [{"N": 1001}, {"N": 2048}])):
        price = symbolic(mmspec.load(name))
        for figure, dim in price.base.figures.items():
            expression = price.sympy(figure)
            for point in points:
                at = price.complete(point)
                by_name = {size: at[str(size)] for size in expression.free_symbols}
                assert expression.subs(by_name) == value_of(dim, at), (figure, point)
    assert sympy.degree(symbolic(mmspec.load("bert_base")).sympy("flops.attention"), gen=sympy.Symbol("N", integer=True, positive=True)) == 2  # fmt: skip


def test_short_names_stand_for_what_they_say():
    for name in ("vit_b16", "fusion_single_stream", "wav2vec2_base", "timesformer_base"):
        price = symbolic(mmspec.load(name))
        names = Names(price)
        values = {**price.sizes, **names.values()}
        for figure, dim in price.base.figures.items():
            text = names.text(dim).replace(",", "").replace("^", "**")
            assert eval(text, {}, values) == value_of(dim, price.sizes), (figure, text)


def test_common_factors_are_in_front():
    batch, tokens = symbol("B"), symbol("N")
    assert factored(6 * batch * tokens * tokens + 12 * batch * tokens) == "6*B*N*(N + 2)"
    assert factored(2048 * batch * tokens + 3 * batch) == "B*(2,048*N + 3)"
    assert factored(12) == "12"


def test_the_largest_class_is_the_largest_of_the_price():
    for name in ("vit_b16", "fusion_single_stream"):
        price = symbolic(mmspec.load(name))
        (start, first), (turn, second), *_ = largest(price, "S")
        assert start < turn
        for size, expected in ((turn, second), (turn - 16, first)):
            found = priced(name, price, {"S": size})
            assert max(families(price), key=lambda family: found[f"forward.{family}"]) == expected


def test_the_peak_along_a_size_is_the_price_on_every_stretch():
    price = symbolic(mmspec.load("fusion_concat"))
    stretches = along(price, "memory.activations", "S")
    assert len(stretches) == 3
    for stretch in stretches:
        for size in {-(-stretch.least // 8) * 8, (stretch.most or 800) // 8 * 8}:
            found = priced("fusion_concat", price, {"S": size})["memory.activations"]
            assert value_of(stretch.formula, {**price.sizes, "S": size}) == found
    assert [after.least for after in stretches[1:]] == [before.most + 1 for before in stretches[:-1]]


ABSURD = """
name: absurd
inputs: {text: {type: text, vocab_size: 9000000000000000001, length: 4}}
encoders:
  text: {type: text_transformer, width: 9000000000000000003, depth: 2, heads: 3, position: none}
heads: {label: {type: classification, classes: 9000000000000000007}}
"""


def test_sizes_beyond_64_bits_are_priced_exactly():
    vocabulary, width, classes, batch, length = 9 * 10**18 + 1, 9 * 10**18 + 3, 9 * 10**18 + 7, 10**20, 4
    spec = read(ABSURD, CATALOGUE)
    price = symbolic(spec)
    numbers = mmspec.profile(spec, batch)
    block = (
        12 * width**2 + 13 * width
    )  # weights and biases of four projections and a feed-forward of four times the width, two norms
    final = 2 * width
    assert numbers["parameters.total"] == vocabulary * width + 2 * block + final + classes * width + classes
    tokens = batch * length
    products = tokens * 2 * (24 * width**2 + 4 * length * width) + 2 * batch * classes * width
    assert numbers["flops.total"] == numbers["flops.minimum"] == products
    for figure in FIGURES:
        assert price.value(figure, B=batch) == numbers[figure]
