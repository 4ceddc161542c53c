//! Progress for people: bars on a terminal's standard error, nothing anywhere else.

use std::sync::Mutex;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use isovec::store;

/// Makes bars, or hidden ones.
#[derive(Debug)]
pub(crate) struct Progress {
    quiet: bool,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Progress { quiet }
    }

    /// Whether nothing is to be shown.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A bar for downloads.
    pub(crate) fn download(&self) -> Download<'_> {
        Download { progress: self, bar: Mutex::new(None) }
    }

    /// A bar over texts: by bytes where the source's length is known, else a count.
    pub(crate) fn texts(&self, total: Option<u64>) -> Texts {
        let bar = match total {
            Some(total) => {
                self.bar(total, "{spinner} {msg} [{wide_bar}] {percent}% {elapsed} (ends in {eta})")
            }
            None => self.bar(0, "{spinner} {msg} {elapsed}"),
        };
        bar.set_message("embedding");
        Texts { bar, total: total.is_some(), started: Instant::now() }
    }

    /// A bar over a known number of things.
    pub(crate) fn count(&self, what: &'static str, total: usize) -> ProgressBar {
        let template = "{spinner} {msg} [{wide_bar}] {pos}/{len} {elapsed} (ends in {eta})";
        let bar = self.bar(total as u64, template);
        bar.set_message(what);
        bar
    }

    /// A count of what is removed from a tier, whose number is not known before.
    pub(crate) fn removed(&self, tier: &'static str) -> ProgressBar {
        let bar = self.bar(0, "{spinner} {msg}: {pos} vectors removed {elapsed}");
        bar.set_message(tier);
        bar
    }

    fn bar(&self, total: u64, template: &str) -> ProgressBar {
        let target =
            if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        // A template that does not parse costs its looks only.
        bar.set_style(
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─"),
        );
        bar
    }
}

/// Follows the files of a download.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    progress: &'a Progress,
    bar: Mutex<Option<(String, ProgressBar)>>,
}

impl Download<'_> {
    pub(crate) fn update(&self, event: &store::Progress<'_>) {
        let Ok(mut current) = self.bar.lock() else { return };
        if current.as_ref().is_none_or(|(file, _)| file != event.file) {
            let template =
                "{spinner} {msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            *current = Some((event.file.to_owned(), self.progress.bar(event.total, template)));
        }
        let Some((file, bar)) = current.as_ref() else { return };
        let doing = match event.stage {
            store::Stage::Waiting => "waiting for another process to fetch",
            store::Stage::Downloading => "downloading",
            store::Stage::Retrying => "the transfer broke off, retrying",
            store::Stage::Copying => "copying",
            store::Stage::Verifying => "verifying",
            _ => "",
        };
        if event.stage == store::Stage::Done {
            bar.finish_and_clear();
            *current = None;
            return;
        }
        bar.set_message(format!("{doing} {}/{file}", event.model));
        bar.set_length(event.total);
        bar.set_position(event.received);
    }
}

/// Follows the texts of a stream. Gone from the terminal when dropped.
#[derive(Debug)]
pub(crate) struct Texts {
    bar: ProgressBar,
    total: bool,
    started: Instant,
}

impl Texts {
    /// `count` texts are done, up to byte `position` of the source.
    pub(crate) fn update(&self, count: u64, position: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.bar.set_message(format!("{count} texts, {:.0} per second", count as f64 / seconds));
        if self.total {
            self.bar.set_position(position);
        } else {
            self.bar.tick();
        }
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
