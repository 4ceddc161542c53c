//! How long to wait before an address is asked again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::settings::Network;

/// The pause after the failed attempt of this number, counted from 1: what the server asked for, or
/// else twice the pause before. Neither is longer than the longest that is set.
pub(super) fn pause(network: &Network, attempt: u32, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked.min(network.longest_pause);
    }
    let doubled =
        network.first_pause.saturating_mul(1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
    // Up to a quarter more, so that many clients that failed together do not return together.
    let jitter = doubled.mul_f64(f64::from(random() % 256) / 1024.0);
    doubled.saturating_add(jitter).min(network.longest_pause)
}

/// A number without a pattern; the standard library seeds its hash maps with one.
fn random() -> u32 {
    RandomState::new().hash_one(()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let network = Network {
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            ..Network::default()
        };
        let ms = |attempt, asked| pause(&network, attempt, asked).as_millis();
        assert!((100..=125).contains(&ms(1, None)));
        assert!((200..=250).contains(&ms(2, None)));
        assert!((800..=1000).contains(&ms(4, None)));
        assert_eq!(ms(40, None), 5000);
        assert_eq!(ms(1, Some(Duration::from_secs(2))), 2000);
        assert_eq!(ms(1, Some(Duration::from_secs(3600))), 5000);
    }
}
