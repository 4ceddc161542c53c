//! The contract: requests of OpenAI's and of text-embeddings-inference's clients, good ones and bad ones, with
//! the answers that they get, over a real socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use isovec::EmbeddingService;
use isovec_tests::Failures;
use serde_json::{Value, json};
use support::{IMAGE, PNG, PNG_BASE64, Running, TEXT, mock, vector};

/// A request with what must come back.
struct Case {
    name: &'static str,
    path: &'static str,
    body: Value,
    status: u16,
    /// The error's code, or `error_type` with text-embeddings-inference.
    code: &'static str,
    /// A part of the error's message.
    message: &'static str,
    /// The field that OpenAI's error names.
    param: Value,
}

fn refused(
    name: &'static str,
    path: &'static str,
    body: Value,
    status: u16,
    code: &'static str,
    param: impl Into<Value>,
    message: &'static str,
) -> Case {
    Case { name, path, body, status, code, message, param: param.into() }
}

const E: &str = "/v1/embeddings";
const I: &str = "/v1/images/embeddings";
const M: &str = "/v1/multimodal/embeddings";

#[test]
fn bad_requests_in_openais_words() {
    let mut config = mock();
    config.server.max_inputs = 3;
    let server = Running::start(config);
    let many = json!({"model": TEXT, "input": ["a", "b", "c", "d"]});
    let cases = [
        refused(
            "no model",
            E,
            json!({"input": "a"}),
            400,
            "invalid_input",
            "model",
            "missing field `model`",
        ),
        refused(
            "no input",
            E,
            json!({"model": TEXT}),
            400,
            "invalid_input",
            "input",
            "missing field `input`",
        ),
        refused(
            "null",
            E,
            json!({"model": TEXT, "input": null}),
            400,
            "invalid_input",
            "input",
            "expected a string or a list of strings",
        ),
        refused(
            "unknown model",
            E,
            json!({"model": "gpt", "input": "a"}),
            404,
            "model_not_found",
            "model",
            "loaded are: all-MiniLM-L6-v2, clip-vit-base-patch32",
        ),
        refused(
            "a model of images",
            E,
            json!({"model": IMAGE, "input": "a"}),
            400,
            "invalid_input",
            "model",
            "POST /v1/images/embeddings",
        ),
        refused(
            "nothing",
            E,
            json!({"model": TEXT, "input": []}),
            400,
            "invalid_input",
            "input",
            "`input` cannot be empty",
        ),
        refused(
            "too many",
            E,
            many,
            400,
            "invalid_input",
            "input",
            "`input` has 4 items; one request may have at most 3",
        ),
        refused(
            "ids",
            E,
            json!({"model": TEXT, "input": [1, 2]}),
            400,
            "invalid_input",
            "input[0]",
            "check_embedding_ctx_length=False",
        ),
        refused(
            "lists of ids",
            E,
            json!({"model": TEXT, "input": [[1], [2]]}),
            400,
            "invalid_input",
            "input[0]",
            "check_embedding_ctx_length=False",
        ),
        refused(
            "mixed",
            E,
            json!({"model": TEXT, "input": ["a", null]}),
            400,
            "invalid_input",
            "input[1]",
            "expected a string",
        ),
        refused(
            "an unknown field",
            E,
            json!({"model": TEXT, "input": "a", "dimension": 2}),
            400,
            "invalid_input",
            "dimension",
            "unknown field `dimension`, expected one of `model`, `input`, `encoding_format`, `dimensions`, `user`, `prompt`",
        ),
        refused(
            "a format",
            E,
            json!({"model": TEXT, "input": "a", "encoding_format": "int8"}),
            400,
            "invalid_input",
            "encoding_format",
            "expected `float` or `base64`",
        ),
        refused(
            "dimensions",
            E,
            json!({"model": TEXT, "input": "a", "dimensions": 128}),
            400,
            "invalid_input",
            "dimensions",
            "it has them of: 384",
        ),
        refused(
            "no dimensions",
            E,
            json!({"model": TEXT, "input": "a", "dimensions": 0}),
            400,
            "invalid_input",
            "dimensions",
            "it has them of: 384",
        ),
        refused(
            "negative dimensions",
            E,
            json!({"model": TEXT, "input": "a", "dimensions": -1}),
            400,
            "invalid_input",
            "dimensions",
            "expected a whole number",
        ),
        refused(
            "a prompt",
            E,
            json!({"model": TEXT, "input": "a", "prompt": "query"}),
            400,
            "invalid_input",
            "prompt",
            "it has: none",
        ),
        refused("a list", E, json!([1]), 400, "invalid_input", Value::Null, "expected an object"),
        refused(
            "a long text",
            E,
            json!({"model": TEXT, "input": "a".repeat(1 << 21)}),
            413,
            "too_large",
            Value::Null,
            "over the cap of 1048576",
        ),
        refused(
            "no base64",
            I,
            json!({"input": "??"}),
            400,
            "invalid_image",
            "input[0]",
            "neither base64",
        ),
        refused("no image", I, json!({"input": "AAAA"}), 400, "unsupported_format", "input[0]", ""),
        refused(
            "the second is no image",
            I,
            json!({"input": [PNG_BASE64, "AAAA"]}),
            400,
            "unsupported_format",
            "input",
            "1",
        ),
        refused(
            "an address",
            I,
            json!({"input": "https://a.example/b.png"}),
            400,
            "invalid_input",
            "input[0]",
            "image_embedding.urls",
        ),
        refused(
            "a model of texts",
            I,
            json!({"model": TEXT, "input": PNG_BASE64}),
            400,
            "invalid_input",
            "model",
            "POST /v1/embeddings",
        ),
        refused(
            "neither",
            M,
            json!({"input": [{}]}),
            400,
            "invalid_input",
            "input[0]",
            "neither text nor image",
        ),
        refused(
            "a string",
            M,
            json!({"input": ["a"]}),
            400,
            "invalid_input",
            "input[0]",
            "expected an object with a text, an image, or both",
        ),
        refused(
            "no pairs",
            M,
            json!({"input": []}),
            400,
            "invalid_input",
            "input",
            "cannot be empty",
        ),
        refused(
            "the second image",
            M,
            json!({"input": [{"text": "a"}, {"image": "??"}]}),
            400,
            "invalid_image",
            "input[1].image",
            "neither base64",
        ),
        refused(
            "an unknown image model",
            M,
            json!({"image_model": "x", "input": [{"text": "a"}]}),
            404,
            "model_not_found",
            "image_model",
            "loaded are",
        ),
    ];
    let mut failures = Failures::default();
    for case in cases {
        let reply = server.post_json(case.path, &case.body);
        let (name, error) = (case.name, &reply.json()["error"]);
        failures.check(reply.status == case.status, || format!("{name}: {} {error}", reply.status));
        failures.check(error["code"] == case.code, || format!("{name}: code {error}"));
        failures.check(error["param"] == case.param, || format!("{name}: param {error}"));
        let message = error["message"].as_str().unwrap_or_default();
        failures.check(message.contains(case.message), || format!("{name}: message {error}"));
        let right = error["type"] == "invalid_request_error";
        failures.check(right, || format!("{name}: type {error}"));
        failures.check(!reply.header("x-request-id").is_empty(), || format!("{name}: no id"));
    }
    failures.report();
}

#[test]
fn bad_requests_in_the_words_of_text_embeddings_inference() {
    let mut config = mock();
    config.server.max_inputs = 3;
    let server = Running::start(config);
    let long = "word ".repeat(600);
    let similarity = |inputs: Value| json!({"inputs": inputs});
    let cases = [
        refused("no inputs", "/embed", json!({}), 422, "Validation", (), "missing field `inputs`"),
        refused(
            "nothing",
            "/embed",
            json!({"inputs": []}),
            400,
            "Empty",
            (),
            "`inputs` cannot be empty",
        ),
        refused(
            "too many",
            "/embed",
            json!({"inputs": ["", "", "", ""]}),
            413,
            "Validation",
            (),
            "at most 3",
        ),
        refused(
            "ids",
            "/embed",
            json!({"inputs": [[1, 2]]}),
            422,
            "Validation",
            (),
            "token ids are not taken",
        ),
        refused(
            "too long",
            "/embed",
            json!({"inputs": ["a", long]}),
            413,
            "Validation",
            (),
            "`inputs` must have at most 512 tokens, and input 1 has more",
        ),
        refused(
            "from the left",
            "/embed",
            json!({"inputs": "a", "truncation_direction": "Left"}),
            422,
            "Validation",
            (),
            "Left is not served",
        ),
        refused(
            "not scaled",
            "/embed",
            json!({"inputs": "a", "normalize": false}),
            422,
            "Validation",
            (),
            "have length one",
        ),
        refused(
            "a prompt",
            "/embed",
            json!({"inputs": "a", "prompt_name": "query"}),
            422,
            "Validation",
            (),
            "no prompt of this name",
        ),
        refused(
            "dimensions",
            "/embed",
            json!({"inputs": "a", "dimensions": 7}),
            422,
            "Validation",
            (),
            "it has them of: 384",
        ),
        refused(
            "an unknown field",
            "/embed",
            json!({"input": "a"}),
            422,
            "Validation",
            (),
            "unknown field `input`",
        ),
        refused(
            "no sentences",
            "/similarity",
            similarity(json!({"source_sentence": "a", "sentences": []})),
            400,
            "Empty",
            (),
            "`inputs.sentences` cannot be empty",
        ),
        refused(
            "too many sentences",
            "/similarity",
            similarity(json!({"source_sentence": "a", "sentences": ["", "", ""]})),
            413,
            "Validation",
            (),
            "at most 2",
        ),
        refused(
            "no source",
            "/similarity",
            similarity(json!({"sentences": ["a"]})),
            422,
            "Validation",
            (),
            "source_sentence",
        ),
    ];
    let mut failures = Failures::default();
    for case in cases {
        let reply = server.post_json(case.path, &case.body);
        let (name, error) = (case.name, reply.json());
        failures.check(reply.status == case.status, || format!("{name}: {} {error}", reply.status));
        failures.check(error["error_type"] == case.code, || format!("{name}: {error}"));
        let message = error["error"].as_str().unwrap_or_default();
        failures.check(message.contains(case.message), || format!("{name}: {error}"));
    }
    failures.report();
}

#[test]
fn embeddings_are_openais_answer_and_the_librarys_vectors() {
    let config = mock();
    let service = EmbeddingService::new(config.clone()).unwrap();
    let server = Running::start(config);
    let texts = ["a red car", "", "zwei\nZeilen \u{1f600}"];
    let expected = service.request().model(TEXT).embed_texts(&texts).unwrap();
    let fingerprint = expected[0].fingerprint.to_string();

    let reply = server.post_json(E, &json!({"model": TEXT, "input": texts, "user": "me"}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("isovec-fingerprint"), fingerprint);
    assert_eq!(reply.header("content-type"), "application/json");
    let answer = reply.json();
    let tokens: usize = expected.iter().map(|text| text.tokens).sum();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["model"], TEXT);
    assert_eq!(answer["fingerprint"], fingerprint);
    assert_eq!(answer["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    assert_eq!(answer["data"].as_array().unwrap().len(), texts.len());
    for (index, text) in expected.iter().enumerate() {
        let item = &answer["data"][index];
        assert_eq!(item["object"], "embedding");
        assert_eq!(item["index"], index);
        assert_eq!(item["tokens"], text.tokens);
        assert_eq!(item["truncated"], false);
        assert_eq!(vector(&item["embedding"]), text.vector());
    }

    let one = server.post_json(E, &json!({"model": TEXT, "input": texts[0], "dimensions": 384}));
    assert_eq!(one.json()["data"][0], answer["data"][0]);

    let body = json!({"model": TEXT, "input": texts, "encoding_format": "base64"});
    let answer = server.post_json(E, &body).json();
    for (index, text) in expected.iter().enumerate() {
        use base64::Engine;
        let base64 = answer["data"][index]["embedding"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
        let floats: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        assert_eq!(floats, text.vector());
    }

    let long = json!({"model": TEXT, "input": "word ".repeat(600)});
    let item = server.post_json(E, &long).json()["data"][0].clone();
    assert_eq!((&item["truncated"], &item["tokens"]), (&json!(true), &json!(512)));
}

#[test]
fn text_embeddings_inferences_requests_are_answered_as_it_answers() {
    let config = mock();
    let service = EmbeddingService::new(config.clone()).unwrap();
    let server = Running::start(config);
    let expected = service.request().model(TEXT).embed_texts(&["a", "b"]).unwrap();
    let vectors = |value: &Value| value.as_array().unwrap().iter().map(vector).collect::<Vec<_>>();

    let one = server.post_json("/embed", &json!({"inputs": "a"}));
    assert_eq!(one.status, 200, "{}", one.text());
    assert_eq!(vectors(&one.json()), [expected[0].vector()]);
    assert_eq!(one.header("isovec-fingerprint"), expected[0].fingerprint.to_string());
    let all = json!({
        "inputs": ["a", "b"], "truncate": false, "normalize": true, "prompt_name": null,
        "truncation_direction": "right", "dimensions": 384,
    });
    assert_eq!(
        vectors(&server.post_json("/embed", &all).json()),
        [expected[0].vector(), expected[1].vector()]
    );
    let long = json!({"inputs": "word ".repeat(600), "truncate": true});
    assert_eq!(server.post_json("/embed", &long).status, 200);

    let body = json!({"inputs": {"source_sentence": "a", "sentences": ["b", "a"]}});
    let cosines = vector(&server.post_json("/similarity", &body).json());
    let cosine = isovec::vector::cosine(expected[0].vector(), expected[1].vector()).unwrap();
    assert_eq!(cosines[0], cosine);
    assert!((cosines[1] - 1.0).abs() < 1e-6, "{}", cosines[1]);

    let info = server.get("/info").json();
    assert_eq!(info["model_id"], TEXT);
    assert_eq!(info["max_input_length"], 512);
    assert_eq!(info["model_type"], json!({"embedding": {"pooling": "mean"}}));
    assert_eq!(info["auto_truncate"], false);
    let health = server.get("/health");
    assert_eq!((health.status, health.body.len()), (200, 0));
}

#[test]
fn images_come_in_json_or_as_themselves() {
    let server = Running::start(mock());
    let data_url = format!("data:image/png;base64,{PNG_BASE64}");
    let reply = server.post_json(I, &json!({"model": IMAGE, "input": [PNG_BASE64, data_url]}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["model"], IMAGE);
    assert_eq!(answer["fingerprint"], reply.header("isovec-fingerprint"));
    let first = answer["data"][0].clone();
    assert_eq!(first["embedding"].as_array().unwrap().len(), 512);
    assert_eq!((&first["width"], &first["height"]), (&json!(1), &json!(1)));
    assert_eq!(first["format"], "png");
    assert_eq!(answer["data"][1]["index"], 1);
    assert_eq!(answer["data"][1]["embedding"], first["embedding"]);

    // The format is what the bytes show, whatever the type says.
    for (path, content_type) in
        [(I, "image/png"), ("/v1/images/embeddings?model=clip-vit-base-patch32", "IMAGE/JPEG; x=y")]
    {
        let reply = server.send("POST", path, &[("content-type", content_type)], PNG);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["data"][0], first, "{path}");
    }
    let typed = [("content-type", "image/png")];
    let reply = server.send("POST", "/v1/images/embeddings?model=nobody", &typed, PNG);
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("model_not_found")));
    let reply = server.send("POST", "/v1/images/embeddings?size=3", &typed, PNG);
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("invalid_input")));
}

#[test]
fn texts_and_images_become_one_vector_that_says_how() {
    let server = Running::start(mock());
    let body = json!({"input": [
        {"text": "a red car"},
        {"image": PNG_BASE64},
        {"text": "a red car", "image": PNG_BASE64},
    ]});
    let reply = server.post_json(M, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let data = answer["data"].as_array().unwrap();
    let has: Vec<(bool, bool)> = data
        .iter()
        .map(|item| (item["has_text"].as_bool().unwrap(), item["has_image"].as_bool().unwrap()))
        .collect();
    assert_eq!(has, [(true, false), (false, true), (true, true)]);
    assert_eq!(data[0].get("width"), None);
    assert_eq!(data[1]["format"], "png");
    assert_eq!(data[2]["tokens"], data[0]["tokens"]);
    for item in data {
        let vector = vector(&item["embedding"]);
        assert_eq!(vector.len(), 768);
        let length: f64 = vector.iter().map(|&x| f64::from(x).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert_ne!(data[0]["embedding"], data[2]["embedding"]);
    assert_eq!(answer["fusion"]["kind"], "untrained");
    assert_eq!(answer["fusion"]["trained"], false);
    assert!(answer["fusion"]["about"].as_str().unwrap().starts_with("untrained"));
    assert_eq!((&answer["text_model"], &answer["image_model"]), (&json!(TEXT), &json!(IMAGE)));
    assert_eq!(answer["fingerprint"], reply.header("isovec-fingerprint"));
}

#[test]
fn models_are_listed_as_openai_lists_them() {
    let server = Running::start(mock());
    let list = server.get("/v1/models").json();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [TEXT, IMAGE, "clip-vit-base-patch32-text"]);
    let model = server.get("/v1/models/all-MiniLM-L6-v2").json();
    assert_eq!(model, list["data"][0]);
    assert_eq!(model["object"], "model");
    assert_eq!(model["owned_by"], "isovec");
    assert_eq!(model["dims"], 384);
    assert_eq!(model["max_tokens"], 512);
    assert_eq!(model["kind"], "text");
    assert_eq!(model["mock"], true);
    assert!(model["created"].as_u64().unwrap() > 1_600_000_000);
    for path in ["/v1/models/gpt", "/v1/models/a/b", "/v1/models/%ff"] {
        let reply = server.get(path);
        let code = reply.json()["error"]["code"].clone();
        assert_eq!((reply.status, code), (404, json!("model_not_found")), "{path}");
    }
}

#[test]
fn what_is_not_there_is_said_in_json() {
    let server = Running::start(mock());
    let json_type = [("content-type", "application/json")];
    let cases = [
        ("GET", "/", 404, "unknown_url", ""),
        ("POST", "/v1/embedding", 404, "unknown_url", ""),
        ("GET", "/v1/embeddings", 405, "method_not_supported", "POST"),
        ("DELETE", "/v1/models", 405, "method_not_supported", "GET,HEAD"),
        ("BREW", "/v1/models", 405, "method_not_supported", "GET,HEAD"),
    ];
    for (method, path, status, code, allow) in cases {
        let reply = server.send(method, path, &json_type, b"");
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.json()["error"]["code"], code, "{method} {path}");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
        assert!(!reply.header("x-request-id").is_empty(), "{method} {path}");
    }
    let reply = server.send("PUT", "/embed", &json_type, b"");
    assert_eq!((reply.status, &reply.json()["error_type"]), (405, &json!("Validation")));
}
