//! The same vector as the reference runtime, and the same whatever runs beside it (R1 to R3).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use isovec::{TextEmbedder, vector};
use isovec_tests::{
    Failures, MAX_DIFFERENCE, MIN_COSINE, golden, max_difference, minilm, test_models,
};

#[test]
fn equals_onnx_runtime_at_256_and_512_tokens() {
    let mut failures = Failures::default();
    for max_tokens in [256, 512] {
        let golden = golden(max_tokens);
        assert!(golden.texts.len() >= 60);
        let model =
            TextEmbedder::builder("all-MiniLM-L6-v2").max_tokens(max_tokens).open().unwrap();
        for ((case, ids), reference) in golden.texts.iter().zip(&golden.ids).zip(&golden.vectors) {
            let name = format!("{} at {max_tokens}", case.name);
            let tokens = model.tokenize(&case.text).unwrap();
            failures.check(tokens.ids == *ids, || {
                format!("{name}: ids {:?}, the reference tokenizer has {ids:?}", tokens.ids)
            });
            let embedding = model.embed(&case.text).unwrap();
            failures.check(embedding.tokens == ids.len(), || {
                format!("{name}: tokens {} for {} ids", embedding.tokens, ids.len())
            });
            let cosine = vector::cosine(embedding.vector(), reference).unwrap();
            let difference = max_difference(embedding.vector(), reference);
            failures.check(cosine >= MIN_COSINE && difference <= MAX_DIFFERENCE, || {
                format!("{name}: cosine {cosine}, largest difference {difference}")
            });
        }
    }
    failures.report();
}

#[test]
fn says_what_was_truncated() {
    let (at_256, at_512) = (golden(256), golden(512));
    let cut = TextEmbedder::builder("all-MiniLM-L6-v2").max_tokens(256).open().unwrap();
    let mut failures = Failures::default();
    let mut seen = 0;
    for (case, (short, long)) in at_256.texts.iter().zip(at_256.ids.iter().zip(&at_512.ids)) {
        let truncated = cut.tokenize(&case.text).unwrap().truncated;
        // A text that has more ids where there is more room was cut.
        failures.check(truncated == (long.len() > short.len()), || case.name.clone());
        seen += usize::from(truncated);
    }
    assert!(seen >= 3, "the golden texts should hold some long ones, not {seen}");
    failures.report();
}

#[test]
fn a_vector_does_not_depend_on_batch_order_or_threads() {
    let texts: Vec<String> = golden(512).texts.into_iter().map(|case| case.text).collect();
    stays_itself("all-MiniLM-L6-v2", &texts);
}

/// Dynamic quantisation takes its ranges from what runs together: here that is one text (R2).
#[test]
fn a_dynamically_quantised_vector_does_not_either() {
    let texts: Vec<String> = golden(512).texts.into_iter().map(|case| case.text).collect();
    stays_itself(&test_models().join("int8-dynamic").to_string_lossy(), &texts);
}

/// Each text's vector is bit for bit the same alone and in shuffled batches, on 1, 2 and 8 threads.
fn stays_itself(model: &str, texts: &[String]) {
    let single = TextEmbedder::open(model).unwrap();
    let alone: Vec<Vec<f32>> =
        texts.iter().map(|text| single.embed(text).unwrap().into_vector()).collect();
    let mut failures = Failures::default();
    for threads in [1, 2, 8] {
        let model = TextEmbedder::builder(model).threads(threads).open().unwrap();
        assert_eq!(model.fingerprint(), single.fingerprint());
        for (seed, size) in [(1, 1), (2, 7), (3, 32)] {
            let order = shuffled(texts.len(), seed);
            for batch in order.chunks(size) {
                let batch_texts: Vec<&str> = batch.iter().map(|&i| texts[i].as_str()).collect();
                let embeddings = model.embed_batch(&batch_texts).unwrap();
                for (&index, embedding) in batch.iter().zip(&embeddings) {
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    failures.check(bits(embedding.vector()) == bits(&alone[index]), || {
                        format!("text {index}, {threads} threads, batches of {size}")
                    });
                }
            }
        }
    }
    failures.report();
}

#[test]
fn int8_is_another_space_near_the_same_vectors() {
    let model = TextEmbedder::builder("all-MiniLM-L6-v2").variant("int8").open().unwrap();
    assert_ne!(model.fingerprint(), minilm().fingerprint());
    let golden = golden(512);
    let mut cosines: Vec<f32> = golden
        .texts
        .iter()
        .zip(&golden.vectors)
        .map(|(case, reference)| {
            vector::cosine(model.embed(&case.text).unwrap().vector(), reference).unwrap()
        })
        .collect();
    cosines.sort_by(f32::total_cmp);
    let (worst, median) = (cosines[0], cosines[cosines.len() / 2]);
    assert!(worst > 0.995 && median > 0.999, "worst {worst}, median {median}");
}

#[test]
fn many_callers_share_one_embedder() {
    let texts = ["one", "two words", "three words here", "and a much longer sentence than those"];
    let alone: Vec<_> = texts.iter().map(|text| minilm().embed(text).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for (text, expected) in texts.iter().zip(&alone) {
                    assert_eq!(minilm().embed(text).unwrap(), *expected);
                }
            });
        }
    });
}

#[test]
fn an_array_holds_the_same_rows() {
    let texts = ["Hello world", "", "a red car"];
    let array = minilm().embed_array(&texts).unwrap();
    assert_eq!(array.shape(), [3, 384]);
    for (row, text) in array.rows().into_iter().zip(texts) {
        assert_eq!(row.to_vec(), minilm().embed(text).unwrap().into_vector());
    }
    assert_eq!(minilm().embed_array::<&str>(&[]).unwrap().shape(), [0, 384]);
}

/// A permutation of `0..n` by a small generator, so that a failure can be repeated.
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for i in (1..n).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(i, (state % (i as u64 + 1)) as usize);
    }
    order
}
