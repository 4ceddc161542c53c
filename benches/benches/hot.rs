//! The hot functions, one by one: `cargo bench --package isovec-benches`.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that cannot run should say why")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isovec::{ImageLimits, Preprocessing, TextEmbedder, vector};

const CORPUS: &str = include_str!("../corpus/mixed-1000.txt");

fn text(c: &mut Criterion) {
    let model = TextEmbedder::builder("all-MiniLM-L6-v2").threads(1).open().unwrap();

    let mut group = c.benchmark_group("tokenize");
    let texts: Vec<&str> = CORPUS.lines().take(100).collect();
    group.throughput(Throughput::Elements(texts.len() as u64));
    group.bench_function("100 texts", |b| {
        b.iter(|| texts.iter().map(|t| model.tokenize(t).unwrap().ids.len()).sum::<usize>());
    });
    group.finish();

    let mut group = c.benchmark_group("embed");
    for tokens in [8usize, 16, 64, 128, 256] {
        // "the" is one token; two are special.
        let text = "the ".repeat(tokens - 2);
        assert_eq!(model.embed(&text).unwrap().tokens, tokens);
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_with_input(BenchmarkId::new("tokens", tokens), &text, |b, text| {
            b.iter(|| model.embed(text).unwrap());
        });
    }
    group.finish();
}

fn vectors(c: &mut Criterion) {
    let rows: Vec<Vec<f32>> = (0..10_000u32)
        .map(|row| {
            let mut v: Vec<f32> = (0..384u32)
                .map(|col| ((row * 2_654_435 + col * 40_503) % 1999) as f32 - 999.0)
                .collect();
            vector::l2_normalize(&mut v).unwrap();
            v
        })
        .collect();
    c.bench_function("l2_normalize 384", |b| {
        b.iter_batched_ref(
            || rows[1].clone(),
            |v| vector::l2_normalize(v).unwrap(),
            criterion::BatchSize::SmallInput,
        );
    });
    c.bench_function("top_k 10 of 10,000 x 384", |b| {
        b.iter(|| vector::top_k(&rows[0], rows.iter().map(Vec::as_slice), 10).unwrap());
    });
}

/// Runs where `ISOVEC_TEST_IMAGES` names the folder that `models/tools/make_test_images.py` writes.
fn images(c: &mut Criterion) {
    let Ok(folder) = std::env::var("ISOVEC_TEST_IMAGES") else { return };
    let mut group = c.benchmark_group("preprocess");
    for name in ["rgb-1024x768.jpg", "rgb-1024x768.png", "webp-lossy-640x480.webp"] {
        let file = std::fs::read(format!("{folder}/files/{name}")).unwrap();
        let (settings, limits) = (Preprocessing::default(), ImageLimits::default());
        group.bench_function(name, |b| b.iter(|| settings.run(&file, &limits).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, text, vectors, images);
criterion_main!(benches);
