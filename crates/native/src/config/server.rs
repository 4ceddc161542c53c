//! `server`: what `isovec serve` listens on and what it lets in.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::keys::Keys;
use super::kinds::{List, OneOf, Secret, Size, Socket, Time, whole};

/// `server`: what `isovec serve` listens on and what it lets in.
///
/// Debug output counts the API keys and shows none.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The keys of which a request must carry one, as `Authorization: Bearer KEY`. None: no key is asked for.
    /// In a file also as `api_keys_file`, the name of a file with one key a line.
    pub api_keys: Vec<String>,
    /// The longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The most texts or images of one request.
    pub max_inputs: usize,
    /// The most connections at once.
    pub max_connections: usize,
    /// How long a client may take to send the head of a request, and then its body.
    pub read_timeout: Duration,
    /// How logs are written.
    pub log_format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The fewest characters of an API key: with fewer, trying them all comes into reach.
const MIN_KEY: usize = 16;

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            api_keys: Vec::new(),
            max_body_bytes: 16 << 20,
            max_inputs: 1024,
            max_connections: 1024,
            read_timeout: Duration::from_secs(30),
            log_format: LogFormat::Text,
        }
    }
}

impl ServerConfig {
    pub(super) fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("listen", Socket, &mut self.listen);
        let key = Secret {
            expected: "a key of 16 to 256 letters, digits and signs of ASCII, without spaces",
            allowed: is_key,
        };
        let expected = "a list of keys";
        keys.key("api_keys", List { of: key, expected }, &mut self.api_keys);
        keys.file("api_keys_file", "api_keys", |text| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            self.api_keys = lines.map(str::to_owned).collect();
            // No keys would mean that everybody is let in.
            if self.api_keys.is_empty() { Err("no key in it") } else { Ok(()) }
        });
        keys.key("max_body_bytes", Size(1024..=1 << 30), &mut self.max_body_bytes);
        keys.key("max_inputs", whole(1..=100_000), &mut self.max_inputs);
        keys.key("max_connections", whole(1..=1_000_000), &mut self.max_connections);
        let timeout = Duration::from_millis(100)..=Duration::from_secs(10 * 60);
        keys.key("read_timeout", Time(timeout), &mut self.read_timeout);
        let formats = OneOf(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        keys.key("log_format", formats, &mut self.log_format);
    }
}

/// A key goes into a header as it is.
fn is_key(text: &str) -> bool {
    (MIN_KEY..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("listen", &self.listen)
            .field("api_keys", &format_args!("[{} in all]", self.api_keys.len()))
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_inputs", &self.max_inputs)
            .field("max_connections", &self.max_connections)
            .field("read_timeout", &self.read_timeout)
            .field("log_format", &self.log_format)
            .finish()
    }
}
