//! Fetching images from real servers, most of them bad ones.

#![cfg(feature = "image-url")]
// clippy.toml allows this in test functions, which it does not take helpers for.
#![allow(clippy::unwrap_used)]

#[path = "support/web.rs"]
mod web;

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use isovec::fetch::{ImageFetcher, ImageFetcherBuilder};
use isovec::{ErrorKind, Result};
use tokio::runtime::{Builder, Runtime};
use web::{Reply, Web};

/// For servers on 127.0.0.1.
fn local() -> ImageFetcherBuilder {
    ImageFetcher::builder().allow_networks(["127.0.0.1/32"]).timeout(Duration::from_secs(5))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// What came of it: the body, or the kind of the error and its text.
fn outcome(fetched: Result<Vec<u8>>) -> String {
    match fetched {
        Ok(body) => String::from_utf8(body).unwrap(),
        Err(e) => format!("{}: {e}", e.kind()),
    }
}

fn head(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes()
}

/// Fetches what `reply` is, and says what came of it and how long it took.
fn fetch_one(builder: ImageFetcherBuilder, reply: Reply) -> (String, Duration) {
    let web = Web::start(move |_| reply.clone());
    let fetcher = builder.build().unwrap();
    let start = Instant::now();
    let outcome = outcome(fetcher.fetch_blocking(&format!("{}/a.png", web.url)));
    (outcome.replace(&web.url, "URL"), start.elapsed())
}

#[test]
fn answers() {
    let gzip = |name: &str| {
        let lines = format!("Content-Length: 5\r\nContent-Encoding: {name}\r\n");
        Reply::new("200 OK", &lines, b"image")
    };
    let chunked = |body: &[u8]| Reply::new("200 OK", "Transfer-Encoding: chunked\r\n", body);
    let status = |status: &str| Reply::new(status, "Content-Length: 5\r\n", b"image");
    let cases = [
        ("plain", Reply::ok(b"image"), "image"),
        ("empty", Reply::ok(b""), ""),
        ("without a length", Reply::new("200 OK", "", b"image"), "image"),
        ("chunked", chunked(b"2\r\nim\r\n3\r\nage\r\n0\r\n\r\n"), "image"),
        ("identity", gzip("identity"), "image"),
        ("of no compression", gzip("aws-chunked"), "image"),
        ("gzip", gzip("gzip"), "network: URL/a.png: answered with gzip, which was not asked for"),
        (
            "more codings",
            gzip("identity, X-GZIP"),
            "network: URL/a.png: answered with gzip, which was not asked for",
        ),
        (
            "204",
            Reply::new("204 No Content", "", b""),
            "network: URL/a.png: answered 204 No Content",
        ),
        ("206", status("206 Partial Content"), "network: URL/a.png: answered 206 Partial Content"),
        (
            "300",
            status("300 Multiple Choices"),
            "network: URL/a.png: answered 300 Multiple Choices",
        ),
        ("304", status("304 Not Modified"), "network: URL/a.png: answered 304 Not Modified"),
        ("404", status("404 Not Found"), "network: URL/a.png: answered 404 Not Found"),
        ("500", status("500 Oops"), "network: URL/a.png: answered 500 Internal Server Error"),
        (
            "redirect to nowhere",
            status("302 Found"),
            "network: URL/a.png: answered 302 Found without saying where to",
        ),
        (
            "short",
            Reply::new("200 OK", "Content-Length: 9\r\n", b"image"),
            "network: URL/a.png: broke off after 5 bytes: end of file before message length reached",
        ),
        (
            "short chunk",
            chunked(b"9\r\nimage"),
            "network: URL/a.png: broke off after 5 bytes: end of file before message length reached",
        ),
        (
            "longer than it says",
            Reply::new("200 OK", "Content-Length: 5\r\n", b"image and more"),
            "image",
        ),
        (
            "two lengths",
            Reply::new("200 OK", "Content-Length: 5\r\nContent-Length: 6\r\n", b"image!"),
            "network: URL/a.png: gave no answer: invalid content-length parsed",
        ),
        (
            "no HTTP",
            Reply::Raw(b"220 ready\r\n\r\n".to_vec()),
            "network: URL/a.png: gave no answer: invalid HTTP version parsed",
        ),
        (
            "hangs up",
            Reply::Raw(Vec::new()),
            "network: URL/a.png: gave no answer: connection closed before message completed",
        ),
    ];
    let mut wrong = Vec::new();
    for (name, reply, expected) in cases {
        let (found, _) = fetch_one(local(), reply);
        if found != expected {
            wrong.push(format!("{name}:\n  {found}\n instead of\n  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_size_is_capped() {
    let small = || local().max_bytes(5);
    let cap = "too_large: URL/a.png: over the cap of 5 bytes";
    let cases = [
        ("at the cap", Reply::ok(b"image"), "image"),
        ("over the cap", Reply::ok(b"images"), cap),
        ("over the cap, without a length", Reply::new("200 OK", "", b"images"), cap),
        // Nothing else comes: it must be refused for what it announces.
        ("announced", Reply::new("200 OK", "Content-Length: 6\r\n", b""), cap),
        (
            "announced as huge",
            Reply::new("200 OK", &format!("Content-Length: {}\r\n", u64::MAX - 2), b""),
            cap,
        ),
        (
            "chunked over the cap",
            Reply::new(
                "200 OK",
                "Transfer-Encoding: chunked\r\n",
                b"3\r\nima\r\n3\r\nges\r\n0\r\n\r\n",
            ),
            cap,
        ),
        ("endless chunk", Reply::Endless(head("Transfer-Encoding: chunked\r\n\r\nffffffff")), cap),
        ("endless", Reply::Endless(head("")), cap),
        ("endless with a lie", Reply::Endless(head("Content-Length: 5\r\n")), "\0\0\0\0\0"),
    ];
    let mut wrong = Vec::new();
    for (name, reply, expected) in cases {
        let (found, took) = fetch_one(small(), reply);
        if found != expected || took > Duration::from_secs(3) {
            wrong.push(format!("{name}: {found:?} after {took:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_default_cap_is_10_mib() {
    let most = vec![b'x'; 10 * 1024 * 1024];
    let (found, _) = fetch_one(local().timeout(Duration::MAX), Reply::new("200 OK", "", &most));
    assert_eq!(found.len(), most.len());
    let (found, took) = fetch_one(local(), Reply::Endless(head("")));
    assert_eq!(found, "too_large: URL/a.png: over the cap of 10485760 bytes");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_time_is_capped() {
    let pause = Duration::from_millis(50);
    let cases = [
        ("a body in drips", Reply::Dripping(head(""), pause)),
        (
            "a body in drips of a known length",
            Reply::Dripping(head("Content-Length: 999\r\n"), pause),
        ),
        ("a head in drips", Reply::Dripping(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), pause)),
        ("silence", Reply::Dripping(Vec::new(), Duration::from_secs(600))),
    ];
    for (name, reply) in cases {
        let (found, took) = fetch_one(local().timeout(Duration::from_millis(400)), reply);
        assert_eq!(found, "timed_out: URL/a.png: not fetched within 400ms", "{name}");
        let bounds = Duration::from_millis(390)..Duration::from_secs(3);
        assert!(bounds.contains(&took), "{name}: {took:?}");
    }
}

/// Each hop is quick enough by itself.
#[test]
fn the_deadline_is_of_all_hops_together() {
    let web = Web::start(|_| {
        thread::sleep(Duration::from_millis(300));
        Reply::redirect("/again")
    });
    let fetcher = local().max_redirects(10).timeout(Duration::from_millis(700)).build().unwrap();
    let start = Instant::now();
    let error = fetcher.fetch_blocking(&web.url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn redirects() {
    let web = Web::start(|path| match path {
        "/image" => Reply::ok(b"image"),
        "/0" => Reply::redirect("/image"),
        "/1" => Reply::redirect("/0"),
        "/2" => Reply::redirect("/1"),
        "/3" => Reply::redirect("/2"),
        "/loop" => Reply::redirect("/loop"),
        "/literal" => Reply::redirect("http://10.0.0.1/"),
        "/loopback" => Reply::redirect("http://127.0.0.2/"),
        "/octal" => Reply::redirect("http://0177.0.0.2/?key=secret"),
        "/mapped" => Reply::redirect("http://[::ffff:127.0.0.1]/"),
        "/file" => Reply::redirect("file:///etc/passwd"),
        "/gopher" => Reply::redirect("gopher://127.0.0.1:6379/"),
        "/late" => Reply::redirect("/literal"),
        "/no-url" => Reply::redirect("http://["),
        other => match other.strip_prefix("/status-") {
            Some(status) => Reply::new(status, "Location: /image\r\nContent-Length: 0\r\n", b""),
            None => Reply::new("404 Not Found", "Content-Length: 0\r\n", b""),
        },
    });
    let cases = [
        ("0", "image"),
        ("2", "image"),
        ("status-301", "image"),
        ("status-303", "image"),
        ("status-307", "image"),
        ("status-308", "image"),
        ("status-305", "network: URL/status-305: answered 305 Use Proxy"),
        ("3", "network: URL/3: redirected to URL/0: redirects, over the cap of 3 redirects"),
        (
            "loop",
            "network: URL/loop: redirected to URL/loop: redirects, over the cap of 3 redirects",
        ),
        (
            "literal",
            "forbidden_address: URL/literal: redirected to http://10.0.0.1/: 10.0.0.1 is not a \
             public address (private network)",
        ),
        (
            "loopback",
            "forbidden_address: URL/loopback: redirected to http://127.0.0.2/: 127.0.0.2 is not a \
             public address (loopback)",
        ),
        (
            "octal",
            "forbidden_address: URL/octal: redirected to http://127.0.0.2/?***: 127.0.0.2 is not a \
             public address (loopback)",
        ),
        (
            "mapped",
            "forbidden_address: URL/mapped: redirected to http://[::ffff:7f00:1]/: \
             ::ffff:127.0.0.1 is not a public address (IPv4-mapped)",
        ),
        ("file", "forbidden_address: URL/file: redirects to file, not to http or https"),
        ("gopher", "forbidden_address: URL/gopher: redirects to gopher, not to http or https"),
        (
            "late",
            "forbidden_address: URL/late: redirected to http://10.0.0.1/: 10.0.0.1 is not a \
             public address (private network)",
        ),
        ("no-url", "network: URL/no-url: redirects to what is no URL"),
    ];
    let fetcher = local().build().unwrap();
    let mut wrong = Vec::new();
    for (path, expected) in cases {
        let found = outcome(fetcher.fetch_blocking(&format!("{}/{path}", web.url)));
        let found = found.replace(&web.url, "URL");
        if found != expected {
            wrong.push(format!("{path}:\n  {found}\n instead of\n  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let fetch = |most, path: &str| {
        let fetcher = local().max_redirects(most).build().unwrap();
        fetcher.fetch_blocking(&format!("{}/{path}", web.url)).map_err(|e| e.kind())
    };
    assert_eq!(fetch(0, "image"), Ok(b"image".to_vec()));
    assert_eq!(fetch(0, "0"), Err(ErrorKind::Network));
    assert_eq!(fetch(4, "3"), Ok(b"image".to_vec()));
}

/// The machine's own resolver is guarded, too.
#[test]
fn local_names_are_refused() {
    let web = Web::start(|_| Reply::ok(b"secret"));
    let fetcher = ImageFetcher::new().unwrap();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1", "0x7f000001", "[::1]", "0"] {
        let error = fetcher.fetch_blocking(&format!("http://{host}:{}/", web.port)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForbiddenAddress, "{host}: {error}");
    }
    assert!(web.heads().is_empty());
}

#[test]
fn failures_to_connect_are_of_the_network() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fetcher = local().build().unwrap();
    let plain = Web::start(|_| Reply::ok(b"image"));
    let urls = [
        format!("http://{closed}/?key=secret"),
        "http://nowhere.invalid/?key=secret".into(),
        // No TLS is spoken there.
        format!("https://user:secret@127.0.0.1:{}/", plain.port),
    ];
    for url in urls {
        let error = fetcher.fetch_blocking(&url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Network, "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn the_request_gives_nothing_away() {
    let web = Web::start(|path| match path {
        "/image" => Reply::ok(b"image"),
        _ => Reply::new(
            "302 Found",
            "Location: /image\r\nSet-Cookie: id=1; Path=/\r\nContent-Length: 0\r\n",
            b"",
        ),
    });
    let fetcher = local().build().unwrap();
    assert_eq!(outcome(fetcher.fetch_blocking(&format!("{}/a?key=b#c", web.url))), "image");
    let port = web.port;
    let version = env!("CARGO_PKG_VERSION");
    let expected = |path: &str| {
        let mut lines: Vec<_> = [
            "accept-encoding: identity".to_owned(),
            "accept: */*".to_owned(),
            format!("host: 127.0.0.1:{port}"),
            format!("user-agent: isovec/{version}"),
        ]
        .into();
        lines.insert(0, format!("GET {path} HTTP/1.1"));
        lines
    };
    let found: Vec<_> = web
        .heads()
        .iter()
        .map(|head| {
            let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
            lines[1..].sort();
            lines
        })
        .collect();
    assert_eq!(found, [expected("/a?key=b"), expected("/image")]);
}

#[test]
fn credentials_are_not_sent_on() {
    let other = Web::start(|_| Reply::ok(b"image"));
    let to = format!("{}/image", other.url);
    let web = Web::start(move |_| Reply::redirect(&to));
    let url = format!("http://user:secret@127.0.0.1:{}/a", web.port);
    assert_eq!(outcome(local().build().unwrap().fetch_blocking(&url)), "image");
    assert!(web.heads()[0].contains("\nauthorization: basic "), "{:?}", web.heads());
    assert!(!other.heads()[0].contains("authorization"), "{:?}", other.heads());
}

#[test]
fn many_callers_share_one_fetcher() {
    let web = Arc::new(Web::start(|path| {
        thread::sleep(Duration::from_millis(200));
        Reply::ok(path.as_bytes())
    }));
    let fetcher = local().build().unwrap();
    thread::scope(|scope| {
        for i in 0..16 {
            let (fetcher, web) = (fetcher.clone(), &web);
            scope.spawn(move || {
                let fetched = fetcher.fetch_blocking(&format!("{}/{i}", web.url));
                assert_eq!(outcome(fetched), format!("/{i}"));
            });
        }
    });
    runtime().block_on(async {
        let start = Instant::now();
        let tasks: Vec<_> = (0..16)
            .map(|i| {
                let (fetcher, web) = (fetcher.clone(), Arc::clone(&web));
                tokio::spawn(async move { fetcher.fetch(&format!("{}/{i}", web.url)).await })
            })
            .collect();
        for (i, task) in tasks.into_iter().enumerate() {
            assert_eq!(outcome(task.await.unwrap()), format!("/{i}"));
        }
        // One after the other would take 3.2 s.
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    });
}

#[test]
fn blocking_is_safe_inside_of_a_runtime() {
    let web = Web::start(|_| Reply::ok(b"image"));
    let fetcher = local().build().unwrap();
    runtime().block_on(async {
        assert_eq!(outcome(fetcher.fetch_blocking(&web.url)), "image");
        assert_eq!(outcome(fetcher.fetch(&web.url).await), "image");
    });
    // The fetcher outlives a runtime that it was used in.
    assert_eq!(outcome(runtime().block_on(fetcher.fetch(&web.url))), "image");
}

#[test]
fn without_a_runtime_there_is_an_error() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let fetcher = ImageFetcher::new().unwrap();
    let polled =
        pin!(fetcher.fetch("http://example.org/")).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().starts_with("cannot start a fetch: "), "{error}");
}

/// The environment of a process is its own: this starts the test anew, with proxies set.
#[test]
fn proxies_of_the_environment_are_ignored() {
    const URL: &str = "ISOVEC_TEST_URL";
    if let Ok(url) = env::var(URL) {
        assert_eq!(outcome(local().build().unwrap().fetch_blocking(&url)), "image");
        assert_eq!(plain(&url), "proxied", "the variables have no effect");
        return;
    }
    let web = Web::start(|_| Reply::ok(b"image"));
    let proxy = Web::start(|_| Reply::ok(b"proxied"));
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "proxies_of_the_environment_are_ignored"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, &proxy.url).env(name.to_ascii_lowercase(), &proxy.url);
    }
    command.env("NO_PROXY", "").env("no_proxy", "").env_remove("REQUEST_METHOD");
    let output = command.env(URL, &web.url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((web.heads().len(), proxy.heads().len()), (1, 1));
}

/// Fetches with a client that has no guards.
fn plain(url: &str) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
    runtime().block_on(async { client.get(url).send().await.unwrap().text().await.unwrap() })
}
