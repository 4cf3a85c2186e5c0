//! Primitive values of the partial's format: little-endian base-128 varints, as in Protocol Buffers' encoding guide.

use super::PartialError;

/// Appends `value` as a varint of 1 to 10 bytes.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number; small magnitudes of either sign are short.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads what the functions above wrote. Nothing here trusts the bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], PartialError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(PartialError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PartialError> {
        let (first, rest) = self.rest.split_first().ok_or(PartialError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn fixed_u64(&mut self) -> Result<u64, PartialError> {
        let bytes = self.take(8)?.first_chunk::<8>().ok_or(PartialError::Truncated)?;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub(super) fn varint(&mut self) -> Result<u64, PartialError> {
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(PartialError::Invalid("a number exceeds 64 bits"))
    }

    pub(super) fn signed(&mut self) -> Result<i64, PartialError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number of items to come, each of which takes at least `min_bytes`: so what the caller reserves is bounded by
    /// the bytes that are really there.
    pub(super) fn count(&mut self, min_bytes: usize) -> Result<usize, PartialError> {
        let count = usize::try_from(self.varint()?).map_err(|_| PartialError::Truncated)?;
        if count > self.rest.len() / min_bytes.max(1) {
            return Err(PartialError::Truncated);
        }
        Ok(count)
    }

    /// The bytes not yet read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overlong_numbers_are_refused() {
        assert_eq!(Reader::new(&[0x80; 3]).varint(), Err(PartialError::Truncated));
        assert!(matches!(
            Reader::new(&[0xff; 12]).varint(),
            Err(PartialError::Invalid(_))
        ));
        assert_eq!(Reader::new(&[5, 0, 0]).count(1), Err(PartialError::Truncated));
        assert_eq!(Reader::new(&[2, 0, 0]).count(1), Ok(2));
    }

    proptest! {
        #[test]
        fn numbers_read_back(a in any::<u64>(), s in 0u32..64, b in any::<i64>()) {
            let mut out = Vec::new();
            put_varint(&mut out, a >> s);
            put_signed(&mut out, b);
            let mut r = Reader::new(&out);
            prop_assert_eq!(r.varint(), Ok(a >> s));
            prop_assert_eq!(r.signed(), Ok(b));
            prop_assert!(r.rest().is_empty());
        }
    }
}
