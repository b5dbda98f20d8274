"""One export for all tests that only look at a file or change a copy of it."""

import pytest
import small_exports as small


@pytest.fixture(scope="session")
def flagship():
    return small.draft(small.flagship())
