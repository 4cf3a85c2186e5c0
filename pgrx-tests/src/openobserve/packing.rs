//! Answers packed for transport.

use super::http::{Request, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// How answers are packed for clients that can unpack them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    #[default]
    None,
    Gzip,
    Zstd,
}

impl Packing {
    /// The name in `Accept-Encoding` and `Content-Encoding`.
    fn name(self) -> &'static str {
        match self {
            Packing::None => "identity",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }

    /// Packs an answer if its client asked for that.
    pub fn pack(self, request: &Request, mut answer: Response) -> Response {
        let asked = request.accept_encoding.as_deref().unwrap_or_default();
        let wanted = asked.split(',').any(|name| name.trim() == self.name());
        if self == Packing::None || !wanted {
            return answer;
        }
        answer.body = match self {
            Packing::None => return answer,
            Packing::Gzip => {
                let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
                packer.write_all(&answer.body).expect("memory");
                packer.finish().expect("memory")
            }
            Packing::Zstd => zstd::encode_all(answer.body.as_slice(), 1).expect("memory"),
        };
        answer.headers.push(("content-encoding", self.name().to_string()));
        answer
    }
}
