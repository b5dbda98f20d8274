"""Published figures agree with each other, with the arithmetic of the chips, and where torch's table differs it is known why."""

import math
import re
from pathlib import Path

import pytest

from mmspec.cost import device_file
from mmspec.cost.devices import PRECISIONS, Device, device, devices
from mmspec.errors import UserError

PUBLISHED = devices()
TENSOR_CORES = ("hopper", "ampere", "ada", "cdna3")
with_cores = pytest.mark.parametrize("key", [k for k, d in PUBLISHED.items() if d.architecture in TENSOR_CORES])
every = pytest.mark.parametrize("key", PUBLISHED)


def dense(key: str, precision: str) -> float:
    return PUBLISHED[key].peaks[precision].value


@every
def test_every_figure_says_where_it_comes_from(key):
    found = PUBLISHED[key]
    for figure in (*found.figures.values(), *found.peaks.values()):
        assert figure.source.document
        assert figure.source.date or found.architecture == "x86"  # an assumption
    assert {"memory_gb", "bandwidth_gb_s"} <= set(found.figures)
    assert not set(found.peaks) & (set(found.absent) | set(found.unknown))


def test_every_source_is_used():
    written = device_file.catalogue()
    used = {each.source for entry in written.devices.values() for each in figures(entry)}
    assert used | {"x86"} == set(written.sources)


def figures(entry):
    plain = [getattr(entry, name) for name in device_file.FIGURES]
    return [each for each in (*plain, *(peak for _, peak in entry.peak_tflops or ())) if each is not None]


@with_cores
def test_skipping_zeros_doubles_a_peak_and_is_no_dense_peak(key):
    for precision, peak in PUBLISHED[key].peaks.items():
        if precision in ("fp64", "fp32"):
            assert peak.sparse is None
        else:
            assert peak.sparse == pytest.approx(2 * peak.value, rel=2e-3)


@with_cores
def test_half_the_bits_are_twice_the_operations(key):
    peaks = {name: peak.value for name, peak in PUBLISHED[key].peaks.items()}
    assert peaks["bf16"] == peaks["fp16"]
    assert peaks["fp16"] == pytest.approx(2 * peaks["tf32"], rel=0.02)
    if key == "rtx-4090":  # products of floats that are summed in float32 run at half their rate
        assert peaks["int8"] == pytest.approx(4 * peaks["fp16"], rel=2e-3)
        assert peaks["fp8"] == pytest.approx(2 * peaks["fp16"], rel=2e-3)
    else:
        assert peaks["int8"] == pytest.approx(2 * peaks["fp16"], rel=5e-3)
        assert peaks.get("fp8", peaks["int8"]) == peaks["int8"]
    if "int4" in peaks:
        assert peaks["int4"] == pytest.approx(2 * peaks["int8"], rel=2e-3)


@pytest.mark.parametrize(
    ("key", "processors", "operations", "ghz"),
    [
        ("h100-sxm", 132, 4096, 1.83),
        ("h100-pcie", 114, 4096, 1.62),
        ("a100-sxm-80gb", 108, 2048, 1.41),
        ("l4", 58, 1024, 2.04),
        ("rtx-4090", 128, 512, 2.52),
        ("mi300x", 304, 2048, 2.1),
        ("agx-orin-64gb", 16, 2048, 1.3),
        ("orin-nano", 8, 2048, 0.625),
        ("orin-nano-super", 8, 2048, 1.02),
    ],
)
def test_a_peak_is_processors_times_operations_a_cycle_times_the_clock(key, processors, operations, ghz):
    assert dense(key, "fp16") == pytest.approx(processors * operations * ghz / 1000, rel=0.005)


@pytest.mark.parametrize("key", [k for k, entry in device_file.catalogue().devices.items() if entry.bandwidth_gb_s])
def test_a_bandwidth_is_the_bus_times_the_rate_of_a_pin(key):
    said = device_file.catalogue().devices[key].bandwidth_gb_s
    if said.bus_bits is None:
        assert said.gbit_per_pin is None
    else:
        assert said.value == pytest.approx(said.bus_bits * said.gbit_per_pin / 8, rel=0.002)


def test_families_are_in_order():
    h200, h100, nvl, pcie = (PUBLISHED[key] for key in ("h200", "h100-sxm", "h100-nvl", "h100-pcie"))
    assert h200.bandwidth > nvl.bandwidth > h100.bandwidth > pcie.bandwidth
    assert h200.memory > nvl.memory > h100.memory == pcie.memory
    for precision in ("tf32", "bf16", "fp16", "fp8", "int8"):
        assert dense("h200", precision) == pytest.approx(dense("h100-sxm", precision), rel=1e-3)  # the same chip
        assert dense("h100-sxm", precision) > dense("h100-nvl", precision) > dense("h100-pcie", precision)
    for less, more in (
        ("a100-sxm-40gb", "a100-sxm-80gb"), ("agx-orin-32gb", "agx-orin-64gb"), ("orin-nano", "orin-nano-super"),
        ("m1", "m1-pro"), ("m1-pro", "m1-max"), ("m1-max", "m1-ultra"), ("m2", "m2-pro"), ("m4", "m4-pro"), ("m4-pro", "m4-max"),
    ):  # fmt: skip
        a, b = PUBLISHED[less], PUBLISHED[more]
        assert a.bandwidth <= b.bandwidth and a.memory <= b.memory
        assert all(a.peaks[name].value <= b.peaks[name].value for name in set(a.peaks) & set(b.peaks))


def test_bandwidths_are_not_another_card_s():
    assert PUBLISHED["l4"].bandwidth == 300e9
    assert 290 < PUBLISHED["h100-sxm"].ridge("bf16") < 300
    assert 400 < PUBLISHED["l4"].ridge("bf16") < 410


# where the table in torch/_inductor/analysis differs, once its `tops_sparsity_factor` is taken out, and why
TORCHS_MISTAKES = {
    ("l4", "bandwidth"),  # that of an H100
    ("l4", "fp64"),  # a guess, by its own comment; an Ada chip has a 64th of fp32
    *(("l4", name) for name in ("tf32", "bf16", "fp16", "int8")),  # sparse peaks with a factor of 1
    ("h100-sxm", "fp64"), ("h100-sxm", "fp32"),  # halved with the rest, though these are dense as printed
}  # fmt: skip


def test_where_torch_s_own_table_differs_it_is_torch_s_mistake():
    info = pytest.importorskip("torch._inductor.analysis.device_info")
    torch = pytest.importorskip("torch")
    names = {"h100-sxm": "NVIDIA H100", "a100-sxm-80gb": "NVIDIA A100", "l4": "NVIDIA L4", "mi300x": "AMD MI300X"}
    types = {
        "fp64": torch.float64, "fp32": torch.float32, "tf32": "torch.tf32", "bf16": torch.bfloat16, "fp16": torch.float16,
        "int8": torch.int8,
    }  # fmt: skip
    differs = set()
    for key, name in names.items():
        theirs, ours = info.lookup_device_info(name), PUBLISHED[key]
        factor = getattr(theirs, "tops_sparsity_factor", 1)
        for precision, kind in types.items():
            if not math.isclose(theirs.tops[kind] / factor, dense(key, precision), rel_tol=0.01):
                differs.add((key, precision))
        if not math.isclose(theirs.dram_bw_gbs * 1e9, ours.bandwidth, rel_tol=0.01):
            differs.add((key, "bandwidth"))
    assert differs <= TORCHS_MISTAKES
    if torch.__version__.startswith("2.13."):  # others may have mended some
        assert differs == TORCHS_MISTAKES


# names, and files of one's own ----------------------------------------------------------------------------------------


def test_names_and_aliases_lead_to_one_device_each():
    entries = device_file.catalogue().devices
    said = [name for key, entry in entries.items() for name in (key, *entry.aliases)]
    assert len(said) == len(set(said))
    assert device("H100") is device("h100-sxm") is PUBLISHED["h100-sxm"]
    assert device("RTX 4090") is device("rtx_4090") is PUBLISHED["rtx-4090"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("h20", "there is no device 'h20', did you mean 'h200'"),
        ("orin-nanu", "did you mean 'orin-nano'"),
        ("tpu", "devices are h200"),
    ],
)
def test_an_unknown_device_is_answered_with_the_nearest(name, message):
    with pytest.raises(UserError, match=message):
        device(name)


def test_what_a_device_does_not_compute_in_is_named_with_what_it_has():
    with pytest.raises(
        UserError, match=r"A100 .* has no fp8 \(Ampere.* it has fp64, fp32, tf32, bf16, fp16, int8, int4"
    ):
        device("a100").peak("fp8")
    with pytest.raises(UserError, match="no precision 'fp9', did you mean 'fp8'"):
        device("a100").peak("fp9")
    assert device("m4").peak("fp32") is None  # not published, which is not the same


def written(tmp_path, text: str) -> Device:
    (tmp_path / "ours.yaml").write_text(text)
    return device(str(tmp_path / "ours.yaml"))


def test_a_file_of_one_s_own_needs_numbers_only(tmp_path):
    found = written(
        tmp_path, "memory_gb: 16\nbandwidth_gb_s: 100\npeak_tflops: {fp32: 2, fp16: {dense: 4, sparse: 8}}\n"
    )
    assert (found.key, found.memory, found.bandwidth, found.cache) == ("ours", 16 * 10**9, 100e9, None)
    assert (found.peak("fp32"), found.peak("fp16"), found.ridge("fp16")) == (2e12, 4e12, 40)
    assert "ours.yaml" in str(found.figures["memory_gb"].source)


def test_a_file_may_extend_a_device_and_says_what_differs(tmp_path):
    found = written(tmp_path, "extends: a100\nmemory_gb: 60\npeak_tflops: {fp8: 700}\nabsent: {int4: not wired}\n")
    assert (found.memory, found.bandwidth) == (60 * 10**9, PUBLISHED["a100-sxm-80gb"].bandwidth)
    assert found.peak("fp8") == 700e12 and "fp8" not in found.absent
    assert "int4" not in found.peaks
    assert found.peaks["bf16"] == PUBLISHED["a100-sxm-80gb"].peaks["bf16"]


def test_an_x86_is_cores_times_clock_times_operations_a_cycle(tmp_path):
    assert device("x86").peak("fp32") == pytest.approx(8 * 3.0e9 * 32)
    found = written(tmp_path, "extends: x86-avx512\ncores: 2\nghz: 2.5\nflops_per_cycle: {int8: 256}\n")
    assert found.peak("fp32") == pytest.approx(2 * 2.5e9 * 64)
    assert found.peak("int8") == pytest.approx(2 * 2.5e9 * 256)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("extends: h10\n", "1:10", "there is no device 'h10'"),
        ("memory_gb: 4\nbandwith_gb_s: 3\n", "2:1", "did you mean 'bandwidth_gb_s'"),
        ("memory_gb: 4\n", "1:1", "the device has no bandwidth_gb_s"),
        ("memory_gb: -4\nbandwidth_gb_s: 3\n", "1:12", "must be greater than 0"),
        ("memory_gb: 4\nbandwidth_gb_s: 3\npeak_tflops: {fp12: 3}\n", "3:15", "did you mean 'fp16'|unknown key 'fp12'"),
        ("memory_gb: 4\nbandwidth_gb_s: 3\nflops_per_cycle: {fp32: 3}\n", "3:", "need cores and ghz"),
    ],
)
def test_a_mistake_in_a_file_is_located(tmp_path, text, place, message):
    with pytest.raises(UserError, match=message) as error:
        written(tmp_path, text)
    assert f"ours.yaml:{place}" in str(error.value)


@every
def test_what_is_printed_for_machines_is_complete(key):
    data = PUBLISHED[key].to_dict()
    assert data["device"] == key
    assert set(data["peak_tflops"]) | set(data["absent"]) | set(data["unknown"]) <= set(PRECISIONS)
    assert all(peak["dense"] > 0 and peak["source"]["document"] for peak in data["peak_tflops"].values())


def test_the_device_of_the_page_is_read_as_it_says(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yml\n(.*?)^```", page, re.M | re.S)
    found = written(tmp_path, text)
    assert found.peak("fp32") == pytest.approx(4 * 2.4e9 * 32)
    assert found.figures["held_back_gb"].value == 3
