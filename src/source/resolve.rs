//! Name lookup for a client of one server: once for all its requests. The HTTP library would look the name up before
//! every request, also where a connection is open already, and start a thread each time to bound it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Remembers the first answer. Only for an agent whose requests all go to the same host and port.
#[derive(Debug, Default)]
pub struct OneHost {
    lookup: DefaultResolver,
    known: Mutex<Vec<SocketAddr>>,
}

impl Resolver for OneHost {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        // Held during the lookup: the other threads need the same answer.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            known.extend(self.lookup.resolve(uri, config, timeout)?.iter());
        }
        let mut addresses = self.empty();
        for address in known.iter() {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}
