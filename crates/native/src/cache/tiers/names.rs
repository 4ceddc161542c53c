//! How a key is spelled on Redis, and how long it lives.

use std::time::Duration;

use super::super::{Key, codec};
use crate::config::RedisTier;

/// `PREFIX:v1:hot:FINGERPRINT:SHA256`, both in hexadecimal.
///
/// The tier is in the name because tiers may share a server: without it, what is written to the tier that keeps things
/// for an hour would end the life of what another one keeps for a week.
#[derive(Clone, Debug)]
pub(in crate::cache) struct Names {
    prefix: String,
    tier: RedisTier,
    /// Of names that are written.
    start: String,
}

impl Names {
    pub(in crate::cache) fn new(prefix: &str, tier: RedisTier) -> Self {
        let start = format!("{prefix}:v{}:{}:", codec::VERSION, tier.as_str());
        Names { prefix: prefix.to_owned(), tier, start }
    }

    pub(super) fn of(&self, key: &Key) -> String {
        let mut name = String::with_capacity(self.start.len() + 129);
        name.push_str(&self.start);
        push_hex(&mut name, key.fingerprint.as_bytes());
        name.push(':');
        push_hex(&mut name, &key.input);
        name
    }

    /// What Redis is asked for to list the names of all versions. It can fit others' names, too.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::new();
        for c in self.prefix.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + ":v*:" + self.tier.as_str() + ":*"
    }

    /// Whether `name` is one of ours, of any version.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(":v"));
        let parts: Vec<&str> = rest.unwrap_or_default().split(':').collect();
        let [version, tier, fingerprint, input] = parts[..] else { return false };
        let is_hash = |part: &str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
        !version.is_empty()
            && version.bytes().all(|b| b.is_ascii_digit())
            && tier == self.tier.as_str()
            && is_hash(fingerprint)
            && is_hash(input)
    }
}

fn push_hex(out: &mut String, bytes: &[u8; 32]) {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}

/// What a value of `key` has to live, in milliseconds: at most `ttl`, and less by up to the share `jitter`, so that what was
/// stored together does not end together. By how much follows from the key.
pub(super) fn lifetime(key: &Key, ttl: Duration, jitter: f64) -> u64 {
    let [a, b, c, d, ..] = key.input;
    let spread = f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX);
    let millis = ttl.as_millis() as f64 * (1.0 - jitter * spread);
    // As integers go: what is too large becomes the largest, and Redis takes no lifetime of nothing.
    (millis as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fingerprint;

    fn key(text: &str) -> Key {
        Key::of_text(Fingerprint::mock("names", 4), None, text)
    }

    #[test]
    fn a_name_has_prefix_version_tier_model_and_input() {
        let key = key("a text");
        let name = Names::new("app", RedisTier::Warm).of(&key);
        let hex: String = key.input.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(name, format!("app:v1:warm:{}:{hex}", key.fingerprint));
    }

    #[test]
    fn only_names_of_ours_are_ours() {
        let names = Names::new("app*", RedisTier::Warm);
        assert_eq!(names.pattern(), "app\\*:v*:warm:*");
        let name = names.of(&key("a text"));
        assert!(names.is_ours(&name));
        assert!(names.is_ours(&name.replace(":v1:", ":v23:")), "an older version's");
        let others = [
            String::new(),
            name.replace("app*", "app"),
            name.replace("app*", "app*:more"),
            name.replace(":warm:", ":hot:"),
            name.replace(":v1:", ":values:"),
            name.replace(":v1:", ":v:"),
            format!("{name}0"),
            format!("{name}:more"),
            name[..name.len() - 1].to_owned() + "x",
        ];
        for other in others {
            assert!(!names.is_ours(&other), "{other}");
        }
    }

    #[test]
    fn lifetimes_are_spread_below_the_configured_one() {
        const TTL: u64 = 3_600_000;
        let all: Vec<u64> = (0..1000)
            .map(|i| lifetime(&key(&i.to_string()), Duration::from_millis(TTL), 0.1))
            .collect();
        let (low, high) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
        assert!(low >= TTL * 9 / 10 && high <= TTL, "{low} to {high}");
        assert!(high - low > TTL * 9 / 100, "{low} to {high} is hardly spread");
        // The same for the same key: a value that is written again keeps its rhythm.
        assert_eq!(all[7], lifetime(&key("7"), Duration::from_millis(TTL), 0.1));
    }

    #[test]
    fn odd_lifetimes() {
        let cases = [
            ("no jitter", Duration::from_secs(60), 0.0, 60_000..=60_000),
            ("less than a millisecond", Duration::from_micros(10), 0.1, 1..=1),
            ("all jitter", Duration::from_secs(60), 1.0, 1..=60_000),
            ("for ever", Duration::MAX, 0.0, u64::MAX..=u64::MAX),
        ];
        for (name, ttl, jitter, range) in cases {
            let millis = lifetime(&key("a"), ttl, jitter);
            assert!(range.contains(&millis), "{name}: {millis}");
        }
    }
}
