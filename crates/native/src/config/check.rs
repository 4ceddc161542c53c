//! Whether the settings are allowed: each by itself, and together.

use std::collections::BTreeMap;

use super::keys::{Keys, join};
use super::kinds::Kind;
use super::models::{MODEL_NAME, is_model_name};
use super::report::Report;
use super::{Config, ModelConfig, RedisConfig, RedisTier, address};
use crate::{DEFAULT_VARIANT, ModelKind};

/// Notes all that is not allowed.
pub(super) fn run(config: &Config, report: &mut Report) {
    config.clone().visit(&mut Ranges { report, path: String::new() });
    models(config, report);
    default_model(config, "text_embedding", &config.text_embedding.default_model, report);
    default_model(config, "image_embedding", &config.image_embedding.default_model, report);
    for (tier, redis) in config.redis_tiers() {
        redis_tier(&format!("redis_{}", tier.as_str()), redis, report);
    }
    cache(config, report);
    server(config, report);
}

/// Checks every value by itself.
struct Ranges<'a> {
    report: &'a mut Report,
    path: String,
}

impl Ranges<'_> {
    fn below(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let below = join(&self.path, name);
        let outside = std::mem::replace(&mut self.path, below);
        visit(self);
        self.path = outside;
    }
}

impl Keys for Ranges<'_> {
    fn key<K: Kind>(&mut self, name: &'static str, kind: K, value: &mut K::Value) {
        if let Err(refused) = kind.check(value) {
            let (path, problem) = refused.at(&join(&self.path, name));
            self.report.add(path, problem);
        }
    }

    fn section(&mut self, name: &'static str, visit: impl FnOnce(&mut Self)) {
        self.below(name, visit);
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        value: &mut Option<T>,
        _new: impl FnOnce() -> T,
        visit: impl FnOnce(&mut Self, &mut T),
    ) {
        if let Some(value) = value {
            self.below(name, |keys| visit(keys, value));
        }
    }

    fn table<T: Default>(
        &mut self,
        name: &'static str,
        value: &mut BTreeMap<String, T>,
        visit: impl Fn(&mut Self, &mut T),
    ) {
        self.below(name, |keys| {
            for (name, item) in value {
                keys.below(name, |keys| visit(keys, item));
            }
        });
    }
}

fn models(config: &Config, report: &mut Report) {
    for (name, model) in &config.models {
        let path = format!("models.{name}");
        if !is_model_name(name) {
            report.add(&path, format!("expected {}", MODEL_NAME.expected));
        }
        model_files(&path, model, config.development.mock_mode, report);
        if model.kind == Some(ModelKind::Image) && model.max_tokens.is_some() {
            report.add(format!("{path}.max_tokens"), "a model of images reads no text");
        }
    }
    let (at_start, most) = (config.models_at_start().len(), config.performance.model_pool_size);
    if at_start > most {
        report.add(
            "performance.model_pool_size",
            format!("{most}, expected at least the {at_start} models that are loaded at the start"),
        );
    }
}

fn model_files(path: &str, model: &ModelConfig, mock: bool, report: &mut Report) {
    if model.path.is_none() {
        return;
    }
    if let Some(variant) = model.variant.as_deref().filter(|variant| *variant != DEFAULT_VARIANT) {
        report.add(
            format!("{path}.variant"),
            format!("{variant:?}, but a model with a `path` has no variants: leave it out"),
        );
    }
    if mock && model.dimensions.is_none() {
        report.add(
            format!("{path}.dimensions"),
            "needed with development.mock_mode, which reads no files of a model with a `path`",
        );
    }
}

fn default_model(config: &Config, section: &str, named: &Option<String>, report: &mut Report) {
    let Some(named) = named else { return };
    let path = format!("{section}.default_model");
    let for_images = section == "image_embedding";
    match config.models.get(named) {
        None if config.models.is_empty() => {}
        None => {
            let names: Vec<_> = config.models.keys().map(String::as_str).collect();
            report.add(path, format!("{named:?}, expected one of models: {}", names.join(", ")));
        }
        Some(model) => {
            let kind = model.kind.filter(|kind| (*kind == ModelKind::Image) != for_images);
            if let Some(kind) = kind {
                report.add(path, format!("{named:?} is a model of the type {kind}"));
            }
        }
    }
}

fn redis_tier(path: &str, redis: &RedisConfig, report: &mut Report) {
    if !cfg!(feature = "redis") {
        report.add(path, "this build has no tiers on Redis (the feature `redis`)");
    }
    let RedisConfig { addr, password, db, cluster, sentinel_master, tls_ca, .. } = redis;
    let is_sentinel = sentinel_master.is_some();
    let mut refuse = |key: &str, problem: &str| report.add(format!("{path}.{key}"), problem);
    if *cluster && is_sentinel {
        refuse("sentinel_master", "cluster is true too, expected one of the two");
    }
    let schemes: Vec<_> = address::parts(addr).map(address::scheme).collect();
    if schemes.len() > 1 && !*cluster && !is_sentinel {
        refuse(
            "addr",
            "several addresses, expected `cluster: true` or a sentinel_master with them",
        );
    }
    if schemes.windows(2).any(|pair| pair[0] != pair[1]) {
        refuse("addr", "addresses with and without TLS, expected all of one kind");
    }
    if schemes.contains(&"unix") && (*cluster || is_sentinel) {
        refuse("addr", "a socket of this machine is neither of a cluster nor of a sentinel");
    }
    // Those of an address with a sentinel_master are the sentinels' own.
    if password.is_some() && address::has_password(addr) && !is_sentinel {
        refuse("password", "addr has a password too, expected one of the two");
    }
    if *cluster && db.is_some_and(|db| db != 0) {
        refuse("db", "a cluster has the database 0 alone");
    }
    if tls_ca.is_some() && !schemes.contains(&"rediss") {
        refuse("tls_ca", "is of no use without TLS, expected an addr that starts with rediss://");
    }
}

fn cache(config: &Config, report: &mut Report) {
    let tiers = config.redis_tiers();
    let write_to = &config.cache.write_to;
    for (index, tier) in write_to.iter().enumerate() {
        let path = format!("cache.write_to[{index}]");
        if write_to[..index].contains(tier) {
            report.add(path, format!("{} is named twice", tier.as_str()));
        // All of them, as by default, stands for those that are there.
        } else if *write_to != RedisTier::ALL && !tiers.iter().any(|(there, _)| there == tier) {
            report.add(path, format!("redis_{} is not configured", tier.as_str()));
        }
    }
}

fn server(config: &Config, report: &mut Report) {
    let (inputs, queue) = (config.server.max_inputs, config.performance.max_queue);
    if inputs > queue {
        report.add(
            "server.max_inputs",
            format!("{inputs}, expected at most the {queue} of performance.max_queue"),
        );
    }
    if config.image_embedding.urls && !cfg!(feature = "image-url") {
        report
            .add("image_embedding.urls", "this build fetches no images (the feature `image-url`)");
    }
}
