//! A server in this process, and a client that sends exactly what it is told to.

// clippy.toml allows these in test functions, which it does not take helpers for.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use isovec::config::{Config, ModelConfig};
use isovec::{EmbeddingService, Result};
use isovec_server::Server;
use serde_json::Value;
use tokio::sync::oneshot;

/// The names of the models of [`mock`].
pub(crate) const TEXT: &str = "all-MiniLM-L6-v2";
pub(crate) const IMAGE: &str = "clip-vit-base-patch32";
/// A text model with prompts and sizes that it was trained to be cut to.
pub(crate) const NESTED: &str = "nested/model";

/// A picture of one pixel.
pub(crate) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\
    \x0cIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\r\xefF\xb8\0\0\0\0IEND\xaeB`\x82";
pub(crate) const PNG_BASE64: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC";

/// Stand-ins for a model of texts and one of images, on a free port.
pub(crate) fn mock() -> Config {
    let mut config = Config::default();
    config.development.mock_mode = true;
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.text_embedding.default_model = Some(TEXT.to_owned());
    for name in [TEXT, IMAGE, "clip-vit-base-patch32-text"] {
        config.models.insert(name.to_owned(), ModelConfig::default());
    }
    config
}

/// A server that answers until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let for_service = config.clone();
        let mut server = Self::start_with(config, move || EmbeddingService::new(for_service));
        server.until_ready();
        server
    }

    /// As [`start`](Self::start), with what loads the models, and without waiting for it.
    pub(crate) fn start_with(
        config: Config,
        load: impl FnOnce() -> Result<EmbeddingService> + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let server = Server::bind(&config).await?;
                tell.send(server.local_addr()).unwrap();
                let stop = async {
                    // A sender that was dropped says the same.
                    let _ = stopped.await;
                };
                server.run(load, stop).await
            })
        });
        let address = told.recv().unwrap();
        Running { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn until_ready(&mut self) {
        for _ in 0..600 {
            if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
                panic!("it ended: {:?}", self.ended());
            }
            if self.get("/health/ready").status == 200 {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("not ready: {:?}", self.get("/health/ready").text());
    }

    /// Asks it to end; what is in flight goes on.
    pub(crate) fn begin_stop(&mut self) {
        self.stop.take();
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.begin_stop();
        self.ended()
    }

    /// Waits for it to end by itself.
    pub(crate) fn ended(&mut self) -> Result<()> {
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Reply {
        self.post(path, &body.to_string())
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method != "GET" {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// What the server says to these bytes.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // A server that has heard enough closes, and that is no failure of the test's.
        let _ = stream.write_all(bytes);
        Reply::read(&mut stream)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let result = self.end();
        if !std::thread::panicking() {
            result.unwrap();
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 0 if there was none.
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Reads one answer, or what there is of it until the server closes.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 65536];
        loop {
            let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
            if let Some(at) = head_end {
                let reply = Self::parse(&bytes[..at], &bytes[at..]);
                let length = reply.header("content-length").parse::<usize>();
                if length.is_ok_and(|length| bytes.len() >= at + length) {
                    return reply;
                }
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            }
        }
        match bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            Some(at) => Self::parse(&bytes[..at + 4], &bytes[at + 4..]),
            None => Reply { status: 0, headers: BTreeMap::new(), body: bytes },
        }
    }

    fn parse(head: &[u8], body: &[u8]) -> Self {
        let head = std::str::from_utf8(head).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Reply { status, headers, body: body.to_vec() }
    }

    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }
}

/// A vector of an answer.
pub(crate) fn vector(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}
