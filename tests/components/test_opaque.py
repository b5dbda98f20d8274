"""Modules that somebody else wrote: what is declared of them is held to torch, what is not is listed and found by running them."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
from foreign_modules import Mixed

import mmspec
from mmspec.backend import read_folder, write_folder
from mmspec.backend.exact import exact
from mmspec.backend.source import source
from mmspec.components import CATALOGUE
from mmspec.cost import Sizes
from mmspec.cost.schema import profile_schema
from mmspec.errors import UserError
from mmspec.spec import Catalogue, SpecError, read
from mmspec.testing import check_component, check_spec, example

PATCH, PLACES, WIDTH = 2 * 2 * 3, 4, 8
FLOPS = 2 * PLACES * WIDTH * (PATCH + PLACES)
PARAMETERS = PATCH * WIDTH + WIDTH + PLACES**2
HEAD = 2 * WIDTH * 5
TEXT = """\
name: foreign
inputs: {{image: {{type: image, size: 4, channels: 3}}}}
encoders: {{image: {{type: mixed, width: 8, patch_size: 2, kind: {kind}, frozen: {frozen}}}}}
heads: {{label: {{type: classification, classes: 5}}}}
objectives: [{{type: cross_entropy, target: answer}}]
"""


def spec_of(kind="declared", frozen="false"):
    return read(TEXT.format(kind=kind, frozen=frozen), Catalogue((*CATALOGUE, Mixed)))


def run(spec, train=False, batch=1):
    price = mmspec.profile(spec, batch=batch)
    return price, exact(spec, Sizes(price.sizes), train)


def test_a_plug_in_s_component_keeps_the_contract():
    check_component(Mixed, alternatives={"kind": "undeclared"})


@pytest.mark.parametrize("kind", ["undeclared", "attended"])
def test_so_does_one_that_declares_nothing(kind):
    check_spec(spec_of(kind))


def test_what_is_declared_is_the_price_and_what_torch_computes():
    price, shown = run(spec_of(), train=True, batch=3)
    assert price["flops.total"] == shown.forward == 3 * (FLOPS + HEAD)
    assert price["parameters.total"] == shown.parameters == PARAMETERS + WIDTH * 5 + 5
    assert price.ledger.backward.flops == 2 * 3 * (FLOPS + HEAD), "the gradient of the picture is in what is declared"
    assert shown.backward == price.ledger.backward.flops - 2 * 3 * PLACES * WIDTH * PATCH, "and nobody asks for it"
    assert price["coverage"] == {"complete": True, "without_rule": []}


def test_a_frozen_one_is_not_trained_and_costs_no_backward():
    spec = spec_of(frozen="true")
    price, shown = run(spec, train=True)
    assert price["parameters.trainable"] == WIDTH * 5 + 5
    assert price.ledger.backward.flops == shown.backward == HEAD
    model = mmspec.build(spec)
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"label"}


def test_what_is_not_declared_is_listed_and_no_total_is_made_without_it():
    price = mmspec.profile(spec_of("undeclared"))
    assert price["coverage"] == {
        "complete": False,
        "without_rule": [
            {
                "path": "image.body",
                "kind": "opaque",
                "module": "foreign_modules:Mixer",
                "lacks": ["FLOPs", "parameters", "memory"],
            }
        ],
    }
    for figure in (
        "flops.total",
        "flops.expected",
        "parameters.total",
        "memory.weights",
        "memory.peak_inference",
        "forward",
    ):
        assert price[figure] is None
        assert "image.body (foreign_modules:Mixer)" in price.unknown[figure]
    assert price["flops.known"] == HEAD and price["parameters.known"] == WIDTH * 5 + 5
    image, label = price["nodes"]
    assert image["flops"] is None and image["parameters"] is None and label["flops"] == HEAD
    assert price["roles"]["heads"]["flops"] == HEAD and price["roles"]["encoders"]["flops"] is None
    data = price.to_dict(depth=3)
    jsonschema.validate(json.loads(json.dumps(data, allow_nan=False)), profile_schema())
    (body,) = data["nodes"][0]["children"]
    assert body["kind"] == "opaque" and body["flops"] is None and body["forward"] is None


def test_a_run_fills_the_hole():
    _, shown = run(spec_of("undeclared"), train=True)
    assert shown.forward == FLOPS + HEAD and shown.parameters == PARAMETERS + WIDTH * 5 + 5
    assert shown.uncounted == ()


def test_a_run_sees_into_torch_s_own_transformer_layer():
    """Projections, two products of attention, feed-forward; its fast path counts as nothing elsewhere."""
    layer = 2 * PLACES * WIDTH * (3 * WIDTH + WIDTH + 2 * 2 * WIDTH) + 2 * 2 * PLACES**2 * WIDTH
    _, shown = run(spec_of("attended"))
    assert shown.forward == 2 * PLACES * PATCH * WIDTH + layer + HEAD


def test_a_module_that_answers_otherwise_than_declared_is_found_out():
    with pytest.raises(
        UserError, match=r"image.body \(foreign_modules:Mixer\) answers \[1, 4, 8\], and \[1, 8, 8\] is declared"
    ):
        run(spec_of("wrong_shape"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("wrong_class", "image.body is foreign_modules:Nobody, which cannot be imported: .*Nobody"),
        ("wrong_arguments", "image.body is foreign_modules:Mixer, which cannot be made: TypeError: .*wide"),
    ],
)
def test_a_module_that_is_not_there_is_missed_when_the_model_is_built(kind, message):
    assert mmspec.profile(spec_of(kind))["flops.total"] is None
    with pytest.raises(UserError, match=message):
        mmspec.build(spec_of(kind))


def test_what_is_no_import_path_is_the_component_s_mistake_and_located():
    with pytest.raises(SpecError, match=r"'foreign_modules.py' is no import path(.|\n)*package.module:Class"):
        mmspec.lower(spec_of("wrong_path"))


def test_it_is_shown_drawn_written_saved_and_read_again(tmp_path, monkeypatch):
    spec = spec_of("undeclared")
    graph = mmspec.lower(spec)
    assert "image.body" in str(graph) or "image: f32[B, 4, 8] = mixed(inputs.image)" in str(graph)
    text = source(graph)
    assert (
        "self.body = opaque('foreign_modules:Mixer', {'channels': 3, 'places': 4, 'width': 8, 'patch': 2})"
        in text.replace('"', "'")
    )
    model = mmspec.build(spec)
    write_folder(spec, model, tmp_path / "built")
    assert {"image.body.mix", "image.body.inward.weight"} <= model.state_dict().keys()
    monkeypatch.setattr("mmspec.components.CATALOGUE", Catalogue((*CATALOGUE, Mixed)))
    _, again = read_folder(tmp_path / "built")
    inputs = example(graph, 2)
    with torch.no_grad():
        assert torch.equal(model.eval()(**inputs)["label"], again.eval()(**inputs)["label"])


def test_every_block_has_one_of_its_own(tmp_path):
    model = mmspec.build(spec_of("undeclared"))
    twin = mmspec.build(spec_of("undeclared"))
    assert not torch.equal(model.image.body.mix, twin.image.body.mix), "fresh weights are the module's own"


PLUGIN = """\
import sys
from mmspec.cli import main
main()
"""


def command(folder, *words):
    """mmspec, where a package that brings the component is installed."""
    package = folder / "foreign-1.0.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[mmspec.components]\nmixed = foreign_modules:Mixed\n")
    (folder / "spec.yaml").write_text(TEXT.format(kind="undeclared", frozen="false"))
    here = Path(__file__).parent
    paths = [str(folder), str(here), str(Path(mmspec.__file__).parent.parent)]
    code = f"import sys; sys.path[:0] = {paths!r}\n{PLUGIN}"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=folder)


def test_an_installed_package_brings_it_and_strict_refuses_what_has_no_price(tmp_path):
    said = command(tmp_path, "profile", "spec.yaml")
    assert said.returncode == 0, said.stderr
    assert "image.body (foreign_modules:Mixer) declares no FLOPs and no parameters and no memory" in " ".join(
        said.stdout.split()
    )
    strict = command(tmp_path, "profile", "spec.yaml", "--strict")
    assert strict.returncode == 2
    assert strict.stderr.splitlines() == [
        "error: foreign is not priced in full",
        "  image.body (foreign_modules:Mixer) declares no FLOPs and no parameters and no memory",
    ]
    run = command(tmp_path, "profile", "spec.yaml", "--exact", "--json")
    figures = json.loads(run.stdout)["exact"]
    assert figures["forward FLOPs"] == {"static": None, "run": FLOPS + HEAD, "difference": None}
