//! The configuration of the service: every setting, its default and what it may be.
//!
//! A configuration is YAML, and every key has a default:
//!
//! ```
//! use isovec::config::Config;
//!
//! let config = Config::from_yaml("redis_hot: {addr: 'localhost:6379', ttl: 2h}")?;
//! assert_eq!(config.redis_hot.map(|tier| tier.ttl.as_secs()), Some(7200));
//!
//! let error = Config::from_yaml("server:\n  max_input: 5").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "configuration: line 2: server.max_input: unknown key, did you mean max_inputs?"
//! );
//! # Ok::<(), isovec::Error>(())
//! ```
//!
//! Unknown keys, keys given twice, wrong types and values out of range are refused, all in one error, which names
//! the line, the path of the key and what is allowed, and shows no secret.
//!
//! | kind of value | written as |
//! |---|---|
//! | duration | whole numbers with their units: `100ms`, `90s`, `1h30m`, `7d` (`ns`, `us`, `ms`, `s`, `m`, `h`, `d`) |
//! | number of bytes | `1048576`, or with a unit: `256MiB` (`B`, `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`) |
//! | path | as the process finds it: a relative one starts at its working directory |
//!
//! # Environment
//!
//! [`Config::load`] and [`Config::from_env`] read these variables, which win over the file:
//!
//! | variable | meaning |
//! |---|---|
//! | `ISOVEC_CONFIG` | the file, where the caller names none |
//! | `ISOVEC__SECTION__KEY` | the key of a section, such as `ISOVEC__REDIS_HOT__ADDR` or `ISOVEC__SERVER__LISTEN` |
//! | `ISOVEC__MODELS__NAME__KEY` | the key of a model that the file has |
//!
//! The items of a list are separated by commas. An empty value means none, where a key may have none. A variable
//! that names no key is refused as a key of the file would be.
//!
//! # Secrets
//!
//! `password` and `api_keys` may be given as `password_file` and `api_keys_file` (one key a line), so that a secret
//! that is mounted as a file is in no configuration and in no environment.

mod address;
mod cache;
mod check;
mod embedding;
mod env;
mod keys;
mod kinds;
mod models;
mod read;
mod redis;
mod report;
mod running;
mod server;
mod show;
#[cfg(test)]
mod tests;
mod units;
mod yaml;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use self::cache::{CacheConfig, ValueType};
pub use self::embedding::{FusionConfig, ImageConfig, TextConfig};
pub use self::models::ModelConfig;
pub use self::redis::{RedisConfig, RedisTier};
pub use self::running::{DevelopmentConfig, PerformanceConfig};
pub use self::server::{LogFormat, ServerConfig};

use self::keys::Keys;
use self::read::Reader;
use self::report::Report;
use self::yaml::{Section, Value};
use crate::{Error, ErrorKind, Result};

/// A configuration with every key, its default and its meaning: what `isovec config example` prints.
pub const EXAMPLE: &str = include_str!("config/example.yaml");

/// The largest file of a configuration, in bytes (1 MiB).
pub const MAX_CONFIG_BYTES: usize = 1 << 20;

/// The model of texts that is loaded where a configuration names none.
const DEFAULT_TEXT_MODEL: &str = "all-MiniLM-L6-v2";

/// What is shown in the place of a secret.
const MASK: &str = "***";

/// All settings of an [`EmbeddingService`](crate::EmbeddingService) and of `isovec serve`.
///
/// The default is a configuration that works: MiniLM, a cache in memory, no Redis.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The models there are, by the name that callers use. None: those that are named as default ones, or MiniLM.
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

impl Config {
    /// Reads and checks a configuration, without the environment.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming everything that is wrong with it, and
    /// [`TooLarge`](ErrorKind::TooLarge) over [`MAX_CONFIG_BYTES`].
    pub fn from_yaml(text: &str) -> Result<Self> {
        Self::read(Some(text), []).map_err(|e| e.context("configuration"))
    }

    /// Reads and checks a file, with the overrides of the process's environment.
    ///
    /// # Errors
    ///
    /// Those of [`from_yaml`](Self::from_yaml), with the file's name before them;
    /// [`NotFound`](ErrorKind::NotFound) and [`Io`](ErrorKind::Io) if it cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(Some(path.as_ref()), std::env::vars_os())
    }

    /// Reads and checks the file that `ISOVEC_CONFIG` names, if it names one, with the overrides of the process's
    /// environment.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn from_env() -> Result<Self> {
        Self::load_with(None, std::env::vars_os())
    }

    /// As [`load`](Self::load) or, without a path, as [`from_env`](Self::from_env), with these variables as the
    /// environment.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    ///
    /// ```
    /// use isovec::config::Config;
    ///
    /// let variables = [("ISOVEC__PERFORMANCE__MAX_QUEUE", "2000"), ("HOME", "/root")];
    /// let config = Config::load_with(None, variables.map(|(name, value)| (name.into(), value.into())))?;
    /// assert_eq!(config.performance.max_queue, 2000);
    /// # Ok::<(), isovec::Error>(())
    /// ```
    pub fn load_with(
        path: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        let variables: Vec<_> = variables.into_iter().collect();
        let named =
            variables.iter().find(|(name, value)| name == "ISOVEC_CONFIG" && !value.is_empty());
        let named = named.map(|(_, value)| Path::new(value).to_owned());
        match path.or(named.as_deref()) {
            None => Self::read(None, variables).map_err(|e| e.context("configuration")),
            Some(path) => read_file(path).and_then(|text| {
                Self::read(Some(&text), variables).map_err(|e| e.context(path.display()))
            }),
        }
    }

    /// Checks the ranges of all values, and what they mean together. What was read was checked; this is for a
    /// configuration that was put together or changed in code.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming everything that is wrong.
    pub fn check(&self) -> Result<()> {
        let mut report = Report::default();
        check::run(self, &mut report);
        report.finish().map_err(|e| e.context("configuration"))
    }

    /// All settings as YAML, with the defaults of those that were not given and `***` in the place of secrets.
    pub fn to_yaml(&self) -> String {
        let mut printer = show::Printer::default();
        self.clone().visit(&mut printer);
        printer.finish()
    }

    /// The models that are loaded at the start, by the name that callers use: those of `models` or, where it names
    /// none, the default ones, of which that of texts is MiniLM where it is not given either.
    pub fn models_at_start(&self) -> BTreeMap<String, ModelConfig> {
        if self.models.is_empty() {
            let text = self.text_embedding.default_model.as_deref().unwrap_or(DEFAULT_TEXT_MODEL);
            let names = [Some(text), self.image_embedding.default_model.as_deref()];
            let named = names.into_iter().flatten();
            return named.map(|name| (name.to_owned(), ModelConfig::default())).collect();
        }
        let wanted = self.models.iter().filter(|(_, model)| model.preload != Some(false));
        wanted.map(|(name, model)| (name.clone(), model.clone())).collect()
    }

    /// The tiers on Redis that are configured, first asked first.
    pub fn redis_tiers(&self) -> Vec<(RedisTier, &RedisConfig)> {
        let tiers = [&self.redis_hot, &self.redis_warm, &self.redis_cold];
        let named = RedisTier::ALL.into_iter().zip(tiers);
        named.filter_map(|(tier, config)| Some((tier, config.as_ref()?))).collect()
    }

    fn read(
        text: Option<&str>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        let mut root = parse(text.unwrap_or_default())?;
        let (mut report, mut config) = (Report::default(), Config::default());
        env::apply(&mut root, variables, &mut report);
        Reader::run(root, &mut report, |keys| config.visit(keys));
        check::run(&config, &mut report);
        report.finish()?;
        Ok(config)
    }

    fn visit(&mut self, keys: &mut impl Keys) {
        keys.table("models", &mut self.models, |keys, model| model.visit(keys));
        keys.section("text_embedding", |keys| self.text_embedding.visit(keys));
        keys.section("image_embedding", |keys| self.image_embedding.visit(keys));
        keys.section("fusion", |keys| self.fusion.visit(keys));
        keys.section("cache", |keys| self.cache.visit(keys));
        for (name, tier, config) in [
            ("redis_hot", RedisTier::Hot, &mut self.redis_hot),
            ("redis_warm", RedisTier::Warm, &mut self.redis_warm),
            ("redis_cold", RedisTier::Cold, &mut self.redis_cold),
        ] {
            let new = || RedisConfig::new("", tier.default_ttl());
            keys.optional(name, config, new, |keys, tier| tier.visit(keys));
        }
        keys.section("performance", |keys| self.performance.visit(keys));
        keys.section("development", |keys| self.development.visit(keys));
        keys.section("server", |keys| self.server.visit(keys));
    }
}

fn parse(text: &str) -> Result<Section> {
    if text.len() > MAX_CONFIG_BYTES {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("{} bytes, over the cap of {MAX_CONFIG_BYTES}", text.len()),
        ));
    }
    let invalid = |message: String| Err(Error::new(ErrorKind::InvalidConfig, message));
    match yaml::parse(text) {
        Ok(Value::Section(root)) => Ok(root),
        Ok(Value::Nothing) => Ok(Section::new()),
        Ok(other) => invalid(format!("{}, expected sections of keys", other.shape())),
        Err(e) => match e.line {
            Some(line) => invalid(format!("line {line}: {}", e.message)),
            None => invalid(e.message),
        },
    }
}

fn read_file(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    // One byte more than is allowed shows that there are more.
    File::open(path)
        .and_then(|file| file.take(MAX_CONFIG_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| crate::folder::cannot_read(path, e))?;
    String::from_utf8(bytes).map_err(|e| {
        let message = format!("{}: not UTF-8", path.display());
        Error::new(ErrorKind::InvalidConfig, message).with_source(e.utf8_error())
    })
}
