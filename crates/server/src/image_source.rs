//! An image in a request: in base64, as a `data:` address, or by an address of the web.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use isovec::service::Request;
use isovec::{Error, ErrorKind};

use crate::errors::{ApiError, Problem};
use crate::inputs::Text;
use crate::state::AppState;

/// With or without `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of an image file, or where they are.
pub(crate) enum ImageSource {
    Bytes(Vec<u8>),
    Url(String),
}

impl ImageSource {
    /// What a string of a request is, which is the field `param` of it.
    pub(crate) fn read(text: Text, param: &str, app: &AppState) -> Result<Self, ApiError> {
        let Text(text) = text;
        if starts_with(&text, "http://") || starts_with(&text, "https://") {
            if !app.config.image_embedding.urls {
                let message = "images by address are not fetched here: image_embedding.urls in the \
                    configuration allows them; send the image itself, in base64";
                return Err(ApiError::invalid(param, message));
            }
            return Ok(ImageSource::Url(text));
        }
        let data = if starts_with(&text, "data:") {
            data_url(&text).ok_or_else(|| {
                ApiError::invalid(param, "a data: address must be \"data:image/TYPE;base64,DATA\"")
            })?
        } else {
            text.as_str()
        };
        let most = app.config.image_embedding.max_bytes;
        // Four characters are three bytes.
        if data.len() / 4 * 3 > most.saturating_add(3) {
            let message = format!("the image is longer than {most} bytes, the most that is read");
            return Err(ApiError::new(Problem::Kind(ErrorKind::TooLarge), message).param(param));
        }
        let bytes = BASE64.decode(data).map_err(|_| {
            let message = "neither base64, nor a data: address, nor one of http or https";
            ApiError::new(Problem::Kind(ErrorKind::InvalidImage), message).param(param)
        })?;
        Ok(ImageSource::Bytes(bytes))
    }

    pub(crate) fn is_url(&self) -> bool {
        matches!(self, ImageSource::Url(_))
    }

    /// The bytes, wherever they are.
    pub(crate) async fn into_bytes(
        self,
        call: &Request<'_>,
        param: &str,
    ) -> Result<Vec<u8>, ApiError> {
        match self {
            ImageSource::Bytes(bytes) => Ok(bytes),
            ImageSource::Url(url) => {
                call.fetch_image_async(&url).await.map_err(|e| fetch_failed(&e, param))
            }
        }
    }
}

/// An address that does not give an image is what is wrong with the request, whatever kept it from it: only
/// what this service itself lacks is its own fault.
fn fetch_failed(error: &Error, param: &str) -> ApiError {
    match error.kind() {
        ErrorKind::Overloaded | ErrorKind::ShuttingDown | ErrorKind::OutOfMemory => {
            ApiError::from(Error::new(error.kind(), error.to_string()))
        }
        kind => ApiError::new(Problem::Fetch(kind), error.to_string()),
    }
    .param(param)
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// The base64 of `data:[TYPE][;PARAMETERS];base64,DATA`.
fn data_url(text: &str) -> Option<&str> {
    let (head, data) = text.split_once(',')?;
    let (_, encoding) = head.rsplit_once(';')?;
    encoding.eq_ignore_ascii_case("base64").then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::AppState;
    use isovec::config::Config;

    #[test]
    fn strings_are_base64_or_addresses() {
        let mut config = Config::default();
        config.image_embedding.max_bytes = 8;
        let closed = AppState::new(config.clone());
        config.image_embedding.urls = true;
        let open = AppState::new(config);
        let read = |text: &str, app: &AppState| match ImageSource::read(
            Text(text.to_owned()),
            "input[3]",
            app,
        ) {
            Ok(ImageSource::Bytes(bytes)) => format!("{bytes:?}"),
            Ok(ImageSource::Url(url)) => url,
            Err(error) => error.message().to_owned(),
        };
        let cases = [
            ("AQID", "[1, 2, 3]"),
            ("AQI=", "[1, 2]"),
            ("AQI", "[1, 2]"),
            ("", "[]"),
            ("data:image/png;base64,AQID", "[1, 2, 3]"),
            ("DATA:;Base64,AQID", "[1, 2, 3]"),
            ("data:image/png,AQID", "a data: address must be \"data:image/TYPE;base64,DATA\""),
            ("data:", "a data: address must be \"data:image/TYPE;base64,DATA\""),
            ("not base64!", "neither base64, nor a data: address, nor one of http or https"),
            ("ftp://a/b", "neither base64, nor a data: address, nor one of http or https"),
            ("€€", "neither base64, nor a data: address, nor one of http or https"),
            ("AAAAAAAAAAAAAAAAAAAA", "the image is longer than 8 bytes, the most that is read"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text, &closed), expected, "{text}");
        }
        assert!(read("https://a.example/b.png", &closed).contains("image_embedding.urls"));
        assert_eq!(read("HTTPS://a.example/b.png", &open), "HTTPS://a.example/b.png");
    }
}
