"""A model that was trained for two steps on pictures and questions, as one file and as stages: everything that a server reads."""

import json

import pytest
from small_packages import SPEC, WRITES, golden_of, packed

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import read


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    mmspec.train(read(SPEC, CATALOGUE), {"steps": 2, "batch": 8}, out=folder)
    return folder


@pytest.fixture(scope="session")
def one_file(trained, tmp_path_factory):
    return packed(trained, "edge_cpu_fp32", tmp_path_factory.mktemp("one_file"))


@pytest.fixture(scope="session")
def stages(trained, tmp_path_factory):
    return packed(trained, "edge_cpu_stages", tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="session")
def learned_to_write(tmp_path_factory):
    """A model that has learned to write short words backwards."""
    home = tmp_path_factory.mktemp("learned")
    words = ["abc", "bca", "cab", "aab", "bbc", "cca", "aba", "bcb", "ab", "bc", "ca", "abcab"]
    (home / "pairs.csv").write_text("text,target\n" + "".join(f"{word},{word[::-1]}\n" for word in words * 2))
    recipe = {"data": str(home / "pairs.csv"), "steps": 60, "batch": 16, "learning_rate": 1e-2}
    mmspec.train(read(WRITES, CATALOGUE), recipe, out=home / "run")
    return home / "run"


@pytest.fixture(scope="session")
def writer(learned_to_write, tmp_path_factory):
    return packed(learned_to_write, "edge_cpu_writer", tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="session", params=["one_file", "stages"])
def package(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def golden(package):
    return golden_of(package)


@pytest.fixture
def example(trained):
    said = json.loads((trained / "metrics.json").read_text())["example"]["inputs"]
    return {"image": trained / said["image"], "text": said["text"]}
