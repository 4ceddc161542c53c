//! Redis servers of the tests' own, on free ports, in folders that go away with them.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What no test waits longer for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A `redis-server` that is killed when dropped.
#[derive(Debug)]
pub(crate) struct Redis {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    /// What redis-cli needs beside the port.
    cli: Vec<String>,
}

impl Redis {
    /// A server with the defaults, which keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Redis::with(&[])
    }

    /// A server with further arguments: `--maxmemory 2mb`, in words.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let mut server = Redis::absent(arguments);
        // Somebody else may take the port between its choice and its use.
        for _ in 0..10 {
            if server.try_launch() {
                return server;
            }
            server.port = free_port();
        }
        panic!("redis-server does not start: {}", server.log());
    }

    /// A server that is not started yet.
    pub(crate) fn absent(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        let folder = TempDir::new().unwrap();
        Redis { child: None, port: free_port(), folder, arguments, cli: Vec::new() }
    }

    /// Further arguments of redis-cli, for a server that wants a password or TLS.
    pub(crate) fn cli(mut self, arguments: &[&str]) -> Self {
        self.cli = arguments.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts it, at the port that it has.
    pub(crate) fn launch(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.try_launch() {
            assert!(Instant::now() < end, "redis-server does not start: {}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_launch(&mut self) -> bool {
        let port = self.port.to_string();
        let tls = self.arguments.iter().any(|word| word == "--tls-port");
        let mut command = Command::new("redis-server");
        // A sentinel's first argument is its configuration.
        let words: Vec<String> = self
            .arguments
            .iter()
            .map(|word| word.replace("PORT", &port).replace("DIR", &self.dir()))
            .collect();
        let (first, rest) = match words.split_first() {
            Some((first, rest)) if !first.starts_with("--") => (Some(first), rest),
            _ => (None, &words[..]),
        };
        command.args(first).args([
            "--bind",
            "127.0.0.1",
            "--dir",
            &self.dir(),
            "--logfile",
            "redis.log",
        ]);
        if first.is_none() {
            command.args(["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]);
        }
        if !tls {
            command.args(["--port", &port]);
        }
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // One that was started before has left its log.
        let _ = std::fs::remove_file(self.folder.path().join("redis.log"));
        let child = command.spawn().expect("redis-server is missing: scripts/setup installs it");
        self.child = Some(child);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                return false;
            }
            // Who answers may be somebody else who has the port; the log is this one's.
            let log = self.log();
            let started = ["Ready to accept connections", "Sentinel ID is"];
            if started.iter().any(|line| log.contains(line))
                && TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    /// The answer of the server to a command, as redis-cli prints it.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(&self.cli)
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli is missing: scripts/setup installs it");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A number of `INFO`.
    pub(crate) fn info(&self, section: &str, field: &str) -> u64 {
        let info = self.ask(&["INFO", section]);
        let value =
            info.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("no {field} in {info}")).parse().unwrap()
    }

    /// How often a command was called.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let info = self.ask(&["INFO", "commandstats"]);
        let line =
            info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    /// All keys, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.ask(&["--scan"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it from doing anything, while its connections stay.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A way to a server on which every answer takes a while.
#[derive(Debug)]
pub(crate) struct SlowWay {
    port: u16,
    delay: Arc<AtomicU64>,
}

impl SlowWay {
    pub(crate) fn to(server: &Redis, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = server.port;
        let way = SlowWay { port, delay: Arc::new(AtomicU64::new(delay.as_millis() as u64)) };
        let delay = Arc::clone(&way.delay);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass(from, to, &AtomicU64::new(0)));
                let delay = Arc::clone(&delay);
                thread::spawn(move || pass(server, client, &delay));
            }
        });
        way
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        self.delay.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: &AtomicU64) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        thread::sleep(Duration::from_millis(delay.load(Ordering::Relaxed)));
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A certificate of `localhost` and 127.0.0.1, and the one of the authority that signed it: `ca.pem`, `server.pem` and
/// `server.key` in `folder`.
pub(crate) fn make_certificates(folder: &std::path::Path) {
    let mut extensions = String::new();
    writeln!(extensions, "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    std::fs::write(folder.join("extensions"), extensions).unwrap();
    let steps = [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
    ];
    for step in steps {
        let output =
            Command::new("openssl").args(step.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
