//! Leaves alone what fails, and finds out when it no longer does.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Closed: all may pass. After so many failures in a row it opens: none may pass. After the cooldown one
/// may pass as a probe; its success closes the breaker, its failure starts the cooldown anew.
///
/// The time is an argument, so that tests need not wait.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: u32,
    cooldown: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    // A probe whose caller went away reports nothing: after `until` there is another one.
    Probing { until: Instant },
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// It was closed and is open.
    Opened,
    /// The probe failed: it is open for another cooldown.
    Reopened,
    /// It was open and is closed.
    Closed,
}

impl Breaker {
    pub(super) fn new(limit: u32, cooldown: Duration) -> Self {
        Breaker { limit: limit.max(1), cooldown, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Whether one may pass now. Who got a yes reports [`success`](Self::success) or
    /// [`failure`](Self::failure).
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.with(|state| match *state {
            State::Closed { .. } => true,
            State::Open { until } | State::Probing { until } if now < until => false,
            State::Open { .. } | State::Probing { .. } => {
                *state = State::Probing { until: now + self.cooldown };
                true
            }
        })
    }

    pub(super) fn success(&self) -> Change {
        self.with(|state| {
            let was = std::mem::replace(state, State::Closed { failures: 0 });
            if matches!(was, State::Closed { .. }) { Change::None } else { Change::Closed }
        })
    }

    pub(super) fn failure(&self, now: Instant) -> Change {
        let open = State::Open { until: now + self.cooldown };
        self.with(|state| match state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures < self.limit {
                    return Change::None;
                }
                *state = open;
                Change::Opened
            }
            State::Probing { .. } => {
                *state = open;
                Change::Reopened
            }
            // One that had passed before it opened.
            State::Open { .. } => Change::None,
        })
    }

    /// Lets the next one pass as the probe, without waiting for the cooldown: something has changed for the better.
    pub(super) fn probe_next(&self, now: Instant) {
        self.with(|state| {
            if let State::Open { until } = state {
                *until = now;
            }
        });
    }

    pub(super) fn is_open(&self) -> bool {
        self.with(|state| !matches!(state, State::Closed { .. }))
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // Nothing in here can panic half way.
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(5);
    const MOMENT: Duration = Duration::from_millis(1);

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new(3, COOLDOWN);
        assert_eq!(breaker.failure(now), Change::None);
        assert_eq!(breaker.failure(now), Change::None);
        assert!(breaker.allows(now) && !breaker.is_open());
        assert_eq!(breaker.failure(now), Change::Opened);
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let now = Instant::now();
        let breaker = opened(now);
        assert!(breaker.is_open());
        assert!(!breaker.allows(now));
        assert!(!breaker.allows(now + COOLDOWN - MOMENT));
    }

    #[test]
    fn a_success_between_them_does_not() {
        let now = Instant::now();
        let breaker = Breaker::new(3, COOLDOWN);
        for _ in 0..10 {
            assert_eq!(breaker.failure(now), Change::None);
            assert_eq!(breaker.failure(now), Change::None);
            assert_eq!(breaker.success(), Change::None);
        }
        assert!(breaker.allows(now));
    }

    #[test]
    fn one_probe_passes_after_the_cooldown() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + COOLDOWN;
        assert!(breaker.allows(later));
        for _ in 0..10 {
            assert!(!breaker.allows(later), "a second one passed while the probe was under way");
        }
        assert_eq!(breaker.success(), Change::Closed);
        assert!(breaker.allows(later) && !breaker.is_open());
        // It takes the full number of failures again.
        assert_eq!(breaker.failure(later), Change::None);
    }

    #[test]
    fn a_failed_probe_starts_the_cooldown_anew() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + COOLDOWN;
        assert!(breaker.allows(later));
        assert_eq!(breaker.failure(later), Change::Reopened);
        assert!(!breaker.allows(later + COOLDOWN - MOMENT));
        assert!(breaker.allows(later + COOLDOWN));
    }

    #[test]
    fn a_probe_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let breaker = opened(now);
        assert!(breaker.allows(now + COOLDOWN));
        assert!(!breaker.allows(now + 2 * COOLDOWN - MOMENT));
        assert!(breaker.allows(now + 2 * COOLDOWN));
    }

    #[test]
    fn stragglers_do_not_lengthen_the_cooldown() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.failure(now + COOLDOWN - MOMENT), Change::None);
        assert!(breaker.allows(now + COOLDOWN));
    }

    #[test]
    fn a_probe_can_be_let_through_at_once() {
        let now = Instant::now();
        let breaker = opened(now);
        breaker.probe_next(now);
        assert!(breaker.allows(now));
        assert!(!breaker.allows(now));
        let closed = Breaker::new(3, COOLDOWN);
        closed.probe_next(now);
        assert!(closed.allows(now) && closed.allows(now));
    }
}
