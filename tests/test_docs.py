"""What the README and the docs say is so: their commands run, their specs compile, their generated pages are up to date.

Commands run in the order of their page, in a folder with the shipped files. What takes minutes is shortened or covered
elsewhere, and says by what.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

import mmspec
from mmspec.cli import reference
from mmspec.cli.entry import COMMANDS, run
from mmspec.components import CATALOGUE
from mmspec.deploy import read_target
from mmspec.passes import lower_objectives
from mmspec.spec import describe, read
from mmspec.spec.reader import read_tree
from mmspec.spec.source import Source
from mmspec.spec.tree import plain
from mmspec.study import read_study
from mmspec.testing.neighbours import SMALL, surround
from mmspec.weights.layout import layouts

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {
    "make demo": "its three commands one by one: build and export here and in tests/cli, search in tests/cli/test_process.py",
    "make test": "is what runs this",
    "mmspec serve build/edge": "answers until it is told to stop: tests/runtime/test_server.py",
    "mmspec export early_exit_vit --target triton -o package": "a repository is written and its models are run in tests/deploy/test_triton.py",
    "mmspec search search/digits_pareto.yaml": "the study is planned in tests/study; a small one runs in tests/cli/test_process.py",
}
SHORTER = {
    "calibrate-device": "calibrate-device --seconds 1",
    "--measure": "--measure --seconds 0.5",
    "--calibrated": "--calibrated --seconds 0.5",
    "--steps 700": "--steps 2 --batch 8",
    "--steps 1000": "--steps 2 --batch 8",
}


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(page):
    """(command line, exit code) of every line that begins with a prompt."""
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                typed, _, comment = line[2:].partition(" #")
                stated = re.search(r"exit (\d)", comment)
                yield typed.strip(), int(stated[1]) if stated else 0


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))], ids=lambda page: page.name)
def test_every_command_does_what_the_page_says(page, tmp_path, monkeypatch, capsys):
    for folder in ("specs", "search", "export"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for typed, code in commands(page):
        if typed in ELSEWHERE:
            continue
        for long, short in SHORTER.items():
            typed = typed.replace(long, short)
        words = shlex.split(typed)
        assert words[0] == "mmspec", typed
        assert run(words[1:]) == code, f"{typed}\n{capsys.readouterr().err}"


def test_the_commands_of_the_readme_are_all_there_are():
    typed = {line.split()[1] for line, _ in commands(ROOT / "README.md") if line.startswith("mmspec")}
    assert typed | {"schema"} == set(COMMANDS)


def test_what_is_not_run_here_is_really_in_a_page():
    typed = {line for page in PAGES for line, _ in commands(page)}
    assert set(ELSEWHERE) <= typed
    assert all(any(long in line for line in typed) for long in SHORTER)


@pytest.mark.parametrize(
    ("page", "text"), [pytest.param(p, b, id=f"{p.name}-{i}") for p in PAGES for i, b in enumerate(blocks(p, "yaml"))]
)
def test_every_yaml_block_compiles(page, text, tmp_path):
    """A whole spec as it is; a study as a study, a layout as a layout, a target as a target; anything else on top of a shipped spec."""
    if text.startswith("# study"):
        (tmp_path / "study.yaml").write_text(text)
        assert read_study(text, "study.yaml").budget.trials > 0
        return
    if text.startswith("# target"):
        assert read_target(text, page.name).runtime
        return
    if text.startswith("# layout"):
        (tmp_path / "layout.yaml").write_text(text)
        assert layouts(str(tmp_path / "layout.yaml"))
        return
    if "inputs:" not in text and "extends:" not in text:
        text = f"extends: fusion_concat\n{text}"
    mmspec.lower(read(text, CATALOGUE, page.name))


def test_the_readme_s_spec_is_the_shipped_one():
    (text,) = blocks(ROOT / "README.md", "yaml")
    assert read(text, CATALOGUE).resolved() == mmspec.load("fusion_gated").resolved()


def test_the_readme_s_python_runs(capsys):
    (code,) = blocks(ROOT / "README.md", "python")
    exec(
        compile(code.replace("specs/fusion_gated.yaml", str(ROOT / "specs/fusion_gated.yaml")), "README.md", "exec"), {}
    )
    assert "graph fusion_gated(" in capsys.readouterr().out


@pytest.mark.parametrize("name", reference.PAGES)
def test_generated_pages_are_up_to_date(name):
    """If not: python -m mmspec.cli.reference docs"""
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == reference.PAGES[name]()


def test_every_folder_of_the_package_is_in_the_readme_s_tree():
    (tree,) = blocks(ROOT / "README.md", "text")
    rooms = {path.name for path in (ROOT / "mmspec").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"  {room}/" not in tree} == set()
    assert all((ROOT / name).is_dir() for name in re.findall(r"^(\w+)/", tree, re.M))


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


# the docstrings of components ----------------------------------------------------------------------------------------


def fragments(component):
    """The YAML in a docstring: indented lines such as `joint: {type: gated, ...}`."""
    text = describe(component).text
    return [found for form in FORMS for found in re.findall(form, text, re.M)]


FORMS = (r"^ {4}(\w+: \{type: .*\})$", r"^ {4}- (\{type: .*\})$", r"^ {4}objectives: \[(\{type: .*\})\]$")


def spec_with(fragment, component):
    """A spec around a fragment, which stands where its key or its type's role belongs: what it reads is the setting's."""
    if fragment.startswith("{"):  # an item of a list
        fragment = f"{component.role}: {fragment}"
    ((key, fields),) = plain(read_tree(Source("fragment", fragment))).items()
    roles = [key, component.role, "input", "encoder", "fusion", "decoder", "head"]
    kind = next(found for role in roles if (found := CATALOGUE.get(role, fields["type"])))
    said = {name: value for name, value in fields.items() if name not in ("type", *REFERENCES)}
    small = {name: value for name, value in SMALL.items() if name in set(kind.keys())}
    return json.dumps(surround(kind, small | said))


REFERENCES = ("from", "head", "masked")  # what they name stands in the docstring's own spec
NO_ROOM = ("log_mel", "noise", "video_transformer")  # for their sizes in a small spec: they are read only
WITH_FRAGMENTS = [component for component in CATALOGUE if fragments(component)]


@pytest.mark.parametrize("component", WITH_FRAGMENTS, ids=lambda c: f"{c.role}.{describe(c).type}")
def test_the_yaml_in_a_component_s_docstring_compiles(component):
    for fragment in fragments(component):
        spec = read(spec_with(fragment, component), CATALOGUE, component.__name__)
        if describe(component).type not in NO_ROOM:
            lower_objectives(spec)
