//! Where a file can come from, and in which order that is tried.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use isovec_core::manifest::Build;
use isovec_core::{Error, ErrorKind, Result};

use super::ModelStore;
use super::content::{Accepted, Found};
use super::download::download;
use super::job::{Failure, Job, io_error, remove};
use super::options::Stage;
use crate::net::address::Address;

/// Brings the file to its place from the first source that has it: the local folder, the mirror,
/// then each build's own addresses. The caller holds the file's lock.
pub(super) fn obtain(store: &ModelStore, job: &Job<'_>) -> Result<(), Failure> {
    let mut reasons = Vec::new();
    if let Some(folder) = &store.local {
        let source = folder.join(job.model).join(&job.file.path);
        if served(copy(job, &source), &mut reasons)? {
            return finish(job);
        }
    }
    let addresses = addresses(store, job);
    if addresses.is_empty() {
        reasons.push(Error::new(
            ErrorKind::NotFound,
            "the manifest has no address for it; name a folder that holds it in \
             ISOVEC_MODEL_SOURCE, or a server in ISOVEC_MIRROR",
        ));
    } else if store.offline {
        reasons.push(Error::new(
            ErrorKind::Offline,
            format!(
                "the offline setting (ISOVEC_OFFLINE) forbids downloading it; run `isovec models \
                 fetch {}` without that setting, or name a folder that holds it in \
                 ISOVEC_MODEL_SOURCE",
                job.model
            ),
        ));
    } else {
        for (address, accepted) in &addresses {
            if served(download(&store.network, job, address, accepted), &mut reasons)? {
                return finish(job);
            }
        }
    }
    Err(Failure::Source(summary(job, reasons)))
}

/// Each address to ask, with the contents it may answer with: a mirror may hold any build, while an
/// address in the manifest belongs to one.
fn addresses<'a>(store: &ModelStore, job: &Job<'a>) -> Vec<(Address, Accepted<'a>)> {
    let file = job.file;
    let mirror = store
        .mirror
        .as_ref()
        .map(|base| (base.join(&format!("{}/{}", job.model, file.path)), Accepted::any_of(file)));
    let own = |build: &'a Build| {
        build.urls.iter().map(move |url| (Address::new(url), Accepted::only(build)))
    };
    mirror.into_iter().chain(file.builds.iter().flat_map(own)).collect()
}

/// Whether a source delivered. Why it did not goes to `reasons`, unless that ends the search.
fn served(outcome: Result<(), Failure>, reasons: &mut Vec<Error>) -> Result<bool, Failure> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Failure::Source(reason)) => {
            reasons.push(reason);
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}

/// Copies from the local folder, under a name of its own: half a download may lie beside it.
fn copy(job: &Job<'_>, source: &Path) -> Result<(), Failure> {
    let accepted = Accepted::any_of(job.file);
    let part = job.part("local");
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => Failure::Source(Error::new(
            ErrorKind::NotFound,
            format!("the local folder has no {}", source.display()),
        )),
        _ => Failure::Source(io_error("read", source, e)),
    };
    let input = File::open(source).map_err(unreadable)?;
    let size = input.metadata().map_err(unreadable)?.len();
    if !accepted.has_size(size) {
        // It cannot be right, and may be larger than the disk; the error still names its hash.
        return match accepted.inspect(job, source, source.display()) {
            Ok(Found::Wrong(error)) => Err(Failure::Source(error)),
            Ok(_) => Err(unreadable(io::Error::other("it changes while it is read"))),
            Err(e) if e.kind() == ErrorKind::Cancelled => Err(Failure::Final(e)),
            Err(e) => Err(Failure::Source(e)),
        };
    }
    let mut input = input.take(size);
    let mut output = File::create(&part).map_err(|e| Failure::Final(job.write_error(&part, e)))?;
    let mut piece = vec![0; 1 << 20];
    let mut copied = 0;
    loop {
        job.check_cancelled().map_err(Failure::Final)?;
        let read = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(unreadable(e)),
        };
        output.write_all(&piece[..read]).map_err(|e| Failure::Final(job.write_error(&part, e)))?;
        copied += read as u64;
        job.report(Stage::Copying, copied, size);
    }
    match job.settle(&part, &accepted, source.display()).map_err(Failure::Final)? {
        Found::Good(()) => Ok(()),
        Found::Wrong(error) => Err(Failure::Source(error)),
        Found::Missing => Err(Failure::Final(io_error("read", &part, vanished()))),
    }
}

/// Ends a successful search: says so, and removes what other sources had begun.
fn finish(job: &Job<'_>) -> Result<(), Failure> {
    for build in &job.file.builds {
        remove(&job.part(Accepted::only(build).tag())).map_err(Failure::Final)?;
    }
    for tag in [Accepted::any_of(job.file).tag(), "local"] {
        remove(&job.part(tag)).map_err(Failure::Final)?;
    }
    let size = fs::metadata(&job.path).map_or(0, |metadata| metadata.len());
    job.report(Stage::Done, size, size);
    Ok(())
}

/// One error out of the reasons of all sources. Its kind is that of the gravest.
fn summary(job: &Job<'_>, reasons: Vec<Error>) -> Error {
    let gravest_first =
        [ErrorKind::HashMismatch, ErrorKind::Network, ErrorKind::Io, ErrorKind::Offline];
    let kind = gravest_first
        .into_iter()
        .find(|&kind| reasons.iter().any(|reason| reason.kind() == kind))
        .unwrap_or(ErrorKind::NotFound);
    let list: Vec<_> = reasons.iter().map(Error::to_string).collect();
    let message = format!(
        "cannot get {} of {}: it is not at {}; {}",
        job.file.path,
        job.model,
        job.path.display(),
        list.join("; ")
    );
    Error::new(kind, message)
}

pub(super) fn vanished() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "something deleted it")
}
