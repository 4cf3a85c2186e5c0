//! `topo_digest()` and `topo_edge_digests()`: whether a load is the one before, and which of its edges are.

use pgrx::datum::AnyElement;
use pgrx::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// xxh3-64 of the bytes of a value of variable length; NULL for types of fixed length. It takes milliseconds where
/// `jsonb_hash_extended`, which looks at every element, takes tenths of seconds.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_digest(value: AnyElement) -> Option<i64> {
    // SAFETY: looks the type of a value up, which exists.
    if unsafe { pg_sys::get_typlen(value.oid()) } != -1 {
        return None;
    }
    // SAFETY: a value of a type of length -1 is a varlena. The unpacked one lives in the current memory context, and
    // nothing frees it before its bytes are read.
    let bytes = unsafe {
        let unpacked = pg_sys::pg_detoast_datum_packed(value.datum().cast_mut_ptr());
        pgrx::varlena::varlena_to_byte_slice(unpacked)
    };
    Some(xxh3_64(bytes) as i64)
}

/// xxh3-64 of the bytes of each element of a jsonb array; NULL for elements that are neither objects nor arrays. NULL for
/// any other value. Equal elements have equal bytes wherever they are, but for numbers that are written with other scales.
#[pg_extern(immutable, parallel_safe, strict)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn topo_edge_digests(edges: AnyElement) -> Option<Vec<Option<i64>>> {
    if edges.oid() != pg_sys::JSONBOID {
        return None;
    }
    // SAFETY: a jsonb is a varlena. The unpacked one lives in the current memory context; it is aligned, since it is not a
    // short one. `root` ends in an array of unknown length, hence only pointers to it.
    let root = unsafe {
        let jsonb = pg_sys::pg_detoast_datum(edges.datum().cast_mut_ptr()).cast::<pg_sys::Jsonb>();
        &raw mut (*jsonb).root
    };
    // SAFETY: every container begins with a header.
    let header = unsafe { (*root).header };
    if header & pg_sys::JB_FARRAY == 0 || header & pg_sys::JB_FSCALAR != 0 {
        return None;
    }
    let digest = |place| {
        // SAFETY: the place is within the array. The element is a copy of ours; of a container it has address and length in
        // the array.
        unsafe {
            let element = pg_sys::getIthJsonbValueFromContainer(root, place);
            let digest = ((*element).type_ == pg_sys::jbvType::jbvBinary).then(|| {
                let binary = (*element).val.binary;
                xxh3_64(std::slice::from_raw_parts(
                    binary.data.cast::<u8>(),
                    binary.len as usize,
                )) as i64
            });
            pg_sys::pfree(element.cast());
            digest
        }
    };
    Some((0..header & pg_sys::JB_CMASK).map(digest).collect())
}
