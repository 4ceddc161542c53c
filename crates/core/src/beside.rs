//! Two things at once.

/// What `first` gives, which is done on a thread of its own beside `second`; where there are no threads, or none can
/// be had, one is done after the other.
pub(crate) fn beside<A: Send, B>(
    first: impl Fn() -> A + Sync,
    second: impl FnOnce() -> B,
) -> (A, B) {
    #[cfg(target_arch = "wasm32")]
    return (first(), second());
    #[cfg(not(target_arch = "wasm32"))]
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("isovec-load".into());
        match builder.spawn_scoped(scope, &first) {
            Ok(thread) => {
                let second = second();
                let first = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                (first, second)
            }
            Err(_) => (first(), second()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn both_are_done() {
        let words = vec!["one".to_owned()];
        let (length, words) = beside(|| 3, move || words);
        assert_eq!((length, words.len()), (3, 1));
    }
}
