"""A package that writes writes what torch writes, by itself and in company, in Python and over HTTP."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from small_packages import golden_of

import mmspec
from mmspec.errors import UserError
from mmspec.reading.text import ByteTokenizer
from mmspec.runtime import BadRequest, Session
from mmspec.serving import Limits
from mmspec.serving.application import application
from mmspec.serving.streaming import Pieces

REQUESTS = [
    {"text": "abc"},
    {"text": "bb", "target": "b"},
    {"text": "a"},
    {"text": "abcab", "target": "bac"},
    {"text": "ca"},
]


@pytest.fixture(scope="module")
def session(writer):
    return Session(writer, threads=1)


@pytest.mark.parametrize("tokens", [1, 3, 128])
def test_it_writes_what_torch_writes_alone_and_together(session, learned_to_write, tokens):
    together = session.write(REQUESTS, tokens=tokens)
    for request, found in zip(REQUESTS, together, strict=True):
        wanted = mmspec.predict(learned_to_write, request, tokens=tokens)["words"]
        assert (found["text"], len(found["ids"]), found["ended"]) == (wanted["text"], wanted["tokens"], wanted["ended"])
        assert session.write(request, tokens) == found
    assert (tokens == 128) in {found["ended"] for found in together}


def test_numbers_are_gone_on_with_from_the_last_that_is_present(session):
    wanted = session.write({"text": "abcab", "target": "ba"})
    numbers = {
        "text": [98, 99, 100, 98, 99],
        "target": np.array([0, 99, 98, 7]),
        "target_mask": [True, True, True, False],
    }
    assert session.write(numbers) == wanted
    absent = session.write([{"text": None}, {"text": "abc"}])
    assert absent == [session.write({"text": None}), session.write({"text": "abc"})]


def test_its_outputs_are_those_of_the_contract(session, writer):
    pairs = golden_of(writer)
    assert pairs
    for request, wanted in pairs:
        found = session(request)["outputs"]["words"]
        np.testing.assert_allclose(found, wanted["words"][: len(found)], rtol=1e-3, atol=1e-4)


ALONE = """
import sys
from mmspec.runtime import Session
print(Session(sys.argv[1]).write({"text": "abc"})["text"])
assert not {"torch", "pydantic", "yaml", "onnx"} & set(sys.modules)
"""


def test_it_writes_without_torch_and_without_the_compiler(session, writer):
    environment = os.environ | {"PYTHONPATH": str(Path(mmspec.__file__).parent.parent)}
    typed = [sys.executable, "-c", ALONE, str(writer)]
    said = subprocess.run(typed, capture_output=True, text=True, env=environment, check=True).stdout
    assert said.rstrip("\n") == session.write({"text": "abc"})["text"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"text": "abc", "target": None}, "target: absent, and a text goes on from a token that is present"),
        ({"text": "abc", "target": [0], "target_mask": [False]}, "target: absent"),
        ({"text": "abc", "target": "123456789"}, "target: 10 tokens, and the model's texts end after 10"),
        ({"text": "abc", "target": [0, *range(1, 10)]}, "target: 10 tokens, and the model's texts end after 10"),
        ({"target": "abc"}, "text: missing"),
    ],
)
def test_where_a_text_cannot_go_on_is_said(session, request_, message):
    with pytest.raises(BadRequest, match=message):
        session.write(request_)
    with pytest.raises(BadRequest, match=f"request 1: {message}"):
        session.write([{"text": "abc"}, request_])


def test_a_number_of_tokens_is_one_and_a_package_that_does_not_write_says_so(session, one_file):
    for tokens in (0, -1, 2.0, True, "3"):
        with pytest.raises(BadRequest, match="tokens: a whole number from 1"):
            session.write({"text": "abc"}, tokens)
    with pytest.raises(UserError, match=r"does not write a text: .* decoding: cache"):
        Session(one_file).write({"text": "abc"})


def asked(session, *bodies, **limits):
    """The answers to bodies that come together, and the metrics after them."""

    async def ask():
        app = application(session, Limits(**limits))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client,
        ):
            answers = await asyncio.gather(*(client.post("/v1/write", json=body) for body in bodies))
            told = (await client.get("/metrics")).text.splitlines()
            more = [(await client.get(at)).json() for at in ("/v1/metadata", "/openapi.json")]
            return answers, dict(line.rsplit(" ", 1) for line in told if line[0] != "#"), *more

    return asyncio.run(ask())


def test_over_http_texts_that_come_together_are_written_together(session):
    tokens = [5, 1, 4, 2, 5]
    bodies = [{"inputs": request, "tokens": count} for request, count in zip(REQUESTS, tokens, strict=True)]
    answers, counted, metadata, described = asked(session, *bodies, {"inputs": {"text": "ca"}}, tokens=5, delay_ms=200)
    wanted = [session.write(request, count) for request, count in zip(REQUESTS, tokens, strict=True)]
    assert [answer.json() for answer in answers] == [*wanted, session.write({"text": "ca"}, 5)]
    assert (counted["mmspec_batch_samples_count"], counted["mmspec_batch_samples_sum"]) == ("1", "6")
    assert int(counted["mmspec_written_tokens_total"]) == sum(len(answer.json()["ids"]) for answer in answers)
    assert metadata["address"] == "/v1/write" and metadata["limits"]["tokens"] == 5
    body = described["paths"]["/v1/write"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["properties"]["inputs"]["required"] == ["text"]  # a target begins with its start
    (answer,), *_ = asked(session, body["example"])
    assert answer.status_code == 200 and body["example"] == metadata["example"]


def test_a_stream_has_an_event_for_each_token_and_one_for_the_whole(session):
    bodies = [{"inputs": {"text": text}, "stream": True} for text in ("abc", "bb")]
    answers, counted, *_ = asked(session, *bodies, delay_ms=200)
    for answer, body in zip(answers, bodies, strict=True):
        assert answer.headers["content-type"].startswith("text/event-stream")
        *pieces, whole = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
        assert whole == session.write(body["inputs"])
        assert [piece["id"] for piece in pieces] == whole["ids"]
        assert "".join(piece["text"] for piece in pieces) == whole["text"]
    assert counted['mmspec_requests_total{code="200"}'] == "2" and counted["mmspec_requests_inside"] == "0"


@pytest.mark.parametrize(
    ("said", "name", "message"),
    [
        ({"tokens": 6}, "tokens", "at most 5 are written"),
        ({"tokens": 0}, "tokens", "a whole number from 1"),
        ({"tokens": None}, "tokens", "a whole number from 1"),
        ({"stream": 1}, "stream", "true or false"),
        ({"inputs": {"text": "abcabcabc"}, "stream": True}, "text", "9 tokens where the model takes 8"),
    ],
)
def test_a_wrong_request_for_a_text_is_answered_with_what_is_wrong(session, said, name, message):
    (answer,), *_ = asked(session, {"inputs": {"text": "abc"}, **said}, tokens=5)
    assert (answer.status_code, answer.json()["error"]) == (422, {"input": name, "message": message})


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_that_nobody_waits_for_is_not_written_to_its_end(writer, stream):
    session = Session(writer, threads=1)
    step, steps = session.writer.step, []

    def slow(values):
        steps.append(1)
        time.sleep(0.15)
        return step(values)

    session.writer.step = slow
    session.writer.plan = {**session.writer.plan, "stop": []}  # it would go on to the longest text, 9 tokens
    (answer,), counted, *_ = asked(session, {"inputs": {"text": "abc"}, "stream": stream}, seconds=0.4)
    assert "within 0.4 s" in answer.text and answer.status_code == (200 if stream else 504)
    assert counted['mmspec_requests_total{code="504"}'] == "1" and counted["mmspec_requests_inside"] == "0"
    time.sleep(0.5)
    assert len(steps) < 7


def test_pieces_together_are_the_text_where_a_letter_takes_several_tokens():
    ids = ByteTokenizer().encode("a €ö!")
    pieces = Pieces(ByteTokenizer())
    told = [pieces.after(id)["text"] for id in ids]
    assert "".join(told) == "a €ö!" and told.count("") == 3
