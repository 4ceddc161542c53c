//! The service around a model that does what a test wants. What it makes of real models is tested in `tests/`.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::io::block_on;
use super::*;
use crate::Source;
use crate::cache::{Entry, Facts};

pub(super) type Run = Box<dyn Fn(&str) -> Result<Entry> + Send + Sync>;

/// A service with one model, `m`.
fn service(
    config: Config,
    run: impl Fn(&str) -> Result<Entry> + Send + Sync + 'static,
) -> EmbeddingService {
    let mut config = config;
    config.development.mock_mode = true;
    config.server.max_inputs = config.server.max_inputs.min(config.performance.max_queue);
    let service = EmbeddingService::new(config).unwrap();
    service.unload_model("all-MiniLM-L6-v2").unwrap();
    service.inner.models.insert("m", Box::new(run));
    service
}

fn one_worker() -> Config {
    let mut config = Config::default();
    config.text_embedding.worker_count = 1;
    config.image_embedding.worker_count = 1;
    config
}

/// What the model of a test gives: the bytes of the text.
fn entry(text: &str) -> Entry {
    let mut vector = [0.0; 4];
    for (at, byte) in text.bytes().enumerate() {
        vector[at % 4] += f32::from(byte);
    }
    Entry { vector: vector.into(), facts: Facts::Text { tokens: 3, truncated: false } }
}

/// A gate that a model waits at, so that a test knows what runs and what waits.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    /// What a model calls: waits until the gate opens, unless it is trying itself out.
    fn pass(&self, text: &str) {
        if text.starts_with("a short sentence") {
            return;
        }
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        changed.notify_all();
        drop(changed.wait_while(state, |(_, open)| !*open).unwrap());
    }

    /// Waits until so many stand at the gate, or have passed it.
    fn arrived(&self, number: usize) {
        let (state, changed) = &*self.0;
        drop(changed.wait_while(state.lock().unwrap(), |(arrived, _)| *arrived < number).unwrap());
    }

    fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }
}

/// A service whose model waits at a gate, and counts how often it ran.
fn gated(config: Config) -> (EmbeddingService, Gate, Arc<AtomicUsize>) {
    let (gate, runs) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (at, count) = (gate.clone(), Arc::clone(&runs));
    let service = service(config, move |text| {
        at.pass(text);
        count.fetch_add(1, Ordering::SeqCst);
        Ok(entry(text))
    });
    runs.store(0, Ordering::SeqCst);
    (service, gate, runs)
}

/// Polls a future once, so that its work is under way.
fn begin<F: Future + Unpin>(future: &mut F) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(std::pin::Pin::new(future).poll(&mut context).is_pending());
}

/// Callers of a service with one worker: the first one's text is at the gate, those of the others are in the queue.
fn one_runs_and_others_wait(
    service: &EmbeddingService,
    gate: &Gate,
    others: usize,
) -> Vec<std::thread::JoinHandle<Result<ServedText>>> {
    let call = |i: usize| {
        let service = service.clone();
        std::thread::spawn(move || service.embed_text(&format!("text {i}"), "m"))
    };
    let mut callers = vec![call(0)];
    gate.arrived(1);
    callers.extend((1..=others).map(call));
    eventually("the others wait", || service.stats().queue_depth == others);
    callers
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn callers_of_one_text_share_one_inference() {
    let (service, gate, runs) = gated(Config::default());
    let ready = Arc::new(Barrier::new(33));
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let (service, ready) = (service.clone(), Arc::clone(&ready));
            std::thread::spawn(move || {
                ready.wait();
                service.embed_text("same", "m").unwrap()
            })
        })
        .collect();
    ready.wait();
    eventually("all ask", || service.stats().in_flight == 32);
    gate.open();
    for caller in callers {
        assert_eq!(caller.join().unwrap().vector(), &*entry("same").vector);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // A text that stands twice in one request is computed once, too.
    let twice = service.embed_texts(&["x", "y", "x"], "m").unwrap();
    assert_eq!(twice[0].vector(), twice[2].vector());
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[test]
fn a_first_caller_who_leaves_takes_nothing_from_the_others() {
    let (service, gate, runs) = gated(one_worker());
    let request = service.request().model("m");
    let mut first = Box::pin(request.embed_text_async("shared"));
    begin(&mut first);
    gate.arrived(1);
    let mut second = Box::pin(request.embed_text_async("shared"));
    begin(&mut second);
    drop(first);
    gate.open();
    assert_eq!(block_on(second).unwrap().vector(), &*entry("shared").vector);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(service.stats().text.cancelled, 1);
}

#[test]
fn what_nobody_waits_for_is_not_computed() {
    let (service, gate, runs) = gated(one_worker());
    let request = service.request().model("m");
    let mut runs_now = Box::pin(request.embed_text_async("runs"));
    begin(&mut runs_now);
    gate.arrived(1);
    let mut waits = Box::pin(request.embed_texts_async(&["waits 1", "waits 2"]));
    begin(&mut waits);
    let mut stays = Box::pin(request.embed_text_async("stays"));
    begin(&mut stays);
    assert_eq!(service.stats().queue_depth, 3);
    drop(waits);
    gate.open();
    block_on(runs_now).unwrap();
    block_on(stays).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    let mut metrics = String::new();
    service.encode_metrics(&mut metrics);
    assert!(metrics.contains("isovec_abandoned_jobs_total 2\n"), "{metrics}");
}

#[test]
fn what_nobody_waits_for_keeps_nobody_out() {
    let mut config = one_worker();
    config.performance.max_queue = 2;
    let (service, gate, runs) = gated(config);
    let request = service.request().model("m");
    let mut runs_now = Box::pin(request.embed_text_async("runs"));
    begin(&mut runs_now);
    gate.arrived(1);
    let mut leaves = Box::pin(request.embed_texts_async(&["leaves 1", "leaves 2"]));
    begin(&mut leaves);
    assert_eq!(request.embed_text("early").unwrap_err().kind(), ErrorKind::Overloaded);
    drop(leaves);
    let mut stays = Box::pin(request.embed_text_async("stays"));
    begin(&mut stays);
    assert_eq!(service.stats().queue_depth, 1);
    gate.open();
    block_on(runs_now).unwrap();
    block_on(stays).unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[test]
fn a_full_queue_refuses_at_once_and_memory_still_answers() {
    let mut config = one_worker();
    config.performance.max_queue = 2;
    let (service, gate, _) = gated(config);
    let request = service.request().model("m");
    let mut futures: Vec<_> = Vec::new();
    for text in ["runs", "waits 1", "waits 2"] {
        let mut future = Box::pin(request.embed_text_async(text));
        begin(&mut future);
        futures.push(future);
        gate.arrived(1);
    }
    let error = request.embed_text("too many").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.to_string(), "overloaded: 2 inputs wait already, of 2 at most");
    assert!(error.retry_after().is_some_and(|after| after >= Duration::from_millis(100)));
    gate.open();
    for future in futures {
        block_on(future).unwrap();
    }
    assert_eq!(request.embed_text("runs").unwrap().source, Source::Memory);
    let stats = service.stats().text;
    assert_eq!((stats.succeeded, stats.rejected, stats.total()), (4, 1, 5));
}

#[test]
fn a_wait_that_would_be_too_long_is_refused() {
    let mut config = one_worker();
    config.performance.max_queue_delay = Duration::from_millis(50);
    // By its trial the model is known to take 30 ms for 14 tokens.
    let service = service(config, |text| {
        std::thread::sleep(Duration::from_millis(30));
        Ok(entry(text))
    });
    let request = service.request().model("m");
    let texts: Vec<String> = (0..8).map(|i| format!("{i} {}", "long ".repeat(10))).collect();
    let mut first = Box::pin(request.embed_texts_async(&texts));
    begin(&mut first);
    let error = request.embed_text("and me").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.to_string().contains("over the bound of 50 ms"), "{error}");
    assert_eq!(block_on(first).unwrap().len(), 8);
    eventually("there is room again", || request.embed_text("and me").is_ok());
}

#[test]
fn no_more_requests_than_allowed_are_worked_on() {
    let mut config = one_worker();
    config.performance.max_concurrent_requests = 1;
    let (service, gate, _) = gated(config);
    let request = service.request().model("m");
    let mut first = Box::pin(request.embed_text_async("first"));
    begin(&mut first);
    let error = request.embed_text("second").unwrap_err();
    assert_eq!(error.to_string(), "overloaded: 1 requests are worked on already");
    gate.open();
    block_on(first).unwrap();
    request.embed_text("second").unwrap();
}

#[test]
fn a_deadline_ends_a_request_and_not_the_worker() {
    let (service, gate, _) = gated(one_worker());
    let request = service.request().model("m").timeout(Duration::from_millis(30));
    let error = request.embed_text("slow").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "the request took longer than 30 ms");
    gate.open();
    service.embed_text("next", "m").unwrap();
    assert_eq!(service.stats().text.failed, 1);
}

#[test]
fn a_panic_and_an_error_end_their_job_only() {
    let mut config = one_worker();
    config.text_embedding.batch_size = 8;
    let service = service(config, |text| match text {
        "panic" => panic!("on purpose"),
        "nan" => Err(Error::new(ErrorKind::NonFinite, "the vector holds NaN")),
        _ => Ok(entry(text)),
    });
    for round in 0..3 {
        let error = service.embed_text("panic", "m").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::EnginePanic, "{round}");
        let error = service.embed_texts(&["good", "nan"], "m").unwrap_err();
        assert_eq!(error.to_string(), "input 1: the vector holds NaN");
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        service.embed_text(&format!("fine {round}"), "m").unwrap();
    }
    // Those that ran together with one that panics have their vectors all the same.
    let error = service.embed_texts(&["before", "panic", "behind"], "m").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EnginePanic);
    let fingerprint = service.models()[0].fingerprint;
    for text in ["before", "behind"] {
        let key = [Key::of_text(fingerprint, None, text)];
        eventually("computed", || service.inner.pipeline.remembered(&key).is_some());
    }
    let workers = service.inner.workers.lock().unwrap();
    assert_eq!(workers.iter().filter(|worker| !worker.is_finished()).count(), 1);
    let mut metrics = String::new();
    service.encode_metrics(&mut metrics);
    assert!(metrics.contains("isovec_worker_panics_total 4\n"), "{metrics}");
    // Four inputs, three of each further round, where one was cached, and three: who runs again has not waited again.
    assert!(metrics.contains("isovec_queue_wait_seconds_count 13\n"), "{metrics}");
}

#[test]
fn shutting_down_finishes_what_is_in_flight() {
    let (service, gate, _) = gated(one_worker());
    let callers = one_runs_and_others_wait(&service, &gate, 3);
    let ending = std::thread::spawn({
        let service = service.clone();
        move || service.shutdown()
    });
    eventually("closed", || !service.is_open());
    let error = service.embed_text("late", "m").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShuttingDown);
    gate.open();
    for caller in callers {
        caller.join().unwrap().unwrap();
    }
    ending.join().unwrap().unwrap();
    assert_eq!(service.inner.workers.lock().unwrap().len(), 0);
    service.shutdown().unwrap();
}

#[test]
fn shutting_down_gives_up_after_its_bound() {
    let mut config = one_worker();
    config.performance.shutdown_timeout = Duration::from_millis(50);
    let (service, gate, _) = gated(config);
    let callers = one_runs_and_others_wait(&service, &gate, 2);
    let ending = std::thread::spawn({
        let service = service.clone();
        move || service.shutdown()
    });
    // Two wait and are given up; the one that runs cannot be stopped, and is answered.
    eventually("two are given up", || service.stats().in_flight == 1);
    gate.open();
    let error = ending.join().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "2 inputs were not done in time and were given up");
    let results: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = |r: &Result<_>| r.as_ref().is_err_and(|e| e.kind() == ErrorKind::ShuttingDown);
    assert_eq!(results.iter().filter(|result| refused(result)).count(), 2);
}

#[test]
fn images_leave_a_worker_to_texts() {
    let mut config = Config::default();
    config.text_embedding.worker_count = 2;
    config.image_embedding.worker_count = 1;
    config.image_embedding.batch_size = 1;
    config.development.mock_mode = true;
    let queue = Queue::new(&config, Default::default());
    assert_eq!(queue.workers(), 2);
    let service = EmbeddingService::new(config).unwrap();
    service.load_model("clip-vit-base-patch32", &ModelConfig::default()).unwrap();
    let images = service.inner.models.get(None, true).unwrap();
    let texts = service.inner.models.get(None, false).unwrap();
    let job =
        |model: &Arc<Loaded>| queue::Job::new(Arc::clone(model), model.probe(), Flights::alone().1);
    queue
        .push(vec![job(&images), job(&images), job(&texts)])
        .unwrap_or_else(|(_, e)| panic!("{e}"));
    let first = queue.next().unwrap();
    assert!(first.jobs.iter().all(|job| job.model.info.kind == ModelKind::Image));
    // An image may wait still, and is older; one worker has images already.
    let second = queue.next().unwrap();
    assert_eq!(second.jobs[0].model.info.kind, ModelKind::Text);
    queue.done(&first);
    queue.done(&second);
}

#[test]
fn batches_are_bounded_by_size_and_by_tokens() {
    let mut config = one_worker();
    config.text_embedding.batch_size = 4;
    config.text_embedding.batch_tokens = 100;
    config.development.mock_mode = true;
    let queue = Queue::new(&config, Default::default());
    let service = EmbeddingService::new(config).unwrap();
    let model = service.inner.models.get(None, false).unwrap();
    let sizes = |texts: &[&str]| {
        let jobs = texts.iter().map(|text| {
            let input = Input::Text { text: (*text).into(), prompt: None };
            queue::Job::new(Arc::clone(&model), input, Flights::alone().1)
        });
        queue.push(jobs.collect()).unwrap_or_else(|(_, e)| panic!("{e}"));
        let mut sizes = Vec::new();
        while queue.depth() > 0 {
            let batch = queue.next().unwrap();
            sizes.push(batch.jobs.len());
            queue.done(&batch);
        }
        sizes
    };
    let (short, long) = ("four", "x".repeat(300));
    assert_eq!(sizes(&[short; 10]), [4, 4, 2]);
    // 77 tokens each, by their length: the second reaches the budget and closes the batch.
    assert_eq!(sizes(&[&long, &long, &long, short]), [2, 2]);
}

#[test]
fn a_batch_that_may_wait_is_filled() {
    let mut config = one_worker();
    config.performance.batch_timeout = Duration::from_secs(10);
    config.text_embedding.batch_size = 3;
    let (service, gate, _) = gated(config);
    let request = service.request().model("m");
    let start = Instant::now();
    let mut futures: Vec<_> =
        ["a", "b", "c"].map(|text| Box::pin(request.embed_text_async(text))).into();
    futures.iter_mut().for_each(begin);
    gate.open();
    for future in futures {
        block_on(future).unwrap();
    }
    // Full, it does not wait to the end.
    assert!(start.elapsed() < Duration::from_secs(8));
    assert_eq!(service.stats().mean_batch_size, Some(3.0));
}

#[test]
fn models_come_and_go_by_name() {
    let mut config = Config::default();
    config.development.mock_mode = true;
    config.performance.model_pool_size = 2;
    let service = EmbeddingService::new(config).unwrap();
    let fine = ModelConfig::default();
    let errors = [
        service.load_model("all-MiniLM-L6-v2", &fine).unwrap_err(),
        service.load_model("no-such-model", &fine).unwrap_err(),
        service.embed_text("x", "clip-vit-base-patch32").unwrap_err(),
        service.unload_model("clip-vit-base-patch32").unwrap_err(),
        service.embed_image_bytes(b"x", "all-MiniLM-L6-v2").unwrap_err(),
    ];
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "model \"all-MiniLM-L6-v2\" is loaded already; unload it first");
    assert!(texts[1].starts_with("model \"no-such-model\": "), "{}", texts[1]);
    assert_eq!(
        texts[2],
        "no model \"clip-vit-base-patch32\" is loaded; loaded are: [all-MiniLM-L6-v2]"
    );
    assert_eq!(texts[3], texts[2]);
    assert_eq!(texts[4], "model \"all-MiniLM-L6-v2\" is of kind text and takes no images");
    let info = service.load_model("clip-vit-base-patch32", &fine).unwrap();
    assert!(info.mock && info.fingerprint.is_mock());
    let error = service.load_model("clip-vit-base-patch32-text", &fine).unwrap_err();
    assert!(error.to_string().contains("performance.model_pool_size is 2"), "{error}");
    assert_eq!(service.unload_model("clip-vit-base-patch32").unwrap().name, info.name);
    assert_eq!(service.models().len(), 1);
}

#[test]
fn what_is_not_cached_is_computed_each_time() {
    let (service, gate, runs) = gated(Config::default());
    gate.open();
    for _ in 0..3 {
        let text = service.request().model("m").no_cache().embed_text("x").unwrap();
        assert_eq!(text.source, Source::Computed);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}
