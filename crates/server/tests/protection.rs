//! What a server must bear: clients that are slow, rude, broken or many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use isovec::EmbeddingService;
use isovec_tests::Failures;
use serde_json::json;
use support::{PNG_BASE64, Reply, Running, TEXT, mock};

const E: &str = "/v1/embeddings";

/// A request's head, for bodies of tests that send them by hand.
fn head(length: usize) -> String {
    format!(
        "POST {E} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

fn good() -> String {
    json!({"model": TEXT, "input": "a"}).to_string()
}

/// The value of a metric, as `/metrics` writes it.
fn metric(server: &Running, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn bodies_that_make_no_sense_are_refused() {
    let server = Running::start(mock());
    let json_type = [("content-type", "application/json")];
    let deep = format!("{{\"model\": {}", "[".repeat(200_000));
    let deep_input =
        format!("{{\"model\": \"{TEXT}\", \"input\": {}1{}}}", "[".repeat(500), "]".repeat(500));
    let twice = format!("{{\"model\": \"{TEXT}\", \"input\": \"a\", \"model\": \"{TEXT}\"}}");
    let huge = format!("{{\"model\": \"{TEXT}\", \"input\": [{}\"\"]}}", "\"\",".repeat(1_000_000));
    let long_name = format!("{{\"{}\": 1}}", "k".repeat(1_000_000));
    let cases: [(&str, &[u8], u16, &str, &str); 11] = [
        ("empty", b"", 400, "invalid_json", "EOF"),
        ("no JSON", b"model=a&input=b", 400, "invalid_json", ""),
        ("cut off", b"{\"model\": \"a", 400, "invalid_json", "EOF"),
        ("no UTF-8", b"{\"model\": \"\xff\xfe\", \"input\": \"a\"}", 400, "invalid_json", ""),
        ("a lone surrogate", br#"{"model": "\ud800", "input": "a"}"#, 400, "invalid_json", ""),
        ("two values", b"{} {}", 400, "invalid_input", ""),
        ("deeply nested", deep.as_bytes(), 400, "invalid_input", "model"),
        ("deeply nested input", deep_input.as_bytes(), 400, "invalid_input", ""),
        ("a field twice", twice.as_bytes(), 400, "invalid_input", "duplicate field `model`"),
        ("a million inputs", huge.as_bytes(), 400, "invalid_input", "more than 100000"),
        ("a long name", long_name.as_bytes(), 400, "invalid_input", "unknown field `kkk"),
    ];
    let mut failures = Failures::default();
    for (name, body, status, code, message) in cases {
        let reply = server.send("POST", E, &json_type, body);
        let error = reply.json()["error"].clone();
        failures.check(reply.status == status, || format!("{name}: {} {error}", reply.status));
        failures.check(error["code"] == code, || format!("{name}: {error}"));
        let said = error["message"].as_str().unwrap_or_default();
        failures.check(said.contains(message), || format!("{name}: {error}"));
        failures.check(said.len() < 400, || format!("{name}: {} bytes", said.len()));
    }
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let headers: Vec<_> =
            content_type.map(|value| ("content-type", value)).into_iter().collect();
        let reply = server.send("POST", E, &headers, good().as_bytes());
        let error = reply.json()["error"].clone();
        failures.check(reply.status == 415, || format!("{content_type:?}: {error}"));
        failures.check(error["code"] == "unsupported_media_type", || format!("{error}"));
    }
    for content_type in
        ["application/json; charset=utf-8", "Application/JSON", "application/vnd.a+json"]
    {
        let headers = [("content-type", content_type)];
        let reply = server.send("POST", E, &headers, good().as_bytes());
        failures.check(reply.status == 200, || format!("{content_type}: {}", reply.status));
    }
    failures.report();
}

#[test]
fn what_is_no_http_is_refused_and_the_server_goes_on() {
    let server = Running::start(mock());
    let long_header = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let cases: [&[u8]; 9] = [
        b"\0\x01\x02\x03\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELO example.com\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        long_header.as_bytes(),
        many_headers.as_bytes(),
    ];
    for bytes in cases {
        let mut stream = server.connect();
        let _ = stream.write_all(bytes);
        // Some of these wait for more, which does not come.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let reply = Reply::read(&mut stream);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert!([0, 400, 431].contains(&reply.status), "{shown:?}: {}", reply.status);
    }
    // Chunks that are none, after a head that is right.
    let chunked = "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\n\r\nZZ\r\nhello";
    assert_eq!(server.raw(chunked.as_bytes()).status, 400);
    assert_eq!(server.post(E, &good()).status, 200);
}

#[test]
fn chunked_bodies_are_read_and_bounded() {
    let mut config = mock();
    config.server.max_body_bytes = 10_000;
    let server = Running::start(config);
    let chunked = |body: &str| {
        let head = "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
            content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunks: String = body
            .as_bytes()
            .chunks(7)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
            .collect();
        server.raw(format!("{head}{chunks}0\r\n\r\n").as_bytes())
    };
    assert_eq!(chunked(&good()).status, 200);
    let long = chunked(&json!({"model": TEXT, "input": "a".repeat(20_000)}).to_string());
    assert_eq!((long.status, &long.json()["error"]["code"]), (413, &json!("too_large")));
}

#[test]
fn a_body_over_the_cap_is_answered_though_the_client_sends_it_all() {
    let mut config = mock();
    config.server.max_body_bytes = 1 << 20;
    let server = Running::start(config);
    // Up to four times the cap the client gets to read the answer.
    for length in [(1 << 20) + 1, 3 << 20] {
        let reply = server.post(E, &"a".repeat(length));
        assert_eq!(reply.status, 413, "{length}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("1048576"));
    }
    // Who asks first sends nothing.
    let head = head(1 << 30).replace("connection", "expect: 100-continue\r\nconnection");
    assert_eq!(server.raw(head.as_bytes()).status, 413);
    assert_eq!(server.post(E, &good()).status, 200);
}

#[test]
fn bodies_take_so_much_memory_together() {
    let mut config = mock();
    config.server.max_body_bytes = 100_000;
    let server = Running::start(config);
    // Sixteen bodies of the longest length wait for their last byte.
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let mut stream = server.connect();
        stream.write_all(head(100_000).as_bytes()).unwrap();
        stream.write_all(&[b' '; 99_999]).unwrap();
        waiting.push(stream);
    }
    let refused = || {
        let body = json!({"model": TEXT, "input": "a".repeat(50_000)}).to_string();
        let reply = server.post(E, &body);
        (reply.status == 429).then_some(reply)
    };
    let held = || metric(&server, "isovec_http_request_bodies_held_bytes");
    until("bodies are counted", || held() == 16.0 * 99_999.0);
    let reply = refused().unwrap();
    assert_eq!(reply.json()["error"]["code"], "overloaded");
    assert_eq!(reply.json()["error"]["type"], "rate_limit_error");
    assert_eq!(reply.header("retry-after"), "1");
    drop(waiting);
    until("their memory is given back", || held() == 0.0);
    assert!(refused().is_none());
    let ended = |status: u16| {
        let labels = format!("{{route=\"{E}\",status=\"{status}\"}}");
        metric(&server, &format!("isovec_http_requests_total{labels}"))
    };
    // Whichever shows first: that the body has ended too early, or that nobody is there any more.
    until("who went away is counted", || ended(400) + ended(499) == 16.0);
}

#[test]
fn the_slow_are_cut_off_and_the_others_served() {
    let mut config = mock();
    config.server.read_timeout = Duration::from_millis(500);
    let server = Running::start(config);
    let ended = |bytes: &[u8]| {
        let mut stream = server.connect();
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    };
    // Nothing at all; half a head; a head and half a body.
    assert_eq!(ended(b""), "");
    assert_eq!(ended(b"POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nx-slow: "), "");
    let answer = ended(format!("{}{{\"model\": ", head(100)).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"request_timeout\""), "{answer}");
    // One that sends a byte now and then, for longer than it may.
    let mut dripping = server.connect();
    dripping.write_all(head(1000).as_bytes()).unwrap();
    let start = Instant::now();
    while dripping.write_all(b" ").is_ok() {
        assert!(start.elapsed() < Duration::from_secs(30), "it is let drip");
        assert_eq!(server.post(E, &good()).status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_does_not_read_its_answer_is_cut_off() {
    let mut config = mock();
    config.server.read_timeout = Duration::from_millis(500);
    config.server.max_inputs = 10_000;
    config.performance.max_queue = 10_000;
    let server = Running::start(config);
    let mut stream = server.connect();
    // Some 40 MB of numbers, more than sockets hold.
    let body = json!({"model": TEXT, "input": vec![""; 10_000]}).to_string();
    stream.write_all(format!("{}{body}", head(body.len())).as_bytes()).unwrap();
    let answered = "isovec_http_requests_total{route=\"/v1/embeddings\",status=\"200\"}";
    until("it is answered", || metric(&server, answered) == 1.0);
    // The one that asks for the metrics is counted too.
    until("it is cut off", || metric(&server, "isovec_http_connections") == 1.0);
}

#[test]
fn more_connections_than_allowed_wait_their_turn() {
    let mut config = mock();
    config.server.max_connections = 2;
    let server = Running::start(config);
    until("probes' connections are closed", || metric(&server, "isovec_http_connections") == 1.0);
    let kept = [server.connect(), server.connect()];
    std::thread::scope(|scope| {
        let third = scope.spawn(|| server.post(E, &good()).status);
        std::thread::sleep(Duration::from_millis(200));
        assert!(!third.is_finished(), "a third is served beside two");
        drop(kept);
        assert_eq!(third.join().unwrap(), 200);
    });
}

#[test]
fn keys_are_asked_for_but_by_probes_and_prometheus() {
    let mut config = mock();
    config.server.api_keys =
        vec!["sesame-open-thyself".to_owned(), "another-key-of-mine".to_owned()];
    let server = Running::start(config);
    let typed = ("content-type", "application/json");
    let with = |key: &str| {
        server.send("POST", E, &[typed, ("authorization", key)], good().as_bytes()).status
    };
    assert_eq!(with("Bearer sesame-open-thyself"), 200);
    assert_eq!(with("Bearer another-key-of-mine"), 200);
    assert_eq!(with("Bearer wrong"), 401);
    let reply = server.post(E, &good());
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("www-authenticate"), "Bearer");
    assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
    let tei = server.post("/embed", "{}");
    assert_eq!((tei.status, &tei.json()["error_type"]), (401, &json!("Validation")));
    for path in ["/v1/models", "/v1/models/x", "/info"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    for path in ["/health", "/health/live", "/health/ready", "/metrics", "/openapi.json"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.get("/nowhere").status, 404);
    // A long body with a wrong key is read to its end, so that the client gets to read why.
    assert_eq!(server.post(E, &"a".repeat(5 << 20)).status, 401);
}

#[test]
fn ids_of_clients_are_kept_where_they_are_sane() {
    let server = Running::start(mock());
    let id = |value: &str| {
        let reply = server.send("GET", "/v1/models", &[("x-request-id", value)], b"");
        reply.header("x-request-id").to_owned()
    };
    assert_eq!(id("trace-1"), "trace-1");
    for bad in ["with space", "quote\"", &"x".repeat(200)] {
        assert_eq!(id(bad).len(), 32, "{bad}");
    }
    assert_ne!(id("bad id"), id("bad id"));
}

#[test]
fn while_models_load_there_are_answers_that_say_so() {
    let config = mock();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let for_service = config.clone();
    let mut server = Running::start_with(config, move || {
        let _ = wait.recv();
        EmbeddingService::new(for_service)
    });
    assert_eq!(server.get("/health/live").status, 200);
    assert_eq!(server.get("/metrics").status, 200);
    let ready = server.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["error"]["code"]), (503, &json!("loading")));
    assert_eq!(server.get("/health").json()["error_type"], "Unhealthy");
    for reply in [server.get("/v1/models"), server.post(E, &good())] {
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (503, &json!("loading")));
        assert_eq!(reply.header("retry-after"), "1");
    }
    drop(go);
    server.until_ready();
    assert_eq!(server.post(E, &good()).status, 200);
}

#[test]
fn what_cannot_be_loaded_ends_the_server_with_its_error() {
    let mut server = Running::start_with(mock(), || {
        Err(isovec::Error::new(isovec::ErrorKind::NotFound, "no such model"))
    });
    let error = server.ended().unwrap_err();
    assert_eq!(error.to_string(), "no such model");
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let server = Running::start(mock());
    let mut config = mock();
    config.server.listen = server.address;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(isovec_server::Server::bind(&config)).unwrap_err();
    assert_eq!(error.kind(), isovec::ErrorKind::Io);
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
}

#[test]
fn the_end_answers_what_was_asked_and_lets_nobody_in() {
    let mut server = Running::start(mock());
    // A request half sent, and a connection that is kept for more.
    let mut half = server.connect();
    let body = good();
    half.write_all(format!("{}{}", head(body.len()), &body[..5]).as_bytes()).unwrap();
    let mut kept = server.connect();
    let ask = "GET /health/ready HTTP/1.1\r\nhost: a\r\n\r\n";
    kept.write_all(ask.as_bytes()).unwrap();
    let reply = Reply::read(&mut kept);
    assert_eq!((reply.status, reply.header("connection")), (200, ""));

    server.begin_stop();
    until("nobody is let in", || std::net::TcpStream::connect(server.address).is_err());
    kept.write_all(ask.as_bytes()).unwrap();
    let reply = Reply::read(&mut kept);
    assert_eq!((reply.status, reply.header("connection")), (503, "close"));
    half.write_all(&body.as_bytes()[5..]).unwrap();
    let reply = Reply::read(&mut half);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["data"][0]["index"], 0);
    server.end().unwrap();
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let mut config = mock();
    config.performance.shutdown_timeout = Duration::from_millis(300);
    let mut server = Running::start(config);
    let mut half = server.connect();
    half.write_all(head(100).as_bytes()).unwrap();
    server.end().unwrap();
    assert_eq!(Reply::read(&mut half).status, 0);
}

#[test]
fn counters_add_up() {
    let server = Running::start(mock());
    for _ in 0..3 {
        assert_eq!(server.post(E, &good()).status, 200);
    }
    let long = json!({"model": TEXT, "input": PNG_BASE64.repeat(10)}).to_string();
    assert_eq!(server.post(E, &long).status, 200);
    assert_eq!(server.post(E, "{}").status, 400);
    assert_eq!(server.post("/embed", "{\"inputs\": []}").status, 400);
    assert_eq!(server.get("/secret-path").status, 404);
    let reply = server.get("/metrics");
    assert_eq!(
        reply.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = reply.text();
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(!text.contains("secret-path"), "a path is anybody's text");
    let expected = [
        ("isovec_http_requests_total{route=\"/v1/embeddings\",status=\"200\"}", 4.0),
        ("isovec_http_requests_total{route=\"/v1/embeddings\",status=\"400\"}", 1.0),
        ("isovec_http_requests_total{route=\"/embed\",status=\"400\"}", 1.0),
        ("isovec_http_requests_total{route=\"unmatched\",status=\"404\"}", 1.0),
        ("isovec_http_request_duration_seconds_count{route=\"/v1/embeddings\"}", 5.0),
        // The one that asks.
        ("isovec_http_requests_in_flight", 1.0),
    ];
    for (name, value) in expected {
        assert_eq!(metric(&server, name), value, "{name}\n{text}");
    }
    let sent = good().len() * 3 + long.len() + 2 + "{\"inputs\": []}".len();
    assert_eq!(metric(&server, "isovec_http_request_body_bytes_total"), sent as f64);
}
