//! Any bytes as an index's file, and a search if it is one.
#![no_main]

use isovec_core::{ErrorKind, SearchIndex};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let index = match SearchIndex::from_safetensors(bytes) {
        Ok(index) => index,
        Err(e) => {
            assert!(matches!(e.kind(), ErrorKind::InvalidIndex | ErrorKind::TooLarge), "{e:?}");
            return;
        }
    };
    match index.search(&vec![1.0; index.dims()], 3) {
        Ok(hits) => {
            assert_eq!(hits.len(), index.len().min(3));
            for hit in hits {
                let item = index.item(hit.index).unwrap();
                assert!(item.starts_with('{') && item.ends_with('}'), "{item}");
            }
        }
        // A sum of finite numbers can be more than an f32 holds.
        Err(e) => assert_eq!(e.kind(), ErrorKind::NonFinite),
    }
    // What was read is written, and read again as the same.
    let again = SearchIndex::from_safetensors(&index.to_safetensors().unwrap()).unwrap();
    assert_eq!(again.made_by(), index.made_by());
    assert_eq!(again.items_json(), index.items_json());
});
