"""What comes with mmspec is found by its bare name, from a checkout as from a wheel."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmspec import shipped

ROOT = Path(__file__).resolve().parent.parent


def test_a_bare_name_finds_the_shipped_file_with_or_without_its_ending():
    assert shipped.find("search", "digits_pareto") == ROOT / "search" / "digits_pareto.yaml"
    assert shipped.find("search", "digits_pareto.yaml") == ROOT / "search" / "digits_pareto.yaml"


@pytest.mark.parametrize("name", ["", "nothing_of_the_kind", "../pyproject", "search/digits_pareto", "/etc/passwd"])
def test_what_is_not_a_bare_name_of_ours_is_not_found(name):
    assert shipped.find("search", name) is None


@pytest.mark.slow
def test_the_wheel_carries_the_shipped_folders_and_the_package_finds_them_there(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    for name in (
        "py.typed",
        "study/report.css",
        "study/report.js",
        "weights/transformers/vit.yaml",
    ):  # what is not Python travels too
        assert (tmp_path / "site" / "mmspec" / name).is_file()
    ask = "from mmspec import shipped; print(*(shipped.folder(k) for k in ('specs', 'search', 'export')), sep='\\n')"
    out = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path / "site", check=True, capture_output=True, text=True)
    for kind, line in zip(("specs", "search", "export"), out.stdout.split(), strict=True):
        assert Path(line) == tmp_path / "site" / "mmspec" / "_shipped" / kind
        assert sorted(p.name for p in Path(line).glob("*.yaml")) == sorted(p.name for p in (ROOT / kind).glob("*.yaml"))
