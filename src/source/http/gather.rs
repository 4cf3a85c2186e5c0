//! Requests in one piece.
//!
//! The HTTP library writes a request's head and its body one after the other. Each is a packet of its own then, and wakes
//! the server; for a small question that costs more than the question. Here what is written waits until an answer is
//! waited for.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// So much does not wait, in bytes.
const MOST: usize = 16 << 10;

/// The last link of a chain of connectors.
#[derive(Debug)]
pub struct Gather;

/// A connection whose output waits.
#[derive(Debug)]
pub struct Gathered<T> {
    inner: T,
    waiting: Vec<u8>,
}

impl<T: Transport> Connector<T> for Gather {
    type Out = Gathered<T>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<T>) -> Result<Option<Gathered<T>>, Error> {
        Ok(chained.map(|inner| Gathered {
            inner,
            waiting: Vec::new(),
        }))
    }
}

impl<T: Transport> Gathered<T> {
    fn send(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let mut rest = self.waiting.as_slice();
        while !rest.is_empty() {
            let output = self.inner.buffers().output();
            let (now, later) = rest.split_at(rest.len().min(output.len()));
            for (to, from) in output.iter_mut().zip(now) {
                *to = *from;
            }
            self.inner.transmit_output(now.len(), timeout)?;
            rest = later;
        }
        self.waiting.clear();
        Ok(())
    }
}

impl<T: Transport> Transport for Gathered<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        self.waiting.extend_from_slice(output.get(..amount).unwrap_or(output));
        match self.waiting.len() {
            n if n >= MOST => self.send(timeout),
            _ => Ok(()),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.send(timeout)?;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
