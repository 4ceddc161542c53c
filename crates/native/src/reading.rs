//! Long files, read while something else is done with another core.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::panic;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle, ScopedJoinHandle};

use isovec_core::HashedBytes;
use sha2::{Digest, Sha256};

/// What is read before it is hashed.
const PIECE: usize = 1 << 20;

/// The first `size` bytes of a file, or all where it has fewer. They are hashed on another thread as they come, since
/// that takes longer than to read them.
pub(crate) fn read(mut file: File, size: usize) -> io::Result<HashedBytes<'static>> {
    let mut bytes = vec![0; size];
    let (sender, receiver) = mpsc::channel::<&[u8]>();
    let receiver = Mutex::new(receiver);
    let hash = || {
        let mut hasher = Sha256::new();
        let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.iter().for_each(|piece| hasher.update(piece));
        hex(&hasher.finalize())
    };
    let pieces = bytes.chunks_mut(PIECE);
    let read = move || -> io::Result<usize> {
        let mut done = 0;
        for piece in pieces {
            let length = fill(&mut file, piece)?;
            done += length;
            // Nobody listens where the other thread has panicked, which is told when it is joined.
            let _ = sender.send(&piece[..length]);
            if length < PIECE {
                break;
            }
        }
        Ok(done)
    };
    let (sha256, done) = if size > PIECE {
        beside(hash, read)
    } else {
        let done = read();
        (hash(), done)
    };
    drop(receiver);
    bytes.truncate(done?);
    HashedBytes::with_sha256(bytes, sha256).map_err(io::Error::other)
}

/// Reads until `piece` is full or the file ends.
fn fill(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < piece.len() {
        match file.read(&mut piece[done..]) {
            Ok(0) => break,
            Ok(length) => done += length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// As much stack as a main thread has: JSON may nest.
const STACK: usize = 8 << 20;

/// Something that a thread of its own makes meanwhile.
pub(crate) enum Aside<T> {
    Begun(JoinHandle<T>),
    /// Where no thread is to be had, it is made when it is needed.
    Waits(Box<dyn FnOnce() -> T>),
}

impl<T: Send + 'static> Aside<T> {
    pub(crate) fn begin(work: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let work = Arc::new(work);
        let own = Arc::clone(&work);
        match thread::Builder::new().stack_size(STACK).spawn(move || own()) {
            Ok(thread) => Aside::Begun(thread),
            Err(_) => Aside::Waits(Box::new(move || work())),
        }
    }

    pub(crate) fn end(self) -> T {
        match self {
            Aside::Begun(thread) => thread.join().unwrap_or_else(|e| panic::resume_unwind(e)),
            Aside::Waits(work) => work(),
        }
    }
}

/// Does `aside` on a thread of its own while this one does `here`. Where no thread is to be had, `aside` comes second.
fn beside<A: Send, B>(aside: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &aside);
        let here = here();
        let aside = match thread.map(ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(panicked)) => panic::resume_unwind(panicked),
            Err(_) => aside(),
        };
        (aside, here)
    })
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
