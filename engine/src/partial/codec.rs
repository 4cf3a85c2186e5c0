//! The stored form of a [`MinutePartial`], format 2.
//!
//! ```text
//! payload  := checksum (xxh3-64 of what follows, 8 bytes little-endian) flag content
//! flag     := 0: content is the body | 1: content is varint(length of the body) zstd(body)
//! body     := SUB_BUCKET_BITS (1 byte) signed(minute) signed(log_ref) signed(trace_ref)
//!             n { length bytes }                                   URNs, UTF-8, strictly ascending
//!             n { source destination inferred errors durations }   strictly ascending by (source, destination, inferred);
//!                                                                  inferred is one byte, 0 or 1
//!             n { resource fingerprint (8 bytes) total errors }    strictly ascending by (resource, fingerprint)
//! durations := kind 0: n { delta }          ascending samples, the first delta is from 0
//!            | kind 1: n { delta count }    sketch buckets, the first delta is from 0
//! ```
//!
//! Where nothing else is said a number is a varint; sources, destinations and resources are indexes into the URNs.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::wire::{Reader, put_signed, put_varint};
use super::{CallState, FORMAT, LogCount, MinutePartial, PartialError};
use crate::quantile::{Durations, SUB_BUCKET_BITS, Sketch, State};

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
const EXACT: u8 = 0;
const SKETCH: u8 = 1;

const CHECKSUM_BYTES: usize = 8;
const ZSTD_LEVEL: i32 = 1;
/// Smaller bodies are not worth a compressor.
const MIN_COMPRESSED: usize = 256;
/// Larger bodies are stored plain, so a small hostile payload cannot ask for more memory than this.
const MAX_COMPRESSED: usize = 64 << 20;

impl MinutePartial {
    /// The payload to store together with [`FORMAT`].
    pub fn encode(&self) -> Vec<u8> {
        let body = self.encode_body();
        let mut out = vec![0u8; CHECKSUM_BYTES];
        match compress(&body) {
            Some(small) => {
                out.push(ZSTD);
                put_varint(&mut out, body.len() as u64);
                out.extend_from_slice(&small);
            }
            None => {
                out.push(PLAIN);
                out.extend_from_slice(&body);
            }
        }
        if let Some((checksum, rest)) = out.split_first_chunk_mut::<CHECKSUM_BYTES>() {
            *checksum = xxh3_64(rest).to_le_bytes();
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote in `format`. Never panics; memory stays within a small multiple of
    /// the payload, or of 64 MiB when it is compressed.
    pub fn decode(format: i16, payload: &[u8]) -> Result<Self, PartialError> {
        if format != FORMAT {
            return Err(PartialError::UnknownFormat(format));
        }
        let mut reader = Reader::new(payload);
        if reader.fixed_u64()? != xxh3_64(reader.rest()) {
            return Err(PartialError::Checksum);
        }
        match reader.byte()? {
            PLAIN => decode_body(reader.rest()),
            ZSTD => decode_body(&decompress(&mut reader)?),
            _ => Err(PartialError::Invalid("unknown compression")),
        }
    }

    fn encode_body(&self) -> Vec<u8> {
        let mut out = vec![SUB_BUCKET_BITS as u8];
        put_signed(&mut out, self.minute);
        put_signed(&mut out, self.log_ref);
        put_signed(&mut out, self.trace_ref);
        put_varint(&mut out, self.urns.len() as u64);
        for urn in &self.urns {
            put_varint(&mut out, urn.len() as u64);
            out.extend_from_slice(urn.as_bytes());
        }
        put_varint(&mut out, self.calls.len() as u64);
        for (src, dst, state) in &self.calls {
            put_varint(&mut out, u64::from(*src));
            put_varint(&mut out, u64::from(*dst));
            out.push(u8::from(state.inferred));
            put_varint(&mut out, state.errors);
            put_durations(&mut out, &state.durations);
        }
        put_varint(&mut out, self.logs.len() as u64);
        for (resource, fingerprint, count) in &self.logs {
            put_varint(&mut out, u64::from(*resource));
            out.extend_from_slice(&fingerprint.to_le_bytes());
            put_varint(&mut out, count.total);
            put_varint(&mut out, count.errors);
        }
        out
    }
}

fn compress(body: &[u8]) -> Option<Vec<u8>> {
    if !(MIN_COMPRESSED..=MAX_COMPRESSED).contains(&body.len()) {
        return None;
    }
    zstd::bulk::compress(body, ZSTD_LEVEL)
        .ok()
        .filter(|small| small.len() < body.len())
}

fn decompress(reader: &mut Reader<'_>) -> Result<Vec<u8>, PartialError> {
    let length = usize::try_from(reader.varint()?).map_err(|_| PartialError::TooLarge)?;
    if length > MAX_COMPRESSED {
        return Err(PartialError::TooLarge);
    }
    match zstd::bulk::decompress(reader.rest(), length) {
        Ok(body) if body.len() == length => Ok(body),
        _ => Err(PartialError::Invalid("its compressed content cannot be read")),
    }
}

fn put_durations(out: &mut Vec<u8>, durations: &Durations) {
    match durations.state() {
        State::Exact(samples) => {
            out.push(EXACT);
            put_varint(out, samples.len() as u64);
            let mut last = 0;
            for sample in samples {
                put_varint(out, sample - last);
                last = *sample;
            }
        }
        State::Sketch(sketch) => {
            out.push(SKETCH);
            let buckets = sketch.buckets();
            put_varint(out, buckets.len() as u64);
            let mut last = 0;
            for (bucket, count) in buckets {
                put_varint(out, u64::from(bucket - last));
                put_varint(out, count);
                last = bucket;
            }
        }
    }
}

fn decode_body(body: &[u8]) -> Result<MinutePartial, PartialError> {
    let mut r = Reader::new(body);
    if u32::from(r.byte()?) != SUB_BUCKET_BITS {
        return Err(PartialError::Invalid("its sketches have another resolution"));
    }
    let mut partial = MinutePartial::empty(r.signed()?);
    partial.log_ref = r.signed()?;
    partial.trace_ref = r.signed()?;
    partial.urns = get_urns(&mut r)?;
    partial.calls = get_calls(&mut r, partial.urns.len())?;
    partial.logs = get_logs(&mut r, partial.urns.len())?;
    if r.rest().is_empty() {
        Ok(partial)
    } else {
        Err(PartialError::Invalid("bytes follow its end"))
    }
}

fn get_urns(r: &mut Reader<'_>) -> Result<Vec<Arc<str>>, PartialError> {
    let n = r.count(1)?;
    let mut urns: Vec<Arc<str>> = Vec::with_capacity(n);
    for _ in 0..n {
        let length = r.count(1)?;
        let urn = std::str::from_utf8(r.take(length)?).map_err(|_| PartialError::Invalid("a URN is not UTF-8"))?;
        if urns.last().is_some_and(|last| last.as_ref() >= urn) {
            return Err(PartialError::Invalid("its URNs are not in order"));
        }
        urns.push(Arc::from(urn));
    }
    Ok(urns)
}

fn get_calls(r: &mut Reader<'_>, urns: usize) -> Result<Vec<(u32, u32, CallState)>, PartialError> {
    let n = r.count(6)?;
    let mut calls: Vec<(u32, u32, CallState)> = Vec::with_capacity(n);
    for _ in 0..n {
        let (src, dst) = (get_index(r, urns)?, get_index(r, urns)?);
        let inferred = match r.byte()? {
            0 => false,
            1 => true,
            _ => return Err(PartialError::Invalid("an edge is neither inferred nor not")),
        };
        let errors = r.varint()?;
        let durations = get_durations(r)?;
        if errors > durations.count() {
            return Err(PartialError::Invalid("an edge has more errors than calls"));
        }
        if calls
            .last()
            .is_some_and(|last| (last.0, last.1, last.2.inferred) >= (src, dst, inferred))
        {
            return Err(PartialError::Invalid("its edges are not in order"));
        }
        let state = CallState {
            inferred,
            errors,
            durations,
        };
        calls.push((src, dst, state));
    }
    Ok(calls)
}

fn get_logs(r: &mut Reader<'_>, urns: usize) -> Result<Vec<(u32, i64, LogCount)>, PartialError> {
    let n = r.count(11)?;
    let mut logs: Vec<(u32, i64, LogCount)> = Vec::with_capacity(n);
    for _ in 0..n {
        let resource = get_index(r, urns)?;
        let fingerprint = r.fixed_u64()? as i64;
        let count = LogCount {
            total: r.varint()?,
            errors: r.varint()?,
        };
        if count.errors > count.total {
            return Err(PartialError::Invalid("a pattern has more errors than lines"));
        }
        if logs
            .last()
            .is_some_and(|last| (last.0, last.1) >= (resource, fingerprint))
        {
            return Err(PartialError::Invalid("its patterns are not in order"));
        }
        logs.push((resource, fingerprint, count));
    }
    Ok(logs)
}

fn get_index(r: &mut Reader<'_>, urns: usize) -> Result<u32, PartialError> {
    let index = r.varint()?;
    match u32::try_from(index) {
        Ok(small) if (small as usize) < urns => Ok(small),
        _ => Err(PartialError::Invalid("it points to a URN that is not there")),
    }
}

fn get_durations(r: &mut Reader<'_>) -> Result<Durations, PartialError> {
    let state = match r.byte()? {
        EXACT => {
            let n = r.count(1)?;
            let mut samples = Vec::with_capacity(n);
            let mut last = 0u64;
            for _ in 0..n {
                last = last
                    .checked_add(r.varint()?)
                    .ok_or(PartialError::Invalid("a duration overflows"))?;
                samples.push(last);
            }
            State::Exact(samples)
        }
        SKETCH => {
            let n = r.count(2)?;
            let mut sketch = Sketch::default();
            let mut last = 0u64;
            for _ in 0..n {
                last = last.saturating_add(r.varint()?);
                let count = r.varint()?;
                u16::try_from(last)
                    .ok()
                    .and_then(|bucket| sketch.insert_bucket(bucket, count).ok())
                    .ok_or(PartialError::Invalid("a sketch has an impossible bucket"))?;
            }
            State::Sketch(sketch)
        }
        _ => return Err(PartialError::Invalid("unknown kind of durations")),
    };
    Ok(Durations::from_state(state))
}

#[cfg(test)]
mod tests;
