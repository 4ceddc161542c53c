//! Where the store lies and how it behaves: by calls, or from the environment.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use etcetera::BaseStrategy;
use etcetera::base_strategy::choose_native_strategy;
use isovec_core::{Error, ErrorKind, Result};

use super::ModelStore;
use crate::net::address::Address;

const MAX_ATTEMPTS: u32 = 100;

/// Settings of a [`ModelStore`], each with a default that suits most.
///
/// # Example
///
/// ```
/// use isovec::store::ModelStore;
///
/// let store = ModelStore::builder()
///     .root("/var/cache/isovec")
///     .mirror("https://models.example.com/isovec")
///     .build()?;
/// assert_eq!(store.root().to_str(), Some("/var/cache/isovec"));
///
/// let error = ModelStore::builder().mirror("ftp://example.com").build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "mirror: ftp://example.com must start with http:// or https:// and a host"
/// );
/// # Ok::<(), isovec::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ModelStoreBuilder {
    root: Option<PathBuf>,
    offline: bool,
    mirror: Option<Address>,
    local: Option<PathBuf>,
    network: Network,
}

/// How long, and how often, to try.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) connect_timeout: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) first_pause: Duration,
    pub(super) longest_pause: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            attempts: 4,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

impl ModelStoreBuilder {
    /// Settings from the environment:
    ///
    /// - `ISOVEC_HOME`: the store's [folder](Self::root);
    /// - `ISOVEC_OFFLINE`: `1` or `true` [forbids downloads](Self::offline), `0` or `false` does not;
    /// - `ISOVEC_MIRROR`: the base address of a [mirror](Self::mirror);
    /// - `ISOVEC_MODEL_SOURCE`: a [local folder](Self::local) to copy from.
    ///
    /// An empty variable counts as unset. Calls on the result override what was read.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the variable and what it may be.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str| match get(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(invalid(format!("{name} must be UTF-8"))),
        };
        let offline = match text("ISOVEC_OFFLINE")?.as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => {
                return Err(invalid(format!(
                    "ISOVEC_OFFLINE: {other:?} must be one of 1, true, 0, false"
                )));
            }
        };
        let mirror = text("ISOVEC_MIRROR")?.map(Address::new);
        if let Some(mirror) = &mirror {
            check_mirror("ISOVEC_MIRROR", mirror)?;
        }
        Ok(ModelStoreBuilder {
            root: get("ISOVEC_HOME").map(PathBuf::from),
            offline,
            mirror,
            local: get("ISOVEC_MODEL_SOURCE").map(PathBuf::from),
            network: Network::default(),
        })
    }

    /// The folder of the store. By default `isovec` in the platform's cache folder: `~/.cache` on
    /// Linux, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
    pub fn root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.root = Some(folder.into());
        self
    }

    /// Whether to forbid every connection. Files then come from the store or the local folder.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// A server to ask before the manifest's addresses, for `<mirror>/<model>/<path>`.
    pub fn mirror(mut self, base: impl Into<String>) -> Self {
        self.mirror = Some(Address::new(base));
        self
    }

    /// A folder to copy from before any server is asked, laid out as `<model>/<path>`.
    pub fn local(mut self, folder: impl Into<PathBuf>) -> Self {
        self.local = Some(folder.into());
        self
    }

    /// How long connecting may take: 10 seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.network.connect_timeout = timeout;
        self
    }

    /// How long a server may send nothing before the transfer counts as broken: 30 seconds by
    /// default.
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.network.stall_timeout = timeout;
        self
    }

    /// How often an address is tried before it counts as failed: 4 times by default.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.network.attempts = attempts;
        self
    }

    /// The pause after the first failed attempt, which doubles with each further one, and the
    /// longest pause, even where a server asks for more: 0.5 and 60 seconds by default.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.network.first_pause = first;
        self.network.longest_pause = longest;
        self
    }

    /// The store. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ErrorKind::InvalidConfig), naming the setting and what it may be, or if no
    /// folder is set and the platform names no cache folder for this user.
    pub fn build(self) -> Result<ModelStore> {
        let network = self.network;
        if !(1..=MAX_ATTEMPTS).contains(&network.attempts) {
            return Err(invalid(format!(
                "attempts: {} is outside of 1 to {MAX_ATTEMPTS}",
                network.attempts
            )));
        }
        for (name, timeout) in
            [("connect_timeout", network.connect_timeout), ("stall_timeout", network.stall_timeout)]
        {
            if timeout.is_zero() {
                return Err(invalid(format!("{name}: must be more than nothing")));
            }
        }
        if network.first_pause > network.longest_pause {
            return Err(invalid(format!(
                "pauses: the first, {:?}, is longer than the longest, {:?}",
                network.first_pause, network.longest_pause
            )));
        }
        let mirror =
            self.mirror.as_ref().map(|mirror| check_mirror("mirror", mirror)).transpose()?;
        let root = match self.root {
            Some(root) => root,
            None => choose_native_strategy()
                .map(|folders| folders.cache_dir().join("isovec"))
                .map_err(|e| {
                    invalid("this user has no cache folder; set ISOVEC_HOME to a folder".into())
                        .with_source(e)
                })?,
        };
        Ok(ModelStore { root, offline: self.offline, mirror, local: self.local, network })
    }
}

fn check_mirror(setting: &str, mirror: &Address) -> Result<Address> {
    mirror.as_base().map_err(|rule| invalid(format!("{setting}: {mirror} {rule}")))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<ModelStoreBuilder> {
        ModelStoreBuilder::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn variables_are_read() {
        let builder = from(&[
            ("ISOVEC_HOME", "/h"),
            ("ISOVEC_OFFLINE", "true"),
            ("ISOVEC_MIRROR", "http://user:secret@m/base/"),
            ("ISOVEC_MODEL_SOURCE", "/s"),
        ])
        .unwrap();
        let debug = format!("{builder:?}");
        let store = builder.build().unwrap();
        assert_eq!(store.root.to_str(), Some("/h"));
        assert!(store.offline);
        assert_eq!(store.mirror, Some(Address::new("http://user:secret@m/base")));
        assert_eq!(store.local, Some("/s".into()));
        for debug in [debug, format!("{store:?}")] {
            assert!(!debug.contains("secret"), "{debug}");
        }
    }

    #[test]
    fn empty_variables_count_as_unset() {
        let names = ["ISOVEC_HOME", "ISOVEC_OFFLINE", "ISOVEC_MIRROR", "ISOVEC_MODEL_SOURCE"];
        let builder = from(&names.map(|name| (name, ""))).unwrap();
        assert!(builder.root.is_none() && builder.mirror.is_none() && builder.local.is_none());
        assert!(!builder.offline);
    }

    #[test]
    fn bad_settings_are_refused_by_name() {
        let build = ModelStore::builder;
        let cases = [
            (
                from(&[("ISOVEC_OFFLINE", "yes")]).err(),
                "ISOVEC_OFFLINE: \"yes\" must be one of 1, true, 0, false",
            ),
            (
                from(&[("ISOVEC_MIRROR", "ftp://u:secret@m")]).err(),
                "ISOVEC_MIRROR: ftp://***@m must start with http:// or https:// and a host",
            ),
            (
                build().mirror("http://m/?sig=secret").build().err(),
                "mirror: http://m/?*** must not have a query or a fragment",
            ),
            (build().attempts(0).build().err(), "attempts: 0 is outside of 1 to 100"),
            (
                build().stall_timeout(Duration::ZERO).build().err(),
                "stall_timeout: must be more than nothing",
            ),
            (
                build().pauses(Duration::from_secs(2), Duration::from_secs(1)).build().err(),
                "pauses: the first, 2s, is longer than the longest, 1s",
            ),
        ];
        for (error, expected) in cases {
            let error = error.expect(expected);
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{expected}");
        }
    }
}
