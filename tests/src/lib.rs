//! What the tests share: where the models lie, the reference vectors, and how to compare.
//!
//! `scripts/test` lays the models ready and sets the environment; run alone, a test says what is
//! missing.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test helper fails its test")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use isovec::TextEmbedder;
use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The bounds of R3 for fp32, against the reference runtime on the same model file.
pub const MIN_COSINE: f32 = 0.99999;
/// See [`MIN_COSINE`].
pub const MAX_DIFFERENCE: f32 = 1e-4;

/// MiniLM at its default settings, opened once for each test program.
pub fn minilm() -> &'static TextEmbedder {
    static MODEL: OnceLock<TextEmbedder> = OnceLock::new();
    MODEL.get_or_init(|| open("all-MiniLM-L6-v2"))
}

/// Opens a model by name or folder.
pub fn open(model: &str) -> TextEmbedder {
    TextEmbedder::open(model).unwrap_or_else(|e| panic!("{e}\nRun the tests by scripts/test."))
}

/// The folder of the small generated models.
pub fn test_models() -> PathBuf {
    folder_in("ISOVEC_TEST_MODELS")
}

/// A folder that `scripts/test` lays ready and names in the environment.
pub fn folder_in(variable: &str) -> PathBuf {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("{variable} is not set. Run the tests by scripts/test."))
}

/// The rows of a tensor of 32-bit floats.
pub fn rows(file: &SafeTensors<'_>, name: &str) -> Vec<Vec<f32>> {
    let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let floats: Vec<f32> =
        tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let width: usize = tensor.shape()[1..].iter().product();
    floats.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

/// Reads a JSON file.
pub fn json<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A text with the name under which a failure reports it.
#[derive(Clone, Debug, Deserialize)]
pub struct NamedText {
    /// Which case this is.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What the reference implementation made of the golden texts (`tests/golden/make.py`).
#[derive(Debug)]
pub struct Golden {
    /// The texts.
    pub texts: Vec<NamedText>,
    /// Their ids.
    pub ids: Vec<Vec<u32>>,
    /// Their vectors.
    pub vectors: Vec<Vec<f32>>,
}

/// The reference at `max_tokens` of 256 or 512.
pub fn golden(max_tokens: usize) -> Golden {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut ids: std::collections::BTreeMap<String, Vec<Vec<u32>>> =
        json(&folder.join("minilm-tokens.json"));
    let bytes = std::fs::read(folder.join("minilm-fp32.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    Golden {
        texts: json(&folder.join("texts.json")),
        ids: ids.remove(&max_tokens.to_string()).unwrap(),
        vectors: rows(&tensors, &format!("embeddings_{max_tokens}")),
    }
}

/// The largest difference of two vectors in any component.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// Collects what went wrong, so that a table of cases reports every failure together.
#[derive(Debug, Default)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Notes `message` unless `holds`.
    pub fn check(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(message());
        }
    }

    /// Fails the test if anything was noted.
    pub fn report(self) {
        assert!(self.0.is_empty(), "{} failed:\n{}", self.0.len(), self.0.join("\n"));
    }
}
