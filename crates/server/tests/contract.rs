//! The contract: requests of OpenAI's and of text-embeddings-inference's clients, good ones and bad ones, with
//! the answers that they get, over a real socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use isovec::EmbeddingService;
use isovec_tests::Failures;
use serde::Deserialize;
use serde_json::{Value, json};
use support::{IMAGE, PNG, PNG_BASE64, Running, TEXT, mock, vector};

const E: &str = "/v1/embeddings";
const I: &str = "/v1/images/embeddings";
const M: &str = "/v1/multimodal/embeddings";

/// A request with the error that must come back.
#[derive(Deserialize)]
struct Refused {
    name: String,
    path: String,
    body: Value,
    status: u16,
    /// The error's code, or `error_type` with text-embeddings-inference.
    code: String,
    /// The field that OpenAI's error names.
    #[serde(default)]
    param: Value,
    /// A part of the error's message.
    message: String,
}

/// What is too long for a table.
fn filled(body: &Value) -> String {
    body.to_string()
        .replace("$PNG", PNG_BASE64)
        .replace("$LONG_TEXT", &"a".repeat(1 << 21))
        .replace("$LONG", &"word ".repeat(600))
}

#[test]
fn bad_requests_are_refused_in_the_words_of_who_was_asked() {
    let mut config = mock();
    config.server.max_inputs = 3;
    let server = Running::start(config);
    let mut failures = Failures::default();
    for line in include_str!("refused.jsonl").lines() {
        let case: Refused = serde_json::from_str(line).unwrap();
        let reply = server.post(&case.path, &filled(&case.body));
        let (name, answer) = (format!("{} {}", case.path, case.name), reply.json());
        failures
            .check(reply.status == case.status, || format!("{name}: {} {answer}", reply.status));
        let (code, message) = if case.path.starts_with("/v1") {
            let error = &answer["error"];
            let right = error["type"] == "invalid_request_error" && error["param"] == case.param;
            failures.check(right, || format!("{name}: {answer}"));
            (&error["code"], &error["message"])
        } else {
            (&answer["error_type"], &answer["error"])
        };
        failures.check(*code == case.code, || format!("{name}: code {answer}"));
        let message = message.as_str().unwrap_or_default();
        failures.check(message.contains(&case.message), || format!("{name}: message {answer}"));
        failures.check(!reply.header("x-request-id").is_empty(), || format!("{name}: no id"));
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
