//! `isovec config` as people run it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::process::Output;

use support::isovec;

/// Runs the program with these variables alone of those that it knows.
fn config(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = isovec(&["config"]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().contains("__") || name == "ISOVEC_CONFIG" {
            command.env_remove(name);
        }
    }
    command.args(args).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_example_passes_its_own_check() {
    let example = config(&["example"], &[]);
    assert!(example.status.success());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("isovec.yaml");
    std::fs::write(&path, &example.stdout).unwrap();
    let file = path.to_str().unwrap();

    let expected = "OK\nmodels: all-MiniLM-L6-v2\ncache:  memory 256 MiB\n\
                    server: 127.0.0.1:8080, no API key is asked for\n";
    for (args, variables) in
        [(vec!["check", file], vec![]), (vec!["check"], vec![("ISOVEC_CONFIG", file)])]
    {
        let output = config(&args, &variables);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), expected);
    }
}

#[test]
fn the_file_and_the_environment_together_are_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("isovec.yaml");
    std::fs::write(
        &path,
        "models: {a: {path: x, dimensions: 3}, b: }\n\
         redis_hot: {addr: 'redis://user:hunter2@cache:6379'}\n\
         redis_cold: {addr: cold, ttl: 30d, password: hunter2}\n\
         server: {api_keys: [hunter2hunter2hunter2]}\n",
    )
    .unwrap();
    let file = path.to_str().unwrap();
    let variables =
        [("ISOVEC__SERVER__LISTEN", "0.0.0.0:80"), ("ISOVEC__DEVELOPMENT__MOCK_MODE", "true")];

    let output = config(&["check", file], &variables);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "OK\nmodels: a, b (mock mode: vectors mean nothing)\n\
         cache:  memory 256 MiB, redis_hot redis://***@cache:6379 for 1h, redis_cold cold for 30d\n\
         server: 0.0.0.0:80, 1 API key\n"
    );

    let output = config(&["show", file], &variables);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for line in [
        "  addr: \"redis://***@cache:6379\"",
        "  ttl: 30d",
        "  password: \"***\"",
        "  api_keys: [\"***\"]",
        "  listen: \"0.0.0.0:80\"",
        "  mock_mode: true",
        "  max_queue: 4096",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn every_problem_is_printed_and_the_exit_code_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("isovec.yaml");
    std::fs::write(&path, "cache:\n  budget: 1h\nservre:\n  listen: x\n").unwrap();
    let file = path.to_str().unwrap();
    for command in ["check", "show"] {
        let output = config(&[command, file], &[("ISOVEC__SERVER__LISTNE", "x")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        assert_eq!(
            text(&output.stderr),
            format!(
                "isovec: error: {file}: 3 problems:\n  \
                 line 2: cache.budget: 1h, expected a duration from 1ms to 10s, such as 100ms, 90s or 24h\n  \
                 line 3: servre: unknown key, did you mean server?\n  \
                 ISOVEC__SERVER__LISTNE: server.listne: unknown key, did you mean listen?\n"
            )
        );
    }
    let missing = config(&["check", "no/such/file"], &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("cannot read no/such/file"), "{missing:?}");
}
