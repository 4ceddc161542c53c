"""The `openai` package against `isovec serve`, as its users use it: only the address is another one."""

import array
import asyncio
import base64
import json
import subprocess
import threading

import openai
import pytest

from conftest import ISOVEC, MODEL

TEXTS = ["a red car", "ein rotes Auto", "", "zwei\nZeilen \U0001f600", "a " * 1000]


def client(service, key="unused", **options):
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key=key, **options)


@pytest.fixture(scope="module")
def expected():
    """The library's vectors."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    command = [ISOVEC, "--quiet", "embed", "--input", "-", "--input-format", "jsonl"]
    output = subprocess.run(command, input=lines.encode(), capture_output=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def same(embedding, expected):
    # As floats of 32 bits, which is what they are: not close, but the same.
    return array.array("f", embedding) == array.array("f", expected["embedding"])


@pytest.mark.parametrize("format", [None, "float", "base64"])
def test_vectors_are_the_librarys(real, expected, format):
    options = {"encoding_format": format} if format else {}
    response = client(real).embeddings.create(model=MODEL, input=TEXTS, **options)
    assert response.object == "list" and response.model == MODEL
    assert [item.index for item in response.data] == list(range(len(TEXTS)))
    for item, line in zip(response.data, expected, strict=True):
        embedding = item.embedding
        if isinstance(embedding, str):
            # Asked for by name, base64 is given as it came.
            embedding = array.array("f", base64.b64decode(embedding))
        assert same(embedding, line)
        assert (item.tokens, item.truncated) == (line["tokens"], line["truncated"])
    tokens = sum(line["tokens"] for line in expected)
    assert (response.usage.prompt_tokens, response.usage.total_tokens) == (tokens, tokens)


def test_one_text_and_headers(real, expected):
    raw = client(real).embeddings.with_raw_response.create(
        model=MODEL, input=TEXTS[0], user="me", dimensions=384, extra_headers={"x-request-id": "trace-1"}
    )
    assert raw.headers["x-request-id"] == "trace-1"
    response = raw.parse()
    assert len(response.data) == 1 and same(response.data[0].embedding, expected[0])
    assert response.fingerprint == raw.headers["isovec-fingerprint"]


def test_async(real, expected):
    async def run():
        async with openai.AsyncOpenAI(base_url=f"{real.url}/v1", api_key="unused") as client:
            calls = [client.embeddings.create(model=MODEL, input=text) for text in TEXTS]
            return await asyncio.gather(*calls)

    for response, line in zip(asyncio.run(run()), expected, strict=True):
        assert same(response.data[0].embedding, line)


def test_models(real):
    models = client(real).models.list()
    assert [model.id for model in models] == [MODEL]
    model = client(real).models.retrieve(MODEL)
    assert (model.dims, model.kind, model.mock, model.owned_by) == (384, "text", False, "isovec")


def test_an_unknown_model(real):
    with pytest.raises(openai.NotFoundError) as e:
        client(real).embeddings.create(model="text-embedding-3-small", input="a")
    assert e.value.code == "model_not_found" and e.value.param == "model"
    assert MODEL in e.value.message and e.value.request_id
    with pytest.raises(openai.NotFoundError):
        client(real).models.retrieve("gpt")


@pytest.mark.parametrize(
    "request_, says",
    [
        ({"input": []}, "cannot be empty"),
        ({"input": [[1, 2], [3]]}, "check_embedding_ctx_length=False"),
        ({"input": [1, 2]}, "check_embedding_ctx_length=False"),
        ({"input": "a", "dimensions": 100}, "384"),
        ({"input": "a", "extra_body": {"colour": 1}}, "unknown field `colour`"),
    ],
)
def test_bad_requests(real, request_, says):
    with pytest.raises(openai.BadRequestError) as e:
        client(real).embeddings.create(model=MODEL, **request_)
    assert says in e.value.message and e.value.code == "invalid_input"


def test_keys(start):
    service = start(f"development: {{ mock_mode: true }}\nserver: {{ api_keys: [sesame-open-thyself-1, sesame-open-thyself-2] }}\n")
    for key in ["sesame-open-thyself-1", "sesame-open-thyself-2"]:
        assert client(service, key).embeddings.create(model=MODEL, input="a").data
    with pytest.raises(openai.AuthenticationError) as e:
        client(service, "wrong-key").embeddings.create(model=MODEL, input="a")
    assert e.value.code == "invalid_api_key"
    service.end()
    for key in ["sesame", "wrong-key"]:
        assert key not in service.log()


def test_overload_is_told_at_once_and_retried(start):
    service = start("performance: { max_concurrent_requests: 1 }\n")
    patient, hasty = client(service, max_retries=50), client(service, max_retries=0)
    results = []

    def occupy():
        for round in range(2):
            texts = [f"{round} {i} " + "word " * 400 for i in range(24)]
            results.append(patient.embeddings.create(model=MODEL, input=texts))

    thread = threading.Thread(target=occupy)
    thread.start()
    refused = None
    number = 0
    while thread.is_alive() and refused is None:
        number += 1
        try:
            hasty.embeddings.create(model=MODEL, input=f"another {number}")
        except openai.RateLimitError as e:
            refused = e
    assert refused is not None, "nothing was refused"
    assert refused.code == "overloaded" and int(refused.response.headers["retry-after"]) >= 1
    # The package's own retries get through when there is room.
    assert patient.embeddings.create(model=MODEL, input="patience").data
    thread.join()
    assert [len(result.data) for result in results] == [24, 24]
