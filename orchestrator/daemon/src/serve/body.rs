//! Bodies: read once, whole, with a cap and a deadline; refused unread where nothing good can come.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header, request};
use fades_api::codes;
use fades_api::http::Problem;
use http_body_util::BodyExt;

/// Reads a body of at most `cap` bytes within `deadline`.
///
/// # Errors
/// A problem with the code of what is wrong with it.
pub async fn read(
    request: Request,
    cap: usize,
    deadline: Duration,
) -> Result<(request::Parts, Bytes), Box<Problem>> {
    let (parts, body) = request.into_parts();
    refuse_encoded(&parts.headers)?;
    if body.size_hint().lower() > cap as u64 {
        let detail = format!("{} bytes are announced, at most {cap} are read", body.size_hint().lower());
        return Err(Problem::new(codes::BODY_TOO_LARGE, detail).into());
    }
    match tokio::time::timeout(deadline, collect(body, cap)).await {
        Ok(bytes) => Ok((parts, bytes?)),
        Err(_elapsed) => {
            let detail = format!("the body was not complete after {} ms", deadline.as_millis());
            Err(Problem::new(codes::BODY_TOO_SLOW, detail).into())
        }
    }
}

/// Refuses what is compressed, before a byte of it is read.
///
/// # Errors
/// A problem, when there is any content encoding.
pub fn refuse_encoded(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(()),
        Some(value) => {
            let detail = format!("content-encoding is {value:?}");
            Err(Problem::new(codes::CONTENT_ENCODING_REFUSED, detail).into())
        }
    }
}

async fn collect(mut body: Body, cap: usize) -> Result<Bytes, Box<Problem>> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::new(codes::BODY_LENGTH_WRONG, error.to_string()))?;
        // Trailers mean nothing here.
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > cap {
                let detail = format!("more than {cap} bytes came");
                return Err(Problem::new(codes::BODY_TOO_LARGE, detail).into());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}
