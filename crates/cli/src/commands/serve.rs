//! `isovec serve`

use std::future::Future;

use isovec::config::{Config, LogFormat};
use isovec::{EmbeddingService, Error, ErrorKind, Result};
use isovec_server::Server;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::args::ServeArgs;

pub(crate) fn run(args: &ServeArgs) -> Result<()> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::from_env()?,
    };
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    start_logs(&config);
    let runtime = tokio::runtime::Runtime::new().map_err(cannot_start)?;
    let result = runtime.block_on(async {
        let stop = signals()?;
        let server = Server::bind(&config).await?;
        server.run(move || EmbeddingService::new(config), stop).await
    });
    // A model that is still being loaded is nobody's any more.
    runtime.shutdown_background();
    result
}

fn cannot_start(e: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot start: {e}")).with_source(e)
}

/// Lines on standard error. Of libraries only what is wrong: what else they would log, a URL's query say, is
/// not theirs to tell.
fn start_logs(config: &Config) {
    let ours =
        if config.development.debug_logging { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let levels = Targets::new().with_default(LevelFilter::WARN).with_target("isovec", ours);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.server.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        _ => lines.boxed(),
    };
    // Another one is there only if this was called twice.
    let _ = tracing_subscriber::registry().with(lines.with_filter(levels)).try_init();
    // Contained where they happen. The usual hook prints messages, and one about a text quotes it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

/// Done at the first signal to end. A second one ends the process at once.
fn signals() -> Result<impl Future<Output = ()>> {
    let mut signals = Signals::new().map_err(cannot_start)?;
    Ok(async move {
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(130);
        });
    })
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC, tokio::signal::windows::CtrlBreak);

#[cfg(windows)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c};
        Ok(Signals(ctrl_c()?, ctrl_break()?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}
