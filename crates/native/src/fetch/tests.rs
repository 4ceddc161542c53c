//! With a resolver that lies: only addresses that were checked are ever connected to.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::resolver::Guarded;
use super::rules::Rules;
use super::web::{Reply, Web};
use super::*;

const ALLOWED: &str = "127.0.0.1";
const FORBIDDEN: &str = "127.0.0.2";

/// Gives its answers one after the other, the last for ever; none is a look-up that hangs.
struct Scripted {
    answers: Mutex<VecDeque<Option<Vec<SocketAddr>>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |address: &&str| SocketAddr::new(address.parse().unwrap(), 1);
        let answers = answers.iter().map(|a| Some(a.iter().map(parse).collect()));
        Arc::new(Scripted { answers: Mutex::new(answers.collect()), asked: AtomicUsize::new(0) })
    }

    fn silent() -> Arc<Self> {
        Arc::new(Scripted { answers: Mutex::new([None].into()), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Resolve for Scripted {
    fn resolve(&self, _: Name) -> Resolving {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        Box::pin(async move {
            match answer {
                Some(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                // As the machine's own: in a thread that nothing can stop.
                None => {
                    tokio::task::spawn_blocking(|| thread::sleep(Duration::from_secs(10))).await?;
                    Err("hung".into())
                }
            }
        })
    }
}

fn fetcher(names: &Arc<Scripted>) -> ImageFetcher {
    let builder = ImageFetcher::builder()
        .allow_networks([format!("{ALLOWED}/32")])
        .timeout(Duration::from_secs(5));
    builder.build_with(Arc::clone(names) as Arc<dyn Resolve>).unwrap()
}

/// A server at the allowed address, and one at the forbidden address and the same port, if this
/// machine has more than one address for itself.
fn servers(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Web, Option<Web>) {
    let web = Web::start(reply);
    let forbidden: IpAddr = FORBIDDEN.parse().unwrap();
    let trap = Web::start_at(forbidden, web.port, |_| Reply::ok(b"secret")).ok();
    (web, trap)
}

#[track_caller]
fn assert_untouched(trap: Option<Web>) {
    assert!(trap.is_none_or(|trap| trap.heads().is_empty()), "the forbidden address was asked");
}

#[test]
fn a_name_that_rebinds_is_refused_when_it_does() {
    let (web, trap) = servers(|_| Reply::ok(b"image"));
    let names = Scripted::new(&[&[ALLOWED], &[FORBIDDEN]]);
    let fetcher = fetcher(&names);
    let url = format!("http://rebind.test:{}/a?key=secret", web.port);
    assert_eq!(fetcher.fetch_blocking(&url).unwrap(), b"image");
    let error = fetcher.fetch_blocking(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForbiddenAddress);
    assert_eq!(
        error.to_string(),
        format!(
            "http://rebind.test:{}/a?***: 127.0.0.2 is not a public address (loopback)",
            web.port
        )
    );
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!(web.heads().len(), 1);
    assert_untouched(trap);
}

/// The redirect leads to the same host, so that a client might think it knows the address.
#[test]
fn a_name_that_rebinds_between_redirects_is_refused() {
    let (web, trap) = servers(|_| Reply::redirect("/b"));
    let names = Scripted::new(&[&[ALLOWED], &[FORBIDDEN]]);
    let error =
        fetcher(&names).fetch_blocking(&format!("http://rebind.test:{}/a", web.port)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForbiddenAddress, "{error}");
    assert_eq!(web.heads().len(), 1);
    assert_eq!(names.asked(), 2);
    assert_untouched(trap);
}

#[test]
fn a_redirect_to_a_private_name_is_refused() {
    let (web, trap) = servers(|_| Reply::redirect("http://private.test/b"));
    let names = Scripted::new(&[&[FORBIDDEN]]);
    let error = fetcher(&names).fetch_blocking(&web.url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForbiddenAddress);
    assert_eq!(
        error.to_string(),
        format!(
            "{}/: redirected to http://private.test/b: 127.0.0.2 is not a public address (loopback)",
            web.url
        )
    );
    assert_untouched(trap);
}

#[test]
fn one_forbidden_address_spoils_the_answer() {
    for answer in [[ALLOWED, FORBIDDEN], [FORBIDDEN, ALLOWED], [ALLOWED, "::ffff:127.0.0.1"]] {
        let (web, trap) = servers(|_| Reply::ok(b"image"));
        let names = Scripted::new(&[&answer]);
        let error = fetcher(&names)
            .fetch_blocking(&format!("http://mixed.test:{}/", web.port))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ForbiddenAddress, "{answer:?}: {error}");
        assert!(web.heads().is_empty(), "{answer:?}");
        assert_untouched(trap);
    }
}

/// A connection that is kept would not be looked up again.
#[test]
fn every_connection_is_looked_up() {
    let (web, _) = servers(|path| match path {
        "/a" => Reply::redirect("/b"),
        // The server would go on with this connection.
        _ => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage".to_vec()),
    });
    let names = Scripted::new(&[&[ALLOWED]]);
    let fetcher = fetcher(&names);
    let url = format!("http://name.test:{}/a", web.port);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..3 {
            assert_eq!(fetcher.fetch(&url).await.unwrap(), b"image");
        }
    });
    assert_eq!((web.heads().len(), names.asked()), (6, 6));
}

#[test]
fn the_port_is_not_the_resolvers_to_say() {
    let rules = Arc::new(Rules { hosts: None, networks: Vec::new() });
    let guarded = Guarded { rules, names: Scripted::new(&[&["8.8.8.8", "2606:4700::1111"]]) };
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(guarded.resolve("a.test".parse().unwrap())).unwrap();
    let expected = ["8.8.8.8:0", "[2606:4700::1111]:0"].map(|address| address.parse().unwrap());
    assert_eq!(found.collect::<Vec<SocketAddr>>(), expected);
}

/// Why hops are checked too, and not names alone.
#[test]
fn an_address_is_not_looked_up() {
    let (web, _) = servers(|_| Reply::ok(b"image"));
    let names = Scripted::new(&[&[FORBIDDEN]]);
    assert_eq!(fetcher(&names).fetch_blocking(&web.url).unwrap(), b"image");
    assert_eq!(names.asked(), 0);
}

/// The user is not UTF-8, and so the client leaves it where it is.
#[test]
fn an_address_before_the_at_is_not_asked() {
    let (web, trap) = servers(|_| Reply::ok(b"image"));
    let names = Scripted::new(&[&[FORBIDDEN]]);
    let url = format!("http://{FORBIDDEN}:{port}%ff@{ALLOWED}:{port}/", port = web.port);
    assert_eq!(fetcher(&names).fetch_blocking(&url).unwrap(), b"image");
    assert_untouched(trap);
}

#[test]
fn a_name_without_an_address_is_a_failure_of_the_network() {
    let error = fetcher(&Scripted::new(&[&[]])).fetch_blocking("http://a.test/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert_eq!(error.to_string(), "http://a.test/: the host cannot be resolved: it has no address");
}

#[test]
fn a_look_up_counts_towards_the_deadline() {
    let builder = ImageFetcher::builder().timeout(Duration::from_millis(200));
    let fetcher = builder.build_with(Scripted::silent()).unwrap();
    let start = Instant::now();
    let error = fetcher.fetch_blocking("http://u:secret@a.test/b?secret").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "http://***@a.test/b?***: not fetched within 200ms");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_host_that_is_not_allowed_is_not_looked_up() {
    let names = Scripted::new(&[&["8.8.8.8"]]);
    let builder = ImageFetcher::builder().allow_hosts(["*.example.org"]);
    let fetcher = builder.build_with(Arc::clone(&names) as Arc<dyn Resolve>).unwrap();
    let error = fetcher.fetch_blocking("http://example.org.test/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForbiddenAddress);
    assert_eq!(
        error.to_string(),
        "http://example.org.test/: example.org.test is not an allowed host"
    );
    assert_eq!(names.asked(), 0);
}

#[test]
fn it_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send>(_: T) {}
    let fetcher = ImageFetcher::new().unwrap();
    shared(&fetcher);
    sent(fetcher.fetch("http://a.test/"));
}
