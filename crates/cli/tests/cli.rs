//! The program as people run it: what it prints, what it says when something is wrong, and how it
//! exits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use isovec_tests::{Failures, max_difference, minilm, test_models};
use serde_json::Value;
use support::{isovec, json_lines, run, vector};

/// A small model, for what does not depend on the model.
fn small() -> String {
    test_models().join("mean-opset11").to_string_lossy().into_owned()
}

#[test]
fn embeds_arguments_as_the_library_does() {
    let texts = ["Hello world", "", "a \"quoted\"\nline"];
    let mut args = vec!["embed"];
    args.extend(texts);
    let lines = json_lines(&run(&args, b""));
    assert_eq!(lines.len(), texts.len());
    for (index, (line, text)) in lines.iter().zip(texts).enumerate() {
        let expected = minilm().embed(text).unwrap();
        assert_eq!(line["index"], index);
        assert_eq!(line["tokens"], expected.tokens);
        assert_eq!(line["truncated"], false);
        // Shortest decimals that read back as the same float: nothing is lost on the way.
        assert_eq!(vector(line), expected.vector());
    }
}

#[test]
fn reads_lines_and_json_lines_in_order() {
    let input = "first\r\nsecond\n\nlast without newline";
    let lines = json_lines(&run(&["embed", "--input", "-", "--model", &small()], input.as_bytes()));
    assert_eq!(lines.len(), 4, "an empty line is an empty text, so that indices are line numbers");

    let input = "{\"text\": \"first\", \"id\": 7, \"index\": \"mine\"}\n\n{\"id\": [1], \"text\": \"second\"}\n";
    let args = ["embed", "--input", "-", "--input-format", "jsonl", "--model", &small()];
    let carried = json_lines(&run(&args, input.as_bytes()));
    assert_eq!(carried.len(), 2);
    assert_eq!((&carried[0]["id"], &carried[0]["index"]), (&Value::from(7), &Value::from(0)));
    assert_eq!(carried[1]["id"], serde_json::json!([1]));
    assert_eq!(vector(&carried[0]), vector(&lines[0]));
    assert_eq!(vector(&carried[1]), vector(&lines[1]));
}

#[test]
fn a_slow_stream_is_answered_line_by_line() {
    let mut child = isovec(&["embed", "--input", "-", "--model", &small()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for index in 0..3 {
        writeln!(stdin, "text {index}").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["index"], index);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn json_and_table_and_npy_hold_the_same_vectors() {
    let input = b"one\ntwo words\nthree more words\n";
    let base = ["embed", "--input", "-", "--model", &small(), "--format"];
    let with = |format: &'static str| [&base[..], &[format]].concat();
    let lines = json_lines(&run(&with("jsonl"), input));

    let json = run(&with("json"), input);
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&json.stdout).unwrap(), lines);
    let none = run(&with("json"), b"");
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&none.stdout).unwrap(), [] as [Value; 0]);

    let table = String::from_utf8(run(&with("table"), input).stdout).unwrap();
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(table.contains("two words"), "{table}");

    // NumPy itself reads what we wrote.
    let npy = run(&with("npy"), input).stdout;
    let Some(python) = std::env::var_os("ISOVEC_PYTHON") else {
        panic!("ISOVEC_PYTHON is not set. Run the tests by scripts/test.");
    };
    let script = "import sys, io, json, numpy as np\n\
                  a = np.load(io.BytesIO(sys.stdin.buffer.read()))\n\
                  print(json.dumps([str(a.dtype), a.shape, a.tolist()]))";
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&npy).unwrap();
    let read = child.wait_with_output().unwrap();
    let (dtype, shape, rows): (String, [usize; 2], Vec<Vec<f32>>) =
        serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!((dtype.as_str(), shape), ("float32", [3, 32]));
    for (row, line) in rows.iter().zip(&lines) {
        assert_eq!(max_difference(row, &vector(line)), 0.0);
    }
}

#[test]
fn similarity_and_search_show_meaning() {
    let similarity = |a: &str, b: &str| -> f32 {
        let output = run(&["similarity", a, b], b"");
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    let (near, far) = (similarity("a cat", "a kitten"), similarity("a cat", "tax law"));
    assert!(near > 0.7 && far < 0.3, "{near} {far}");

    let texts = "The stock market fell today.\nA kitten sleeps on the sofa.\nHow to bake bread.\n";
    let args = ["search", "cats", "--input", "-", "--top", "2", "--format", "jsonl"];
    let hits = json_lines(&run(&args, texts.as_bytes()));
    assert_eq!(hits.len(), 2);
    assert_eq!(hits[0]["index"], 1);
    assert!(hits[0]["score"].as_f64() > hits[1]["score"].as_f64());
}

#[test]
fn bad_input_is_named_with_its_exit_code() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name).to_string_lossy().into_owned();
    let corrupt = copy_model(&temp.path().join("corrupt"));
    std::fs::write(Path::new(&corrupt).join("model.onnx"), b"not a model").unwrap();
    let shapeless = copy_model(&temp.path().join("shapeless"));
    std::fs::write(
        Path::new(&shapeless).join("config.json"),
        r#"{"hidden_size": 31, "max_position_embeddings": 48}"#,
    )
    .unwrap();
    let small = small();
    let long_line = "x".repeat(8 << 20);
    let output = path("no/such/folder/out.jsonl");
    let missing = path("missing.txt");

    // (name, arguments, standard input, exit code, what standard error says)
    type Case<'a> = (&'a str, Vec<&'a str>, &'a [u8], i32, String);
    let cases: Vec<Case<'_>> = vec![
        ("no such model", vec!["embed", "x", "--model", "nope"], b"", 1, "isovec: error: no model is named \"nope\"; there are: all-MiniLM-L6-v2, clip-vit-base-patch32, clip-vit-base-patch32-text\n".into()),
        ("unknown variant", vec!["embed", "x", "--variant", "fp8"], b"", 1, "isovec: error: model \"all-MiniLM-L6-v2\" has no variant \"fp8\"; there are: fp32, int8, int8-dynamic\n".into()),
        ("corrupt file", vec!["embed", "x", "--model", &corrupt], b"", 1, format!("isovec: error: {corrupt}/model.onnx: not an ONNX file (11 bytes): ")),
        ("wrong shape", vec!["embed", "x", "--model", &shapeless], b"", 1, format!("isovec: error: {shapeless}/model.onnx: output \"last_hidden_state\" has the shape ")),
        ("too many tokens", vec!["embed", "x", "--max-tokens", "513"], b"", 1, "isovec: error: max_tokens: 513 is outside of 1 to 512, the most that model \"all-MiniLM-L6-v2\" reads\n".into()),
        ("no threads", vec!["embed", "x", "--threads", "0"], b"", 2, "error: invalid value '0' for '--threads <N>': 0 is not in 1..=1024".into()),
        ("no such prompt", vec!["embed", "x", "--model", &small, "--prompt", "query"], b"", 1, "isovec: error: text 0: model \"mean-opset11\" has no prompt \"query\"; it has: []\n".into()),
        ("not UTF-8", vec!["embed", "--input", "-", "--model", &small], b"fine\nbad \xff byte\n", 1, "isovec: error: standard input line 2: is not UTF-8: byte 0xff at column 5\n".into()),
        ("long line", vec!["embed", "--input", "-", "--model", &small], long_line.as_bytes(), 1, "isovec: error: standard input line 1: is over the cap of 7340032 bytes\n".into()),
        ("long text", vec!["embed", "--input", "-", "--model", &small], &long_line.as_bytes()[..1_048_577], 1, "isovec: error: standard input line 1: the text is 1048577 bytes, over the cap of 1048576\n".into()),
        ("no JSON", vec!["embed", "--input", "-", "--input-format", "jsonl", "--model", &small], b"{\"text\": \"a\"}\nhello\n", 1, "isovec: error: standard input line 2: is no JSON object: expected value at line 1 column 1\n".into()),
        ("no text", vec!["embed", "--input", "-", "--input-format", "jsonl", "--model", &small], b"{\"body\": 1}\n", 1, "isovec: error: standard input line 1: has no \"text\"\n".into()),
        ("text of another type", vec!["embed", "--input", "-", "--input-format", "jsonl", "--model", &small], b"{\"text\": 1}\n", 1, "isovec: error: standard input line 1: \"text\" is 1; expected a string\n".into()),
        ("no input file", vec!["embed", "--input", &missing], b"", 1, format!("isovec: error: cannot read {missing}: No such file or directory (os error 2)\n")),
        ("output folder", vec!["embed", "x", "--model", &small, "--output", &output], b"", 1, format!("isovec: error: cannot write {output}: its folder does not exist\n")),
        ("keep-going needs jsonl", vec!["embed", "x", "--keep-going", "--format", "npy"], b"", 2, "error: --keep-going reports failures as JSON lines; it goes with --format jsonl\n".into()),
        ("nothing to embed", vec!["embed"], b"", 2, "error: the following required arguments were not provided:".into()),
        ("both inputs", vec!["embed", "x", "--input", "-"], b"", 2, "error: the argument '[TEXT]...' cannot be used with '--input <FILE|->'".into()),
        ("unknown format", vec!["embed", "x", "--format", "xml"], b"", 2, "error: invalid value 'xml' for '--format <FORMAT>'".into()),
        ("unknown command", vec!["embeb"], b"", 2, "error: unrecognized subcommand 'embeb'".into()),
    ];
    let mut failures = Failures::default();
    for (name, args, stdin, code, message) in cases {
        let output = run(&args, stdin);
        let stderr = String::from_utf8_lossy(&output.stderr);
        failures.check(output.status.code() == Some(code), || format!("{name}: {}", output.status));
        failures.check(stderr.starts_with(&message), || format!("{name}:\n{stderr}not\n{message}"));
    }
    failures.report();
}

#[test]
fn a_store_that_is_empty_or_cannot_be_written_says_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let empty = temp.path().join("empty");
    let cases = [
        (
            file.join("home"),
            "the model store cannot be written (ISOVEC_HOME sets its folder): cannot create the folder ",
        ),
        (
            empty,
            "the offline setting (ISOVEC_OFFLINE) forbids downloading it; run `isovec models fetch all-MiniLM-L6-v2` without that setting",
        ),
    ];
    let mut failures = Failures::default();
    for (home, message) in cases {
        let output = isovec(&["embed", "x"]).env("ISOVEC_HOME", &home).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        failures.check(output.status.code() == Some(1) && stderr.contains(message), || {
            format!("{}: {}, {stderr}", home.display(), output.status)
        });
    }
    failures.report();
}

#[test]
fn a_file_with_another_content_is_never_used() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("models/all-MiniLM-L6-v2");
    std::fs::create_dir_all(folder.join("onnx")).unwrap();
    std::fs::write(folder.join("onnx/model.onnx"), b"not the model").unwrap();
    std::fs::write(folder.join("tokenizer.json"), b"{}").unwrap();
    for args in [["models", "verify"], ["embed", "x"]] {
        let output = isovec(&args).env("ISOVEC_HOME", temp.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr.contains("has sha256 ") && stderr.contains(", expected "), "{stderr}");
    }
}

#[test]
fn models_are_listed_and_verified() {
    let list = String::from_utf8(run(&["models", "list"], b"").stdout).unwrap();
    let row = list.lines().find(|line| line.contains(" fp32 ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().take(6).collect();
    assert_eq!(cells, ["all-MiniLM-L6-v2", "text", "fp32", "384", "512", "yes"], "{list}");
    let images = list.lines().find(|line| line.contains(" image ")).unwrap();
    assert!(images.contains("512") && images.contains(" - "), "{list}");
    for variant in ["fp32", "int8"] {
        let output = run(&["models", "verify", "--variant", variant], b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    }
    let inspected = String::from_utf8(run(&["models", "inspect"], b"").stdout).unwrap();
    for line in
        ["model           all-MiniLM-L6-v2", "dims            384", "encoder blocks  6 fused"]
    {
        assert!(inspected.contains(line), "{inspected}");
    }
    let unknown = run(&["models", "verify", "nope"], b"");
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn what_was_computed_before_a_bad_line_is_written() {
    let args = ["embed", "--input", "-", "--model", &small()];
    let output = run(&args, b"one\ntwo\n\xff\nfour\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.iter().filter(|b| **b == b'\n').count(), 2);
}

#[test]
fn keep_going_reports_each_failure_in_its_place() {
    let mut input = b"{\"text\": \"one\"}\n{\"text\": \"".to_vec();
    input.extend(b"y".repeat(1_048_577));
    input.extend(b"\", \"id\": 7}\n\xff\nno json\n");
    input.extend(b"z".repeat(8 << 20));
    input.extend(b"\n{\"id\": 8}\n{\"text\": \"last\"}\n");
    let args =
        ["embed", "--input", "-", "--input-format", "jsonl", "--model", &small(), "--keep-going"];
    let output = run(&args, &input);
    assert_eq!(output.status.code(), Some(1));
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<Option<&str>> =
        lines.iter().map(|line| line["error"]["code"].as_str()).collect();
    let invalid = Some("invalid_input");
    let large = Some("too_large");
    assert_eq!(codes, [None, large, invalid, invalid, large, invalid, None]);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["index"], index);
    }
    assert_eq!((&lines[1]["id"], &lines[5]["id"]), (&Value::from(7), &Value::from(8)));
    assert!(lines[6]["embedding"].is_array());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "isovec: error: 5 of 7 texts have no vector; see their \"error\"\n"
    );
}

#[test]
fn an_output_file_appears_only_when_it_is_whole() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("vectors.jsonl").to_string_lossy().into_owned();
    let small = small();
    let args = ["embed", "--input", "-", "--model", &small, "--output", &file];
    assert!(run(&args, b"one\ntwo\n").status.success());
    let whole = std::fs::read(&file).unwrap();
    assert_eq!(whole.iter().filter(|b| **b == b'\n').count(), 2);

    assert_eq!(run(&args, b"one\n\xff\n").status.code(), Some(1));
    assert_eq!(std::fs::read(&file).unwrap(), whole, "a failed run keeps what was there");

    // Onto its own input: every line once, although the output is longer than the input.
    let texts = temp.path().join("texts.txt").to_string_lossy().into_owned();
    std::fs::write(&texts, "some text\n".repeat(1000)).unwrap();
    let onto = ["embed", "--input", &texts, "--model", &small, "--output", &texts];
    assert!(run(&onto, b"").status.success());
    assert_eq!(std::fs::read_to_string(&texts).unwrap().lines().count(), 1000);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2, "nothing temporary is left");

    // What is no file is written to, not replaced.
    let null = ["embed", "x", "--model", &small, "--output", "/dev/null"];
    assert!(run(&null, b"").status.success());
    assert!(!Path::new("/dev/null").is_file());
}

#[test]
fn a_signal_ends_a_run_that_waits_for_input() {
    let mut child = isovec(&["embed", "--input", "-", "--model", &small()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "a first text, to know that it is running").unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "isovec: error: interrupted\n");
    drop(stdin);
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let mut child = isovec(&["embed", "--input", "-", "--model", &small()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        for _ in 0..100_000 {
            if writeln!(stdin, "some text").is_err() {
                break;
            }
        }
    });
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    feeder.join().unwrap();
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let (short, long) = (peak_memory(5_000), peak_memory(100_000));
    // 95,000 more texts and vectors would be 20 MB and more if they were kept.
    assert!(long < short + (6 << 20), "{short} bytes for 5,000 lines, {long} for 100,000");
}

/// The most memory that embedding so many lines from standard input takes.
fn peak_memory(lines: usize) -> u64 {
    let mut child = isovec(&["embed", "--input", "-", "--model", &small(), "--threads", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        for line in 0..lines {
            writeln!(stdin, "this is the text of line {line}, of a plausible length").unwrap();
        }
    });
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, mut read) = (0, 0);
    let mut looked = Instant::now();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        assert!(line.unwrap().starts_with(&format!("{{\"index\":{read},")));
        read += 1;
        if looked.elapsed() > Duration::from_millis(50) || read == lines {
            looked = Instant::now();
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = high.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0) * 1024);
        }
    }
    feeder.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(read, lines);
    peak
}

fn copy_model(to: &Path) -> String {
    let from = test_models().join("mean-opset11");
    std::fs::create_dir_all(to.join("1_Pooling")).unwrap();
    for file in ["model.onnx", "tokenizer.json", "config.json", "1_Pooling/config.json"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    to.to_string_lossy().into_owned()
}
