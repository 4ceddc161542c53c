//! The service with real models: the vectors are the embedder's own, whoever else asks, whatever is loaded meanwhile.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use isovec::config::{Config, ModelConfig};
use isovec::{EmbeddingService, ErrorKind, ModelKind, Source};
use isovec_tests::{Failures, folder_in, golden, minilm, test_models};

fn service() -> EmbeddingService {
    let mut config = Config::default();
    config.performance.max_concurrent_requests = 1000;
    config.performance.max_queue_delay = Duration::from_secs(60);
    EmbeddingService::new(config).unwrap()
}

/// R1 through the service: 16 callers, batches of all sizes, the cache on and off.
#[test]
fn every_caller_gets_the_embedders_own_vector() {
    let service = service();
    let texts: Arc<Vec<String>> = Arc::new(golden(512).texts.into_iter().map(|t| t.text).collect());
    let expected: Arc<Vec<_>> = Arc::new(minilm().embed_batch(&texts).unwrap());
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let (service, texts, expected) =
                (service.clone(), Arc::clone(&texts), Arc::clone(&expected));
            std::thread::spawn(move || {
                let mut failures = Failures::default();
                let size = 1 + caller % 5;
                for (round, at) in (caller..texts.len()).step_by(7).enumerate() {
                    let batch = &texts[at..(at + size).min(texts.len())];
                    let mut request = service.request();
                    if round % 3 == 0 {
                        request = request.no_cache();
                    }
                    for (offset, served) in request.embed_texts(batch).unwrap().iter().enumerate() {
                        let own = &expected[at + offset];
                        let same = served.vector() == own.vector()
                            && (served.tokens, served.truncated) == (own.tokens, own.truncated)
                            && served.fingerprint == minilm().fingerprint();
                        failures
                            .check(same, || format!("text {} for caller {caller}", at + offset));
                    }
                }
                failures.report();
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
    let stats = service.stats();
    assert_eq!(stats.text.succeeded, stats.text.total());
    assert_eq!((stats.in_flight, stats.queue_depth), (0, 0));
}

#[test]
fn the_second_time_it_comes_from_memory() {
    let service = service();
    let first = service.embed_text("once", "all-MiniLM-L6-v2").unwrap();
    let second = service.embed_text("once", "all-MiniLM-L6-v2").unwrap();
    assert_eq!((first.source, second.source), (Source::Computed, Source::Memory));
    assert_eq!(first.vector(), second.vector());
    assert_eq!((second.tokens, second.truncated), (3, false));
}

/// Awaited inside of a tokio runtime, on many tasks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_a_runtime_await_it() {
    let service = service();
    let tasks: Vec<_> = (0..64)
        .map(|i| {
            let service = service.clone();
            tokio::spawn(async move {
                let text = format!("text number {}", i % 8);
                service.embed_text_async(&text, "all-MiniLM-L6-v2").await.unwrap()
            })
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        let own = minilm().embed(&format!("text number {}", i % 8)).unwrap();
        assert_eq!(task.await.unwrap().vector(), own.vector());
    }
    // Whoever asked for one of the eight while it was computed waited for it.
    assert_eq!(service.stats().inferences, 8);
    tokio::task::spawn_blocking(move || service.shutdown()).await.unwrap().unwrap();
}

/// A model is loaded and unloaded over and over while another is at work.
#[test]
fn models_come_and_go_under_load() {
    let service = service();
    let folder = test_models().join("mean-opset17");
    let extra = ModelConfig::at(folder);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (service, stop, answered) =
                (service.clone(), Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let text = format!("{caller} {number}");
                    service.embed_text(&text, "all-MiniLM-L6-v2").unwrap();
                    match service.embed_text(&text, "extra") {
                        Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
                    }
                }
            })
        })
        .collect();
    let mut rounds = 0;
    while rounds < 20 || answered.load(Ordering::Relaxed) == 0 {
        rounds += 1;
        let info = service.load_model("extra", &extra).unwrap();
        assert_eq!((info.kind, info.mock), (ModelKind::Text, false));
        assert!(info.bytes > 0 && info.load_time > Duration::ZERO);
        std::thread::sleep(Duration::from_millis(20));
        service.unload_model("extra").unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
    assert_eq!(service.models().len(), 1);
}

/// Images, CLIP's texts and fused vectors, with CLIP's shape and random weights.
#[test]
fn images_and_fused_vectors_are_those_of_the_embedders() {
    let clip = folder_in("ISOVEC_SYNTHETIC_CLIP");
    let model = |kind| {
        let mut model = ModelConfig::at(clip.clone());
        model.kind = Some(kind);
        model
    };
    let mut config = Config::default();
    config.models.insert("all-MiniLM-L6-v2".into(), ModelConfig::default());
    config.models.insert("images".into(), model(ModelKind::Image));
    config.models.insert("labels".into(), model(ModelKind::ClipText));
    // Both parts of a fused request are one.
    config.performance.max_concurrent_requests = 1;
    let service = EmbeddingService::new(config).unwrap();
    let file = std::fs::read(folder_in("ISOVEC_TEST_IMAGES").join("files/exif-1.jpg")).unwrap();

    let own = isovec::Clip::open(&clip.to_string_lossy()).unwrap();
    let (image, own_image) =
        (service.embed_image_bytes(&file, "images").unwrap(), own.images().embed(&file).unwrap());
    assert_eq!(image.vector(), own_image.vector());
    assert_eq!((image.width, image.height), (own_image.width, own_image.height));
    assert_eq!((image.bytes, &image.sha256), (own_image.bytes, &own_image.sha256));
    assert_eq!(image.fingerprint, own.images().fingerprint());
    assert_eq!(service.request().embed_image_bytes(&file).unwrap().source, Source::Memory);

    let label = service.embed_text("a photo of a cat", "labels").unwrap();
    assert_eq!(label.vector(), own.texts().embed("a photo of a cat").unwrap().vector());

    let text = "a cat";
    let fused = service.request().embed_multimodal(Some(text), Some(&file)).unwrap();
    let fusion = service.fusion(384, 512).unwrap();
    let own_text = minilm().embed(text).unwrap();
    let expected = fusion.fuse(Some(own_text.vector()), Some(own_image.vector())).unwrap();
    assert_eq!(fused.vector(), expected.vector());
    assert_eq!((fused.vector().len(), fused.fingerprint), (768, fusion.fingerprint()));
    let text_alone = service.request().embed_multimodal(Some(text), None).unwrap();
    assert!(text_alone.image.is_none());

    let error = service.embed_image_bytes(b"no image", "images").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
    let error = service.embed_image_url("http://127.0.0.1/x.png", "images").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

/// Two models of the same files whose named prompts differ have one fingerprint, and so one place in the cache.
#[test]
fn a_named_prompt_is_known_by_its_text() {
    let service = service();
    let folders = tempfile::tempdir().unwrap();
    let original = test_models().join("prompts");
    for (name, query) in [("one", "query: "), ("other", "search for: ")] {
        let folder = folders.path().join(name);
        std::fs::create_dir_all(folder.join("1_Pooling")).unwrap();
        for file in ["1_Pooling/config.json", "config.json", "model.onnx", "tokenizer.json"] {
            std::fs::copy(original.join(file), folder.join(file)).unwrap();
        }
        let prompts = format!(r#"{{"prompts": {{"query": "{query}"}}}}"#);
        std::fs::write(folder.join("config_sentence_transformers.json"), prompts).unwrap();
        service.load_model(name, &ModelConfig::at(folder)).unwrap();
    }
    let ask =
        |model, text| service.request().model(model).prompt("query").embed_text(text).unwrap();
    let [one, other] = ["one", "other"].map(|model| ask(model, "water"));
    assert_eq!(one.fingerprint, other.fingerprint);
    assert_ne!(one.vector(), other.vector());
    for (model, prompted) in [("one", "query: water"), ("other", "search for: water")] {
        let plain = service.embed_text(prompted, model).unwrap();
        assert_eq!(ask(model, "water").vector(), plain.vector(), "{model}");
    }
    let error = service.request().model("one").prompt("title").embed_text("water").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
