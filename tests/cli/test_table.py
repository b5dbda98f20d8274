"""Tables and colours: aligned, narrow where the terminal is, plain where there is none."""

import io

import pytest

from mmspec.cli.ink import Ink
from mmspec.cli.table import Column, columns_of, cut, lines

COLUMNS = (
    Column("node"),
    Column("component", give=2),
    Column("FLOPs", right=True),
    Column("share", right=True, give=1),
)
ROWS = [("image", "vit", "26.5 M", "28 %"), ("模型", "gated", "1", "< 0.1 %")]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def ink(width=None):
    found = Ink(io.StringIO())
    found.width = width
    return found


def test_numbers_stand_to_the_right_and_wide_characters_count_double():
    text = lines(COLUMNS, ROWS, ink())
    assert text == [
        "  node    component    FLOPs     share",
        "  image   vit         26.5 M      28 %",
        "  模型    gated            1   < 0.1 %",
    ]
    assert len({columns_of(line) for line in text}) == 1


@pytest.mark.parametrize(
    ("width", "titles"), [(40, "node component FLOPs share"), (32, "node FLOPs share"), (20, "node FLOPs")]
)
def test_a_narrow_terminal_loses_the_columns_that_give_way_first(width, titles):
    text = lines(COLUMNS, ROWS, ink(width))
    assert text[0].split() == titles.split()
    assert all(columns_of(line) <= width for line in text)


def test_where_nothing_gives_way_the_widest_text_is_cut():
    text = lines((Column("name"), Column("n", right=True)), [("a" * 50, "12")], ink(30))
    assert columns_of(text[1]) == 30
    assert text[1].endswith("…   12")


def test_a_cut_text_says_so():
    assert cut("abcdef", 4) == "abc…"
    assert cut("模型模型", 5) == "模型…"
    assert cut("abc", 3) == "abc"


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Ink(Terminal()).red("x") == "\x1b[1;31mx\x1b[0m"
    assert Ink(io.StringIO()).red("x") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Ink(Terminal()).red("x") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert Ink(Terminal()).red("x") == "x"


def test_a_located_error_keeps_its_text_under_its_colours(monkeypatch):
    import re

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    colours = Ink(Terminal())
    error = [
        "error: unknown fusion 'gate'",
        "  --> a.yaml:11:11",
        "   |",
        "11 |     type: gate",
        "   |           ^^^^",
        "   = note",
    ]
    painted = [colours.diagnostic(line) for line in error]
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in painted] == error
    assert painted[0] != error[0]
    assert painted[4].endswith("\x1b[1;31m           ^^^^\x1b[0m")
