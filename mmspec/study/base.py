"""The spec that a study searches around, with the study's own domains put in their places."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mmspec import shipped
from mmspec.spec.diagnostics import SpecError, did_you_mean, listing
from mmspec.study.file import Study
from mmspec.study.space import Space, read_at

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


def open_base(study: Study) -> tuple[ModelSpec, Space]:
    """The base and its space. A domain that the study adds has what the base says there as its default.

    Raises   SpecError: there is no such base; the base is wrong (located there); the space is wrong (located in the study)
    """
    from mmspec.components import load
    from mmspec.spec import add_domains

    path = os.path.normpath(study.path.parent / study.base)
    packaged = shipped.find("specs", study.base)
    if not os.path.isfile(path) and packaged is None:
        names = shipped.names("specs")
        message = (
            f"there is no base {study.base!r} beside this file, and none is shipped{did_you_mean(study.base, names)}"
        )
        raise SpecError([study.diagnostic(("base",), message, f"shipped are: {listing(names)}")])
    base = load(path if os.path.isfile(path) else str(packaged), variant=study.variant)
    spec = add_domains(base, study.space_as_written) if study.space else base
    return spec, Space.of(spec.domains, _said_by(base, spec))


def _said_by(base: ModelSpec, spec: ModelSpec) -> dict[str, Any]:
    """What the base says where the study opens a domain, as far as the domain holds it."""
    added = {key: domain for key, domain in spec.domains.items() if key not in base.domains and not domain.has_default}
    if not added:
        return {}
    resolved = base.choose(Space.of(base.domains).defaults()).resolved()
    said = {key: read_at(resolved, domain.path) for key, domain in added.items()}
    return {key: value for key, value in said.items() if value in added[key]}
