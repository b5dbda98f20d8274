"""One export for all tests that only look at a file or change a copy of it."""

import json
from dataclasses import replace

import pytest
import small_exports as small

from mmspec.deploy.contents import write_package
from mmspec.deploy.package import report_of


@pytest.fixture(scope="session")
def flagship():
    return small.draft(small.flagship())


@pytest.fixture(scope="session")
def package(flagship, tmp_path_factory):
    """The flagship's package, its data folder included, as `export` writes it."""
    data = tmp_path_factory.mktemp("trained") / "data"
    data.mkdir()
    (data / "preprocessing.json").write_text(json.dumps({"inputs": {"image": {"type": "image", "mean": 0.5}}}))
    subject = replace(flagship.subject, data=data)
    out = tmp_path_factory.mktemp("out") / "package"
    report, content = report_of(replace(flagship, subject=subject), flagship.check(), flagship.prove(), out, {})
    write_package(report, content, subject)
    return report
