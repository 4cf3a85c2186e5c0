//! Name lookup for a client of one server: once for all its requests. The HTTP library would look the name up before
//! every request, also where a connection is open already, and start a thread each time to bound it. Names below
//! `localhost` are this machine (RFC 6761, 6.3), whatever the system's resolver makes of them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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
            match below_localhost(uri) {
                Some(addresses) => known.extend(addresses),
                None => known.extend(self.lookup.resolve(uri, config, timeout)?.iter()),
            }
        }
        let mut addresses = self.empty();
        for address in known.iter() {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}

fn below_localhost(uri: &Uri) -> Option<[SocketAddr; 2]> {
    let name = uri.host()?.to_ascii_lowercase();
    let port = uri
        .port_u16()
        .unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    name.ends_with(".localhost")
        .then(|| [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_this_machine() {
        let port = |uri: &str| below_localhost(&uri.parse().unwrap()).map(|a| a.map(|a| a.port()));
        assert_eq!(port("http://bucket.localhost:9000/key"), Some([9000; 2]));
        assert_eq!(port("https://a.b.LocalHost"), Some([443; 2]));
        assert_eq!(port("http://localhost:1"), None);
        assert_eq!(port("http://notlocalhost"), None);
    }
}
