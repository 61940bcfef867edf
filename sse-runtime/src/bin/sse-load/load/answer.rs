//! HTTP answers as far as a load generator cares: the status, where the body ends, and its bytes without the framing.

use std::fmt;

/// The head of an answer.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// Whether the connection can be used again after the body.
    pub(crate) keeps: bool,
    /// Bytes of the head.
    pub(crate) len: usize,
}

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    UntilClose,
    Length(u64),
    Chunked(Chunk),
    Done,
}

/// Where in the chunked framing a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// In the line with its size; `extension` after the digits.
    Size {
        size: u64,
        extension: bool,
    },
    Data {
        left: u64,
    },
    /// In the line end after the data.
    DataEnd,
    /// In the lines after the last chunk.
    Trailer {
        empty: bool,
    },
}

/// The answer is not HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is not HTTP/1.1")
    }
}

impl Head {
    /// The head at the beginning of `bytes`, or `None` while it is not whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = response.parse(bytes).map_err(|_| Malformed)? else { return Ok(None) };
        let header = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value.trim_ascii())
        };
        let status = response.code.ok_or(Malformed)?;
        let body = if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
            Body::Chunked(Chunk::Size { size: 0, extension: false })
        } else if let Some(length) = header("content-length") {
            let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok()).ok_or(Malformed)?;
            if length == 0 { Body::Done } else { Body::Length(length) }
        } else if matches!(status, 100..200 | 204 | 304) {
            Body::Done
        } else {
            Body::UntilClose
        };
        let closes = header("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        let keeps = !closes && response.version == Some(1) && body != Body::UntilClose;
        Ok(Some(Self { status, body, keeps, len }))
    }
}

impl Body {
    /// Takes the body's next bytes and calls `data` with what they carry, in as few pieces as the framing allows. Bytes after
    /// the body's end are ignored: requests are not pipelined.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut data: impl FnMut(&[u8])) -> Result<(), Malformed> {
        match self {
            Self::Done => return Ok(()),
            Self::UntilClose => {
                data(bytes);
                return Ok(());
            }
            Self::Length(left) => {
                let part = &bytes[..bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
                *left -= part.len() as u64;
                data(part);
                if *left == 0 {
                    *self = Self::Done;
                }
                return Ok(());
            }
            Self::Chunked(_) => {}
        }
        while let (Self::Chunked(chunk), [first, rest @ ..]) = (&mut *self, bytes) {
            if let Chunk::Data { left } = chunk {
                let part = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                data(&bytes[..part]);
                bytes = &bytes[part..];
                *left -= part as u64;
                if *left == 0 {
                    *chunk = Chunk::DataEnd;
                }
                continue;
            }
            bytes = rest;
            match chunk.step(*first)? {
                Some(next) => *chunk = next,
                None => *self = Self::Done,
            }
        }
        Ok(())
    }
}

impl Chunk {
    /// Where one byte of framing leads; `None`: to the end.
    fn step(self, byte: u8) -> Result<Option<Self>, Malformed> {
        Ok(Some(match (self, byte) {
            (Self::Size { size: 0, .. }, b'\n') => Self::Trailer { empty: true },
            (Self::Size { size, .. }, b'\n') => Self::Data { left: size },
            (Self::Size { size, extension: true }, _) => Self::Size { size, extension: true },
            (Self::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') => Self::Size { size, extension: true },
            (Self::Size { size, .. }, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed)?;
                let size = size.checked_mul(16).ok_or(Malformed)? + u64::from(digit);
                Self::Size { size, extension: false }
            }
            (Self::DataEnd, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::Size { size: 0, extension: false },
            (Self::DataEnd, _) => return Err(Malformed),
            (Self::Trailer { empty: true }, b'\n') => return Ok(None),
            (Self::Trailer { .. }, b'\n') => Self::Trailer { empty: true },
            (Self::Trailer { empty }, b'\r') => Self::Trailer { empty },
            (Self::Trailer { .. }, _) => Self::Trailer { empty: false },
            (Self::Data { .. }, _) => return Err(Malformed),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8], size: usize) -> (Vec<u8>, Body) {
        let (mut head, mut body, mut data) = (Vec::new(), None, Vec::new());
        for mut piece in stream.chunks(size) {
            if body.is_none() {
                head.extend_from_slice(piece);
                let Some(parsed) = Head::parse(&head).unwrap() else { continue };
                assert_eq!(parsed.status, 200);
                body = Some(parsed.body);
                piece = &head[parsed.len..];
            }
            if let Some(body) = &mut body {
                body.feed(piece, |part| data.extend_from_slice(part)).unwrap();
            }
        }
        (data, body.unwrap())
    }

    #[test]
    fn bodies_come_out_of_every_framing_at_every_cut() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n \r\n00005 \r\nworld\r\n0\r\nx: y\r\n\r\nrest";
        let length = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello worldrest";
        let closed = b"HTTP/1.1 200 OK\r\n\r\nhello world";
        for (stream, end) in [(&chunked[..], Body::Done), (length, Body::Done), (closed, Body::UntilClose)] {
            for size in 1..=stream.len() {
                assert_eq!(read(stream, size), (b"hello world".to_vec(), end), "in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_is_not_http_is_said_to_be() {
        assert!(Head::parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        for framing in [&b"x\r\n"[..], b"11111111111111111\r\n", b"1\r\naXX"] {
            let mut body = Body::Chunked(Chunk::Size { size: 0, extension: false });
            assert_eq!(body.feed(framing, |_| {}), Err(Malformed), "{framing:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_unless_the_answer_says_otherwise() {
        let keeps = |head: &[u8]| Head::parse(head).unwrap().unwrap().keeps;
        assert!(keeps(b"HTTP/1.1 204 No Content\r\n\r\n"));
        assert!(!keeps(b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n"));
        assert!(!keeps(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"));
        assert!(!keeps(b"HTTP/1.1 200 OK\r\n\r\n"));
    }
}
