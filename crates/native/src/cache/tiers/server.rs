//! From a configured address to connections.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisResult, TlsCertificates, TlsMode,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Mutex;
use tokio::time;

use crate::config::{RedisConfig, RedisTier};
use crate::{Error, ErrorKind, Result};

/// How long a connection may take to make, with names, TLS and passwords. No request waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// After so long a command is given up even where nobody waits for it any more.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whom to connect to. Debug output has no address and no password.
pub(in crate::cache) enum Server {
    Single(Client),
    Cluster(ClusterClient),
    // The client remembers its connection to the sentinels, and wants to be held alone for that.
    Sentinel(Mutex<SentinelClient>),
}

/// A connection that is shared by all who clone it.
#[derive(Clone)]
pub(in crate::cache) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Single(_) => "Single",
            Server::Cluster(_) => "Cluster",
            Server::Sentinel(_) => "Sentinel",
        })
    }
}

impl Server {
    /// Checks everything that can be checked without a connection. What it says about an address never
    /// contains it: there may be a password in it.
    pub(in crate::cache) fn new(tier: RedisTier, config: &RedisConfig) -> Result<Self> {
        let field = |name: &str| format!("redis_{}.{name}", tier.as_str());
        let wrong = |name: &str, what: &str| {
            Err(Error::new(ErrorKind::InvalidConfig, format!("{}: {what}", field(name))))
        };
        let nodes = config
            .addr
            .split(',')
            .map(|addr| parse(addr.trim(), config.sentinel_master.is_some()))
            .collect::<Result<Vec<_>>>()
            .map_err(|e| e.context(field("addr")))?;
        let several = nodes.len() > 1;
        if config.cluster && config.sentinel_master.is_some() {
            return wrong("sentinel_master", "a cluster has no sentinels");
        }
        if several && !config.cluster && config.sentinel_master.is_none() {
            return wrong("addr", "several addresses need `cluster: true` or `sentinel_master`");
        }
        let tls = nodes.iter().filter(|node| is_tls(node)).count();
        if tls != 0 && tls != nodes.len() {
            return wrong("addr", "either all addresses are rediss:// or none");
        }
        if tls == 0 && config.tls_ca.is_some() {
            return wrong("tls_ca", "needs an address that starts with rediss://");
        }
        let certificates = certificates(config).map_err(|e| e.context(field("tls_ca")))?;
        if tls != 0 {
            install_cryptography();
        }
        let refused = |_: redis::RedisError| {
            // The client's own text may quote what it was given.
            Error::new(
                ErrorKind::InvalidConfig,
                format!("{}: cannot be connected to", field("addr")),
            )
        };
        let certificates = (tls != 0).then_some(certificates);
        if config.cluster {
            if nodes.iter().any(|node| node.redis_settings().db() != 0)
                || config.db.is_some_and(|db| db != 0)
            {
                return wrong("db", "a cluster has database 0 only");
            }
            if nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::Unix(_))) {
                return wrong("addr", "the nodes of a cluster are found by host and port");
            }
            return cluster(nodes, config, certificates).map(Server::Cluster).map_err(refused);
        }
        if let Some(master) = &config.sentinel_master {
            return sentinel(&nodes, master, config, certificates)
                .map(|client| Server::Sentinel(Mutex::new(client)))
                .map_err(refused);
        }
        let Some(node) = nodes.into_iter().next() else { return wrong("addr", "is empty") };
        single(node, config, certificates).map(Server::Single).map_err(refused)
    }

    /// Makes a connection, in bounded time.
    pub(in crate::cache) async fn connect(&self) -> RedisResult<Connection> {
        let timeouts = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connect = async {
            Ok(match self {
                Server::Single(client) => Connection::Single(
                    client.get_multiplexed_async_connection_with_config(&timeouts).await?,
                ),
                Server::Cluster(client) => {
                    Connection::Cluster(client.get_async_connection().await?)
                }
                Server::Sentinel(client) => Connection::Single(
                    client.lock().await.get_async_connection_with_config(&timeouts).await?,
                ),
            })
        };
        match time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
}

fn parse(addr: &str, sentinel: bool) -> Result<ConnectionInfo> {
    let wrong = |what: &str| Err(Error::new(ErrorKind::InvalidConfig, what));
    let url = match addr.contains("://") {
        true => addr.to_owned(),
        false => format!("redis://{addr}"),
    };
    let Some(mut url) = redis::parse_redis_url(&url) else {
        return wrong(
            "is no address: expected host:port, or a URL that starts with redis://, rediss:// or unix://",
        );
    };
    if url.fragment().is_some() {
        // `#insecure` is how the client library turns checks off.
        return wrong("has a `#`; certificates are always checked, by `tls_ca` if it is given");
    }
    if sentinel
        && url.port().is_none()
        && url.host().is_some()
        && url.set_port(Some(26379)).is_err()
    {
        return wrong("has no host");
    }
    match url.into_connection_info() {
        Ok(info) => Ok(info.set_tcp_settings(tcp())),
        Err(_) => wrong("is no address: its database, protocol, user or password cannot be read"),
    }
}

/// Without it the last part of a long pipeline waits until the server has acknowledged the part before, which
/// it does 40 ms later.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn is_tls(node: &ConnectionInfo) -> bool {
    matches!(node.addr(), ConnectionAddr::TcpTls { .. })
}

fn certificates(config: &RedisConfig) -> Result<TlsCertificates> {
    let Some(path) = &config.tls_ca else {
        return Ok(TlsCertificates { client_tls: None, root_cert: None });
    };
    let wrong = |what: String| Error::new(ErrorKind::InvalidConfig, what);
    let pem = std::fs::read(path)
        .map_err(|e| wrong(format!("cannot read {}: {e}", path.display())).with_source(e))?;
    // A file without any would trust nobody, and every connection would fail for a reason that is hard to see.
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => {
            Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
        }
        _ => Err(wrong(format!("{} has no certificates in PEM", path.display()))),
    }
}

/// The client library takes the process's cryptography. Where the application has chosen none, it is ours.
fn install_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails if another thread was first, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// The settings beside the address go before what is in it.
fn login(from_url: &RedisConnectionInfo, config: &RedisConfig) -> RedisConnectionInfo {
    let mut info = from_url.clone();
    if let Some(user) = &config.username {
        info = info.set_username(user);
    }
    if let Some(password) = &config.password {
        info = info.set_password(password);
    }
    if let Some(db) = config.db {
        info = info.set_db(db);
    }
    info
}

fn single(
    node: ConnectionInfo,
    config: &RedisConfig,
    certificates: Option<TlsCertificates>,
) -> RedisResult<Client> {
    let login = login(node.redis_settings(), config);
    let node = node.set_redis_settings(login);
    match certificates {
        Some(certificates) => Client::build_with_tls(node, certificates),
        None => Client::open(node),
    }
}

fn cluster(
    nodes: Vec<ConnectionInfo>,
    config: &RedisConfig,
    certificates: Option<TlsCertificates>,
) -> RedisResult<ClusterClient> {
    let nodes = nodes.into_iter().map(|node| {
        let login = login(node.redis_settings(), config);
        node.set_redis_settings(login)
    });
    let mut builder = ClusterClientBuilder::new(nodes)
        .tcp_settings(tcp())
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(RESPONSE_TIMEOUT)
        // One for a slot that has moved. More would take longer than any request waits.
        .retries(1);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build()
}

/// The user and the password in `addr` are those of the sentinels, the ones beside it those of the servers.
fn sentinel(
    nodes: &[ConnectionInfo],
    master: &str,
    config: &RedisConfig,
    certificates: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let addresses = nodes.iter().map(|node| node.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
        .set_client_to_redis_tcp_settings(tcp())
        .set_client_to_sentinel_tcp_settings(tcp());
    if let Some(first) = nodes.first() {
        if let Some(user) = first.redis_settings().username() {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = first.redis_settings().password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
    }
    if let Some(user) = &config.username {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &config.password {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(db) = config.db {
        builder = builder.set_client_to_redis_db(db);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(addr: &str) -> RedisConfig {
        RedisConfig::new(addr, Duration::from_secs(60))
    }

    #[test]
    fn addresses() {
        let cases = [
            ("localhost:6379", Ok(("localhost:6379", false))),
            ("localhost", Ok(("localhost:6379", false))),
            ("[::1]:7000", Ok(("::1:7000", false))),
            ("redis://localhost:7000/3", Ok(("localhost:7000", false))),
            ("rediss://cache.example.org", Ok(("cache.example.org:6379", true))),
            ("redis://user:secret@localhost", Ok(("localhost:6379", false))),
            ("unix:///run/redis.sock", Ok(("/run/redis.sock", false))),
            ("", Err("is no address")),
            ("http://localhost", Err("is no address")),
            ("localhost:secret", Err("is no address")),
            ("redis://:secret@", Err("is no address")),
            ("redis://:secret@localhost:99999", Err("is no address")),
            ("redis://:secret@localhost/first", Err("is no address")),
            ("rediss://:secret@localhost/#insecure", Err("certificates are always checked")),
            ("rediss://:secret@localhost/#secret", Err("certificates are always checked")),
        ];
        for (addr, expected) in cases {
            match (parse(addr, false), expected) {
                (Ok(info), Ok((address, tls))) => {
                    assert_eq!(info.addr().to_string(), address, "{addr}");
                    assert_eq!(is_tls(&info), tls, "{addr}");
                }
                (Err(error), Err(text)) => {
                    assert!(error.to_string().contains(text), "{addr}: {error}");
                    assert!(!format!("{error:?}").contains("secret"), "{addr}: {error:?}");
                }
                (other, expected) => panic!("{addr}: {other:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        type Change = fn(&mut RedisConfig);
        let cases: &[(&str, &str, Change, &str)] = &[
            (
                "two addresses of nothing",
                "a:1,b:2",
                |_| (),
                "redis_hot.addr: several addresses need",
            ),
            (
                "a cluster's database",
                "a:1,b:2",
                |c| (c.cluster, c.db) = (true, Some(1)),
                "redis_hot.db",
            ),
            (
                "a cluster on a socket",
                "unix:///a",
                |c| c.cluster = true,
                "redis_hot.addr: the nodes",
            ),
            (
                "a cluster with sentinels",
                "a:1",
                |c| (c.cluster, c.sentinel_master) = (true, Some("m".into())),
                "redis_hot.sentinel_master",
            ),
            (
                "half TLS",
                "rediss://a,redis://b",
                |c| c.cluster = true,
                "redis_hot.addr: either all",
            ),
            (
                "no such file",
                "rediss://a",
                |c| c.tls_ca = Some("/nowhere".into()),
                "redis_hot.tls_ca: cannot read",
            ),
            (
                "no certificates in it",
                "rediss://a",
                |c| c.tls_ca = Some("/dev/null".into()),
                "redis_hot.tls_ca: /dev/null has no certificates",
            ),
            (
                "certificates and no TLS",
                "a:1",
                |c| c.tls_ca = Some("/dev/null".into()),
                "redis_hot.tls_ca: needs",
            ),
        ];
        for (name, addr, change, expected) in cases {
            let mut config = config(addr);
            change(&mut config);
            let error = Server::new(RedisTier::Hot, &config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}");
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn nothing_shows_a_password() {
        let mut config = config("redis://user:secret@localhost");
        config.password = Some("secret".to_owned());
        let server = Server::new(RedisTier::Hot, &config).unwrap();
        assert!(!format!("{server:?} {config:?}").contains("secret"));
    }
}
