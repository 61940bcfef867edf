//! A hub behind a port of its own.

use std::time::Duration;

use socket2::SockRef;
use sse_runtime::auth::{Guard, Origins, Token};
use sse_runtime::serve::{ServeOptions, serve};
use sse_runtime::{Hub, HubBuilder, HubConfig, RouterOptions};
use sse_tests::net::Web;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A hub and its server, which ends with it.
pub(crate) struct Site {
    pub(crate) hub: Hub,
    pub(crate) web: Web,
    serving: JoinHandle<()>,
}

/// What can be chosen about a site.
pub(crate) struct Setup {
    pub(crate) router: RouterOptions,
    pub(crate) serve: ServeOptions,
    /// Bytes that the kernel holds for a peer, about; `None`: what it likes.
    pub(crate) send_buffer: Option<usize>,
}

impl Site {
    /// The defaults, on two shards.
    pub(crate) async fn start() -> Self {
        Self::of(builder()).await
    }

    /// The defaults but for the hub's configuration.
    pub(crate) async fn configured(change: impl FnOnce(&mut HubConfig)) -> Self {
        Self::of(builder().configure(change)).await
    }

    pub(crate) async fn of(hub: HubBuilder) -> Self {
        Self::with(hub, |_| {}).await
    }

    /// One that writes several streams in one system call, if this machine has one for that, and one that never does.
    pub(crate) async fn both_ways(change: impl Fn(&mut HubConfig)) -> [Self; 2] {
        let hub = || builder().configure(&change);
        [Self::of(hub()).await, Self::with(hub(), |setup| setup.serve.io_uring = false).await]
    }

    pub(crate) async fn with(hub: HubBuilder, change: impl FnOnce(&mut Setup)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let hub = hub.build().expect("a hub");
        let mut setup = Setup {
            router: RouterOptions::new(guard(None, &["*"])),
            serve: ServeOptions {
                max_connections: 10_000,
                header_timeout: Duration::from_secs(10),
                write_timeout: Some(Duration::from_secs(30)),
                io_uring: true,
            },
            send_buffer: None,
        };
        change(&mut setup);
        if let Some(bytes) = setup.send_buffer {
            // Sockets that are accepted inherit it.
            SockRef::from(&listener).set_send_buffer_size(bytes).expect("a send buffer");
        }
        let of_site = hub.clone();
        let serving = tokio::spawn(async move {
            let never = std::future::pending();
            let served = serve(listener, of_site, &setup.router, setup.serve, never, async || {}, Duration::ZERO).await;
            served.expect("served");
        });
        Self { hub, web: Web(address), serving }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A hub on two shards, so that clients live on different ones whatever the machine.
pub(crate) fn builder() -> HubBuilder {
    Hub::builder().configure(|config| config.shards = 2)
}

/// The guards of a loopback listener.
pub(crate) fn guard(token: Option<&str>, origins: &[&str]) -> Guard {
    let token = token.map(|token| Token::new(token).expect("a token"));
    let origins = Origins::new(origins.iter().copied()).expect("origins");
    let listen = "127.0.0.1:0".parse().expect("an address");
    Guard::new(listen, token, origins, Vec::new(), None)
}
