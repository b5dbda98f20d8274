"""The spec that a study searches around, with the study's own domains put in their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmspec import shipped
from mmspec.spec.diagnostics import SpecError, did_you_mean, listing
from mmspec.study.file import Study

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


def open_base(study: Study) -> ModelSpec:
    """Raises SpecError: there is no such base; the base is wrong (located there); the space is wrong (located here)."""
    from mmspec.components import load
    from mmspec.spec import add_domains

    path = study.path.parent / study.base
    packaged = shipped.find("specs", study.base)
    if not path.is_file() and packaged is None:
        names = shipped.names("specs")
        message = f"there is no base {study.base!r} beside this file, and none is shipped{did_you_mean(study.base, names)}"
        raise SpecError([study.diagnostic(("base",), message, f"shipped are: {listing(names)}")])
    base = load(path if path.is_file() or packaged is None else packaged, variant=study.variant)
    return add_domains(base, study.space_as_written) if study.space else base
