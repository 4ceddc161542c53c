//! `isovec config`

use std::io::Write;

use isovec::Result;
use isovec::config::{Config, EXAMPLE};

use super::cannot_write;
use crate::args::{ConfigCommand, ConfigFile};

pub(crate) fn run(command: ConfigCommand) -> Result<()> {
    let text = match command {
        ConfigCommand::Example => EXAMPLE.to_owned(),
        ConfigCommand::Check(file) => summary(&load(&file)?),
        ConfigCommand::Show(file) => load(&file)?.to_yaml(),
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(cannot_write)
}

fn load(file: &ConfigFile) -> Result<Config> {
    match &file.file {
        Some(path) => Config::load(path),
        None => Config::from_env(),
    }
}

/// What a configuration comes to, in a few lines.
fn summary(config: &Config) -> String {
    let models: Vec<_> = config.models_at_start().into_keys().collect();
    let mock = if config.development.mock_mode { " (mock mode: vectors mean nothing)" } else { "" };
    let mut cache = vec![format!("memory {} MiB", config.cache.memory_bytes >> 20)];
    let tiers = config.redis_tiers();
    cache.extend(tiers.iter().map(|(tier, redis)| format!("redis_{} {redis}", tier.as_str())));
    if !config.cache.enabled {
        cache = vec!["off".to_owned()];
    }
    let keys = match config.server.api_keys.len() {
        0 => "no API key is asked for".to_owned(),
        1 => "1 API key".to_owned(),
        n => format!("{n} API keys"),
    };
    format!(
        "OK\nmodels: {}{mock}\ncache:  {}\nserver: {}, {keys}\n",
        models.join(", "),
        cache.join(", "),
        config.server.listen
    )
}
