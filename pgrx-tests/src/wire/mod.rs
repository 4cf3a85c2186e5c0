//! What may stand between a client and a server: TLS, and a forward proxy. Real ones, on loopback ports.

mod proxy;
mod tls;

pub use proxy::{LOGIN, Proxy};
pub use tls::{Authority, Tls};

use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A port whose connections are served by `each`, until the value is dropped.
struct Port {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Port {
    fn open<F: Future<Output = ()> + Send + 'static>(each: impl Fn(TcpStream) -> F + Send + 'static) -> Port {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .expect("a free port");
        let address = listener.local_addr().expect("the port");
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(each(socket));
            }
        });
        Port {
            address,
            runtime: Some(runtime),
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Passes bytes on both ways to their end. An error ends the connection; the client sees that for itself.
async fn join(mut client: impl AsyncRead + AsyncWrite + Unpin, server: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(server).await {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}
