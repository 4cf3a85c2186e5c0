//! Git objects by their ids, wherever they are kept.

use crate::source::documents::unfit;
use crate::source::error::SourceError;
use gix_hash::{ObjectId, oid};
use gix_object::Kind;

/// Longest object that is read, bytes.
pub const MAX_OBJECT: usize = 192 << 20;

/// A store of objects.
pub trait Objects {
    /// Reads an object into `out`, which is replaced.
    ///
    /// # Errors
    /// `Document` for one that is not there, broken or too long.
    fn read(&mut self, id: &oid, out: &mut Vec<u8>) -> Result<Kind, SourceError>;
}

/// A repository that cannot be read.
pub fn broken(what: impl Into<String>) -> SourceError {
    unfit("the git repository is broken or not whole").detail(what)
}

/// An object that is not there.
pub fn missing(id: &oid) -> SourceError {
    broken(format!("Object {id} is not there."))
}

/// Checks that an object is what its id says.
///
/// # Errors
/// `Document`.
pub fn verify(id: &oid, kind: Kind, data: &[u8]) -> Result<(), SourceError> {
    if id_of(kind, data)? == id {
        Ok(())
    } else {
        Err(broken(format!("Object {id} has another content.")))
    }
}

/// The id of an object.
///
/// # Errors
/// `Document` for what the hash function refuses: content made to collide.
pub fn id_of(kind: Kind, data: &[u8]) -> Result<ObjectId, SourceError> {
    gix_object::compute_hash(gix_hash::Kind::Sha1, kind, data).map_err(|e| broken(e.to_string()))
}
