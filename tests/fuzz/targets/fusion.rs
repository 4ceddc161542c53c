//! Any bytes as a fusion's file, and its vectors if it is one.
#![no_main]

use isovec_core::{ErrorKind, Fusion};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let fusion = match Fusion::from_safetensors(bytes) {
        Ok(fusion) => fusion,
        Err(e) => {
            assert!(matches!(e.kind(), ErrorKind::InvalidFusion | ErrorKind::TooLarge), "{e:?}");
            return;
        }
    };
    let (text, image) = (vec![1.0; fusion.text_dims()], vec![-1.0; fusion.image_dims()]);
    for (text, image) in
        [(Some(&*text), Some(&*image)), (Some(&*text), None), (None, Some(&*image))]
    {
        match fusion.fuse(text, image) {
            Ok(fused) => {
                let squares = fused.vector().iter().map(|&x| f64::from(x) * f64::from(x));
                assert!((squares.sum::<f64>() - 1.0).abs() < 1e-4);
            }
            // A side of weight 0 alone, or a map of zeros.
            Err(e) => {
                assert!(matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::ZeroVector));
            }
        }
    }
    // What was read is written, and read again as the same.
    let again = Fusion::from_safetensors(&fusion.to_safetensors().unwrap()).unwrap();
    assert_eq!(again.fingerprint(), fusion.fingerprint());
});
