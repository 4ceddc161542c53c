//! The thread on which connections and timers live, and how a caller without a runtime waits.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::{Error, ErrorKind, Result};

/// A runtime of our own on one thread, so that callers need none. It does no computing.
#[derive(Debug)]
pub(super) struct Io {
    handle: Handle,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Io {
    pub(super) fn start() -> Result<Self> {
        let cannot = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("cannot start the thread for I/O: {e}"))
                .with_source(e)
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // Ends when it is told to, or when nobody can tell it any more.
            let _ = runtime.block_on(stopped);
            // Dropping it would wait for whoever looks up the name of a server, however long that takes.
            runtime.shutdown_background();
        };
        let thread =
            std::thread::Builder::new().name("isovec-io".into()).spawn(run).map_err(cannot)?;
        Ok(Io { handle, thread: Mutex::new(Some((stop, thread))) })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends the thread and waits for it. What runs on it is dropped at its next pause.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = thread {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

/// Waits for `future` on this thread, which it blocks; needs no runtime, and may be inside of one.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_caller_without_a_runtime_waits_for_work_on_it() {
        let io = Io::start().unwrap();
        let task = io.handle().spawn(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            7
        });
        assert_eq!(block_on(task).unwrap(), 7);
        io.stop();
        io.stop();
    }

    #[test]
    fn a_runtime_of_the_callers_is_no_obstacle() {
        let outer = Builder::new_current_thread().build().unwrap();
        outer.block_on(async {
            let io = Io::start().unwrap();
            assert_eq!(block_on(io.handle().spawn(async { 8 })).unwrap(), 8);
        });
    }
}
