"""Places of keys and values, and files that are not what we read."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest
import yaml
from small import CATALOGUE, FLAGSHIP

from mmspec.spec import SpecError, load, read
from mmspec.spec.reader import read_text, read_tree
from mmspec.spec.tree import List, Map, Value, child, key_position, plain, walk

TEXT = """\
a: 1
b:
  - x
  - {c: "two words", d: [3,
      4]}
e: |
  lines
  of text
f: plain words   # comment
"""


def place(node: object) -> tuple[int, int, int, int]:
    return tuple(node.position[1:])  # type: ignore[attr-defined, no-any-return]


def test_every_value_and_key_knows_its_place() -> None:
    root = read_tree(read_text(TEXT))
    assert plain(root) == {
        "a": 1,
        "b": ("x", {"c": "two words", "d": (3, 4)}),
        "e": "lines\nof text\n",
        "f": "plain words",
    }
    assert isinstance(root, Map) and place(root.entries["a"]) == (1, 4, 1, 5)
    b = root.entries["b"]
    assert key_position(root, "b")[1:] == (2, 1, 2, 2)  # type: ignore[index]
    inner = child(b, 1)
    assert isinstance(b, List) and isinstance(inner, Map) and place(inner) == (4, 5, 5, 10)
    assert place(inner.entries["c"]) == (4, 9, 4, 20) and key_position(inner, "d")[1:] == (4, 22, 4, 23)  # type: ignore[index]
    assert place(child(inner.entries["d"], "1")) == (5, 7, 5, 8)
    assert place(root.entries["f"]) == (9, 4, 9, 15), "without the comment"
    assert place(b) == (3, 3, 5, 10), "a block ends where its last value does"


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert plain(read_tree(read_text("no: 1\n1: 2\n1e-3: 3\ntrue: 4\n"))) == {"no": 1, "1": 2, "1e-3": 3, "true": 4}


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with_c = [(type(node), place(node)) for node in walk(read_tree(read_text(FLAGSHIP)))]
    monkeypatch.delattr(yaml, "CBaseLoader", raising=False)
    assert [(type(node), place(node)) for node in walk(read_tree(read_text(FLAGSHIP)))] == with_c
    with pytest.raises(SpecError, match="deeper than 64"):
        read_tree(read_text("[" * 5000))


def test_windows_and_old_mac_lines_and_a_byte_order_mark_change_nothing() -> None:
    expected = read(FLAGSHIP, CATALOGUE, "a.yaml")
    for text in (FLAGSHIP.replace("\n", "\r\n"), FLAGSHIP.replace("\n", "\r"), "\ufeff" + FLAGSHIP):
        spec = read(text, CATALOGUE, "a.yaml")
        assert spec == expected and str(spec.at("fusion.joint.depth")) == "a.yaml:12:12"


HOSTILE = {
    "10,000 levels of lists": ("[" * 10_000 + "]" * 10_000, "nested deeper than 64 levels", (1, 65)),
    "maps in maps": ("{a: " * 200_000, "nested deeper than 64 levels", (1, 257)),
    "blocks in blocks": ("- " * 500_000, "nested deeper than 64 levels", (1, 129)),
    "an alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors (&) are not read", (1, 4)),
    "a merge bomb": ("a: &a {x: 1}\nb: {<<: [*a, *a]}\n", "anchors (&) are not read", (1, 4)),
    "an object": ("a: !!python/object/apply:os.system [true]\n", "tags are not read", (1, 4)),
    "a local tag": ("a: !x 1\n", "tags are not read", (1, 4)),
    "half a million values": ("[" + "a," * 500_000 + "]", "more than 100,000 values", (1, 200_000)),
    "thousands of tag handles, which cost libyaml seconds": (
        "".join(f"%TAG !a{i}! t\n" for i in range(40_000)),
        "directives",
        (1, 1),
    ),
    "a million digits": ("a: " + "1" * 10**6, "at most 19 digits", (1, 4)),
    "a hundred thousand duplicates": ("a: 1\n" * 100_000, "stands twice", (2, 1)),
    "text that turns": ("a: \u202e1\n", "U+202E", (1, 4)),
    "a bell": ("a: \x071\n", "U+0007", (1, 4)),
}


@pytest.mark.parametrize(("text", "message", "place"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_refused_at_the_place_where_it_becomes_so(
    text: str, message: str, place: tuple[int, int]
) -> None:
    with pytest.raises(SpecError) as caught:
        read(text, CATALOGUE, "evil.yaml")
    first = caught.value.diagnostics[0]
    assert message in first.message and first.position is not None
    assert (first.position.line, first.position.column) == place
    assert len(str(caught.value)) < 10_000


def test_a_mistake_in_every_one_of_many_components_ends_in_a_count() -> None:
    text = "inputs:\n" + "".join(f"  i{n}: {{type: image, sise: {n}}}\n" for n in range(250)) + "encoders: {a: vit}\n"
    with pytest.raises(SpecError) as caught:
        read(text, CATALOGUE)
    assert len(caught.value.diagnostics) == 100 and "more errors" in str(caught.value)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "spec.yaml"
    path.write_bytes(content)
    return path


FILES = {
    "empty": (b"", "the file is empty", None),
    "only a comment": (b"# nothing\n", "the file is empty", None),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", "this is a binary file, not a text", None),
    "UTF-16": ("name: x\n".encode("utf-16"), "the file is UTF-16; save it as UTF-8", None),
    "Latin-1": (
        "name: x\n# gr\u00f6\u00dfe\n".encode("latin-1"),
        "byte 0xf6 is not UTF-8; save the file as UTF-8",
        (2, 5),
    ),
    "cut in the middle of a character": (
        "name: x\n# ö".encode()[:-1],
        "byte 0xc3 is not UTF-8; save the file as UTF-8",
        (2, 3),
    ),
}


@pytest.mark.parametrize(("content", "message", "place"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_spec_says_what_it_is(
    tmp_path: Path, content: bytes, message: str, place: tuple[int, int] | None
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SpecError) as caught:
        load(path, CATALOGUE)
    (found,) = caught.value.diagnostics
    assert found.message == message
    assert (found.position and found.position[1:3]) == place and str(path) in str(found)


def test_a_large_file_is_refused_by_its_size_without_being_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"")
    os.truncate(path, 50_000_000)
    tracemalloc.start()
    with pytest.raises(SpecError, match="it has 50,000,000 bytes; at most 1,048,576 are read"):
        load(path, CATALOGUE)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_a_device_without_end_is_refused() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no such device here")
    with pytest.raises(SpecError, match="more than 1,048,576 bytes"):
        load("/dev/zero", CATALOGUE)


def test_a_path_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no such file"):
        load(tmp_path / "none.yaml", CATALOGUE)
    with pytest.raises(SpecError, match="cannot read the file: is a directory"):
        load(tmp_path, CATALOGUE)
    with pytest.raises(SpecError, match="neither a file nor packaged"):
        load("no_such_spec", CATALOGUE)


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:  # as the system does for anyone but root
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = written(tmp_path, b"name: x\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SpecError, match="cannot read the file: permission denied"):
        load(path, CATALOGUE)


def test_a_value_is_a_value() -> None:
    assert isinstance(read_tree(read_text("3")), Value)
