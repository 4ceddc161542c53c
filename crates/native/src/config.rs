//! The configuration of the service: every setting, its default and what it may be.
//!
//! A configuration is YAML. Unknown keys, wrong types and values out of range are refused, naming the path
//! of the key and what is allowed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings of an [`EmbeddingService`](crate::EmbeddingService) and of `isovec serve`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The models that are loaded at the start, by the name that callers use. None: MiniLM alone.
    pub models: BTreeMap<String, ModelConfig>,
    /// Texts.
    pub text_embedding: TextConfig,
    /// Images.
    pub image_embedding: ImageConfig,
    /// A text and an image into one vector.
    pub fusion: FusionConfig,
    /// What all tiers of the cache share, and the memory tier.
    pub cache: CacheConfig,
    /// The first tier on Redis: 1 hour by default.
    pub redis_hot: Option<RedisConfig>,
    /// The second: 24 hours.
    pub redis_warm: Option<RedisConfig>,
    /// The third: 7 days.
    pub redis_cold: Option<RedisConfig>,
    /// How much is done at once, and how long it may take.
    pub performance: PerformanceConfig,
    /// For the development of programs that use the service.
    pub development: DevelopmentConfig,
    /// `isovec serve`.
    pub server: ServerConfig,
}

/// A model to be loaded.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// The name of the manifest, where it is another than the one that callers use.
    pub name: Option<String>,
    /// A folder with the model (or its `.onnx` file), instead of a name of the manifest.
    pub path: Option<PathBuf>,
    /// What it must take: `text`, `image` or `clip-text`. Checked.
    pub kind: Option<crate::ModelKind>,
    /// How many dimensions its vectors must have. Checked.
    pub dimensions: Option<usize>,
    /// The user's own word for the state of the model. Shown with the model.
    pub version: Option<String>,
    /// The weights: `fp32`, `int8`.
    pub variant: Option<String>,
    /// Cuts texts after so many tokens; by default what `text_embedding.max_tokens` says, or else the model.
    pub max_tokens: Option<usize>,
    /// Whether it is loaded at the start (the default), or by `load_model` when it is needed.
    pub preload: Option<bool>,
}

/// `text_embedding`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TextConfig {
    /// The model that is used where a caller names none.
    pub default_model: Option<String>,
    /// How many workers may embed texts at once. Default: one for each core.
    pub worker_count: usize,
    /// The most texts of one batch.
    pub batch_size: usize,
    /// The most tokens of one batch; the text that reaches it closes the batch.
    pub batch_tokens: usize,
    /// Cuts texts after so many tokens, special tokens included, where the model reads as many.
    pub max_tokens: Option<usize>,
}

/// `image_embedding`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageConfig {
    /// The model that is used where a caller names none.
    pub default_model: Option<String>,
    /// How many workers may embed images at once. Default: one for each core.
    pub worker_count: usize,
    /// The most images of one batch.
    pub batch_size: usize,
    /// The longest image file, in bytes.
    pub max_bytes: usize,
    /// Whether images may be given by their address. Off by default.
    pub urls: bool,
    /// The only hosts that are asked; empty: any public one.
    pub allowed_hosts: Vec<String>,
}

/// `fusion`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FusionConfig {
    /// A file that `isovec fuse fit` wrote. Without one the fusion is an untrained projection.
    pub path: Option<PathBuf>,
    /// `concat` or `untrained`, where there is no file.
    pub kind: crate::FusionKind,
    /// The dimensions of an untrained projection.
    pub dimensions: usize,
    /// Its seed.
    pub seed: u64,
    /// The weight of the text, from 0 to 1; the image has the rest.
    pub text_weight: f32,
}

/// `cache`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// Whether there is a cache at all.
    pub enabled: bool,
    /// The bound of the memory tier in bytes; 0 for none.
    pub memory_bytes: u64,
    /// What every key on Redis starts with.
    pub key_prefix: String,
    /// How the numbers of vectors are stored on Redis.
    pub value_type: ValueType,
    /// The most that all tiers on Redis together may add to a request.
    pub budget: Duration,
    /// The share by which lifetimes are spread, so that what was stored together does not end together.
    pub ttl_jitter: f64,
    /// The tiers on Redis that new vectors are written to.
    pub write_to: Vec<RedisTier>,
    /// After so many failures in a row a tier is left alone.
    pub breaker_failures: u32,
    /// For so long, before one request tries it again.
    pub breaker_cooldown: Duration,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueType {
    /// 32 bits: a hit is the very vector that was computed.
    #[default]
    F32,
    /// 16 bits: half the memory; a hit is rounded to 11 bits of precision.
    F16,
}

/// A tier on Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RedisTier {
    /// `redis_hot`.
    Hot,
    /// `redis_warm`.
    Warm,
    /// `redis_cold`.
    Cold,
}

/// `redis_hot`, `redis_warm`, `redis_cold`.
///
/// Debug output shows no secret: the address without its user part, and whether there is a password.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `host:port`, or a URL: `redis://`, `rediss://` (TLS) or `unix://`. Of a cluster or of sentinels, some of
    /// them, separated by commas.
    pub addr: String,
    /// How long a vector is kept.
    pub ttl: Duration,
    /// The user of Redis's ACL.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database.
    pub db: Option<i64>,
    /// Whether `addr` is of a Redis Cluster.
    pub cluster: bool,
    /// The name of the master that the sentinels at `addr` know.
    pub sentinel_master: Option<String>,
    /// A file of certificates (PEM) to trust instead of the machine's.
    pub tls_ca: Option<PathBuf>,
}

/// `performance`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PerformanceConfig {
    /// The most models that are loaded at once.
    pub model_pool_size: usize,
    /// The most requests that are worked on at once; those that the memory tier answers do not count.
    pub max_concurrent_requests: usize,
    /// How long a worker waits for a batch to fill. 0 by default: waiting makes no vector faster here.
    pub batch_timeout: Duration,
    /// The most texts and images that wait for a worker.
    pub max_queue: usize,
    /// A request that would have to wait longer than this for a worker is refused at once.
    pub max_queue_delay: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long a shutdown waits for what is in flight.
    pub shutdown_timeout: Duration,
}

/// `development`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct DevelopmentConfig {
    /// Vectors are made of a hash of the input instead of a model: for tests of programs around the service.
    pub mock_mode: bool,
    /// Log more.
    pub debug_logging: bool,
}

/// `server`: what `isovec serve` listens on and what it lets in.
///
/// Debug output counts the API keys and shows none.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The keys of which a request must carry one, as `Authorization: Bearer KEY`. None: no key is asked for.
    pub api_keys: Vec<String>,
    /// The longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The most texts or images of one request.
    pub max_inputs: usize,
    /// The most connections at once.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request, and then its body.
    pub read_timeout: Duration,
    /// How logs are written.
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Default for TextConfig {
    fn default() -> Self {
        TextConfig {
            default_model: None,
            worker_count: cores(),
            batch_size: 32,
            batch_tokens: 4096,
            max_tokens: None,
        }
    }
}

impl Default for ImageConfig {
    fn default() -> Self {
        ImageConfig {
            default_model: None,
            worker_count: cores(),
            batch_size: 8,
            max_bytes: crate::limits::MAX_IMAGE_BYTES,
            urls: false,
            allowed_hosts: Vec::new(),
        }
    }
}

impl Default for FusionConfig {
    fn default() -> Self {
        FusionConfig {
            path: None,
            kind: crate::FusionKind::Untrained,
            dimensions: 768,
            seed: 0,
            text_weight: 0.6,
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig {
            enabled: true,
            memory_bytes: 256 << 20,
            key_prefix: "isovec".to_owned(),
            value_type: ValueType::F32,
            budget: Duration::from_millis(50),
            ttl_jitter: 0.1,
            write_to: vec![RedisTier::Hot, RedisTier::Warm, RedisTier::Cold],
            breaker_failures: 5,
            breaker_cooldown: Duration::from_secs(5),
        }
    }
}

impl Default for PerformanceConfig {
    fn default() -> Self {
        PerformanceConfig {
            model_pool_size: 10,
            max_concurrent_requests: 100,
            batch_timeout: Duration::ZERO,
            max_queue: 4096,
            max_queue_delay: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            api_keys: Vec::new(),
            max_body_bytes: 16 << 20,
            max_inputs: 1024,
            max_connections: 1024,
            read_timeout: Duration::from_secs(30),
            log_format: LogFormat::Text,
        }
    }
}

impl RedisTier {
    /// The tiers, first asked first.
    pub const ALL: [RedisTier; 3] = [RedisTier::Hot, RedisTier::Warm, RedisTier::Cold];

    /// The name: `hot`, `warm`, `cold`.
    pub fn as_str(self) -> &'static str {
        match self {
            RedisTier::Hot => "hot",
            RedisTier::Warm => "warm",
            RedisTier::Cold => "cold",
        }
    }

    /// How long a vector is kept where the configuration does not say: 1 hour, 24 hours, 7 days.
    pub fn default_ttl(self) -> Duration {
        const HOUR: u64 = 60 * 60;
        Duration::from_secs(match self {
            RedisTier::Hot => HOUR,
            RedisTier::Warm => 24 * HOUR,
            RedisTier::Cold => 7 * 24 * HOUR,
        })
    }
}

impl RedisConfig {
    /// The server at `addr`, without a user and a password.
    pub fn new(addr: impl Into<String>, ttl: Duration) -> Self {
        RedisConfig {
            addr: addr.into(),
            ttl,
            username: None,
            password: None,
            db: None,
            cluster: false,
            sentinel_master: None,
            tls_ca: None,
        }
    }
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("listen", &self.listen)
            .field("api_keys", &format_args!("[{} in all]", self.api_keys.len()))
            .finish_non_exhaustive()
    }
}
