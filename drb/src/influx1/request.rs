//! The bytes of the one HTTP request that an operation makes.

/// Rows per document of the answer: InfluxDB holds one such group in its own memory before it sends it. More makes
/// neither side faster (1,000 to 100,000 were measured), fewer costs more documents.
pub const ROWS_PER_DOCUMENT: u32 = 10_000;

/// Longest request that is sent. Go's HTTP server, which is InfluxDB's, takes heads of up to 1 MiB.
pub const MAX_REQUEST: usize = 512 * 1024;

/// Asks for InfluxQL to be answered in MessagePack, times in nanoseconds, a document per [`ROWS_PER_DOCUMENT`] rows.
///
/// `host` is what stands in the Host field; the credentials are a user name and a password.
#[must_use]
pub fn request(host: &str, database: &str, credentials: Option<(&str, &str)>, influxql: &str) -> Vec<u8> {
    let mut text = String::with_capacity(512 + influxql.len() * 2);
    text.push_str("GET /query?db=");
    percent(&mut text, database);
    text.push_str("&epoch=ns&chunked=true&chunk_size=");
    text.push_str(&ROWS_PER_DOCUMENT.to_string());
    text.push_str("&q=");
    percent(&mut text, influxql);
    text.push_str(" HTTP/1.1\r\nHost: ");
    text.push_str(host);
    text.push_str("\r\nUser-Agent: fades-drb\r\nAccept: application/x-msgpack\r\nAccept-Encoding: identity\r\nConnection: close\r\n");
    if let Some((user, password)) = credentials {
        text.push_str("Authorization: Basic ");
        base64(&mut text, format!("{user}:{password}").as_bytes());
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn percent(text: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Base64 of RFC 4648 section 4, padded.
fn base64(text: &mut String, value: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in value.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (index, byte)| bits | u32::from(*byte) << (16 - 8 * index));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            text.push(if place <= group.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_whatever_the_names() {
        let bytes = request("10.77.0.1:20000", "my db&x", None, "SELECT \"v\" FROM \"m\r\n\"");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(
            "GET /query?db=my%20db%26x&epoch=ns&chunked=true&chunk_size=10000&q=SELECT%20%22v%22%20FROM%20%22m%0D%0A%22 HTTP/1.1\r\nHost: 10.77.0.1:20000\r\n"
        ));
        assert!(text.ends_with("\r\n\r\n"));
        assert!(!text.contains("Authorization"));
    }

    #[test]
    fn credentials_go_as_basic() {
        let text = String::from_utf8(request("h", "d", Some(("Aladdin", "open sesame")), "q")).unwrap();
        assert!(text.contains("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    }

    #[test]
    fn base64_of_rfc_4648_section_10() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut text = String::new();
            base64(&mut text, plain.as_bytes());
            assert_eq!(text, coded);
        }
    }
}
