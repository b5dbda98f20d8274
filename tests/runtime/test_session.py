"""A package answers without torch: what torch answered, whatever shares the batch."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from small_packages import golden_of

import mmspec
from mmspec.errors import UserError
from mmspec.reading.preprocessing import Preprocessing
from mmspec.reading.sounds import WaveformColumn
from mmspec.runtime import BadRequest, Contract, Session
from mmspec.runtime.ports import Port
from mmspec.runtime.samples import Sample, apart, batches_of, plain, sample_of, stacked

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # what the contract allows


@pytest.fixture(scope="module")
def session(package):
    return Session(package, threads=1)


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, **CLOSE, err_msg=name)


def test_it_answers_as_torch_did_alone_and_together(session, golden):
    together = session([request for request, _ in golden])
    for (request, wanted), found in zip(golden, together, strict=True):
        same(found["outputs"], wanted)
        same(session({name: value.tolist() for name, value in request.items()})["outputs"], wanted)


ALONE = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pydantic", "yaml", "click", "rich", "onnx", "optuna", "fastapi"):
            raise ImportError(f"{name} is refused")
sys.meta_path.insert(0, Refusing())
from pathlib import Path
from mmspec.runtime import Session
answer = Session(sys.argv[1])({"image": Path(sys.argv[2]), "text": sys.argv[3]})["answers"]["label"]
print(answer["answer"], answer["probability"], answer["exit"])
"""


def test_a_process_without_torch_and_without_the_compiler_says_what_predict_says(package, trained, example):
    typed = [sys.executable, "-c", ALONE, str(package), str(example["image"]), example["text"]]
    environment = os.environ | {"PYTHONPATH": str(Path(mmspec.__file__).parent.parent)}
    said = subprocess.run(typed, capture_output=True, text=True, env=environment, check=True).stdout.split()
    wanted = mmspec.predict(trained, {name: str(value) for name, value in example.items()})["label"]
    assert (said[0], int(said[2])) == (wanted["answer"], wanted["exit"])
    assert float(said[1]) == pytest.approx(wanted["probability"], abs=1e-5)


def test_a_file_by_its_path_by_its_bytes_and_as_numbers_is_the_same_picture(session, example):
    column = session.preprocessing.columns["image"]
    pixels = column.batch([column.read(example["image"])])[0]
    first, *others = session(
        [{**example, "image": image} for image in (example["image"], example["image"].read_bytes(), pixels)]
    )
    for other in others:
        same(other["outputs"], first["outputs"])


def test_texts_of_any_length_share_a_batch_and_an_absent_one_is_a_mask_of_nothing(session, example):
    texts = ["a", "what comes after it?", None, "is it even?"]
    requests = [{**example, "text": text} for text in texts]
    for request, found in zip(requests, session(requests), strict=True):
        same(found["outputs"], session(request)["outputs"])
    hidden = session({**example, "text": [5, 6], "text_mask": [False, False]})
    same(hidden["outputs"], session({**example, "text": None})["outputs"])
    shown = session({**example, "text": [5, 6]})["outputs"]["label"]
    assert np.abs(shown - hidden["outputs"]["label"]).max() > 1e-4


PICTURE = np.zeros((1, 8, 8)).tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": ...}, "image: missing"),
        ({"text": ...}, "text: missing; null if it is absent"),
        ({"imag": 1}, "imag: there is no such input; did you mean image?"),
        ({"zzz": 1}, "zzz: there is no such input; the inputs are: image, text, text_mask"),
        ({"image": None}, "image: may not be absent: no mask says so to the model"),
        ({"image": "seven.png"}, "image: a text, where the model takes the bytes of a file, or numbers"),
        ({"image": b"no picture"}, "image: not an image of a known kind"),
        ({"image": Path("nowhere.png")}, "image: no such file"),
        ({"image": [PICTURE[0], [1, 2]]}, "image: lists of different lengths"),
        ({"image": PICTURE[0]}, r"image: of shape \[8, 8\], where the model takes \[1, 8, 8\]"),
        ({"image": np.full((1, 8, 8), np.nan)}, "image: has a number that is not finite"),
        ({"image": np.full((1, 8, 8), 1e300).tolist()}, "image: has a number that is not finite"),
        ({"image": [[[None] * 8] * 8]}, r"image: the model takes numbers \(float32\)"),
        ({"image": [[[10**400] * 8] * 8]}, "image: has a number that is not finite"),
        ({"text": ["x" * 10**6] + ["y"] * 10**6}, r"text: the model takes whole numbers \(int64\)"),  # 4 TB as numpy's texts
        ({"text": "x" * 2049}, "text: 2,049 characters, where the model takes 32 tokens"),
        ({"image": {"a": 1}}, r"image: the model takes numbers \(float32\)"),
        ({"image": np.zeros((1, 8, 8), bool)}, r"image: the model takes numbers \(float32\)"),
        ({"text": ""}, "text: empty text"),
        ({"text": "a\ud800"}, "text: half of a surrogate pair is no text"),
        ({"text": "x" * 33}, "text: 33 tokens where the model takes 32"),
        ({"text": b"bytes"}, "text: a file, where the model takes a text, or numbers"),
        ({"text": []}, "text: empty"),
        ({"text": [1] * 33}, "text: text_length is 33, where the model takes 1 to 32"),
        ({"text": [1.5]}, r"text: the model takes whole numbers \(int64\)"),
        ({"text": [257]}, "text: ids are from 0 to 256"),
        ({"text": [-1]}, "text: ids are from 0 to 256"),
        ({"text": [2**63]}, "text: ids are from 0 to 256"),
        ({"text": [2**70]}, "text: ids are from 0 to 256"),
        ({"text": [1, 2], "text_mask": [True]}, "text_mask: its text_length is 1, where that of another input is 2"),
        ({"text": [1], "text_mask": [1]}, r"text_mask: the model takes true and false \(bool\)"),
        ({"text": "a", "text_mask": [True]}, "text_mask: goes with text as numbers only"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_said_with_its_input(session, changed, message):
    request = {name: value for name, value in ({"image": PICTURE, "text": "a"} | changed).items() if value is not ...}
    with pytest.raises(BadRequest, match=message) as one:
        session(request)
    assert str(one.value).startswith(f"{one.value.name}: ") and len(str(one.value).splitlines()) == 1
    with pytest.raises(BadRequest, match=f"^request 1: {message}"):
        session([{"image": PICTURE, "text": "a"}, request])


def test_a_damaged_picture_is_said_to_be_one(session, example):
    whole = example["image"].read_bytes()
    with pytest.raises(BadRequest, match=r"^image: (damaged image|not an image)"):
        session({**example, "image": whole[: len(whole) // 2]})


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_sound_comes_as_the_bytes_of_its_file(rate):
    contract = Contract({"sound": Port("sound", "float32", ("batch", 100))}, {}, {"batch": (1, 8)}, {})
    known = Preprocessing({"sound": WaveformColumn(8000, 100)}, {})
    file = io.BytesIO()
    soundfile.write(file, np.full((50, 2), 0.5), rate, format="WAV")
    if rate == 8000:
        heard = sample_of({"sound": file.getvalue()}, contract, known).arrays["sound"]
        assert heard[:50] == pytest.approx(0.5, abs=1e-4) and not heard[50:].any() and heard.shape == (100,)
        return
    with pytest.raises(BadRequest, match="sound: 16,000 samples a second, where the model hears 8,000"):
        sample_of({"sound": file.getvalue()}, contract, known)


def pairs(outputs):
    """A contract of one text, whose outputs have these dimensions."""
    text = Port("text", "int64", ("batch", "text_length"), 9, ((0, 1),), "text_mask")
    mask = Port("text_mask", "bool", ("batch", "text_length"))
    told = {name: Port(name, "float32", dims) for name, dims in outputs.items()}
    return Contract({"text": text, "text_mask": mask}, told, {"batch": (2, 3), "text_length": (2, 6)}, {})


def samples(contract, *lengths):
    return [sample_of({"text": [0, *[3] * (length - 1)]}, contract, None) for length in lengths]


def test_each_sample_gets_of_an_output_what_is_its_own():
    """Of what is computed for tokens its own tokens, of what compares all samples with all the comparison with itself."""
    contract = pairs({"words": ("batch", "text_length", 2), "similarity": ("batch", "batch")})
    given = samples(contract, 4, 1, 3)
    outputs = {"words": np.arange(24).reshape(3, 4, 2), "similarity": np.arange(9).reshape(3, 3)}
    found = apart(outputs, given, contract)
    assert [each["words"].shape for each in found] == [(4, 2), (2, 2), (3, 2)]  # the least length is 2
    assert [each["similarity"].tolist() for each in found] == [[0], [4], [8]]
    assert found[2]["words"].tolist() == [[16, 17], [18, 19], [20, 21]]


def test_shorter_texts_are_filled_up_with_what_is_no_place_and_masked():
    contract = pairs({"words": ("batch", "text_length", 2)})
    inputs = stacked(samples(contract, 3, 1), contract)
    assert inputs["text"].tolist() == [[0, 3, 3], [0, 1, 1]]  # 0 is a place: it may not stand where no token is
    assert inputs["text_mask"].tolist() == [[True] * 3, [True, False, False]]
    assert stacked(samples(contract, 2), contract)["text"].shape == (2, 2)  # the least batch is 2


def test_a_number_for_each_sample_is_an_input_like_any_other():
    """Such as what may be spent on it: it has no dimension but the batch."""
    budget = {"budget": Port("budget", "float32", ("batch",))}
    contract = Contract(budget, {}, {"batch": (1, 3)}, {})
    given = [sample_of({"budget": spent}, contract, None) for spent in (2, np.float32(0.5), 1e6)]
    assert stacked([plain(contract), *given], contract)["budget"].tolist() == [0, 2, 0.5, 1e6]
    for wrong in ([1, 2], "much", None, np.nan):
        with pytest.raises(BadRequest, match=r"^budget: "):
            sample_of({"budget": wrong}, contract, None)


def test_a_batch_is_no_larger_than_the_model_takes_nor_mixes_what_cannot_be_told_apart_after():
    contract, sums = (pairs({"all": ("batch", dim, 2)}) for dim in ("text_length", "text_length + 16"))
    lengths = (4, 1, 4, 3, 1)
    assert list(batches_of(samples(contract, *lengths), contract, 3)) == [[0, 1, 2], [3, 4]]
    assert list(batches_of(samples(sums, *lengths), sums, 3)) == [[0, 2], [1, 4], [3]]


def test_places_are_counted():
    contract = pairs({})
    with pytest.raises(BadRequest, match="text: has 2 places of id 0, where the model takes 1"):
        sample_of({"text": [0, 0, 3]}, contract, None)
    assert isinstance(sample_of({"text": None}, contract, None), Sample)


def test_openvino_runs_the_same_package(one_file):
    pytest.importorskip("openvino")
    session = Session(one_file, threads=1, runtime="openvino")
    for request, wanted in golden_of(one_file):
        same(session(request)["outputs"], wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runtime": "tensorrt"}, "runtime 'tensorrt' is not run here; what is: onnxruntime, openvino"),
        ({"threads": -1}, "threads is a whole number"),
        ({"most": 0}, "a batch has at least one sample"),
        ({"device": "tpu"}, "device is cpu or cuda, not 'tpu'"),
        ({"device": "cuda", "runtime": "openvino"}, "OpenVINO is run on a cpu"),
    ],
)
def test_what_a_session_cannot_be_is_said(one_file, arguments, message):
    with pytest.raises(UserError, match=message):
        Session(one_file, **arguments)


def test_what_is_no_package_is_said_in_a_line(tmp_path):
    with pytest.raises(
        UserError, match=r"contract.json: No such file or directory; is this the package of an export\?"
    ):
        Session(tmp_path)
    (tmp_path / "contract.json").write_text('{"inputs": []}')
    with pytest.raises(UserError, match="was not written by mmspec, or was changed since"):
        Session(tmp_path)


def test_a_package_of_another_form_is_said_to_be_one(one_file, tmp_path):
    told = json.loads((one_file / "contract.json").read_text())
    assert (told["form"], told["runtime"], told["precision"]) == ("conditions", "onnxruntime", "fp32")
    (tmp_path / "contract.json").write_text(json.dumps(told | {"form": "other"}))
    with pytest.raises(UserError, match="a package of form 'other'; what is run here: conditions, stages, writer"):
        Session(tmp_path)


def test_on_cuda_it_answers_as_torch_did_or_says_in_a_line_that_there_is_none(one_file, tmp_path):
    shutil.copytree(one_file, tmp_path / "package")
    told = json.loads((one_file / "contract.json").read_text())
    assert told["device"] == "cpu"
    (tmp_path / "package" / "contract.json").write_text(json.dumps(told | {"device": "cuda"}))
    for package, device in ((one_file, "cuda"), (tmp_path / "package", None)):
        try:
            session = Session(package, device=device)
        except UserError as error:
            told = str(error)
        else:
            told = "is not run on cuda here"
            for request, wanted in golden_of(package):
                same(session(request)["outputs"], wanted)
        assert "is not run on cuda here" in told and len(told.splitlines()) == 1
    assert Session(tmp_path / "package", device="cpu").device == "cpu"


def test_samples_of_one_batch_leave_at_different_exits_as_they_do_alone(session):
    random = np.random.default_rng(0)
    requests = [{"image": random.standard_normal((1, 8, 8)), "text": [int(i) + 1]} for i in range(64)]
    exits = [int(found["outputs"]["label.exit"]) for found in session(requests)]
    assert exits == [int(session(request)["outputs"]["label.exit"]) for request in requests]
    assert set(exits) == {0, 1}


def test_a_file_that_is_no_model_is_said_in_a_line(one_file, tmp_path):
    (tmp_path / "contract.json").write_bytes((one_file / "contract.json").read_bytes())
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"not one")
    with pytest.raises(UserError, match="onnxruntime cannot open the files in ") as error:
        Session(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_a_picture_is_laid_out_as_training_lays_it_out(session):
    """White is 1 and black -1, rows from the top."""
    image = Image.new("L", (8, 8), 255)
    image.paste(0, (0, 0, 8, 2))
    file = io.BytesIO()
    image.save(file, "PNG")
    read = session.read({"image": file.getvalue(), "text": "a"}).arrays["image"]
    assert read.shape == (1, 8, 8) and (read[0, :2] == -1).all() and (read[0, 2:] == 1).all()
