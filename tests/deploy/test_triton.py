"""A model repository: configurations that Triton's protobuf reads and that are what their files are, and the model in Python, which
gives what the host gives."""

from dataclasses import replace

import numpy as np
import pytest
import triton_server

from mmspec.deploy import load_target, read_target
from mmspec.deploy.beside import additions
from mmspec.deploy.contract import Contract, Port, Range
from mmspec.deploy.triton.config import can_batch, config, parse, problems, text
from mmspec.deploy.triton.options import Triton
from mmspec.errors import Failure
from mmspec.host import Host, session
from mmspec.spec import SpecError

TARGET = load_target("triton")


def quiet(_step):
    from contextlib import nullcontext

    return nullcontext()


def written(draft, folder):
    (addition,) = additions(replace(draft, target=TARGET), None, (), {}, quiet, print)
    for path, content in addition.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return addition


@pytest.fixture(scope="module")
def server(staged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    addition = written(staged, folder)
    assert addition.facts["checked_by_protobuf"]
    return triton_server.Server(folder / "triton")


def inputs(batch, length, seed):
    generator = np.random.default_rng(seed)
    return {
        "image": generator.standard_normal((batch, 1, 8, 8)).astype(np.float32),
        "text": generator.integers(0, 20, (batch, length)),
        "text_mask": generator.random((batch, length)) < 0.7,
    }


@pytest.mark.slow
def test_the_model_in_python_gives_what_the_host_gives(staged, server):
    """Requests of several sizes and lengths at once; thresholds between the samples' scores, so that they part."""
    requests = [inputs(3, 4, 0), inputs(2, 6, 1), inputs(1, 4, 2), inputs(4, 6, 3)]
    host = Host(staged.files.plan, {name: session(p.SerializeToString(), 1) for name, p in staged.files.protos.items()})
    beginning = [host.beginning(each) for each in requests]
    scores = np.concatenate([host.exits[0](values)["stack.score"] for values in beginning])
    host.thresholds = np.array([np.median(scores), 2.0], np.float32)
    model = server.model("small")
    model.host.thresholds = host.thresholds
    responses = model.execute([triton_server.Request(each) for each in requests])
    exits = set()
    for given, response in zip(requests, responses, strict=True):
        assert not response.has_error(), response.error().message()
        found, wanted = {t.name(): t.as_numpy() for t in response.output_tensors()}, host(given)
        assert list(found) == ["label", "mood", "label.exit"]
        np.testing.assert_array_equal(found["label.exit"], wanted["label.exit"])
        for name in ("label", "mood"):
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-6)
        exits |= set(found["label.exit"].tolist())
    assert exits == {0, 2}
    assert ("small_beginning", 4) in server.calls and ("small_beginning", 6) in server.calls, "equal shapes go together"


@pytest.mark.slow
def test_a_stage_that_fails_is_the_answer_of_the_requests_that_needed_it(server):
    model = server.model("small")
    whole = server.runs.pop("small_exit_0")
    try:
        responses = model.execute([triton_server.Request(inputs(2, 4, 0)), triton_server.Request(inputs(2, 5, 0))])
    finally:
        server.runs["small_exit_0"] = whole
    assert [r.error().message() for r in responses] == ["small_exit_0: unknown model small_exit_0"] * 2


@pytest.mark.slow
def test_every_model_is_configured_as_its_file_is_and_warms_up(staged, server):
    configs = server.configs
    assert set(configs) == {"small", *(f"small_{n}" for n in ("beginning", "exit_0", "exit_1", "exit_2", "end"))}
    for name in set(configs) - {"small"}:
        assert configs[name].name == name and configs[name].backend == "onnxruntime"
        assert all(np.isfinite(array).all() for array in server.warm_up(name).values() if array.dtype.kind == "f")
    whole = configs["small"]
    assert whole.backend == "python" and whole.max_batch_size == staged.contract.batch_limit
    assert list(whole.dynamic_batching.preferred_batch_size) == [8, 32] and not whole.model_warmup
    (left,) = [port for port in whole.output if port.name == "label.exit"]
    assert list(left.dims) == [1] and left.HasField("reshape") and not left.reshape.shape


@pytest.mark.slow
def test_a_file_by_itself_is_batched_by_triton(flagship, tmp_path):
    addition = written(flagship, tmp_path)
    server = triton_server.Server(tmp_path / "triton")
    told = server.configs["small"]
    assert told.max_batch_size == 256 and [list(port.dims) for port in told.input] == [[1, 8, 8], [-1], [-1]]
    assert server.warm_up("small")["label"].shape == (1, 4) and addition.facts["models"] == ["small"]
    assert list(problems(told, flagship.proto)) == []
    assert addition.files["triton/small/1/model.onnx"] == flagship.proto.SerializeToString(deterministic=True)


PORTS = Contract(
    (Port("x", "float32", ("batch", 3, "n"), "x"), Port("ids", "int64", ("batch",), "ids")),
    (Port("y", "float32", ("batch", 4), "y"),),
    {"batch": Range(1, 8, 2), "n": Range(1, 5, 2)},
)


def told(contract=PORTS, **options):
    return text(config("m", contract, Triton(**options), "onnxruntime", can_batch(contract), "cpu"))


FILE = (
    '<ir_version: 10, opset_import: ["" : 20]> g (float[batch, 3, n] x, int64[batch] ids) => (float[batch, 4] y) '
    "{ y = Relu(x) }"
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s, None),
        (lambda s: s.replace('name: "ids"', 'name: "idz"'), "its inputs are ['x', 'idz']"),
        (
            lambda s: s.replace("dims: [3, -1]", "dims: [4, -1]"),
            "the input x is [-1, 4, -1], and the file's [-1, 3, -1]",
        ),
        (lambda s: s.replace("max_batch_size: 8", "max_batch_size: 0"), "the input x is [3, -1]"),
        (lambda s: s.replace("TYPE_INT64", "TYPE_INT32"), "the input ids is TYPE_INT32"),
        (lambda s: s.replace("dims: [4]", "dims: [5]"), "the output y is [-1, 5]"),
    ],
)
def test_a_configuration_that_is_not_the_file_is_found(change, words):
    import onnx

    found = list(problems(parse(change(told())), onnx.parser.parse_model(FILE)))
    assert (found == []) if words is None else any(words in each for each in found), found


def test_what_the_protobuf_does_not_know_is_not_a_configuration():
    with pytest.raises(Failure, match=r"does not read config\.pbtxt"):
        parse(told().replace("max_batch_size", "max_batch"))


def test_options_are_in_the_configuration():
    parsed = parse(told(instances=3, delay_us=250, preferred_batches=[2, 4]))
    assert parsed.instance_group[0].count == 3
    assert parsed.dynamic_batching.max_queue_delay_microseconds == 250
    assert list(parsed.dynamic_batching.preferred_batch_size) == [2, 4]


def test_a_value_that_all_samples_share_takes_batching_away():
    shared = replace(PORTS, inputs=(*PORTS.inputs, Port("table", "float32", (3, 4), "t")))
    parsed = parse(told(shared))
    assert can_batch(PORTS) and parsed.max_batch_size == 0 and not parsed.HasField("dynamic_batching")
    assert [list(port.dims) for port in parsed.input] == [[-1, 3, -1], [-1], [3, 4]]


BASE = "device: cpu\nruntime: onnxruntime\nprecision: fp32\n"


@pytest.mark.parametrize(
    ("more", "line", "words"),
    [
        ("serving: {triton: {instances: 0}}\n", 4, "greater than 0"),
        ("serving: {tritn: {}}\n", 4, "did you mean 'triton'"),
        ("shapes: {batch: {min: 2, max: 8}}\nverify: {batches: [2]}\nserving: {triton: {}}\n", 6, "begin at 1"),
        ("shapes: {batch: {max: 8}}\nserving: {triton: {preferred_batches: [16]}}\n", 5, "shapes.batch ends at 8"),
    ],
)
def test_what_triton_cannot_do_is_said_of_the_target(more, line, words):
    with pytest.raises(SpecError, match=words) as caught:
        read_target(BASE + more)
    assert caught.value.diagnostics[0].position.line == line
