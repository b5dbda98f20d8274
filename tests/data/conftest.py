"""Specs for the data room's tests, read as a user's are."""

import pytest
from small_spec import small_spec

from mmspec.components import CATALOGUE
from mmspec.spec import read

SPEC = small_spec(fusion="{type: gated, depth: 1, heads: 2}")


@pytest.fixture
def spec_of():
    """A small spec with some values changed: spec_of("inputs.image.size=32")."""
    return lambda *overrides: read(SPEC, CATALOGUE, origin="small.yaml", overrides=overrides)


@pytest.fixture
def edited():
    """The small spec with pieces of its text replaced: edited({"size: 16": "size: 32"})."""

    def edit(changes):
        text = SPEC
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        return read(text, CATALOGUE, origin="small.yaml")

    return edit
