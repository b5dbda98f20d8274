"""The pages of docs/ that are made from the code: `python -m mmspec.cli.reference docs`.

components.md        every component, from its class
fusion_gated.svg     the picture in the README
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mmspec.cli.commands.explain import ROLES, default_text, kind_text
from mmspec.cli.commands.list import in_order
from mmspec.spec import ComponentDescription, Node, describe

HEAD = """\
# Components

Made from the classes by `python -m mmspec.cli.reference docs`; `mmspec explain TYPE` says the same on a terminal.
Every component also takes what its role takes: `from`, `frozen`, `tie` and `average_of` for encoders, fusions, decoders and heads.
"""


def components() -> str:
    """docs/components.md: by role, in the order of a spec."""
    from mmspec.components import CATALOGUE

    described = [describe(component) for component in CATALOGUE]
    roles = in_order(tuple(dict.fromkeys(d.role for d in described)))
    parts = [HEAD]
    for role in roles:
        parts.append(f"\n## {ROLES.get(role, role)}\n")
        parts += [line for d in described if d.role == role for line in _component(d)]
    return "\n".join(parts) + "\n"


def picture() -> str:
    """docs/fusion_gated.svg"""
    import mmspec
    from mmspec.drawing import draw

    spec = mmspec.load("fusion_gated")
    return draw(mmspec.lower(spec), mmspec.profile(spec))


PAGES = {"components.md": components, "fusion_gated.svg": picture}


def _component(described: ComponentDescription) -> Iterator[str]:
    yield f"### `{described.type}`\n"
    yield f"```text\n{described.text}\n```\n"
    of_the_role = set(Node.keys())
    fields = [field for field in described.fields if field.key not in of_the_role]
    if not fields:
        return
    yield "| field | value | default | range | meaning |\n| --- | --- | --- | --- | --- |"
    for f in fields:
        cells = (f"`{f.key}`", kind_text(f), default_text(f.default, f.required), f.bounds, f.description)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
