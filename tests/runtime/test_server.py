"""The application answers what the session answers, says which input is wrong, and bounds what it takes."""

import asyncio
import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

import mmspec
from mmspec.errors import UserError
from mmspec.runtime import Session
from mmspec.serving import Limits, serve
from mmspec.serving import server as server_module
from mmspec.serving.application import application

SERVE = [sys.executable, "-c", "from mmspec.cli import main; main()", "serve"]


@asynccontextmanager
async def client_of(package, **limits):
    app = application(Session(package, threads=1), Limits(**limits))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            yield client


def posted(package, *bodies, **limits):
    """The answers to some bodies, asked at the same time, and the metrics after them."""

    async def ask():
        async with client_of(package, **limits) as client:
            sent = [
                client.post(
                    "/v1/predict", content=body if isinstance(body, str | bytes) else json.dumps(body), headers=JSON
                )
                for body in bodies
            ]
            answers = await asyncio.gather(*sent)
            return [*answers, metrics(await client.get("/metrics"))]

    return asyncio.run(ask())


JSON = {"content-type": "application/json"}


def metrics(answer):
    lines = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def written(example):
    return {"image": {"base64": base64.b64encode(example["image"].read_bytes()).decode()}, "text": example["text"]}


def test_it_answers_over_http_what_the_session_answers(package, example):
    wanted = Session(package, threads=1)(example)
    answer, counted = posted(package, {"inputs": written(example)})
    assert answer.status_code == 200
    told = answer.json()
    assert told["answers"]["label"]["answer"] == wanted["answers"]["label"]["answer"]
    assert told["outputs"].keys() == wanted["outputs"].keys()
    for name, array in wanted["outputs"].items():
        np.testing.assert_allclose(told["outputs"][name], array, rtol=1e-4, atol=1e-5)
    assert counted['mmspec_requests_total{code="200"}'] == 1 == counted["mmspec_request_seconds_count"]


def test_raw_numbers_are_the_numbers(one_file):
    picture = np.random.default_rng(0).standard_normal((1, 8, 8)).astype(np.float32)
    ids = np.array([3, 4, 5])
    raw = {
        name: {"raw": base64.b64encode(array.tobytes()).decode(), "shape": list(array.shape)}
        for name, array in {"image": picture, "text": ids, "text_mask": ids > 3}.items()
    }
    listed = {"image": picture.tolist(), "text": ids.tolist(), "text_mask": (ids > 3).tolist()}
    first, second, _ = posted(one_file, {"inputs": raw}, {"inputs": listed}, batch=1)
    assert first.json() == second.json() and first.status_code == 200


def test_what_comes_together_is_run_together_and_each_gets_its_own(one_file, example):
    texts = ["a", "what comes after it?", None, "is it even?", "which digit is this?", "abc"] * 2
    session = Session(one_file, threads=1)
    *answers, counted = posted(
        one_file, *[{"inputs": written({**example, "text": text})} for text in texts], batch=8, delay_ms=400
    )
    for text, answer in zip(texts, answers, strict=True):
        wanted = session({**example, "text": text})["outputs"]["label"]
        np.testing.assert_allclose(answer.json()["outputs"]["label"], wanted, rtol=1e-4, atol=1e-5)
    assert (counted["mmspec_batch_samples_sum"], counted["mmspec_batch_samples_count"]) == (12, 2)  # 8 and 4
    assert counted['mmspec_batch_samples_bucket{le="4"}'] == 1


P = [[[0.0] * 8] * 8]


def png(width, height, noise=0):
    """A picture in base64, of which as many pixels as there are bytes of noise are there."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(noise))))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


BOMB, HALF = png(5000, 5000), png(8, 8, 40)


@pytest.mark.parametrize(
    ("body", "code", "name", "message"),
    [
        ("{", 400, None, "the body is not JSON"),
        ("[" * 100_000, 400, None, "the body is not JSON"),
        (b"\xff\xfe", 400, None, "the body is not JSON"),
        ("", 400, None, "the body is empty"),
        ('{"inputs": {"text": "a", "text": "b"}}', 400, None, "'text' is said twice"),
        ({"inputs": {}, "tokens": 3}, 400, None, "there is no 'tokens' beside the inputs"),
        ({"inputs": [{"image": P, "text": "a"}] * 300}, 400, None, 'the body is {"inputs": {...}}'),
        ('{"inputs": {"\\ud800": 1}}', 422, "?", "there is no such input"),
        ('{"inputs": {"image": ' + "[" * 60 + "1" + "]" * 60 + ', "text": "a"}}', 422, "image", "of shape [1, 1, "),
        ({"inputs": {"image": [P] * 300, "text": "a"}}, 422, "image", "of shape [300, 1, 8, 8]"),
        ({"inputs": {"image": P, "text": [1, 2], "text_mask": [True]}}, 422, "text_mask", "its text_length is 1"),
        ({"inputs": {"image": P, "text": [257]}}, 422, "text", "ids are from 0 to 256"),
        ({"inputs": {"image": P, "text": "x" * 8_000_000}}, 422, "text", "8,000,000 characters"),
        ({"inputs": {"image": {"base64": BOMB}, "text": "a"}}, 422, "image", "more than 16,777,216 pixels"),
        ({"inputs": {"image": {"base64": HALF}, "text": "a"}}, 422, "image", "damaged image"),
        ({"inputs": {"image": {"raw": "AAAA", "shape": [10**3000] * 500}, "text": "a"}}, 422, "image", "a shape that is not"),
        ({"image": P}, 400, None, 'the body is {"inputs": {...}}'),
        ({"inputs": {"image": P}}, 422, "text", "missing"),
        ({"inputs": {"image": P, "text": "a", "txt": 1}}, 422, "txt", "did you mean text?"),
        ({"inputs": {"image": P, "text": "x" * 33}}, 422, "text", "33 tokens where the model takes 32"),
        ('{"inputs": {"image": [[[NaN]]], "text": "a"}}', 422, "image", "of shape [1, 1, 1]"),
        (json.dumps({"inputs": {"image": P, "text": "a"}}).replace("0.0", "NaN", 1), 422, "image", "not finite"),
        (json.dumps({"inputs": {"image": P, "text": "a"}}).replace("0.0", "1e999", 1), 422, "image", "not finite"),
        ({"inputs": {"image": {"base64": "%%%"}, "text": "a"}}, 422, "image", "not base64"),
        ({"inputs": {"image": {"base64": 5}, "text": "a"}}, 422, "image", "not base64"),
        ({"inputs": {"image": {"base64": "iVBORw0KGgo="}, "text": "a"}}, 422, "image", "image"),
        ({"inputs": {"image": {"raw": "AAAA", "shape": [1, 8, 8]}, "text": "a"}}, 422, "image", "has 3 bytes, and a shape"),
        ({"inputs": {"image": {"raw": "AAAA" * 30, "shape": [1, 8, 8]}, "text": "a"}}, 422, "image", "90 bytes, not the 256"),
        ({"inputs": {"image": {"raw": "AAAA", "shape": [-1]}, "text": "a"}}, 422, "image", "list of whole numbers"),
        ({"inputs": {"image": {"path": "/etc/passwd"}, "text": "a"}}, 422, "image", "is a text, numbers"),
        ({"inputs": {"image": {"url": "http://here/"}, "text": "a"}}, 422, "image", "is a text, numbers"),
        ({"inputs": {"image": True, "text": "a"}}, 422, "image", "the model takes numbers"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_with_what_is_wrong(served, body, code, name, message):
    answer = httpx.post(
        f"{served}/v1/predict", content=body if isinstance(body, str | bytes) else json.dumps(body), headers=JSON
    )
    error = answer.json()["error"]
    assert (answer.status_code, error.get("input")) == (code, name)
    assert message in error["message"] and len(error["message"]) < 400


def test_a_path_is_a_text_and_no_file_is_opened(served, example):
    body = json.dumps({"inputs": {"image": str(example["image"]), "text": "a"}})
    answer = httpx.post(f"{served}/v1/predict", content=body, headers=JSON)
    assert answer.status_code == 422 and "the bytes of a file" in answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def served(one_file):
    """A server in a process of its own, as it is used."""
    with started(one_file) as process:
        yield address(process)
        process.terminate()


def started(package, *options):
    environment = os.environ | {"PYTHONPATH": str(Path(mmspec.__file__).parent.parent)}
    command = [*SERVE, str(package), "--port", "0", "--threads", "1", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def address(process):
    return process.stdout.readline().split()[-1]


def test_what_is_too_large_is_not_read_whether_it_says_so_or_not(one_file):
    async def ask():
        async with client_of(one_file, body_bytes=100) as client:
            said = await client.post("/v1/predict", content=b"x" * 101, headers=JSON)

            async def parts():
                for _ in range(3):
                    yield b"x" * 50

            return said, await client.post("/v1/predict", content=parts(), headers=JSON)

    for answer in asyncio.run(ask()):
        assert answer.status_code == 413 and "100" in answer.json()["error"]["message"]


def test_another_type_than_json_is_refused(one_file):
    async def ask():
        async with client_of(one_file) as client:
            return await client.post("/v1/predict", content="a=1", headers={"content-type": "text/plain"})

    assert asyncio.run(ask()).status_code == 415


def test_wrong_addresses_are_answered_like_wrong_requests_and_wrong_requests_are_counted(one_file):
    async def ask():
        async with client_of(one_file) as client:
            wrong = [await client.get("/v1/predict"), await client.post("/v1/write"), await client.get("/v2")]
            packed = await client.post("/v1/predict", content=b"", headers={**JSON, "content-encoding": "gzip"})
            broken = await client.post("/v1/predict", content='{"inputs": {"\\ud800": 1}}', headers=JSON)
            return [*wrong, packed, broken], metrics(await client.get("/metrics"))

    answers, counted = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [405, 404, 404, 415, 422]
    assert all(answer.json()["error"]["message"] for answer in answers)
    assert (counted['mmspec_requests_total{code="415"}'], counted['mmspec_requests_total{code="422"}']) == (1, 1)
    assert counted["mmspec_requests_inside"] == 0


def test_more_than_fit_inside_are_told_to_come_back(one_file):
    bodies = [{"inputs": {"image": P, "text": "a"}}] * 6
    *answers, counted = posted(one_file, *bodies, inside=2, delay_ms=200, batch=32)
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 4
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)
    assert counted['mmspec_requests_total{code="429"}'] == 4 and counted["mmspec_requests_inside"] == 0


def test_what_takes_too_long_is_given_up_and_the_next_is_answered(one_file):
    async def ask():
        async with client_of(one_file, seconds=0.1, delay_ms=300) as client:
            late = await client.post("/v1/predict", json={"inputs": {"image": P, "text": "a"}})

            async def slow():
                yield b"{"
                await asyncio.sleep(0.5)
                yield b"}"

            return (
                late,
                await client.post("/v1/predict", content=slow(), headers=JSON),
                await client.get("/health/ready"),
            )

    late, slow, ready = asyncio.run(ask())
    assert (late.status_code, slow.status_code, ready.status_code) == (504, 408, 200)


def test_it_says_what_it_serves(one_file):
    async def ask():
        async with client_of(one_file) as client:
            return [
                await client.get(at)
                for at in ("/health/live", "/health/ready", "/v1/metadata", "/openapi.json", "/docs")
            ]

    live, ready, metadata, described, page = asyncio.run(ask())
    assert live.json() == {"status": "live"} and ready.json() == {"ready": True} and page.status_code == 200
    assert metadata.json()["contract"] == json.loads((one_file / "contract.json").read_text())
    schema = described.json()["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["inputs"]["required"] == ["image", "text"]
    told = schema["properties"]["inputs"]["properties"]["text"]["description"]
    assert "int64[text_length]; text_length: 1 to 32" in told
    body = metadata.json()["example"]
    assert (
        body
        == described.json()["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
    )
    answer, _ = posted(one_file, body)
    assert answer.status_code == 200


def test_told_to_stop_it_answers_what_it_has_begun(one_file):
    with started(one_file, "--delay-ms", "1500") as process:
        host, port = address(process).removeprefix("http://").split(":")
        body = json.dumps({"inputs": {"image": P, "text": "a"}})
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall((head + body).encode())
            time.sleep(0.5)  # it has begun, and waits for others
            process.send_signal(signal.SIGTERM)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert process.wait(30) == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((host, int(port)), timeout=5)
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_and_a_folder_that_is_no_package_are_said_in_a_line(one_file, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serving = pytest.raises(UserError, match=f"cannot listen on 127.0.0.1, port {port}: ")
        with serving:
            serve(one_file, port=port)
    with pytest.raises(UserError, match=r"is this the package of an export\?"):
        serve(tmp_path)


def test_without_fastapi_the_line_that_installs_it_is_said(one_file, monkeypatch):
    monkeypatch.setattr(server_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"serving needs fastapi and uvicorn: pip install 'mmspec\[serve\]'"):
        serve(one_file)
