//! A real HTTP server on 127.0.0.1 that misbehaves by script.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How one request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// As it should be: all of the content, or the range that is asked for.
    Whole,
    /// All of the content, even where a range is asked for.
    IgnoringRange,
    /// Announces all that is asked for and closes after so many bytes of it.
    Truncated(usize),
    /// Announces all that is asked for and falls silent after so many bytes of it.
    Stalled(usize),
    /// As [`Reply::Whole`], with a pause in the middle.
    Slow(Duration),
    /// Announces no length and closes after so many bytes of the content.
    WithoutLength(usize),
    /// The content and then zeros, for as long as the client listens.
    Endless,
    /// A 206 that begins one byte later than asked for.
    AnotherRange,
    /// Another content.
    Content(Vec<u8>),
    /// A status and further header lines, without a body.
    Status(u16, String),
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    content: Vec<u8>,
    script: Vec<Reply>,
    requests: Mutex<Vec<Request>>,
    sent: AtomicU64,
}

impl Server {
    /// Serves `content` under every path. The first requests are answered by `script`, those after
    /// it as they should be.
    pub(crate) fn start(content: &[u8], script: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            content: content.to_vec(),
            script: script.to_vec(),
            requests: Mutex::default(),
            sent: AtomicU64::new(0),
        });
        let served = Arc::clone(&shared);
        // The thread lives as long as the test process: nothing waits for it.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&served);
                // A client that hangs up early is what some tests are about.
                thread::spawn(move || drop(shared.answer(stream)));
            }
        });
        Server { url, shared }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The ranges of the requests so far; what is not a range is `""`.
    pub(crate) fn ranges(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.range.unwrap_or_default()).collect()
    }

    /// The bytes of bodies that were handed to the system so far.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(request) = read_request(&stream)? else { return Ok(()) };
        let begin = request.range.as_deref().map(|range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        });
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request);
            requests.len() - 1
        };
        let reply = self.script.get(number).cloned().unwrap_or(Reply::Whole);
        let begin = if matches!(reply, Reply::IgnoringRange) { None } else { begin };
        let rest = self.content.get(begin.unwrap_or(0)..).unwrap_or_default();
        let mut head = |status: &str, lines: &str| {
            write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{lines}\r\n")
        };
        let mut announce = |shift: usize| {
            let length = format!("Content-Length: {}\r\n", rest.len());
            match begin {
                None => head("200 OK", &length),
                Some(begin) => {
                    let (begin, all) = (begin + shift, self.content.len());
                    let range = format!("Content-Range: bytes {begin}-{}/{all}\r\n", all - 1);
                    head("206 Partial Content", &format!("{length}{range}"))
                }
            }
        };
        match reply {
            Reply::Whole | Reply::IgnoringRange => {
                announce(0)?;
                self.send(&mut stream, rest)?;
            }
            Reply::AnotherRange => {
                announce(1)?;
                self.send(&mut stream, rest)?;
            }
            Reply::Truncated(bytes) => {
                announce(0)?;
                self.send(&mut stream, &rest[..bytes])?;
            }
            Reply::Stalled(bytes) => {
                announce(0)?;
                self.send(&mut stream, &rest[..bytes])?;
                // Until the client hangs up.
                return stream.read(&mut [0]).map(drop);
            }
            Reply::Slow(pause) => {
                announce(0)?;
                let (first, second) = rest.split_at(rest.len() / 2);
                self.send(&mut stream, first)?;
                thread::sleep(pause);
                self.send(&mut stream, second)?;
            }
            Reply::WithoutLength(bytes) => {
                head("200 OK", "")?;
                self.send(&mut stream, &self.content[..bytes])?;
            }
            Reply::Endless => {
                head("200 OK", "")?;
                self.send(&mut stream, &self.content)?;
                loop {
                    self.send(&mut stream, &[0; 4096])?;
                }
            }
            Reply::Content(other) => {
                head("200 OK", &format!("Content-Length: {}\r\n", other.len()))?;
                self.send(&mut stream, &other)?;
            }
            Reply::Status(status, lines) => {
                head(&format!("{status} Scripted"), &format!("{lines}Content-Length: 0\r\n"))?;
            }
        }
        stream.shutdown(Shutdown::Write)
    }

    fn send(&self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        stream.write_all(bytes)?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The head of a request; nothing if it is no HTTP.
fn read_request(stream: &TcpStream) -> io::Result<Option<Request>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else { return Ok(None) };
    let Some(path) = first.split(' ').nth(1).map(str::to_owned) else { return Ok(None) };
    let mut range = None;
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => range = Some(value.into()),
            Some(_) => {}
            None => break,
        }
    }
    Ok(Some(Request { path, range }))
}
