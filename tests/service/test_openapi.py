"""schemathesis against `/openapi.json`: whatever is sent, no answer is a failure of the server's, and each is
one that the document says."""

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from conftest import MODEL


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
    embeddings = document["paths"]["/v1/embeddings"]["post"]
    assert {"200", "400", "401", "404", "413", "415", "429", "503", "504"} <= set(embeddings["responses"])


schema = schemathesis.pytest.from_fixture("api")


@pytest.fixture(scope="session")
def api(mock, document):
    # Requests that name a model that is there get further than to a 404.
    for name in ["EmbeddingsRequest", "ImagesRequest"]:
        property = document["components"]["schemas"][name]["properties"]["model"]
        known = [MODEL, "clip-vit-base-patch32"]
        property["anyOf"] = [{"enum": known}, {"type": "string"}]
        property.pop("type", None)
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=mock.url)
    return schema


@schema.parametrize()
@settings(
    max_examples=60, derandomize=True, deadline=None, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_documented(case):
    case.call_and_validate(
        checks=[
            checks.not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_headers_conformance,
            checks.response_schema_conformance,
            checks.negative_data_rejection,
        ],
    )
