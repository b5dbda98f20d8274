"""Plain data to YAML that a person likes to read and our reader reads back as the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmspec.spec import scalars

WIDTH = 110  # a map that fits in a line, and holds no map itself, stands in one

Origin = Callable[[str], str]  # of a dotted path


def document(data: Mapping[str, Any], origin: Origin | None = None) -> str:
    """A mapping as a YAML document. With `origin`, every value has a line, and a comment that says where it comes from."""
    lines = list(_block(data, "", 0, origin))
    if origin is not None:
        column = min(max((len(line) for line, _ in lines), default=0), 60) + 2
        return "".join(f"{line.ljust(column)}# {comment}\n" if comment else f"{line}\n" for line, comment in lines)
    return "".join(f"{line}\n" for line, _ in lines)


def _block(data: Mapping[str, Any], path: str, depth: int, origin: Origin | None) -> Iterator[tuple[str, str]]:
    indent = "  " * depth
    for name, value in data.items():
        inner = f"{path}.{name}" if path else name
        key = f"{indent}{scalars.write_key(name)}:"
        if _is_tree(value):
            if depth and origin is None and len(line := f"{key} {_flow(value)}") <= WIDTH and not _nested(value):
                yield line, ""
                continue
            yield key, ""
            if isinstance(value, Mapping):
                yield from _block(value, inner, depth + 1, origin)
            else:
                yield from _items(value, inner, depth + 1, origin)
        else:
            yield f"{key} {_flow(value)}", origin(inner) if origin else ""


def _items(values: list[Any], path: str, depth: int, origin: Origin | None) -> Iterator[tuple[str, str]]:
    indent = "  " * depth
    for i, value in enumerate(values):
        flat = f"{indent}- {_flow(value)}"
        if (
            not isinstance(value, Mapping)
            or not value
            or (origin is None and len(flat) <= WIDTH and not _nested(value))
        ):
            yield flat, origin(f"{path}.{i}") if origin else ""
            continue
        lines = list(_block(value, f"{path}.{i}", depth + 1, origin))
        yield f"{indent}- {lines[0][0].lstrip()}", lines[0][1]
        yield from lines[1:]


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalars.write_key(name)}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return scalars.write(value)


def _is_tree(value: Any) -> bool:
    """Whether a value is better as a block: a map, or a list of maps."""
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) and item for item in value)


def _nested(value: Any) -> bool:
    items = value.values() if isinstance(value, Mapping) else value
    return any(_is_tree(item) for item in items)
