//! The model store against a real server that misbehaves by script.

#![cfg(feature = "download")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use isovec::ErrorKind;
use isovec::store::{CancelToken, FetchOptions, Progress, Stage};
use support::fixture::{
    Fixture, SIZE, assert_fails, content, impatient, read, sha256, spec, wait_for,
};
#[cfg(target_os = "linux")]
use support::machine::SmallDisk;
use support::machine::start_process;
use support::server::{Reply, Server};

/// How every failure begins.
fn cannot(fixture: &Fixture) -> String {
    format!("cannot get onnx/model.onnx of tiny: it is not at {}; ", fixture.path().display())
}

fn address(fixture: &Fixture) -> String {
    format!("{}/hub/model.onnx", fixture.server.url)
}

#[test]
fn a_download_is_verified_reported_and_kept() {
    let fixture = Fixture::new(&[]);
    let steps = Mutex::new(Vec::new());
    let note = |p: Progress<'_>| {
        assert_eq!((p.model, p.file), ("tiny", "onnx/model.onnx"));
        steps.lock().unwrap().push((p.stage, p.received, p.total));
    };
    let options = FetchOptions { progress: Some(&note), ..FetchOptions::default() };
    fixture.store().fetch(&fixture.spec, "fp32", &options).unwrap();
    fixture.assert_complete();

    let steps = steps.into_inner().unwrap();
    let size = SIZE as u64;
    assert_eq!(steps.first(), Some(&(Stage::Downloading, 0, size)));
    assert_eq!(steps.last(), Some(&(Stage::Done, size, size)));
    let stages = [Stage::Downloading, Stage::Verifying, Stage::Done];
    let order = |step: &(Stage, u64, u64)| stages.iter().position(|&stage| stage == step.0);
    assert!(steps.is_sorted_by_key(|step| (order(step), step.1)), "{steps:?}");
    assert!(steps.iter().all(|&(_, received, total)| received <= total && total == size));
    assert!(steps.contains(&(Stage::Downloading, size, size)));

    // What is there is not asked for again.
    assert_eq!(fixture.read().unwrap(), fixture.content);
    fixture.fetch().unwrap();
    assert_eq!(fixture.server.requests().len(), 1);
    assert_eq!(fixture.server.requests()[0].path, "/hub/model.onnx");
}

#[test]
fn status_and_verify_see_what_is_there() {
    let fixture = Fixture::new(&[]);
    let (store, spec) = (fixture.store(), &fixture.spec);
    let status = || store.status(spec, "fp32").unwrap().remove(0);
    let missing = format!("{} is not there", fixture.path().display());
    assert_eq!((status().on_disk, status().is_present()), (None, false));
    assert_fails(store.verify(spec, "fp32"), ErrorKind::NotFound, &missing);

    store.fetch(spec, "fp32", &FetchOptions::default()).unwrap();
    assert_eq!((status().on_disk, status().is_present()), (Some(SIZE as u64), true));
    let verified = store.verify(spec, "fp32").unwrap();
    assert_eq!(verified[0].path, fixture.path());
    assert_eq!(verified[0].origin, "origin0");
    assert_eq!(verified[0].sha256, sha256(&fixture.content));

    fs::write(fixture.path(), b"corrupt").unwrap();
    assert_eq!((status().on_disk, status().is_present()), (Some(7), false));
    let mismatch = format!(
        "{} has sha256 {} (7 bytes), expected {} (100000 bytes, origin0)",
        fixture.path().display(),
        sha256(b"corrupt"),
        sha256(&fixture.content)
    );
    assert_fails(store.verify(spec, "fp32"), ErrorKind::HashMismatch, &mismatch);
    assert!(fixture.path().exists(), "verify changes nothing");

    let no_variant = "model \"tiny\" has no variant \"int8\"; there are: fp32";
    assert_fails(store.status(spec, "int8"), ErrorKind::NotFound, no_variant);
    assert_fails(store.verify(spec, "int8"), ErrorKind::NotFound, no_variant);
    let fetched = store.fetch(spec, "int8", &FetchOptions::default());
    assert_fails(fetched, ErrorKind::NotFound, no_variant);
}

#[test]
fn broken_transfers_end_well() {
    let at = |range: usize| format!("bytes={range}-");
    let whole = String::new;
    let unavailable = || Reply::Status(503, String::new());
    let again = "Retry-After: 0\r\n".to_owned();
    let cases = [
        ("truncated", vec![Reply::Truncated(40_000)], vec![whole(), at(40_000)]),
        (
            "truncated three times",
            vec![Reply::Truncated(40_000), Reply::Truncated(1), Reply::Truncated(0)],
            vec![whole(), at(40_000), at(40_001), at(40_001)],
        ),
        ("truncated without a length", vec![Reply::WithoutLength(9)], vec![whole(), at(9)]),
        ("whole without a length", vec![Reply::WithoutLength(SIZE)], vec![whole()]),
        ("stalled", vec![Reply::Stalled(50_000)], vec![whole(), at(50_000)]),
        ("stalled at once", vec![Reply::Stalled(0)], vec![whole(), whole()]),
        (
            "the server ignores the range",
            vec![Reply::Truncated(5), Reply::IgnoringRange],
            vec![whole(), at(5)],
        ),
        (
            "the server refuses the range",
            vec![Reply::Truncated(5), Reply::Status(416, String::new())],
            vec![whole(), at(5), whole()],
        ),
        (
            "the server brings another range",
            vec![Reply::Truncated(5), Reply::AnotherRange],
            vec![whole(), at(5), whole()],
        ),
        ("unavailable twice", vec![unavailable(), unavailable()], vec![whole(); 3]),
        ("too many requests", vec![Reply::Status(429, again)], vec![whole(); 2]),
        ("wrong once", vec![Reply::Content(vec![7; SIZE])], vec![whole(); 2]),
        (
            "redirected",
            vec![Reply::Status(302, "Location: /elsewhere?signature=1\r\n".into())],
            vec![whole(); 2],
        ),
        ("more than is pinned", vec![Reply::Endless], vec![whole()]),
    ];
    for (name, script, ranges) in cases {
        let fixture = Fixture::new(&script);
        let content = fixture.read().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(content == fixture.content, "{name}: other bytes");
        assert_eq!(fixture.server.ranges(), ranges, "{name}");
        fixture.assert_complete();
    }
}

#[test]
fn failures_say_what_happened_and_how_often_it_was_tried() {
    let url = address;
    let ended = "broke off after 9 of 100000 bytes: end of file before message length reached";
    let stalled = "broke off after 9 of 100000 bytes: nothing came for 1s";
    let cases = [
        (
            "404",
            vec![Reply::Status(404, String::new()); 9],
            1,
            "answered 404 Not Found (1 attempt)",
        ),
        (
            "403",
            vec![Reply::Status(403, String::new()); 9],
            1,
            "answered 403 Forbidden (1 attempt)",
        ),
        (
            "503",
            vec![Reply::Status(503, String::new()); 9],
            4,
            "answered 503 Service Unavailable (4 attempts)",
        ),
        (
            "always truncated",
            [vec![Reply::Truncated(9)], vec![Reply::Truncated(0); 9]].concat(),
            4,
            &format!("{ended} (4 attempts)"),
        ),
        (
            "always stalled",
            [vec![Reply::Stalled(9)], vec![Reply::Stalled(0); 9]].concat(),
            4,
            &format!("{stalled} (4 attempts)"),
        ),
    ];
    for (name, script, requests, reason) in cases {
        let fixture = Fixture::new(&script);
        let text = format!("{}{}: {reason}", cannot(&fixture), url(&fixture));
        assert_fails(fixture.fetch(), ErrorKind::Network, &text);
        assert_eq!(fixture.server.requests().len(), requests, "{name}");
        assert!(!fixture.path().exists(), "{name}");
    }
}

#[test]
fn wrong_content_is_refetched_once_and_then_named() {
    let other = vec![7; 30];
    let fixture = Fixture::new(&vec![Reply::Content(other.clone()); 9]);
    let text = format!(
        "{}{} has sha256 {} (30 bytes), expected {} (100000 bytes, origin0)",
        cannot(&fixture),
        address(&fixture),
        sha256(&other),
        sha256(&fixture.content)
    );
    assert_fails(fixture.fetch(), ErrorKind::HashMismatch, &text);
    assert_eq!(fixture.server.ranges(), ["", ""]);
    fixture.assert_empty();
}

#[test]
fn an_endless_body_is_read_up_to_the_pinned_size() {
    let fixture = Fixture::new(&[Reply::Endless, Reply::Endless]);
    // The server's content is longer than the pinned one, and not even its beginning is right.
    let pinned = vec![1; 10_000];
    let spec = spec(&[(&pinned, &[&address(&fixture)])]);
    let text = format!(
        "{}{} has sha256 {} (10000 bytes), expected {} (10000 bytes, origin0)",
        cannot(&fixture),
        address(&fixture),
        sha256(&fixture.content[..10_000]),
        sha256(&pinned)
    );
    assert_fails(read(&fixture.store(), &spec), ErrorKind::HashMismatch, &text);
    assert_eq!(fixture.server.requests().len(), 2);
    // What sockets hold in between, and no more.
    assert!(fixture.server.sent() < 64 << 20, "{} bytes were sent", fixture.server.sent());
    fixture.assert_empty();
}

#[test]
fn the_pause_that_a_server_asks_for_is_kept() {
    let fixture = Fixture::new(&[Reply::Status(503, "Retry-After: 1\r\n".into())]);
    let begin = Instant::now();
    fixture.fetch().unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());

    let fixture = Fixture::new(&[Reply::Status(503, "Retry-After: 3600\r\n".into())]);
    let store = fixture.builder().pauses(Duration::ZERO, Duration::from_millis(10)).build();
    store.unwrap().fetch(&fixture.spec, "fp32", &FetchOptions::default()).unwrap();
    fixture.assert_complete();
}

#[test]
fn nobody_listens() {
    let fixture = Fixture::without_address(&[]);
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let spec = spec(&[(&fixture.content, &[&format!("http://user:secret@{free}/a?sig=secret")])]);
    let error = read(&fixture.store(), &spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    let expected = format!("http://***@{free}/a?***: cannot be connected to: ");
    assert!(error.to_string().contains(&expected), "{error}");
    assert!(error.to_string().ends_with("(4 attempts)"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn https_needs_no_provider_for_the_process() {
    // The server speaks no TLS, so this goes no further than the handshake.
    let fixture = Fixture::without_address(&[]);
    let url = fixture.server.url.replace("http:", "https:");
    let spec = spec(&[(&fixture.content, &[&url])]);
    let error = read(&fixture.store(), &spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.to_string().contains(&format!("{url}: cannot be connected to")), "{error}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    let fixture = Fixture::without_address(&[]);
    let spec = spec(&[(&fixture.content, &["file:///etc/passwd"])]);
    let error = read(&fixture.store(), &spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.to_string().contains("file://etc/passwd: is no address to ask"), "{error}");
}

#[test]
fn a_corrupt_file_is_replaced() {
    let mut flipped = content();
    flipped[SIZE / 2] ^= 1;
    let cases = [("one bit", flipped), ("half", content()[..SIZE / 2].to_vec()), ("none", vec![])];
    for (name, corrupt) in cases {
        for fetch in [true, false] {
            let fixture = Fixture::new(&[]);
            fixture.plant(&fixture.path(), &corrupt);
            if fetch {
                fixture.fetch().unwrap();
            } else {
                assert!(fixture.read().unwrap() == fixture.content, "{name}");
            }
            assert_eq!(fixture.server.requests().len(), 1, "{name}");
            fixture.assert_complete();
        }
    }
}

#[test]
fn a_corrupt_file_that_cannot_be_replaced_is_deleted_and_named() {
    let fixture = Fixture::new(&vec![Reply::Status(404, String::new()); 9]);
    fixture.plant(&fixture.path(), b"corrupt");
    let text = format!(
        "{path} has sha256 {} (7 bytes), expected {} (100000 bytes, origin0); it was deleted, and \
         then: {}{}: answered 404 Not Found (1 attempt)",
        sha256(b"corrupt"),
        sha256(&fixture.content),
        cannot(&fixture),
        address(&fixture),
        path = fixture.path().display()
    );
    assert_fails(fixture.read(), ErrorKind::HashMismatch, &text);
    fixture.assert_empty();
}

#[test]
fn what_an_earlier_process_left_is_resumed_or_dropped() {
    let content = content();
    let cases: [(&str, &[u8], &[&str]); 4] = [
        ("half", &content[..SIZE / 2], &["bytes=50000-"]),
        ("whole", &content, &[]),
        ("damaged half", &[7; SIZE / 2], &["bytes=50000-", ""]),
        ("too much", &[7; SIZE + 1], &[""]),
    ];
    for (name, part, ranges) in cases {
        let fixture = Fixture::new(&[]);
        fixture.plant(&fixture.part(), part);
        fixture.fetch().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(fixture.server.ranges(), ranges, "{name}");
        fixture.assert_complete();
    }
}

#[test]
fn offline_connects_to_nothing() {
    let fixture = Fixture::new(&[]);
    let store = fixture.builder().offline(true).mirror(&fixture.server.url).build().unwrap();
    let text = format!(
        "{}the offline setting (ISOVEC_OFFLINE) forbids downloading it; run `isovec models fetch \
         tiny` without that setting, or name a folder that holds it in ISOVEC_MODEL_SOURCE",
        cannot(&fixture)
    );
    assert_fails(read(&store, &fixture.spec), ErrorKind::Offline, &text);
    assert_eq!(fixture.server.requests(), []);

    fixture.plant(&fixture.path(), &fixture.content);
    assert!(read(&store, &fixture.spec).unwrap() == fixture.content);
    assert_eq!(fixture.server.requests(), []);
}

#[test]
fn a_file_without_any_source_says_what_to_set() {
    let fixture = Fixture::without_address(&[]);
    let text = format!(
        "{}the manifest has no address for it; name a folder that holds it in \
         ISOVEC_MODEL_SOURCE, or a server in ISOVEC_MIRROR",
        cannot(&fixture)
    );
    assert_fails(fixture.fetch(), ErrorKind::NotFound, &text);
}

#[test]
fn a_local_folder_comes_first() {
    let fixture = Fixture::new(&[]);
    let local = fixture.folder.path().join("local");
    let file = local.join("tiny/onnx/model.onnx");
    let store = |offline| fixture.builder().local(&local).offline(offline).build().unwrap();

    fixture.plant(&file, &fixture.content);
    assert!(read(&store(true), &fixture.spec).unwrap() == fixture.content, "offline");
    fixture.assert_complete();
    assert_eq!(fixture.server.requests(), []);

    // Where it is wrong or missing, the next source is asked.
    for wrong in [Some(b"wrong".to_vec()), Some(vec![7; SIZE]), None] {
        fs::remove_file(fixture.path()).unwrap();
        match &wrong {
            Some(bytes) => fixture.plant(&file, bytes),
            None => fs::remove_file(&file).unwrap(),
        }
        let offline = read(&store(true), &fixture.spec).unwrap_err();
        let (kind, reason) = match &wrong {
            Some(bytes) => (
                ErrorKind::HashMismatch,
                format!("{} has sha256 {}", file.display(), sha256(bytes)),
            ),
            None => (ErrorKind::Offline, format!("the local folder has no {}", file.display())),
        };
        assert_eq!(offline.kind(), kind, "{offline}");
        assert!(offline.to_string().contains(&reason), "{offline}");
        assert!(offline.to_string().contains("; the offline setting"), "{offline}");
        assert!(read(&store(false), &fixture.spec).unwrap() == fixture.content);
        fixture.assert_complete();
    }
}

#[test]
fn a_mirror_comes_before_the_manifests_addresses() {
    let fixture = Fixture::new(&[]);
    let mirror = Server::start(&fixture.content, &[]);
    let base = format!("{}/base/", mirror.url.replace("http://", "http://user:secret@"));
    let store = fixture.builder().mirror(base).build().unwrap();
    assert!(read(&store, &fixture.spec).unwrap() == fixture.content);
    assert_eq!(mirror.requests()[0].path, "/base/tiny/onnx/model.onnx");
    assert_eq!(fixture.server.requests(), []);
    assert!(!format!("{store:?}").contains("secret"));
}

#[test]
fn a_mirror_may_have_any_build_and_an_address_only_its_own() {
    let fixture = Fixture::new(&[]);
    let made_locally = vec![3; 20_000];
    let all = [&*made_locally, &*fixture.content];
    let url = address(&fixture);
    let spec = spec(&[(all[0], &[]), (all[1], &[&url])]);

    for (index, content) in all.into_iter().enumerate() {
        let mirror = Server::start(content, &[Reply::Truncated(10_000)]);
        let store = impatient(&fixture.folder.path().join(index.to_string()));
        let store = store.mirror(&mirror.url).build().unwrap();
        assert!(read(&store, &spec).unwrap() == content, "build {index}");
        assert_eq!(store.verify(&spec, "fp32").unwrap()[0].origin, format!("origin{index}"));
        assert_eq!(mirror.ranges(), ["", "bytes=10000-"]);
    }
    assert_eq!(fixture.server.requests(), []);

    // The address belongs to the second build, and delivers the first: a mistake.
    let server = Server::start(&made_locally, &[]);
    let spec = support::fixture::spec(&[(all[0], &[]), (all[1], &[&server.url])]);
    let text = format!(
        "{}{} has sha256 {} (20000 bytes), expected {} (100000 bytes, origin1)",
        cannot(&fixture),
        server.url,
        sha256(all[0]),
        sha256(all[1])
    );
    assert_fails(read(&fixture.store(), &spec), ErrorKind::HashMismatch, &text);
}

#[test]
fn every_source_is_tried_and_every_reason_told() {
    let fixture = Fixture::new(&[]);
    let gone = Server::start(b"", &vec![Reply::Status(410, String::new()); 9]);
    let wrong = Server::start(b"wrong", &[]);
    let urls = [format!("{}/1", wrong.url), format!("{}/2", gone.url), address(&fixture)];
    let urls = urls.each_ref().map(String::as_str);
    let store = fixture.builder().mirror(&gone.url).local("/nowhere").build().unwrap();

    let failing = spec(&[(&fixture.content, &urls[..2])]);
    let text = format!(
        "{}the local folder has no /nowhere/tiny/onnx/model.onnx; \
         {gone}/tiny/onnx/model.onnx: answered 410 Gone (1 attempt); \
         {wrong}/1 has sha256 {} (5 bytes), expected {} (100000 bytes, origin0); \
         {gone}/2: answered 410 Gone (1 attempt)",
        cannot(&fixture),
        sha256(b"wrong"),
        sha256(&fixture.content),
        gone = gone.url,
        wrong = wrong.url
    );
    assert_fails(read(&store, &failing), ErrorKind::HashMismatch, &text);

    let ending_well = spec(&[(&fixture.content, &urls)]);
    assert!(read(&store, &ending_well).unwrap() == fixture.content);
    fixture.assert_complete();
}

#[test]
fn cancelling_keeps_what_has_arrived() {
    let fixture = Fixture::new(&[Reply::Stalled(30_000)]);
    let store = fixture.builder().stall_timeout(Duration::from_secs(60)).build().unwrap();
    let cancel = CancelToken::new();
    let stop = |p: Progress<'_>| {
        if p.stage == Stage::Downloading && p.received == 30_000 {
            cancel.cancel();
        }
    };
    let options = FetchOptions { progress: Some(&stop), cancel: Some(&cancel) };
    let begin = Instant::now();
    let text = "fetching onnx/model.onnx of tiny was cancelled";
    assert_fails(store.fetch(&fixture.spec, "fp32", &options), ErrorKind::Cancelled, text);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(fs::metadata(fixture.part()).unwrap().len(), 30_000);
    assert!(!fixture.path().exists());

    // It stays cancelled, and then nothing is asked for.
    assert_fails(store.fetch(&fixture.spec, "fp32", &options), ErrorKind::Cancelled, text);
    assert_eq!(fixture.server.requests().len(), 1);

    fixture.fetch().unwrap();
    assert_eq!(fixture.server.ranges(), ["", "bytes=30000-"]);
    fixture.assert_complete();
}

#[test]
fn the_wait_for_another_process_can_be_cancelled() {
    let fixture = Fixture::new(&[]);
    let lock = fixture.path().with_file_name("model.onnx.lock");
    fixture.plant(&lock, b"");
    let held = fs::File::open(lock).unwrap();
    held.lock().unwrap();
    let cancel = CancelToken::new();
    let stop = |p: Progress<'_>| {
        assert_eq!(p.stage, Stage::Waiting);
        cancel.cancel();
    };
    let options = FetchOptions { progress: Some(&stop), cancel: Some(&cancel) };
    let text = "fetching onnx/model.onnx of tiny was cancelled";
    let fetched = fixture.store().fetch(&fixture.spec, "fp32", &options);
    assert_fails(fetched, ErrorKind::Cancelled, text);
    assert_eq!(fixture.server.requests(), []);
}

#[test]
fn it_may_be_called_inside_of_an_async_runtime() {
    let fixture = Fixture::new(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let content = runtime.block_on(async { fixture.read() }).unwrap();
    assert!(content == fixture.content);
}

#[test]
fn many_threads_download_once() {
    let fixture = Fixture::new(&[Reply::Slow(Duration::from_millis(200))]);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| fixture.read())).collect();
        for thread in threads {
            assert!(thread.join().unwrap().unwrap() == fixture.content);
        }
    });
    assert_eq!(fixture.server.requests().len(), 1);
    fixture.assert_complete();
}

#[test]
fn many_processes_download_once() {
    let fixture = Fixture::new(&[Reply::Slow(Duration::from_millis(200))]);
    let mut children: Vec<_> = (0..4)
        .map(|_| start_process("child_process", fixture.store().root(), &address(&fixture)))
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success(), "a child failed");
    }
    assert_eq!(fixture.server.requests().len(), 1);
    fixture.assert_complete();
}

#[test]
fn a_killed_download_is_resumed_and_never_taken_for_whole() {
    let fixture = Fixture::new(&[Reply::Stalled(60_000)]);
    let mut child = start_process("child_process", fixture.store().root(), &address(&fixture));
    let gathered = || fs::metadata(fixture.part()).is_ok_and(|part| part.len() == 60_000);
    wait_for("the part", gathered);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!fixture.path().exists(), "half a file bears the name of a whole one");

    // Nor does the lock outlive its holder.
    assert!(fixture.read().unwrap() == fixture.content);
    assert_eq!(fixture.server.ranges(), ["", "bytes=60000-"]);
    fixture.assert_complete();
}

#[test]
#[ignore = "the other tests start it as a second process"]
fn child_process() {
    let Some(root) = std::env::var_os("ISOVEC_TEST_ROOT") else { return };
    let url = std::env::var("ISOVEC_TEST_URL").unwrap();
    let store = impatient(Path::new(&root)).build().unwrap();
    let content = content();
    assert!(read(&store, &spec(&[(&content, &[&url])])).unwrap() == content);
}

#[test]
fn a_store_that_cannot_be_written_is_named() {
    let fixture = Fixture::new(&[]);
    // Below a file no folder can be made, not even by root.
    let file = fixture.folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = read(&impatient(&file).build().unwrap(), &fixture.spec).unwrap_err();
    let text = format!(
        "the model store cannot be written (ISOVEC_HOME sets its folder): cannot create the folder \
         {}/models/tiny/onnx: ",
        file.display()
    );
    assert!(error.to_string().starts_with(&text), "{error}");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(fixture.server.requests(), []);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_says_how_much_is_lacking() {
    let fixture = Fixture::new(&[]);
    let root = fixture.folder.path().join("home");
    let Some(disk) = SmallDisk::mount(&root, "64k") else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    let error = fixture.fetch().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let have = fs::metadata(fixture.part()).unwrap().len();
    assert!(have > 0, "what has arrived is kept");
    let text = format!(
        "cannot write {}: the disk is full; {} more bytes are needed (what has arrived is kept, \
         and resumed by the next fetch)",
        fixture.part().display(),
        SIZE as u64 - have
    );
    assert_eq!(error.to_string(), text);
    assert!(!fixture.path().exists());

    disk.resize("1m");
    fixture.fetch().unwrap();
    assert_eq!(fixture.server.ranges(), [String::new(), format!("bytes={have}-")]);
    fixture.assert_complete();
}
