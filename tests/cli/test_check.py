"""`mmspec check`: exit 0 within limits, 2 at the line of the node that has the most, for people and for machines."""

import json

import pytest

import mmspec as library

TOO_MUCH = "check", "small.yaml", "--max-parameters", "1k"


def test_what_is_within_its_limits_is_kept(mmspec):
    result = mmspec(
        "check", "small.yaml", "--max-flops", "20G", "--max-memory", "8GiB", "--max-parameters", "100M", "--device", "orin-nano"
    )  # fmt: skip
    assert (result.code, result.err) == (0, "")
    for figure in (
        "flops.total",
        "memory.peak_inference",
        "parameters.total",
        "memory needed on NVIDIA Jetson Orin Nano",
    ):
        assert figure in result.out


def test_a_broken_limit_points_at_the_node_that_has_the_most(mmspec):
    result = mmspec(*TOO_MUCH)
    price = library.profile(library.load("small.yaml"))
    most = max(price.nodes, key=lambda node: node.parameters)
    at = library.load("small.yaml").at(f"{most.role}.{most.name}")
    assert result.code == 2
    assert f"error: parameters.total: {price['parameters.total']:,}, more than 1,000 (--max-parameters)" in result.err
    assert f" --> small.yaml:{at.line}:{at.column}" in result.err
    assert f"by node: {most.name} {most.parameters:,}" in result.err


def test_each_limit_that_is_broken_is_said_and_each_that_is_kept(mmspec):
    result = mmspec(*TOO_MUCH, "--max-memory", "1kB", "--max-flops", "1T")
    assert result.code == 2
    assert result.err.count("error: ") == 2 and result.err.count(" --> small.yaml:") == 2
    assert "flops.total" in result.out and "parameters" not in result.out


def test_machines_are_told_value_node_and_place(mmspec):
    result = mmspec(*TOO_MUCH, "--max-flops", "1T", "--json")
    answer = json.loads(result.out)
    broken, kept = answer["limits"]
    assert (result.code, result.err, answer["kept"]) == (2, "", False)
    assert (broken["kept"], broken["limit"], broken["error"]["file"]) == (False, 1000, "small.yaml")
    assert broken["error"]["line"] > 1 and broken["node"] == broken["nodes"][0]["name"]
    assert broken["value"] == sum(node["value"] for node in broken["nodes"])
    assert kept["kept"] and kept["error"] is None


def test_a_limit_is_kept_when_it_is_just_met(mmspec):
    total = library.profile(library.load("small.yaml"))["parameters.total"]
    assert mmspec("check", "small.yaml", "--max-parameters", total).code == 0
    assert mmspec("check", "small.yaml", "--max-parameters", total - 1).code == 2


def test_time_is_held_against_the_lower_bound_of_a_device(mmspec):
    assert mmspec("check", "small.yaml", "--device", "h100", "--max-latency-ms", "1000").code == 0
    result = mmspec("check", "small.yaml", "--device", "orin-nano", "--max-latency-ms", "1e-9")
    assert result.code == 2 and "the least time on NVIDIA Jetson Orin Nano" in result.err


def test_what_does_not_fit_on_the_device_is_an_error_at_its_node(mmspec):
    result = mmspec("check", "llama_70b", "--device", "h100", "--precision", "bf16")
    assert result.code == 2
    assert "memory needed on NVIDIA H100 SXM 80 GB: 139 GB, more than" in result.err and "llama_70b.yaml:" in result.err
    assert mmspec("check", "llama_70b", "--device", "h200", "--precision", "fp8").code == 0


def test_memory_is_that_of_the_precision(mmspec):
    whole = library.profile(library.load("small.yaml"))["memory.peak_inference"]
    limit = ("check", "small.yaml", "--max-memory", f"{whole * 3 // 4}")
    assert mmspec(*limit, "--device", "h100").code == 2
    assert mmspec(*limit, "--device", "h100", "--precision", "bf16").code == 0


def test_a_change_is_checked_as_it_would_be_written(mmspec):
    total = library.profile(library.load("fusion_gated"))["parameters.total"]
    limit = ("check", "fusion_gated", "--max-parameters", total)
    assert mmspec(*limit).code == 0
    assert mmspec(*limit, "--set", "fusion.joint.depth=4").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to check"),
        (("--max-flops", "20GFLOPS"), "a rate, operations per second"),
        (("--max-flops", "17 GMACs"), "a multiply-add is 2"),
        (("--max-flops", "20GB"), "B is a unit of memory, not of flops.total"),
        (("--max-memory", "8gb"), "bytes are written 8 GiB"),
        (("--max-memory", "8 GFLOP"), "FLOP is a unit of flops"),
        (("--max-memory", "-8GB"), "below nothing"),
        (("--max-parameters", "many"), "write 100M or 2e6"),
        (("--max-parameters", "1e999"), "not a finite number"),
        (("--max-latency-ms", "3"), "needs a --device"),
        (("--max-latency-ms", "0", "--device", "h100"), "0 ms are no time"),
        (("--max-latency-ms", "nan", "--device", "h100"), "are no time"),
        (("--device", "h20"), "did you mean 'h200'"),
        (("--device", "a100", "--precision", "fp8"), "has no fp8"),
        (("--device", "h100", "--batch", "0"), "at least one sample"),
        (("--limit", "flops.totl <= 3"), "did you mean 'flops.total'"),
        (("--limit", "flops < 3"), "did you mean '<='"),
        (("--limit", "roles <= 3"), "is no number"),
        (("--limit", "name <= 3"), "name is no number\n"),
        (("--limit", "fit.fits <= 3", "--device", "h100"), "fit.fits is no number"),
        (("--limit", "roofline.lower_bound_ms <= 3"), "no device was named"),
    ],
)
def test_what_cannot_be_checked_is_said(mmspec, arguments, said):
    result = mmspec("check", "small.yaml", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_any_figure_may_be_limited_and_where_it_is_no_node_s_the_spec_is_named(mmspec):
    kept = mmspec(
        "check", "small.yaml", "--limit", "forward.read <= 1 GiB", "--limit", "fit.largest_batch >= 8", "--device", "l4"
    )
    assert kept.code == 0
    result = mmspec("check", "small.yaml", "--limit", "forward.read <= 1 B")
    assert result.code == 2 and "forward.read: " in result.err and "small.yaml" in result.err


# devices and profiles on them -----------------------------------------------------------------------------------------


def test_the_list_of_devices_has_each_once(mmspec):
    out = mmspec("devices").out
    devices = [row["device"] for row in json.loads(mmspec("devices", "--json").out)]
    assert len(devices) > 20
    assert all(out.count(f"  {name} ") == 1 for name in devices)


def test_a_device_s_sheet_has_sources(mmspec):
    out = mmspec("devices", "l4").out
    assert "datasheet" in out and "[1]" in out and "half of the sparse peak" in out
    assert mmspec("devices", "l5").code == 2


def test_a_profile_on_a_device_says_the_bound_for_what_it_is(mmspec):
    result = mmspec("profile", "small.yaml", "--device", "h100", "--precision", "bf16", "--batch", 4)
    assert result.code == 0
    for words in ("a lower bound, not a prediction", "op by op", "the largest batch is", "FLOPs per byte", "held back"):
        assert words in " ".join(result.out.split())


def test_a_profile_on_a_device_is_whole_for_machines(mmspec):
    data = json.loads(mmspec("profile", "small.yaml", "--device", "h100", "--precision", "bf16", "--json").out)
    roofline, fit = data["roofline"], data["fit"]
    assert (roofline["device"], roofline["precision"], fit["fits"]) == ("h100-sxm", "bf16", True)
    assert 0 < roofline["lower_bound_ms"] <= roofline["op_by_op_ms"]
    assert {node["name"] for node in roofline["nodes"]} == {node["name"] for node in data["nodes"]}
    without = json.loads(mmspec("profile", "small.yaml", "--json").out)
    assert without["roofline"] is None and without["fit"] is None


def test_a_device_of_one_s_own_is_named_by_its_file(mmspec, tmp_path):
    (tmp_path / "ours.yaml").write_text("memory_gb: 1\nbandwidth_gb_s: 10\npeak_tflops: {fp32: 0.1}\n")
    assert mmspec("profile", "small.yaml", "--device", "ours.yaml").code == 0
    assert "ours" in mmspec("devices", "ours.yaml").out
    (tmp_path / "ours.yaml").write_text("memory_gb: 1\n")
    result = mmspec("profile", "small.yaml", "--device", "ours.yaml")
    assert result.code == 2 and "ours.yaml:1:1" in result.err
    without = mmspec("profile", "small.yaml", "--precision", "int8")  # of a device, not of what torch holds
    assert without.code == 2 and "bf16" in without.err
