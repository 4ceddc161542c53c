//! A model of one file, a server that has it, and a store that has not.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use isovec::store::{FetchOptions, ModelStore, ModelStoreBuilder};
use isovec::{Error, ErrorKind, Manifest, ModelSpec, Result};
use isovec_core::HashedBytes;
use isovec_core::manifest::FileRole;
use tempfile::TempDir;

use super::server::{Reply, Server};

/// How many bytes the file has.
pub(crate) const SIZE: usize = 100_000;

/// How long a server that falls silent is waited for.
pub(crate) const STALL: Duration = Duration::from_millis(1000);

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) content: Vec<u8>,
    pub(crate) server: Server,
    pub(crate) spec: ModelSpec,
    stall_timeout: Duration,
}

impl Fixture {
    /// The manifest names the server, which answers its first requests by `script`.
    pub(crate) fn new(script: &[Reply]) -> Self {
        let content = content();
        let server = Server::start(&content, script);
        let spec = spec(&[(&content, &[&format!("{}/hub/model.onnx", server.url)])]);
        // Short only where a stall is awaited: a busy machine must not look like one.
        let stalls = script.iter().any(|reply| matches!(reply, Reply::Stalled(_)));
        let stall_timeout = if stalls { STALL } else { Duration::from_secs(30) };
        Fixture { folder: tempfile::tempdir().unwrap(), content, server, spec, stall_timeout }
    }

    /// As [`new`](Self::new), but the manifest names no address.
    pub(crate) fn without_address(script: &[Reply]) -> Self {
        let fixture = Fixture::new(script);
        Fixture { spec: spec(&[(&fixture.content, &[])]), ..fixture }
    }

    pub(crate) fn builder(&self) -> ModelStoreBuilder {
        impatient(&self.folder.path().join("home")).stall_timeout(self.stall_timeout)
    }

    pub(crate) fn store(&self) -> ModelStore {
        self.builder().build().unwrap()
    }

    pub(crate) fn fetch(&self) -> Result<()> {
        self.store().fetch(&self.spec, "fp32", &FetchOptions::default())
    }

    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        read(&self.store(), &self.spec)
    }

    /// Where the file belongs.
    pub(crate) fn path(&self) -> PathBuf {
        self.store().path(&self.spec, &self.spec.variants["fp32"].files[0])
    }

    /// Where it gathers.
    pub(crate) fn part(&self) -> PathBuf {
        let path = self.path();
        path.with_file_name(format!("model.onnx.{}.part", &sha256(&self.content)[..16]))
    }

    /// Puts `bytes` where the file belongs.
    pub(crate) fn plant(&self, path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Asserts that the store has the file, and nothing half-done beside it.
    #[track_caller]
    pub(crate) fn assert_complete(&self) {
        assert_eq!(fs::read(self.path()).unwrap(), self.content, "the file in its place");
        assert_eq!(self.names(), ["model.onnx", "model.onnx.lock"], "the files in the folder");
    }

    /// Asserts that there is neither the file nor a part of it.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.names(), ["model.onnx.lock"], "the files in the folder");
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().parent().unwrap()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn read(store: &ModelStore, spec: &ModelSpec) -> Result<Vec<u8>> {
    let bytes = store.read(spec, "fp32", FileRole::Model, &FetchOptions::default())?;
    Ok(bytes.bytes().to_vec())
}

/// A store whose pauses are short.
pub(crate) fn impatient(root: &Path) -> ModelStoreBuilder {
    ModelStore::builder().root(root).pauses(Duration::from_millis(1), Duration::from_secs(5))
}

/// A model of one file with these builds: contents, and the addresses of each.
pub(crate) fn spec(builds: &[(&[u8], &[&str])]) -> ModelSpec {
    let mut toml = String::from(
        "[[model]]\nname = \"tiny\"\ndims = 8\nmax_tokens = 16\npooling = \"mean\"\n\
         [[model.variants.fp32.files]]\nrole = \"model\"\npath = \"onnx/model.onnx\"\n",
    );
    for (index, (content, urls)) in builds.iter().enumerate() {
        toml += &format!(
            "[[model.variants.fp32.files.builds]]\norigin = \"origin{index}\"\n\
             sha256 = \"{}\"\nsize = {}\nurls = {urls:?}\n",
            sha256(content),
            content.len()
        );
    }
    Manifest::from_toml(&toml).unwrap().get("tiny").unwrap().clone()
}

/// Bytes without a pattern, so that a piece in the wrong place changes the hash.
pub(crate) fn content() -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(SIZE).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    HashedBytes::from(bytes).sha256().to_owned()
}

#[track_caller]
pub(crate) fn assert_fails<T>(result: Result<T>, kind: ErrorKind, text: &str) -> Error {
    let Err(error) = result else { panic!("it succeeded, expected {kind}: {text}") };
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), kind, "the kind of: {text}");
    error
}

/// Waits for `condition`, which another thread or process makes true.
#[track_caller]
pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(10), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
