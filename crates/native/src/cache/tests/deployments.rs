//! The ways in which Redis is run.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;

use super::redis_server::make_certificates;
use super::*;
use RedisTier::Hot;

/// No more than the cache needs: what ARCHITECTURE.md tells operators to allow.
const PERMISSIONS: [&str; 3] = ["~isovec:*", "+get", "+set"];

#[test]
fn a_user_of_the_acl() {
    let server = Redis::with(&["--requirepass", "administrators"]).cli(&["-a", "administrators"]);
    let user = ["ACL", "SETUSER", "app", "on", ">p:a@s/s%w#rd"];
    assert_eq!(server.ask(&[&user[..], &PERMISSIONS].concat()), "OK");
    let keys = keys(3);
    let mut by_settings = tiers(&[server.addr()]);
    by_settings[0].1.username = Some("app".to_owned());
    by_settings[0].1.password = Some("p:a@s/s%w#rd".to_owned());
    let by_url = tiers(&[format!("redis://app:p%3Aa%40s%2Fs%25w%23rd@{}", server.addr())]);
    for tiers in [by_settings, by_url] {
        let setup = Setup::connected(&patient(), &tiers);
        setup.store(&keys);
        assert_eq!(setup.found(&keys), [Some(Hot); 3]);
    }
}

#[test]
fn a_unix_socket_and_a_database() {
    let server = Redis::with(&["--unixsocket", "DIR/redis.sock"]);
    let keys = keys(3);
    let mut tiers = tiers(&[format!("unix://{}/redis.sock", server.dir())]);
    tiers[0].1.db = Some(5);
    let setup = Setup::connected(&patient(), &tiers);
    setup.store(&keys);
    assert_eq!(setup.found(&keys), [Some(Hot); 3]);
    assert!(server.keys().is_empty());
    assert_eq!(server.ask(&["-n", "5", "DBSIZE"]), "3");
}

#[test]
fn tls_with_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [ca, certificate, private] = ["ca.pem", "server.pem", "server.key"].map(path);
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &private];
    let rest = [
        "--port",
        "0",
        "--tls-port",
        "PORT",
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    let server = Redis::with(&[&files[..], &rest].concat()).cli(&["--tls", "--cacert", &ca]);
    let keys = keys(40);
    for host in ["localhost", "127.0.0.1"] {
        let mut tiers = tiers(&[format!("rediss://{host}:{}", server.port())]);
        tiers[0].1.tls_ca = Some(ca.clone().into());
        let setup = Setup::connected(&patient(), &tiers);
        setup.store(&keys);
        assert_eq!(setup.found(&keys), [Some(Hot); 40], "{host}");
    }
    assert_eq!(server.keys().len(), 40);
    // Another authority's word counts for nothing, and neither does that of those everybody trusts.
    let other = tempfile::tempdir().unwrap();
    make_certificates(other.path());
    for authority in [Some(other.path().join("ca.pem")), None] {
        let mut tiers = tiers(&[format!("rediss://localhost:{}", server.port())]);
        tiers[0].1.tls_ca = authority;
        let setup = Setup::new(&patient(), &tiers);
        thread::sleep(Duration::from_millis(500));
        assert!(!setup.tier(Hot).connected);
        assert_eq!(setup.found(&keys[..1]), [None]);
    }
}

pub(super) fn cluster_of_three() -> [Redis; 3] {
    let nodes = [(); 3].map(|()| {
        Redis::with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes.conf",
            "--cluster-node-timeout",
            "2000",
        ])
    });
    let mut create = vec!["--cluster".to_owned(), "create".to_owned()];
    create.extend(nodes.iter().map(Redis::addr));
    create.extend(["--cluster-replicas", "0", "--cluster-yes"].map(str::to_owned));
    let create: Vec<&str> = create.iter().map(String::as_str).collect();
    let said = nodes[0].ask(&create);
    assert!(said.contains("All 16384 slots covered"), "{said}");
    for node in &nodes {
        wait_until("the cluster is up", || {
            node.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        });
    }
    nodes
}

#[test]
fn a_cluster_of_three_masters() {
    let nodes = cluster_of_three();
    // One address suffices to find the others.
    for addresses in [nodes[0].addr(), nodes.each_ref().map(Redis::addr).join(",")] {
        let mut tiers = tiers(&[addresses]);
        tiers[0].1.cluster = true;
        let setup = Setup::connected(&patient(), &tiers);
        let keys = keys(64);
        setup.store(&keys);
        assert_eq!(setup.found(&keys), [Some(Hot); 64]);
        for node in &nodes {
            let share = node.keys().len();
            assert!((5..40).contains(&share), "{share} of 64 keys on one of three nodes");
        }
        assert_eq!(setup.tier(Hot).errors, 0);
    }
    // A slot moves to another node while we are connected.
    let mut tiers = tiers(&[nodes[0].addr()]);
    tiers[0].1.cluster = true;
    let setup = Setup::connected(&patient(), &tiers);
    let reshard =
        ["--cluster", "reshard", &nodes[0].addr(), "--cluster-slots", "2000", "--cluster-yes"];
    let ids = nodes.each_ref().map(|node| node.ask(&["CLUSTER", "MYID"]));
    let said = nodes[0]
        .ask(&[&reshard[..], &["--cluster-from", &ids[0], "--cluster-to", &ids[1]]].concat());
    assert!(!said.contains("ERR"), "{said}");
    wait_until("all are found where they went", || {
        let keys = keys(64);
        setup.found(&keys) == [Some(Hot); 64]
    });
}

#[test]
fn a_cluster_that_loses_a_node_still_answers_for_the_others() {
    let mut nodes = cluster_of_three();
    for node in &nodes {
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let mut tiers = tiers(&[nodes.each_ref().map(Redis::addr).join(",")]);
    tiers[0].1.cluster = true;
    let config =
        CacheConfig { breaker_failures: u32::MAX, budget: Duration::from_secs(1), ..patient() };
    let setup = Setup::connected(&config, &tiers);
    let keys = keys(64);
    setup.store(&keys);
    nodes[2].kill();
    let found = setup.found(&keys);
    let count = found.iter().flatten().count();
    assert!((20..60).contains(&count), "{count} of 64 found");
}

fn sentinel(master: &Redis) -> Redis {
    let mut sentinel = Redis::absent(&["DIR/sentinel.conf", "--sentinel"]);
    let lines = format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 3000\n",
        master.port()
    );
    std::fs::write(format!("{}/sentinel.conf", sentinel.dir()), lines).unwrap();
    sentinel.launch();
    sentinel
}

#[test]
fn sentinels_name_the_master_and_the_next_one() {
    let mut master = Redis::start();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    wait_until("the replica has connected", || {
        replica.ask(&["INFO", "replication"]).contains("master_link_status:up")
    });
    let sentinel = sentinel(&master);
    wait_until("the sentinel knows the replica", || {
        sentinel.ask(&["SENTINEL", "REPLICAS", "main"]).contains(&replica.port().to_string())
    });
    let mut tiers = tiers(&[sentinel.addr()]);
    tiers[0].1.sentinel_master = Some("main".to_owned());
    let setup = Setup::connected(&patient(), &tiers);
    let keys = keys(5);
    setup.store(&keys);
    assert_eq!(setup.found(&keys), [Some(Hot); 5]);
    assert_eq!(master.keys().len(), 5);
    wait_until("the replica has all", || replica.keys().len() == 5);
    master.kill();
    wait_until("the replica is master, and found", || {
        setup.cache.set_many(&[(key("after"), Arc::new(right(&key("after"))))]);
        setup.settle();
        replica.ask(&["ROLE"]).starts_with("master") && setup.found(&[key("after")]) == [Some(Hot)]
    });
    assert_eq!(setup.found(&keys), [Some(Hot); 5]);
}

/// Everything that is logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server that understands nothing, and says what it did not understand: old ones do so with `HELLO` and `AUTH`.
fn quoting_server() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = client.read(&mut buffer) {
                    let asked = String::from_utf8_lossy(&buffer[..length]);
                    let words: Vec<&str> = asked.split_whitespace().collect();
                    let refusal = format!("-ERR unknown command, {}\r\n", words.join(" "));
                    // One for each command that may have come.
                    if client.write_all(refusal.repeat(4).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

#[test]
fn no_password_is_shown_anywhere() {
    const SECRET: &str = "s3cret-of-this-test";
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).init();
    let server = Redis::with(&["--requirepass", "another"]).cli(&["-a", "another"]);
    let mut configs = tiers(&[
        format!("redis://app:{SECRET}@{}", server.addr()),
        format!("redis://{}/?protocol=resp3", quoting_server()),
        format!("redis://{}/?protocol=resp3", quoting_server()),
    ]);
    for (_, redis) in &mut configs[1..] {
        (redis.username, redis.password) = (Some("app".to_owned()), Some(SECRET.to_owned()));
    }
    configs[2].1.cluster = true;
    let setup = Setup::new(&CacheConfig::default(), &configs);
    let logged = || String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for tier in RedisTier::ALL {
        let (what, tier) = ("cannot connect", format!("tier=\"{}\"", tier.as_str()));
        wait_until("all have failed", || {
            logged().lines().any(|line| line.contains(what) && line.contains(&tier))
        });
    }
    setup.found(&keys(3));
    let shown = [
        format!("{:?}", setup.cache),
        format!("{configs:?}"),
        setup.metrics(),
        serde_json::to_string(&setup.cache.stats()).unwrap(),
        logged(),
    ];
    for text in shown {
        assert!(!text.contains(SECRET), "{text}");
    }
}
