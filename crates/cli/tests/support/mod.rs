//! Running the program, and reading what it prints.

// clippy.toml allows these in test functions, which it does not take helpers for.
#![allow(clippy::unwrap_used)]
// Each test program uses some of it.
#![allow(dead_code)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn isovec(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isovec"));
    // A test must never reach for the network.
    command.args(args).env("ISOVEC_OFFLINE", "1");
    command
}

pub(crate) fn run(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = isovec(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read; that is not an error here.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn vector(value: &Value) -> Vec<f32> {
    value["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}
