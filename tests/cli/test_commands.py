"""Each command answers what it is asked, on stdout, and says how it went by its exit code."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mmspec as library
from mmspec import shipped
from mmspec.cli.entry import COMMANDS
from mmspec.components import CATALOGUE

OPEN = """\
name: open
inputs: {image: {type: image, size: 16, channels: 1}}
encoders: {image: {type: vit, patch_size: 8, width: {choice: [16, 32]}, depth: {int: [1, 4], default: 2}, heads: 2}}
heads: {label: {type: classification, classes: 3}}
objectives: [{type: cross_entropy, target: answer}]
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(mmspec, name):
    result = mmspec(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: mmspec {name}")
    assert len(result.out.split("Options:")[0].splitlines()) >= 3


def test_help_names_every_command_once(mmspec):
    out = mmspec("--help").out
    assert [name for name in COMMANDS if len(re.findall(rf"^  {name} ", out, re.M)) != 1] == []
    assert mmspec().code == 2 or mmspec().out.startswith("Usage")


def test_version_names_what_it_runs_on(mmspec):
    out = mmspec("--version").out
    assert out.startswith(f"mmspec {library.__version__}\n")
    for part in ("python", "torch", "pydantic", "onnxruntime"):
        assert re.search(rf"^  {part}\S* +\d", out, re.M), part


# validate ------------------------------------------------------------------------------------------------------------


def test_a_valid_spec_is_called_valid(mmspec):
    result = mmspec("validate", "small.yaml")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("valid  small.yaml")


def test_a_packaged_name_works_where_a_path_does(mmspec):
    assert mmspec("validate", "fusion_gated").code == 0
    assert mmspec("profile", "fusion_gated").code == 0


def test_every_spec_is_judged_and_one_bad_one_decides_the_exit_code(mmspec):
    Path("bad.yaml").write_text(Path("small.yaml").read_text().replace("vit", "vti"))
    result = mmspec("validate", "bad.yaml", "small.yaml")
    assert result.code == 2
    assert "valid  small.yaml" in result.out
    assert "did you mean 'vit'?" in result.err
    assert "--> bad.yaml:6:17" in result.err
    assert "1 of 2 specs" in result.err


def test_sizes_that_do_not_fit_are_found_by_validate(mmspec):
    result = mmspec("validate", "small.yaml", "--set", "encoders.image.patch_size=5")
    assert result.code == 2
    assert "patches of 5 do not tile an image of 16" in result.err


def test_open_places_are_listed_and_need_no_default(mmspec):
    Path("open.yaml").write_text(OPEN)
    result = mmspec("validate", "open.yaml")
    assert result.code == 0
    assert "open: encoders.image.width may be 16, 32" in result.out
    assert "open: encoders.image.depth may be whole numbers from 1 to 4" in result.out


def test_what_needs_a_closed_spec_asks_for_the_value(mmspec):
    Path("open.yaml").write_text(OPEN)
    result = mmspec("profile", "open.yaml")
    assert result.code == 2
    assert "--set encoders.image.width=" in result.err
    assert mmspec("profile", "open.yaml", "--set", "encoders.image.width=32").code == 0


def test_validate_for_machines(mmspec):
    Path("bad.yaml").write_text(Path("small.yaml").read_text().replace("depth: 1", "depth: 0"))
    lines = Path("bad.yaml").read_text().splitlines()
    result = mmspec("validate", "bad.yaml", "small.yaml", "--json")
    assert result.code == 2
    answer = json.loads(result.out)
    assert answer["valid"] is False
    bad, good = answer["specs"]
    assert good["valid"]
    assert good["nodes"] == ["encoders.image", "encoders.text", "fusion.joint", "heads.label"]
    places = [("bad.yaml", i + 1, line.index("depth: 0") + 8) for i, line in enumerate(lines) if "depth: 0" in line]
    assert [(e["file"], e["line"], e["column"]) for e in bad["errors"]] == places


# looking -------------------------------------------------------------------------------------------------------------


def test_show_prints_the_program(mmspec):
    out = mmspec("show", "small.yaml").out
    assert out.startswith("graph small(image: f32[B, 1, 16, 16], text: i64[B, N], text_mask: bool[B, N])")
    assert "image: f32[B, 4, 16] = vit(inputs.image)" in out


def test_show_looks_into_a_node_and_names_what_there_is(mmspec):
    assert mmspec("show", "small.yaml", "joint.blocks").out.startswith("graph CrossAttentionBlock(")
    result = mmspec("show", "small.yaml", "joint.block")
    assert result.code == 2
    assert "joint has: blocks" in result.err


def test_show_resolved_says_where_each_value_comes_from(mmspec):
    out = mmspec("show", "small.yaml", "--resolved", "--set", "fusion.joint.depth=2").out
    assert re.search(r"^    depth: 2 +# --set$", out, re.M)
    assert re.search(r"^    expansion: 4.0 +# default$", out, re.M)
    assert re.search(r"^    patch_size: 8 +# small.yaml:6:\d+$", out, re.M)


def test_draw_writes_a_picture_or_prints_it(mmspec):
    assert mmspec("draw", "small.yaml", "-o", "x.svg").code == 0
    result = mmspec("draw", "small.yaml", "-o", "-")
    assert (result.code, result.err) == (0, "")
    assert ET.fromstring(result.out).tag.endswith("svg")
    assert Path("x.svg").read_text() == result.out


def test_profile_prints_the_figures_of_the_library(mmspec):
    price = library.profile(library.load("small.yaml"))
    out = mmspec("profile", "small.yaml").out
    assert f"{price['parameters.total']:,}" in out
    assert "image 1x16x16, text up to 32 tokens, batch 1" in out
    for node in ("image", "text", "joint", "label", "total"):
        assert re.search(rf"^  {node} ", out, re.M)


def test_profile_for_machines_is_json_and_nothing_else(mmspec):
    result = mmspec("profile", "small.yaml", "--json", "--batch", 3)
    assert result.err == ""
    assert json.loads(result.out) == json.loads(json.dumps(library.profile(library.load("small.yaml"), 3).to_dict()))


def test_profile_expects_what_exit_rates_say(mmspec):
    assert "expected under halting: unknown" in mmspec("profile", "fusion_gated").out
    assert re.search(
        r"expected under halting: [\d.]+ MFLOPs", mmspec("profile", "fusion_gated", "--exit-rates", "joint=0.4,0.6").out
    )
    for wrong in ("joint=0.4", "joint=0.4,0.7", "image=1", "joint", "joint=a,b"):
        assert mmspec("profile", "fusion_gated", "--exit-rates", wrong).code == 2
    assert mmspec("profile", "fusion_gated", "--batch", 0).code == 2


def test_profile_says_what_exits_and_experts_save_and_what_it_does_not_know(mmspec):
    bare = mmspec("profile", "fusion_gated").out
    assert re.search(r"^  joint left after +FLOPs +of all +samples$", bare, re.M)
    assert re.search(r"^  block 1 +80\.9 M +84 % +n/a$", bare, re.M)
    assert re.search(
        r"^  joint\.blocks\.0-1\.feed_forward +2 of 4 +132 k +n/a +\u2264 4\.00 +\u2264 2\.11 MB$", bare, re.M
    )
    stated = ("--batch", 4, "--exit-rates", "joint=0.5,0.5", "--expert-load", "joint.blocks.0=0.4,0.3,0.2,0.1")
    out = mmspec("profile", "fusion_gated", *stated).out
    assert re.search(r"^  on average +354 M +92 % +stated$", out, re.M)
    assert re.search(r"^  the last of 4 +380 M +99 % +if none is dropped$", out, re.M)
    assert re.search(r"^  joint\.blocks\.0\.feed_forward +2 of 4 +132 k +1\.60 +4\.00 +2\.11 MB$", out, re.M)
    assert re.search(r"^  joint\.blocks\.1\.feed_forward +2 of 4 +132 k +n/a ", out, re.M)
    for wrong in ("joint=0.4", "image=1", "joint", "joint=0.9,0.1,0,0"):
        assert mmspec("profile", "fusion_gated", "--expert-load", wrong).code == 2


def test_diff_names_paths_and_prices(mmspec):
    same = mmspec("diff", "small.yaml", "small.yaml")
    assert "mean the same" in same.out
    assert set(re.findall(r"\d\.\d{3}$", same.out, re.M)) == {"1.000"}
    changed = mmspec("diff", "small.yaml", "small.yaml", "--set", "fusion.joint.depth=2")
    assert re.search(r"fusion\.joint\.depth +1 +2$", changed.out, re.M)
    data = json.loads(mmspec("diff", "small.yaml", "small.yaml", "--set", "fusion.joint.depth=2", "--json").out)
    assert data["spec"] == {"fusion.joint.depth": [1, 2]}
    assert data["price"]["flops.total"][1] > data["price"]["flops.total"][0]


# help ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", list(CATALOGUE), ids=lambda c: f"{c.role}.{c.model_fields['type'].default}")
def test_explain_says_what_the_class_says(mmspec, component):
    out = mmspec("explain", f"{component.role}.{component.model_fields['type'].default}").out
    assert component.__doc__.split("\n")[0].split()[0] in out
    for key in set(component.keys()) - {"type"}:
        assert re.search(rf"^  {key} ", out, re.M), key


def test_explain_knows_roles_and_near_names(mmspec):
    assert "cross_attention" in mmspec("explain", "fusion").out
    assert "vit" in mmspec("explain", "encoders").out
    wrong = mmspec("explain", "gatde")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean 'gated'?" in wrong.err


def test_explain_for_machines(mmspec):
    (gated,) = json.loads(mmspec("explain", "gated", "--json").out)
    assert next(f for f in gated["fields"] if f["key"] == "depth")["default"] == 2


def test_list_names_every_component_and_what_is_shipped(mmspec):
    out = mmspec("list").out
    for component in CATALOGUE:
        assert component.model_fields["type"].default in out
    data = json.loads(mmspec("list", "--json").out)
    assert tuple(data["specs"]) == shipped.names("specs")
    assert tuple(data["studies"]) == shipped.names("search")
    assert sum(map(len, data["components"].values())) == len(CATALOGUE)


def test_schema_is_a_schema_that_accepts_what_validate_accepts(mmspec):
    import jsonschema
    import yaml

    schema = json.loads(mmspec("schema").out)
    jsonschema.validate(yaml.safe_load(Path("small.yaml").read_text()), schema)
    mmspec("schema", "-o", "schema.json")
    assert json.loads(Path("schema.json").read_text()) == schema


def test_init_writes_a_spec_that_is_valid_and_never_overwrites(mmspec):
    assert mmspec("init", "mine").code == 0
    assert Path("mine.yaml").read_text().startswith("# yaml-language-server: $schema=mmspec.schema.json")
    assert mmspec("validate", "mine.yaml").code == 0
    Path("mine.yaml").write_text("mine")
    again = mmspec("init", "mine")
    assert (again.code, Path("mine.yaml").read_text()) == (2, "mine")
    assert mmspec("init", "other").code == 0  # the schema is ours and may be written again
    Path("mmspec.schema.json").write_text("{}")
    assert mmspec("init", "third").code == 2
    assert not Path("third.yaml").exists()


# folders -------------------------------------------------------------------------------------------------------------


def test_build_writes_the_folder_and_prints_its_price(mmspec):
    result = mmspec("build", "small.yaml")
    assert result.code == 0
    files = {path.name for path in Path("build/small").iterdir()}
    assert files >= {"spec.yaml", "model.py", "model.safetensors", "profile.json", "diagram.svg"}
    assert "wrote build/small: spec.yaml" in result.out
    assert result.out.splitlines()[:8] == mmspec("profile", "small.yaml").out.splitlines()[:8]


def test_a_build_is_repeatable_and_takes_weights(mmspec):
    mmspec("build", "small.yaml", "-o", "a")
    mmspec("build", "small.yaml", "-o", "b")
    mmspec("build", "small.yaml", "-o", "c", "--seed", 1)
    mmspec("build", "small.yaml", "-o", "d", "--weights", "c/model.safetensors")
    a, b, c, d = (load_file(Path(name, "model.safetensors")) for name in "abcd")
    assert all(torch.equal(a[name], b[name]) and torch.equal(c[name], d[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
    assert mmspec("build", "small.yaml", "-o", "e", "--weights", "nothing").code == 2
    assert not Path("e").exists()


@pytest.mark.slow
def test_calibrate_prints_thresholds_shares_and_costs_before_and_after(mmspec):
    halting = (
        "fusion.joint={type: gated, from: [image, text], depth: 3, heads: 2, halting: {type: confidence, head: label}}"
    )
    assert mmspec("train", "small.yaml", "--set", halting, "--steps", 2, "--batch", 8, "-o", "out").code == 0
    done = mmspec("calibrate", "out", "--loss", 0.05)
    assert done.code == 0
    assert re.search(
        r"^  joint left after +threshold +samples +accuracy +threshold now +samples +accuracy +FLOPs$", done.out, re.M
    )
    assert re.search(r"^  full model +0\.\d{4} +[\d.]+ [kM] +100 %$", done.out, re.M)
    assert "wrote out" in done.out
    again = json.loads(mmspec("calibrate", "out", "--cost", 1, "-o", "cheap", "--json").out)
    assert again["goal"] == {"cost": 1} and set(again["stacks"]) == {"joint"}
    priced = json.loads(mmspec("profile", "cheap", "--json").out)
    assert priced["flops"]["expected"] == pytest.approx(again["after"]["flops"])
    assert "measured" in mmspec("profile", "cheap").out
    for wrong in ((), ("--cost", 0.5, "--loss", 0.1), ("--cost", 0.01), ("--accuracy", 2)):
        assert mmspec("calibrate", "out", *wrong).code == 2


def test_a_spec_is_trained_and_asked(mmspec):
    trained = mmspec("train", "small.yaml", "--steps", 2, "--batch", 8, "-o", "out")
    assert trained.code == 0
    assert "step 2/2" in trained.err
    assert re.search(r"validation +0\.\d{3} ± 0\.\d{3}", trained.out)
    assert "best by text alone" in trained.out
    asked = re.search(r"try: mmspec predict out --image (\S+) --text '(.+)'", trained.out)
    answer = mmspec("predict", "out", "--image", asked[1], "--text", asked[2])
    assert answer.code == 0
    assert answer.out.startswith("label: ")
    data = json.loads(mmspec("predict", "out", "--image", asked[1], f"--text={asked[2]}", "--json").out)
    assert sum(data["label"]["probabilities"].values()) == pytest.approx(1)
    missing = mmspec("predict", "out", "--txt", "x")
    assert missing.code == 2
    assert "there is no input 'txt'" in missing.err
    assert "the input 'image' is missing" in missing.err
    for wrong in (["--text"], ["text"], ["--text", "a", "--text", "b"]):
        assert mmspec("predict", "out", *wrong).code == 2


WRITER = """
name: writer
inputs: {text: {type: text, vocab_size: 257, length: 12}}
encoders: {text: {type: text_transformer, width: 16, depth: 1, heads: 2, attention: causal}}
heads: {words: {type: language_model, from: [text, text.embedding]}}
objectives: [{type: next_token, text: text}]
"""


@pytest.mark.slow
def test_a_language_model_goes_on_with_what_it_is_given(mmspec):
    Path("writer.yaml").write_text(WRITER)
    Path("corpus.csv").write_text("text\n" + "abcdabcdabcd\nbcdabcdabcda\n" * 10)
    trained = mmspec(
        "train", "writer.yaml", "--data", "corpus.csv", "--steps", 60, "--learning-rate", 0.01, "-o", "out"
    )
    assert trained.code == 0
    assert "try: mmspec predict out --text " in trained.out
    answer = mmspec("predict", "out", "--text", "abca", "--tokens", 5)
    assert (answer.code, answer.out.split()[:2]) == (0, ["words:", "bcdab"])
    assert json.loads(mmspec("predict", "out", "--text", "abca", "--json").out)["words"]["tokens"] == 8


@pytest.mark.slow
def test_pictures_alone_are_learned_from_and_measured(mmspec):
    small = [
        "--set",
        "encoders.image.width=16",
        "--set",
        "encoders.image.depth=1",
        "--data",
        "digits_pictures",
        "--steps",
        2,
    ]
    painted = mmspec("train", "digits_mae", *small, "-o", "mae")
    assert painted.code == 0
    assert "pixels: masked patches 0." in painted.err
    assert all(name in painted.out for name in ("masked patches", "the mean picture", "each patch's own mean"))
    assert "accuracy" not in painted.out.split("note:")[0]
    taught = mmspec("train", "digits_dino", *small, "-o", "dino")
    assert taught.code == 0
    assert re.search(r"validation +0\.\d{3} ± 0\.\d{3}", taught.out)
    assert all(name in taught.out for name in ("nearest neighbours", "before training", "of the pixels", "entropy"))
    assert mmspec("train", "digits_mae", "--steps", 2).code == 2
    assert mmspec("predict", "mae", "--image", "mae/data/example.png").code == 2


@pytest.mark.slow
def test_a_recipe_file_is_read_and_options_go_before_it(mmspec):
    Path("recipe.yaml").write_text("steps: 50\nbatch: 8\nseed: 3\n")
    assert mmspec("train", "small.yaml", "--recipe", "recipe.yaml", "--steps", 1, "-o", "out").code == 0
    recipe = json.loads(Path("out/metrics.json").read_text())["recipe"]
    assert (recipe["steps"], recipe["batch"], recipe["seed"]) == (1, 8, 3)
    Path("recipe.yaml").write_text("stepps: 50\n")
    wrong = mmspec("train", "small.yaml", "--recipe", "recipe.yaml")
    assert wrong.code == 2
    assert "did you mean 'steps'?" in wrong.err


@pytest.mark.slow
def test_an_export_says_what_was_compared(mmspec):
    result = mmspec("export", "small.yaml", "--target", "edge_cpu_fp32", "-o", "package")
    assert result.code == 0, result.err
    assert re.search(r"^  label +\d\.\de-\d\d +1e-05 or 1e-04 of it$", result.out, re.M)
    assert "never trained" in result.out and "licence of weights and data: not stated" in result.out
    assert Path("package/onnx/model.onnx").stat().st_size > 1000
    assert mmspec("export", "package", "--target", "edge_cpu_fp32", "--set", "a.b=1").code == 2
    wrong = mmspec("export", "small.yaml", "--target", "edge_cpu_fp23")
    assert wrong.code == 2
    assert "did you mean 'edge_cpu_fp32'?" in wrong.err
