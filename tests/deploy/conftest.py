"""One export for all tests that only look at a file or change a copy of it."""

import json
from dataclasses import replace

import pytest
import small_exports as small
import stage_faults

from mmspec.deploy import load_target
from mmspec.deploy.contents import write_package
from mmspec.deploy.package import report_of
from mmspec.deploy.staged import staged_draft_of
from mmspec.deploy.subject import subject_of


@pytest.fixture(scope="session")
def flagship():
    return small.draft(small.flagship())


@pytest.fixture(scope="session")
def staged():
    return staged_draft_of(subject_of(stage_faults.spec()), load_target("edge_cpu_stages"))


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
