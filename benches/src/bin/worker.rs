//! Our side of `benches/compare.py`: does what it is told, one JSON line at a time, and says how
//! long that took. The clock runs inside, so that the pipe between the two costs nothing.

use std::io::{BufRead, Write};
use std::time::Instant;

use isovec::TextEmbedder;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
enum Request {
    /// Opens a model, and keeps it for what follows.
    Open { model: String, threads: usize },
    /// Embeds the texts, `repeat` times over.
    Embed { texts: Vec<String>, repeat: usize },
    /// The most memory that this process has held.
    PeakRss,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Seconds(f64),
    Bytes(u64),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut model = None;
    for line in std::io::stdin().lock().lines() {
        let answer = answer(serde_json::from_str(&line?)?, &mut model)?;
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

fn answer(
    request: Request,
    model: &mut Option<TextEmbedder>,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let start = Instant::now();
    match request {
        Request::Open { model: name, threads } => {
            *model = Some(TextEmbedder::builder(name).threads(threads).open()?);
        }
        Request::Embed { texts, repeat } => {
            let model = model.as_ref().ok_or("embed before open")?;
            for _ in 0..repeat {
                std::hint::black_box(model.embed_batch(&texts)?);
            }
        }
        Request::PeakRss => return Ok(Answer::Bytes(peak_rss()?)),
    }
    Ok(Answer::Seconds(start.elapsed().as_secs_f64()))
}

fn peak_rss() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kib * 1024)
}
