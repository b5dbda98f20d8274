"""One export for all tests that only look at a file or change a copy of it."""

import pytest
import small_exports as small

from mmspec.deploy import load_target
from mmspec.deploy.staged import staged_draft_of
from mmspec.deploy.subject import subject_of


@pytest.fixture(scope="session")
def flagship():
    return small.draft(small.flagship())


@pytest.fixture(scope="session")
def staged():
    """Experts and exits after both of three blocks, and a second head that reads what a sample had at its exit."""
    fusion = small.FUSIONS["gated"] + small.EXPERTS + small.leaving().replace("depth: 2", "depth: 3")
    spec = small.spec({"joint": fusion}, {"label": "from: joint", "mood": "from: joint"})
    return staged_draft_of(subject_of(spec), load_target("edge_cpu_stages"))
