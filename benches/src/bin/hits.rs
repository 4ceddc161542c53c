//! How long the service takes in process for what it has: one text and 32, from memory and from the Redis server whose
//! address is given. Prints a line of JSON for `benches/serve.py`.

use std::time::{Duration, Instant};

use isovec::EmbeddingService;
use isovec::config::{Config, RedisConfig};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const MODEL: &str = "all-MiniLM-L6-v2";

#[expect(clippy::print_stdout, reason = "this is the answer")]
fn main() -> Result<()> {
    let address = std::env::args().nth(1).ok_or("usage: bench-hits HOST:PORT of a Redis")?;
    let texts: Vec<String> = (0..32).map(|i| format!("text number {i} of a warm batch")).collect();

    let memory = EmbeddingService::new(Config::default())?;
    memory.embed_texts(&texts, MODEL)?;
    let from_memory = time(20_000, || memory.embed_text(&texts[0], MODEL).map(drop))?;
    let batch_from_memory = time(2_000, || memory.embed_texts(&texts, MODEL).map(drop))?;

    let mut config = Config::default();
    config.cache.memory_bytes = 0;
    config.redis_hot = Some(RedisConfig::new(address, Duration::from_secs(3600)));
    let redis = EmbeddingService::new(config)?;
    fill(&redis, &texts)?;
    let from_redis = time(5_000, || redis.embed_text(&texts[0], MODEL).map(drop))?;
    let batch_from_redis = time(1_000, || redis.embed_texts(&texts, MODEL).map(drop))?;

    let computed = redis.stats().inferences;
    println!(
        "{}",
        serde_json::json!({
            "memory": from_memory, "memory_32": batch_from_memory,
            "redis": from_redis, "redis_32": batch_from_redis,
            "inferences": computed,
        })
    );
    Ok(())
}

/// Until Redis has all of them: writes happen in the background.
fn fill(service: &EmbeddingService, texts: &[String]) -> Result<()> {
    for _ in 0..200 {
        let served = service.embed_texts(texts, MODEL)?;
        if served.iter().all(|text| matches!(text.source, isovec::Source::Redis(_))) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("Redis does not keep what it was given".into())
}

/// Microseconds of the median and the 99th percentile.
fn time(times: usize, mut work: impl FnMut() -> isovec::Result<()>) -> Result<[f64; 2]> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let start = Instant::now();
        work()?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e6;
    Ok([at(50), at(99)])
}
