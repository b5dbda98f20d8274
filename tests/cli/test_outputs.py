"""What `mmspec profile` prints and writes, by options and by the file's ending."""

import csv
import json
import re
from pathlib import Path

import pytest

import mmspec as library


def test_a_tree_goes_as_deep_as_is_asked(mmspec):
    one, three = mmspec("profile", "small.yaml", "--depth", 1).out, mmspec("profile", "small.yaml", "--depth", 3).out
    assert re.search(r"^  image +vit +\[1, 4, 16\]", one, re.M)
    assert "feed_forward" not in one
    assert re.search(r"^      feed_forward +FeedForward ", three, re.M)
    assert re.search(r"^  total +[\d,]+ ", three, re.M)


def test_columns_are_chosen_by_name_and_a_total_stands_below(mmspec):
    price = library.profile(library.load("small.yaml"))
    out = mmspec("profile", "small.yaml", "--by", "class", "--columns", "flops,macs,backward,bytes").out
    assert re.search(r"^  class +FLOPs +MACs +backward +bytes$", out, re.M)
    from mmspec.cost.quantities import quantity

    flops, macs, backward = (
        quantity(n) for n in (price["flops.total"], price["forward.macs"], price["backward.flops"])
    )
    assert re.search(rf"^  total +{flops} +{macs} +{backward} ", out, re.M)


def test_rows_by_role_modality_stage_kind_and_class(mmspec):
    for by, row in {
        "role": "encoders", "modality": r"image\+text", "stage": r"image\.blocks", "kind": "layer_norm", "class": "attention",
    }.items():  # fmt: skip
        assert re.search(rf"^  {row} ", mmspec("profile", "small.yaml", "--by", by).out, re.M), by


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "modalty"), "did you mean 'modality'"),
        (("--columns", "flops,flopss"), "did you mean 'flops'"),
        (("--sort", "output"), "not a figure to sort by"),
        (("--depth", 0), "--depth"),
        (("--by", "role", "--depth", 2), "give one of them"),
        (("-o", "x.txt"), ".trace.json, .json, .html, .csv, .md"),
        (("-o", "x"), ".trace.json, .json, .html, .csv, .md"),
        (("-o", "x.trace.json"), "--device"),
        (("-o", "nowhere/x.md"), "cannot write nowhere/x.md"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(mmspec, options, said):
    result = mmspec("profile", "small.yaml", *options)
    assert result.code == 2 and said in result.err
    assert [path.name for path in Path().iterdir()] == ["small.yaml"]


def test_files_have_the_figures_of_the_library(mmspec):
    price = library.profile(library.load("small.yaml"), 2)
    result = mmspec(
        "profile",
        "small.yaml",
        "--batch",
        2,
        "--depth",
        2,
        *["-o", "a.json", "-o", "a.csv", "-o", "a.md", "-o", "a.html"],
    )
    assert (result.code, result.out) == (0, "")
    assert result.err.split() == ["wrote", "a.json", "wrote", "a.csv", "wrote", "a.md", "wrote", "a.html"]
    assert json.loads(Path("a.json").read_text()) == json.loads(json.dumps(price.to_dict(2)))
    rows = list(csv.DictReader(Path("a.csv").read_text().splitlines()))
    assert sum(int(row["flops"]) for row in rows if row["level"] == "1") == price["flops.total"]
    assert sum(int(row["parameters"]) for row in rows if row["level"] == "1") == price["parameters.total"]
    assert {row["path"] for row in rows if row["level"] == "2"} > {"image.blocks", "text.blocks", "label.output"}
    assert f"**{price['parameters.total']:,}**" in Path("a.md").read_text()
    widths = {line.count("|") for line in Path("a.md").read_text().splitlines() if line.startswith("|")}
    assert len(widths) == 1  # of every row
    assert Path("a.html").read_text().startswith("<!doctype html>")


def test_a_device_adds_times_to_rows_and_its_roof_to_the_page(mmspec):
    on = ("--device", "h200", "--precision", "bf16")
    out = mmspec("profile", "small.yaml", "--depth", 2, "--sort", "time", *on).out
    assert re.search(r"^  node .* op by op$", out, re.M) and re.search(r"^  total .* [µn]s$", out, re.M)
    assert mmspec("profile", "small.yaml", *on, "-o", "a.html", "-o", "a.trace.json", "-o", "a.csv").code == 0
    assert "NVIDIA H200" in Path("a.html").read_text() and "FLOP/s" in Path("a.html").read_text()
    assert json.loads(Path("a.trace.json").read_text())["otherData"]["model"] == "small"
    assert all(float(row["time"]) >= 0 for row in csv.DictReader(Path("a.csv").read_text().splitlines()))
    assert "give --device" in mmspec("profile", "small.yaml", "--columns", "flops,time").err


def test_json_and_files_go_together(mmspec):
    result = mmspec("profile", "small.yaml", "--json", "-o", "a.md")
    assert json.loads(result.out)["schema"] == 1
    assert Path("a.md").exists()


def test_the_schema_of_profiles_is_printed_and_fits(mmspec):
    from jsonschema import Draft202012Validator

    schema = json.loads(mmspec("schema", "--profile").out)
    Draft202012Validator(schema).validate(json.loads(mmspec("profile", "small.yaml", "--json", "--depth", 3).out))


# diff ----------------------------------------------------------------------------------------------------------------


def test_diff_goes_node_by_node(mmspec):
    out = mmspec("diff", "small.yaml", "small.yaml", "--set", "fusion.joint.depth=2").out
    assert re.search(r"^  joint +parameters +.* 2\.000$", out, re.M)
    assert "the same: image, text, label" in out
    assert "every node costs the same" in mmspec("diff", "small.yaml", "small.yaml").out


def test_profiles_that_were_written_are_compared_with_each_other_and_with_specs(mmspec):
    mmspec("profile", "small.yaml", "--batch", 3, "-o", "before.json")
    mmspec("profile", "small.yaml", "--batch", 3, "--set", "fusion.joint.depth=2", "-o", "after.json")
    files = json.loads(mmspec("diff", "before.json", "after.json", "--json").out)
    changed = ("small.yaml", "--set", "fusion.joint.depth=2")
    beside = json.loads(mmspec("diff", "before.json", *changed, "--json").out)
    specs = json.loads(mmspec("diff", "small.yaml", *changed, "--batch", 3, "--json").out)
    assert files == beside
    assert {**specs, "spec": None} == files
    assert specs["spec"] == {"fusion.joint.depth": [1, 2]}


def test_profiles_of_other_versions_and_changes_to_them_are_refused(mmspec):
    mmspec("profile", "small.yaml", "-o", "a.json")
    Path("b.json").write_text(Path("a.json").read_text().replace('"schema": 1', '"schema": 2', 1))
    result = mmspec("diff", "a.json", "b.json")
    assert result.code == 2
    assert "schema version 2, and this mmspec reads and writes version 1" in result.err and "b.json:2:13" in result.err
    assert "it has no spec to change" in mmspec("diff", "a.json", "a.json", "--set", "x=1").err
    assert "--batch is for specs" in mmspec("diff", "a.json", "small.yaml", "--batch", 2).err
