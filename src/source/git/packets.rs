//! The frames of git's protocol: four hexadecimal digits of length, then the data (gitprotocol-common, "pkt-line
//! Format"); and the bands in which a pack comes ("side-band-64k").

use super::objects::broken;
use crate::source::documents::unfit;
use crate::source::error::SourceError;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Data(&'a [u8]),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of the answer.
    End,
}

/// Takes the first frame off `bytes`; `None` at their end.
///
/// # Errors
/// `Document` for what is no frame, or cut off; what the server itself says went wrong, its words unbounded.
pub fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<Packet<'a>>, SourceError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let cut = || broken("The server's answer is cut off.");
    let (head, rest) = bytes.split_at_checked(4).ok_or_else(cut)?;
    let length = std::str::from_utf8(head)
        .ok()
        .filter(|head| head.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|head| usize::from_str_radix(head, 16).ok())
        .ok_or_else(|| {
            unfit("the server does not speak git's protocol").hint("Check that the option url is that of a repository.")
        })?;
    let (packet, rest) = match length {
        0 => (Packet::Flush, rest),
        1 => (Packet::Delimiter, rest),
        2 => (Packet::End, rest),
        3 => return Err(broken("The server's answer has a frame of an impossible length.")),
        length => {
            let (data, rest) = rest.split_at_checked(length - 4).ok_or_else(cut)?;
            (Packet::Data(data), rest)
        }
    };
    *bytes = rest;
    match packet {
        Packet::Data(data) if data.starts_with(b"ERR ") => Err(said(data.get(4..).unwrap_or_default())),
        packet => Ok(Some(packet)),
    }
}

/// A line without its line break.
pub fn line(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}

/// Appends a frame with a line.
pub fn push(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(format!("{:04x}{line}\n", line.len() + 5).as_bytes());
}

/// The pack in the bands of an answer: what the server tells people is left out, an error ends it.
///
/// # Errors
/// Those of [`next`]; `Document` for a pack that does not end.
pub fn unband(mut bytes: &[u8]) -> Result<Vec<u8>, SourceError> {
    let mut pack = Vec::new();
    loop {
        match next(&mut bytes)? {
            Some(Packet::Data([1, data @ ..])) => pack.extend_from_slice(data),
            Some(Packet::Data([2, ..])) => {}
            Some(Packet::Data([3, said_by_server @ ..])) => return Err(said(said_by_server)),
            Some(Packet::Flush | Packet::End) => return Ok(pack),
            Some(_) | None => return Err(broken("The pack is cut off.")),
        }
    }
}

/// The detail is what the server said, as it is: who knows the credentials makes it fit to be shown.
fn said(text: &[u8]) -> SourceError {
    unfit("the git server refuses")
        .detail(String::from_utf8_lossy(text))
        .hint("Check the options url and ref of the server.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let mut bytes: &[u8] = b"0009hello00000001000a\x01PACK\n";
        assert_eq!(next(&mut bytes).unwrap(), Some(Packet::Data(b"hello")));
        assert_eq!(next(&mut bytes).unwrap(), Some(Packet::Flush));
        assert_eq!(next(&mut bytes).unwrap(), Some(Packet::Delimiter));
        assert_eq!(next(&mut bytes).unwrap(), Some(Packet::Data(b"\x01PACK\n")));
        assert_eq!(next(&mut bytes).unwrap(), None);
        let mut line = Vec::new();
        push(&mut line, "want x");
        assert_eq!(line, b"000bwant x\n");
        for mut bad in [
            &b"00"[..],
            b"0010short",
            b"0003",
            b"zzzz",
            b"<html>",
            b"+123x",
            b"000cERR no!",
        ] {
            assert!(next(&mut bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pack_comes_in_bands_and_ends() {
        let whole = b"0007\x01PA000c\x02counts\n0007\x01CK0000";
        assert_eq!(unband(whole).unwrap(), b"PACK");
        for cut in 0..whole.len() {
            assert!(unband(&whole[..cut]).is_err(), "{cut}");
        }
        let e = unband(b"000b\x03no way0000").unwrap_err();
        assert_eq!(e.detail.as_deref(), Some("no way"));
    }
}
