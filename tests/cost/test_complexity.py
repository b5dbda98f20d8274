"""docs/complexity.md: what it prints is printed, and the claims that are read off the formulas are true of the price in numbers."""

import re
import shlex
from pathlib import Path

import pytest

import mmspec
from mmspec.cli.entry import run
from mmspec.cost.symbolic import symbolic
from mmspec.cost.terms import growth

PAGE = Path(__file__).resolve().parents[2] / "docs" / "complexity.md"
SHOWN = re.findall(r"^```text\n\$ (.*?)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_the_page_shows_something():
    assert len(SHOWN) == 6


@pytest.mark.parametrize(("command", "lines"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_the_page_shows_is_printed(command, lines, capsys):
    assert run(shlex.split(command)[1:]) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in lines.splitlines():
        assert " ".join(line.split()) in printed


def attention(name, size, length, node=None):
    """FLOPs in numbers: attention products of the model, or all of one node."""
    price = mmspec.profile(mmspec.load(name, [f"inputs.image.size={size}"]), text=length)
    return next(n.flops for n in price.nodes if n.name == node) if node else price["forward.attention"]


def test_a_single_stream_is_quadratic_in_all_of_its_tokens():
    for size, length in ((32, 32), (48, 12), (40, 7)):
        tokens = (size // 8) ** 2 + length
        assert attention("fusion_single_stream", size, length, "joint") == 1024 * tokens * (tokens + 768)


def test_streams_that_meet_late_cost_the_sum_of_their_squares():
    small, large = (32, 8), (64, 24)
    alone = [attention("fusion_concat", *point) for point in (small, large)]
    crossed = [attention("fusion_concat", *point) for point in ((small[0], large[1]), (large[0], small[1]))]
    assert sum(alone) == sum(crossed)  # no product of the two lengths
    assert attention("fusion_concat", 32, 8) == 1536 * 8**2 + 2048 * 16**2


def test_streams_that_look_at_each_other_pay_for_the_products_too():
    single, multi = (
        [attention(f"fusion_{kind}_stream", *p) for p in ((32, 8), (64, 24))] for kind in ("single", "multi")
    )
    assert single == multi


def test_attention_falls_with_the_fourth_power_of_the_patch_size():
    price = symbolic(mmspec.load("vit_b16"), further={"encoders.image.patch_size": "P"})
    assert growth(price.formula("flops.attention"), "P") == -4
    assert growth(price.formula("flops.linear"), "P") == -2
    for patch in (28, 14, 8, 4):
        found = mmspec.profile(mmspec.load("vit_b16", [f"encoders.image.patch_size={patch}"]))["forward.attention"]
        assert found == 36864 * ((224 // patch) ** 2 + 1) ** 2


def test_windows_make_attention_linear_in_the_number_of_pixels():
    price = symbolic(mmspec.load("swin_t"))
    assert growth(price.formula("flops.attention"), "S") == 2
    found = [
        mmspec.profile(mmspec.load("swin_t", [f"inputs.image.size={size}"]))["forward.attention"] for size in (448, 672)
    ]
    assert found == [5586 * 448**2, 5586 * 672**2]


def test_a_block_costs_24_d_squared_for_each_token_and_4_d_for_each_pair():
    price = symbolic(mmspec.load("vit_b16"), further={"encoders.image.width": "D"})
    for width in (192, 384, 1020):
        tokens, head = 197, 2000 * width
        assert price.value("flops.attention", D=width) == 12 * 4 * width * tokens**2
        assert price.value("flops.linear", D=width) == 12 * 24 * width**2 * tokens + head
