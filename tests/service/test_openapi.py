"""schemathesis against `/openapi.json`: whatever is sent, no answer is a failure of the server's, and each is
one that the document says."""

import json
import pathlib
import subprocess
import sys

import pytest

from conftest import IMAGE_MODEL, MODEL, PNG

# Not `positive_data_acceptance`: a schema cannot say which models are loaded, or that a string is an image.
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method", "allow_header_conformance",
]


@pytest.fixture(scope="session")
def document(mock):
    return json.loads(mock.get("/openapi.json")[2])


def test_the_document_is_whole(document):
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/embeddings", "/v1/images/embeddings", "/v1/multimodal/embeddings", "/v1/models",
        "/v1/models/{model}", "/embed", "/similarity", "/info", "/health", "/health/live", "/health/ready",
        "/metrics", "/openapi.json",
    }
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(set(operations)) == len(operations)
    embeddings = document["paths"]["/v1/embeddings"]["post"]
    assert {"200", "400", "401", "404", "413", "415", "429", "503", "504"} <= set(embeddings["responses"])


def run_schemathesis(service, document, folder, examples, *arguments):
    file = folder / "openapi.json"
    file.write_text(json.dumps(document))
    command = [
        str(pathlib.Path(sys.executable).parent / "schemathesis"), "run", str(file), "--url", service.url,
        "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--seed", "1",
        "--max-examples", str(examples), "--continue-on-failure", "--suppress-health-check", "all",
        "--warnings", "off", *arguments,
    ]
    done = subprocess.run(command, capture_output=True, cwd=folder, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-20_000:]
    assert service.process.poll() is None
    assert service.metric("isovec_http_requests_in_flight") == 1, "the one that asks"


def test_answers_are_as_documented(mock, document, tmp_path):
    # What no schema can say, so that requests get further: which models are there, and what an image is.
    schemas = document["components"]["schemas"]
    schemas["EmbeddingsRequest"]["properties"]["model"] = {"anyOf": [{"const": MODEL}, {"type": "string"}]}
    schemas["ImagesRequest"]["properties"]["model"] = {"anyOf": [{"const": IMAGE_MODEL}, {"type": "string"}]}
    image = {"anyOf": [{"const": PNG}, {"const": f"data:image/png;base64,{PNG}"}, {"type": "string"}]}
    schemas["ImagesRequest"]["properties"]["input"] = {"anyOf": [image, {"type": "array", "items": image, "minItems": 1}]}
    schemas["Pair"]["properties"]["image"] = image
    run_schemathesis(mock, document, tmp_path, 60)


def test_answers_of_a_real_model_are_too(real, document, tmp_path):
    run_schemathesis(real, document, tmp_path, 10, "--include-path", "/v1/embeddings", "--include-path", "/embed")
