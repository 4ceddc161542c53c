//! `isovec cache`

use std::io::{BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use isovec::cache::admin::{CacheAdmin, TierReport};
use isovec::config::{Config, RedisTier};
use isovec::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{Context, cannot_write};
use crate::args::{CacheClearArgs, CacheCommand, CacheStatsArgs, ReportFormat, Tier};

pub(crate) fn run(context: &Context, command: CacheCommand) -> Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot start: {e}")).with_source(e))?;
    match command {
        CacheCommand::Stats(args) => stats(&runtime, &args),
        CacheCommand::Clear(args) => clear(context, &runtime, &args),
    }
}

fn open(config: Option<&PathBuf>) -> Result<CacheAdmin> {
    let config = match config {
        Some(path) => Config::load(path)?,
        None => Config::from_env()?,
    };
    let admin = CacheAdmin::new(&config)?;
    if admin.tiers().next().is_none() {
        return Err(Error::new(
            ErrorKind::NotFound,
            "the configuration has no tier on Redis: redis_hot, redis_warm or redis_cold",
        ));
    }
    Ok(admin)
}

fn stats(runtime: &Runtime, args: &CacheStatsArgs) -> Result<()> {
    let admin = open(args.config.as_ref())?;
    let reports: Vec<_> =
        admin.tiers().map(|tier| (tier, runtime.block_on(admin.inspect(tier)))).collect();
    let mut out = std::io::stdout().lock();
    match args.format {
        ReportFormat::Json => {
            let reports: Vec<_> =
                reports.iter().map(|(tier, report)| as_json(*tier, report)).collect();
            writeln!(out, "{}", Value::from(reports)).map_err(cannot_write)?;
        }
        ReportFormat::Table => write_table(&mut out, &reports).map_err(cannot_write)?,
    }
    // One that cannot be reached is shown among the others, and is a failure all the same.
    reports.into_iter().try_for_each(|(_, report)| report.map(|_| ()))
}

fn as_json(tier: RedisTier, report: &Result<TierReport>) -> Value {
    match report {
        Ok(report) => json!({
            "tier": tier.as_str(),
            "reachable": true,
            "keys": report.keys,
            "key_bytes": report.key_bytes,
            "used_memory_bytes": report.used_memory,
            "max_memory_bytes": report.max_memory,
            "servers": report.servers,
            "ttl_seconds": report.ttl.as_secs_f64(),
            "ping_seconds": report.ping.as_secs_f64(),
        }),
        Err(error) => {
            json!({"tier": tier.as_str(), "reachable": false, "error": error.to_string()})
        }
    }
}

fn write_table(
    out: &mut impl Write,
    reports: &[(RedisTier, Result<TierReport>)],
) -> std::io::Result<()> {
    let mut rows = vec![
        ["TIER", "VECTORS", "BYTES", "USED", "LIMIT", "SERVERS", "TTL", "PING"].map(String::from),
    ];
    for (tier, report) in reports {
        let Ok(report) = report else { continue };
        let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), mebibytes);
        rows.push([
            tier.as_str().to_owned(),
            report.keys.to_string(),
            bytes(report.key_bytes),
            bytes(report.used_memory),
            bytes(report.max_memory),
            report.servers.to_string(),
            format!("{}s", report.ttl.as_secs()),
            milliseconds(report.ping),
        ]);
    }
    let widths: Vec<usize> =
        (0..8).map(|col| rows.iter().map(|row| row[col].len()).max().unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    for (tier, report) in reports {
        if let Err(error) = report {
            writeln!(out, "{}: {error}", tier.as_str())?;
        }
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn clear(context: &Context, runtime: &Runtime, args: &CacheClearArgs) -> Result<()> {
    let admin = open(args.config.as_ref())?;
    let tiers: Vec<RedisTier> = match args.tier {
        Some(Tier::Hot) => vec![RedisTier::Hot],
        Some(Tier::Warm) => vec![RedisTier::Warm],
        Some(Tier::Cold) => vec![RedisTier::Cold],
        None => admin.tiers().collect(),
    };
    if !args.yes {
        confirm(&tiers)?;
    }
    for tier in tiers {
        let bar = context.progress.removed(tier.as_str());
        let removed = runtime.block_on(admin.clear(tier, |removed| {
            bar.set_position(removed);
            match context.cancel.is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }))?;
        bar.finish_and_clear();
        writeln!(std::io::stdout(), "{}: {removed} vectors removed", tier.as_str())
            .map_err(cannot_write)?;
        context.check_cancelled()?;
    }
    Ok(())
}

/// Asks, where there is somebody to answer.
fn confirm(tiers: &[RedisTier]) -> Result<()> {
    let names: Vec<_> = tiers.iter().map(|tier| tier.as_str()).collect();
    let names = names.join(", ");
    if !std::io::stdin().is_terminal() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("this would remove all vectors from {names}: say so with --yes"),
        ));
    }
    let mut err = std::io::stderr();
    write!(err, "remove all vectors from {names}? [y/N] ")
        .and_then(|()| err.flush())
        .map_err(cannot_write)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| {
        Error::new(ErrorKind::Io, format!("cannot read the answer: {e}")).with_source(e)
    })?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::new(ErrorKind::Cancelled, "nothing was removed")),
    }
}
