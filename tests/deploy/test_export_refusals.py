"""What a user can mend is said in a line, or at its place in the file, before any work is done."""

import pytest
import small_exports as small

import mmspec
from mmspec.backend import build
from mmspec.backend.folder import write_folder
from mmspec.deploy import load_target, read_target
from mmspec.deploy import package as run
from mmspec.deploy.report import accuracy_of
from mmspec.deploy.subject import subject_of
from mmspec.errors import UserError
from mmspec.spec import SpecError

GOOD = "device: cpu\nruntime: onnxruntime\nprecision: fp32\n"


def test_the_shipped_target_reads_and_states_all_that_it_leaves_to_defaults():
    target = load_target("edge_cpu_fp32")
    assert target.name == "edge_cpu_fp32" and target.model_dump() == read_target(GOOD).model_dump()


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (GOOD + "opset: 18\n", (4, 8), ("opset 18 is too old", "Gelu needs 20")),
        (GOOD + "opset: 24\n", (4, 8), ("opset 24 is newer than what is verified here",)),
        (GOOD + "opsett: 20\n", (4, 1), ("unknown key 'opsett' of the target", "did you mean 'opset'?")),
        (GOOD.replace("fp32", "fp33"), (3, 12), ("'fp32'", "found the text 'fp33'", "did you mean 'fp32'?")),
        (GOOD + "shapes: {batch: {min: 8, max: 4}}\n", (4, 17), ("its max 4 is below its min 8",)),
        (GOOD + "verify: {batches: [0]}\n", (4, 20), ("must be greater than 0, found 0",)),
        (GOOD + "verify: {tolerance: -1.0}\n", (4, 21), ("must be greater than 0",)),
        ("runtime: onnxruntime\nprecision: fp32\n", (1, 1), ("missing key 'device' of the target",)),
        ("[1]\n", (1, 1), ("the target is a mapping",)),
    ],
)
def test_a_mistake_in_a_target_is_located(text, place, words):
    with pytest.raises(SpecError) as caught:
        read_target(text, "mine.yaml")
    (found,) = caught.value.diagnostics
    assert (found.position.line, found.position.column) == place
    assert all(word in str(found) for word in words), str(found)


def test_batches_outside_of_the_declared_range_are_refused():
    with pytest.raises(SpecError, match=r"verify\.batches has 7, and shapes\.batch is 1 to 4"):
        read_target(GOOD + "shapes: {batch: {max: 4}}\nverify: {batches: [1, 7]}\n")


def test_an_unknown_target_brings_up_the_nearest_name():
    with pytest.raises(UserError, match="no target 'edge_cpu_fp23', did you mean 'edge_cpu_fp32'"):
        mmspec.export("fusion_gated", "edge_cpu_fp23", "never")


def test_missing_packages_come_with_the_line_that_installs_them(monkeypatch):
    monkeypatch.setattr(run, "find_spec", lambda name: None if name.startswith("onnxs") else object())
    with pytest.raises(UserError, match="export needs onnxscript: pip install onnxscript"):
        mmspec.export("fusion_gated", "edge_cpu_fp32", "never")


def test_a_folder_that_is_not_ours_is_neither_read_nor_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="did not write"):
        mmspec.export("fusion_gated", "edge_cpu_fp32", tmp_path)
    with pytest.raises(UserError, match=r"not the folder of a built model: it has no spec\.yaml"):
        mmspec.export(tmp_path, "edge_cpu_fp32", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_weights_of_another_model_are_named(tmp_path):
    one, other = (small.spec({"joint": f"type: concat, depth: {depth}"}, {"label": "from: joint"}) for depth in (1, 2))
    write_folder(one, build(one), tmp_path / "built")
    (tmp_path / "built" / "spec.yaml").write_text(other.to_yaml())
    with pytest.raises(UserError, match=r"(?s)another model's weights.*missing\s+joint\.blocks\.1"):
        mmspec.export(tmp_path / "built", "edge_cpu_fp32", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_built_folder_is_exported_with_its_own_weights(tmp_path):
    spec = small.spec({"joint": "type: concat, depth: 1"}, {"label": "from: joint"})
    module = build(spec)
    write_folder(spec, module, tmp_path / "built", lambda folder: (folder / "data").mkdir())
    subject = subject_of(tmp_path / "built")
    assert all(tensor.equal(subject.state[name]) for name, tensor in module.state_dict().items())
    assert subject.spec == spec and subject.data == tmp_path / "built" / "data" and subject.metrics is None
    (tmp_path / "built" / "metrics.json").write_text('{"validation": {"accuracy": 0.5}}')
    assert accuracy_of(subject_of(tmp_path / "built")) == 0.5
