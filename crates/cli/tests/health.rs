//! `isovec health`, against services that answer, refuse, hang and talk something else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use isovec_tests::Failures;
use support::run;

/// Takes one connection, reads a request and sends the parts of an answer; then holds the connection.
fn answer(parts: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let n = stream.read(&mut request).unwrap();
        assert!(request[..n].starts_with(b"GET /health/ready HTTP/1.1\r\n"));
        for part in parts {
            let _ = stream.write_all(part.as_bytes());
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_secs(60));
    });
    format!("http://{address}/health/ready")
}

#[test]
fn says_whether_a_service_is_ready() {
    let cases: &[(&str, &[&str], i32, &str)] = &[
        ("ready", &["HTTP/1.1 200 OK\r\n\r\n"], 0, ""),
        ("ready, in parts", &["HTT", "P/1.1 20", "0 OK\r\n"], 0, ""),
        ("not ready", &["HTTP/1.1 503 Service Unavailable\r\n\r\n"], 1, "answered 503"),
        ("silent", &[], 1, "no answer in time"),
        ("silent after a start", &["HTTP/1.1 2"], 1, "no answer in time"),
        ("not HTTP", &["+PONG\r\n"], 1, "not HTTP"),
    ];
    let mut failures = Failures::default();
    for (name, parts, code, message) in cases {
        let output = run(&["health", &answer(parts), "--timeout", "2"], b"");
        let errors = String::from_utf8_lossy(&output.stderr);
        let as_expected = output.status.code() == Some(*code) && errors.contains(message);
        failures.check(as_expected, || format!("{name}: {:?}, {errors:?}", output.status.code()));
    }
    failures.report();
}

#[test]
fn nobody_listens_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["health", &format!("http://{free}/health/ready")], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot connect"));
}
