//! A page of the images that were found: one file, with everything in it, that opens anywhere.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use isovec::{
    Error, ErrorKind, ImageEmbedding, ImageLimits, ModelSpec, Preprocessing, Result, Size,
    resized_rgb8,
};
use jpeg_encoder::{ColorType, Encoder};

/// The longer side of a thumbnail, in pixels: twice what it is shown at, for dense screens.
const SIDE: usize = 480;
const JPEG_QUALITY: u8 = 82;
const STYLE: &str = include_str!("page.css");

/// What is on the page.
pub(crate) struct Page<'a> {
    pub(crate) query: &'a str,
    pub(crate) model: &'a ModelSpec,
    /// How many images were compared with the query.
    pub(crate) searched: usize,
    /// Best first.
    pub(crate) pictures: Vec<Picture>,
}

/// One image that was found.
pub(crate) struct Picture {
    name: String,
    folder: String,
    link: String,
    score: f32,
    size: String,
    /// A JPEG, and its size in pixels.
    thumbnail: (Vec<u8>, u16, u16),
}

impl Picture {
    /// Reads the image once more, and makes it small.
    pub(crate) fn of(
        path: &Path,
        score: f32,
        image: &ImageEmbedding,
        upright: bool,
    ) -> Result<Self> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Picture {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: path.parent().unwrap_or(Path::new("")).display().to_string(),
            link: file_url(&absolute),
            score,
            size: format!("{} × {} {}", image.width, image.height, image.format),
            thumbnail: thumbnail(path, image, upright).map_err(|e| e.context(path.display()))?,
        })
    }
}

fn thumbnail(path: &Path, image: &ImageEmbedding, upright: bool) -> Result<(Vec<u8>, u16, u16)> {
    let scale = (SIDE as f64 / image.width.max(image.height) as f64).min(1.0);
    let side = |pixels: usize| ((pixels as f64 * scale).round() as usize).max(1);
    let settings = Preprocessing {
        resize: Some(Size::Exact { height: side(image.height), width: side(image.width) }),
        exif_orientation: upright,
        ..Preprocessing::default()
    };
    let bytes = std::fs::read(path)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot be read: {e}")).with_source(e))?;
    let small = resized_rgb8(&bytes, &settings, &ImageLimits::default())?;
    // Both are at most SIDE.
    let (width, height) = (small.width as u16, small.height as u16);
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, JPEG_QUALITY)
        .encode(&small.data, width, height, ColorType::Rgb)
        .map_err(|e| Error::new(ErrorKind::Io, format!("no thumbnail: {e}")).with_source(e))?;
    Ok((jpeg, width, height))
}

impl Page<'_> {
    pub(crate) fn write(&self, mut out: Box<dyn Write>) -> io::Result<()> {
        let query = escaped(self.query);
        let model = escaped(&self.model.name);
        let note = self.model.note.as_ref().map_or_else(String::new, |note| {
            format!("<p class=\"note\" role=\"note\">{model}: {}.</p>\n", escaped(note))
        });
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src \
             data:; style-src 'unsafe-inline'\">\n<title>{query} · isovec</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{query}</h1>\n\
             <p>The {} nearest of {} images, by the cosine of their vectors. Model: {model}.</p>\n\
             {note}</header>\n<main>\n<ol>\n",
            self.pictures.len(),
            self.searched,
        )?;
        // Cosines of one search lie close together: a bar from the last to the first shows more than
        // one from zero.
        let best = self.pictures.first().map_or(0.0, |picture| picture.score);
        let worst = self.pictures.last().map_or(0.0, |picture| picture.score);
        for picture in &self.pictures {
            let span = f64::from(best - worst);
            let share = if span > 0.0 { f64::from(picture.score - worst) / span } else { 1.0 };
            let (jpeg, width, height) = &picture.thumbnail;
            let (name, folder, size) =
                (escaped(&picture.name), escaped(&picture.folder), escaped(&picture.size));
            writeln!(
                out,
                "<li><a href=\"{}\"><img src=\"data:image/jpeg;base64,{}\" width=\"{width}\" \
                 height=\"{height}\" alt=\"{name}\"></a>\n\
                 <div class=\"score\"><span>{:.4}</span><i style=\"--share:{share:.3}\"></i></div>\n\
                 <p title=\"{folder}\">{name}</p><p class=\"size\">{size}</p></li>",
                escaped(&picture.link),
                STANDARD.encode(jpeg),
                picture.score,
            )?;
        }
        writeln!(
            out,
            "</ol>\n</main>\n<footer>Made on this machine by isovec {}.</footer>\n</body>\n</html>",
            env!("CARGO_PKG_VERSION")
        )?;
        out.flush()
    }
}

/// Text as HTML, in content and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// An absolute path as a URL.
fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.to_string_lossy().replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~:".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_page() {
        assert_eq!(escaped("<b a=\"'&"), "&lt;b a=&quot;&#39;&amp;");
        assert_eq!(file_url(Path::new("/a b/é\"?.jpg")), "file:///a%20b/%C3%A9%22%3F.jpg");
    }
}
