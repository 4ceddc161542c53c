//! A real HTTP server that answers by path, well and badly.

#![allow(clippy::unwrap_used)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These bytes, head and all. The connection is closed, unless they announce a length and not
    /// the end of the connection.
    Raw(Vec<u8>),
    /// These bytes and then zeros, for as long as the client listens.
    Endless(Vec<u8>),
    /// These bytes and then zeros, one by one with a pause before each.
    Dripping(Vec<u8>, Duration),
}

impl Reply {
    /// A head with `lines` of its own, each with its line end, and `body`.
    pub(crate) fn new(status: &str, lines: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{lines}\r\n");
        Reply::Raw([head.as_bytes(), body].concat())
    }

    pub(crate) fn ok(body: &[u8]) -> Self {
        Self::new("200 OK", &format!("Content-Length: {}\r\n", body.len()), body)
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::new("302 Found", &format!("Location: {to}\r\nContent-Length: 0\r\n"), b"")
    }
}

#[derive(Debug)]
pub(crate) struct Web {
    pub(crate) port: u16,
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// Serves on 127.0.0.1: `reply` says what is at a path.
    pub(crate) fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), 0, reply).unwrap()
    }

    /// Serves at `address`; fails where the machine does not have it.
    pub(crate) fn start_at(
        address: IpAddr,
        port: u16,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((address, port))?;
        let bound = listener.local_addr()?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let reply = Arc::new(reply);
        let web =
            Web { port: bound.port(), url: format!("http://{bound}"), heads: Arc::clone(&heads) };
        // The thread lives as long as the test process: nothing waits for it.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heads, reply) = (Arc::clone(&heads), Arc::clone(&reply));
                // A client that hangs up early is what some tests are about.
                thread::spawn(move || drop(answer(stream, &heads, &*reply)));
            }
        });
        Ok(web)
    }

    /// The heads of the requests so far, in lower case but for the first line.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    heads: &Mutex<Vec<String>>,
    reply: &dyn Fn(&str) -> Reply,
) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(first) = lines.next().transpose()? {
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut head = first;
        for line in lines.by_ref() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            head = format!("{head}\n{}", line.to_ascii_lowercase());
        }
        heads.lock().unwrap().push(head);
        match reply(&path) {
            Reply::Raw(bytes) => {
                stream.write_all(&bytes)?;
                let text = String::from_utf8_lossy(&bytes);
                if text.contains("Connection: close") || !text.contains("Content-Length: ") {
                    break;
                }
            }
            Reply::Endless(head) => {
                stream.write_all(&head)?;
                loop {
                    stream.write_all(&[0; 4096])?;
                }
            }
            Reply::Dripping(head, pause) => {
                stream.write_all(&head)?;
                loop {
                    thread::sleep(pause);
                    stream.write_all(&[0])?;
                }
            }
        }
    }
    Ok(())
}
