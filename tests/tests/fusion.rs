//! Fusions against numpy (`tests/golden/make_fusion.py`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use isovec::{Fusion, FusionWeights};
use isovec_tests::rows;
use safetensors::SafeTensors;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
const TOLERANCE: f32 = 1e-6;

#[test]
fn fused_vectors_are_those_of_numpy() {
    let read = |name: &str| std::fs::read(format!("{GOLDEN}/{name}")).unwrap();
    let bytes = read("fusion.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let rows = |name: &str| rows(&file, name);
    let (text, image) = (rows("text"), rows("image"));
    // A file that Python wrote.
    let learned = Fusion::from_safetensors(&read("fusion-learned.safetensors")).unwrap();
    assert_eq!((learned.text_dims(), learned.image_dims(), learned.dims()), (6, 8, 10));
    assert_eq!(learned.text_model(), Some("of numpy"));
    let concat = Fusion::concat(6, 8, FusionWeights::default()).unwrap();
    for (name, fusion) in [("concat", concat), ("learned", learned)] {
        for (suffix, has_text, has_image) in
            [("", true, true), ("_text", true, false), ("_image", false, true)]
        {
            let expected = rows(&format!("{name}{suffix}"));
            for ((text, image), expected) in text.iter().zip(&image).zip(&expected) {
                let text = has_text.then_some(text.as_slice());
                let image = has_image.then_some(image.as_slice());
                let found = fusion.fuse(text, image).unwrap();
                assert_eq!(found.vector().len(), expected.len());
                for (a, b) in found.vector().iter().zip(expected) {
                    assert!((a - b).abs() < TOLERANCE, "{name}{suffix}: {a} {b}");
                }
            }
        }
    }
}
