"""YAML text to a tree with positions, over PyYAML's events, without recursion and without constructing anything.

Refused, each with its place: tags, anchors, aliases, merges, duplicate keys, several documents, what is not UTF-8, control and
bidirectional characters, and whatever passes the limits. Hostile files (alias bombs, 10,000 levels) end at the first limit.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml

from mmspec.spec import scalars
from mmspec.spec.diagnostics import Diagnostic, SpecError, quoted
from mmspec.spec.source import BYTES_LIMIT, Position, Source, read_bytes
from mmspec.spec.tree import List, Map, Node, Value

DEPTH_LIMIT = 64
NODES_LIMIT = 100_000
PROBLEMS_LIMIT = 100  # a file with more has another problem

REUSE = "reuse is `extends: base.yaml`, or `definitions:` with `use: name`"

_FORBIDDEN = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f{scalars.UNWELCOME}]")
_DIRECTIVE = re.compile(r"^%\S*", re.MULTILINE)  # thousands of %TAG lines cost libyaml seconds
_SYNTAX = {  # what libyaml says, and what a person needs
    "mapping values are not allowed in this context": "a colon where no mapping can begin; quote a text that holds ': '",
    "found character that cannot start any token": "this character cannot begin a value; quote the text (a tab never indents)",
    "did not find expected key": "expected a key here; check the indentation, or a quote or bracket that was not closed",
    "could not find expected ':'": "expected ':' after the key",
    "did not find expected ',' or ']'": "expected ',' or ']'",
    "did not find expected ',' or '}'": "expected ',' or '}'",
    "found unexpected end of stream": "the text ends inside a quote",
}


def read_file(path: str) -> Source:
    """The source at a path.

    Raises   SpecError: missing, a folder, not permitted, larger than 1 MiB, not UTF-8, binary.
    """
    try:
        return decode(read_bytes(path), str(path))
    except FileNotFoundError:
        raise SpecError([Diagnostic("there is no such file", file=str(path))]) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SpecError([Diagnostic(f"cannot read the file: {reason}", file=str(path))]) from None


def decode(content: bytes, name: str) -> Source:
    """Bytes to a source: UTF-8, with or without a byte order mark.

    Raises   SpecError: not UTF-8, binary.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SpecError([Diagnostic("the file is UTF-16; save it as UTF-8", file=name)])
    if b"\x00" in content:
        raise SpecError([Diagnostic("this is a binary file, not a text", file=name)])
    try:
        return Source(name, _lines(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        source = Source(name, _lines(content[: error.start].decode("utf-8-sig", "replace") + "\ufffd"))
        byte = f"{error.object[error.start]:#04x}"
        raise SpecError([Diagnostic(f"byte {byte} is not UTF-8; save the file as UTF-8", _end_of(source))]) from None


def read_text(text: str, name: str = "<text>", via: str = "") -> Source:
    """A text as a source.

    Raises   SpecError: larger than 1 MiB.
    """
    if len(text) > BYTES_LIMIT:
        raise SpecError([Diagnostic(f"it has {len(text):,} characters; at most {BYTES_LIMIT:,} are read", file=name)])
    return Source(name, _lines(text.removeprefix("\ufeff")), via)


def read_tree(source: Source, text: str | None = None) -> Node:
    """The one document of a source. `text` is read in place of the source's own where that has more around the YAML, at the same
    columns.

    Raises   SpecError with every problem up to the first that makes the rest unreadable.
    """
    return _Reader(source, source.text if text is None else text).read()


class _Reader:
    """Builds the tree from events: `stack` holds the open collections, `keys` the key that each open map waits to fill."""

    def __init__(self, source: Source, text: str) -> None:
        self.source, self.text = source, text
        self.problems: list[Diagnostic] = []
        self.stack: list[Map | list[Any]] = []  # a list's items are gathered in a Python list
        self.starts: list[Any] = []  # the event that opened each
        self.keys: list[tuple[str, Position] | None] = []
        self.root: Node | None = None
        self.nodes = 0

    def read(self) -> Node:
        self.refuse_unwelcome_characters()
        parser: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)(self.text)  # only its events are used
        try:
            while (event := parser.get_event()) is not None:
                self.take(event)
        except yaml.YAMLError as error:
            self.syntax(error)
        finally:
            parser.dispose()
        if self.root is None and not self.problems:
            self.problems.append(Diagnostic("the file is empty", file=self.source.name))
        if self.problems:
            raise SpecError(self.problems)
        assert self.root is not None
        return self.root

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            position = self.place(event.start_mark, event.end_mark)
            self.check_node(event, position)
            if self.stack and isinstance(self.stack[-1], Map) and self.keys[-1] is None:
                self.key(event, position)
            else:
                self.add(Value(self.scalar(event, position), position))
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self.open(event, kind is yaml.MappingStartEvent)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.close(event)
        elif kind is yaml.AliasEvent:
            self.problem(f"aliases (*) are not read: {REUSE}", self.place(event.start_mark, event.end_mark))
            self.add_or_skip_key(event)
        elif kind is yaml.DocumentStartEvent and self.root is not None:
            self.stop("a second document begins here; a file holds one", self.place(event.start_mark, event.end_mark))

    def open(self, event: Any, is_map: bool) -> None:
        position = self.place(event.start_mark, event.end_mark)
        self.check_node(event, position)
        if len(self.stack) >= DEPTH_LIMIT:
            self.stop(f"nested deeper than {DEPTH_LIMIT} levels", position)
        if self.stack and isinstance(self.stack[-1], Map) and self.keys[-1] is None:
            self.stop("a key must be a text, not a collection", position)
        self.stack.append(Map({}, {}, position) if is_map else [])
        self.starts.append(event)
        self.keys.append(None)

    def close(self, event: Any) -> None:
        collection, start = self.stack.pop(), self.starts.pop()
        self.keys.pop()
        children = list(collection.entries.values()) if isinstance(collection, Map) else collection
        position = self.place(start.start_mark, event.end_mark)
        if not start.flow_style:  # the end event of a block stands where the next thing begins
            last = children[-1].position if children else None
            position = position._replace(
                end_line=last[3] if last else position.line, end_column=last[4] if last else position[2]
            )
        if isinstance(collection, Map):
            collection.position = position
            self.add(collection)
        else:
            self.add(List(tuple(collection), position))

    def key(self, event: Any, position: Position) -> None:
        name = event.value
        if name == "<<" and event.implicit[0]:
            self.problem(f"merges (<<) are not read: {REUSE}", position)
        if not name:
            self.problem("an empty key", position)
        self.keys[-1] = name, position

    def add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        holder = self.stack[-1]
        if isinstance(holder, list):
            holder.append(node)
            return
        pending = self.keys[-1]
        assert pending is not None
        name, position = pending
        self.keys[-1] = None
        if name in holder.entries:
            first = holder.keys[name]
            self.problem(
                f"the key {quoted(name)} stands twice", position, f"first on line {first.line if first else 0}"
            )
        else:
            holder.entries[name], holder.keys[name] = node, position

    def add_or_skip_key(self, event: Any) -> None:
        position = self.place(event.start_mark, event.end_mark)
        if self.stack and isinstance(self.stack[-1], Map) and self.keys[-1] is None:
            self.keys[-1] = f"*{event.anchor}", position
        else:
            self.add(Value(None, position))

    def scalar(self, event: Any, position: Position) -> scalars.Scalar:
        if event.style and event.style != "":
            return str(event.value)
        try:
            return scalars.parse(event.value)
        except ValueError as error:
            self.problem(str(error), position)
            return None

    def check_node(self, event: Any, position: Position) -> None:
        self.nodes += 1
        if self.nodes > NODES_LIMIT:
            self.stop(f"more than {NODES_LIMIT:,} values", position)
        if event.tag is not None:
            self.problem(f"tags are not read (this is {quoted(event.tag)}): a spec never constructs objects", position)
        if event.anchor is not None:
            self.problem(f"anchors (&) are not read: {REUSE}", position)

    def refuse_unwelcome_characters(self) -> None:
        for match in _FORBIDDEN.finditer(self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            column = match.start() - self.text.rfind("\n", 0, match.start())
            escape = f"U+{ord(match[0]):04X}"
            self.problem(
                f"the character {escape} is not allowed: it is invisible, or turns the direction of the text",
                Position(self.source, line, column, line, column + 1),
            )
        for match in _DIRECTIVE.finditer(self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            self.problem("directives (%) are not read", Position(self.source, line, 1, line, 1 + len(match[0])))
        if self.problems:
            raise SpecError(self.problems)

    def syntax(self, error: yaml.YAMLError) -> NoReturn:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "this is not YAML"
        reason = _SYNTAX.get(problem, problem)
        context = getattr(error, "context_mark", None)
        label = f"{getattr(error, 'context', '')}, line {context.line + 1}" if context else ""
        if context and problem == "found unexpected end of stream":
            mark, label = context, "this one"  # the quote that was not closed says more than the end of the file
        self.stop(f"cannot read this as YAML: {reason}", self.at(mark) if mark else None, label)

    def problem(self, message: str, position: Position | None, label: str = "") -> None:
        self.problems.append(Diagnostic(message, position, (), label, "" if position else self.source.name))
        if len(self.problems) >= PROBLEMS_LIMIT:
            raise SpecError(self.problems)

    def stop(self, message: str, position: Position | None, label: str = "") -> NoReturn:
        self.problems.append(Diagnostic(message, position, (), label, "" if position else self.source.name))
        raise SpecError(self.problems)

    def at(self, mark: Any) -> Position:
        """The place of a mark, or the end of the text where the mark lies behind it."""
        last = _end_of(Source(self.source.name, self.text.rstrip()))
        if mark.line + 1 > last.line:
            return last._replace(source=self.source, column=last.column + 1, end_column=last.column + 2)
        return self.place(mark, mark)

    def place(self, start: Any, end: Any) -> Position:
        return Position(self.source, start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _end_of(source: Source) -> Position:
    line, column = source.text.count("\n") + 1, len(source.text) - source.text.rfind("\n") - 1
    return Position(source, line, column, line, column + 1)
