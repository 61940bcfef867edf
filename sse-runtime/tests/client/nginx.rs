//! Debian's nginx between client and hub, with buffering and without.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use sse_runtime::client::{EventSource, Interruption, Item};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::support::{Hub, hasty, next, numbers, program, stream_url, within};

#[tokio::test]
async fn without_buffering_each_event_comes_at_once_and_over_restarts() {
    // By nginx's configuration, and by the header with which the hub asks for it.
    for buffering in ["proxy_buffering off;", "proxy_buffering on;"] {
        let hub = Hub::start();
        let nginx = Nginx::start(hub.address, "", buffering).await;
        let mut source = hasty(&stream_url(nginx.address, "t")).build().unwrap();
        assert_eq!(next(&mut source).await, Item::Opened);
        for number in 0..20 {
            hub.publish("t", number..number + 1, 0).await;
            assert_eq!(numbers(&mut source, 1).await.0, [number], "{buffering}");
        }
        over_a_restart(hub, &mut source, 20).await;
    }
}

#[tokio::test]
async fn with_buffering_events_come_in_lumps_and_every_one_once() {
    let hub = Hub::start();
    let nginx = Nginx::start(hub.address, "", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;").await;
    // Enough to fill whatever nginx fills first; it may keep even the head back until there is more.
    hub.publish("t", 0..2_000, 200).await;
    let url = format!("{}&lastEventId=earliest", stream_url(nginx.address, "t"));
    let mut source = hasty(&url).build().unwrap();
    assert_eq!(numbers(&mut source, 500).await.0, (0..500).collect::<Vec<_>>());
    // What is left in nginx comes when the hub ends the stream.
    let (got, _) = tokio::join!(numbers(&mut source, 1_500), hub.stop());
    assert_eq!(got.0, (500..2_000).collect::<Vec<_>>());
}

/// Here nginx buffers, by default, and unlike above it holds back over TLS what it was not told to flush: without the hub's
/// `X-Accel-Buffering` not even the head would come.
#[tokio::test]
async fn over_tls_the_server_has_to_be_one_that_the_machine_trusts() {
    let hub = Hub::start();
    let trust = Trust::new();
    let nginx = Nginx::start(hub.address, &trust.directives(), "").await;
    hub.publish("t", 0..3, 0).await;
    let path = "/sse/events?topic=t&lastEventId=earliest";
    let cat = async |host: &str, trusted: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sse-cat"));
        command.args(["--max-attempts", "1", "--max-events", "4", &format!("https://{host}:{}{path}", nginx.address.port())]);
        if trusted {
            command.env("SSL_CERT_FILE", trust.folder.path().join("ca.pem"));
        }
        let output = within(command.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, stdout, stderr) = cat("localhost", true).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.ends_with("0\n\n1\n\n2\n\n"), "{stdout}");
    for (host, trusted, says) in [("localhost", false, "UnknownIssuer"), ("127.0.0.1", true, "not valid for name")] {
        let (code, stdout, stderr) = cat(host, trusted).await;
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{host}");
        assert!(stderr.contains(says), "{host}: {stderr}");
    }
}

/// An authority of the test's own, and a certificate of its for `localhost`.
struct Trust {
    folder: TempDir,
}

impl Trust {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |args: &str| {
            let output =
                program("/usr/bin/openssl", "openssl").args(args.split(' ')).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=tests"));
        openssl(&format!("req {key} -keyout key.pem -out request.pem -subj /CN=localhost"));
        fs::write(folder.path().join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem");
        Self { folder }
    }

    fn directives(&self) -> String {
        let path = self.folder.path().display();
        format!("ssl; ssl_certificate {path}/cert.pem; ssl_certificate_key {path}/key.pem")
    }
}

/// nginx answers 502 while there is no hub.
async fn over_a_restart(hub: Hub, source: &mut EventSource, from: usize) {
    let address = hub.kill();
    loop {
        match next(source).await {
            Item::Reconnecting { why, .. } if why.reason == Interruption::Status(502) => break,
            Item::Reconnecting { .. } | Item::Opened => {}
            other => panic!("{other:?}"),
        }
    }
    let hub = Hub::start_on(address);
    loop {
        match next(source).await {
            Item::Event(event) if event.event == "gap" => break,
            Item::Event(_) | Item::Reconnecting { .. } | Item::Opened => {}
            other => panic!("{other:?}"),
        }
    }
    hub.publish("t", from..from + 10, 0).await;
    assert_eq!(numbers(source, 10).await.0, (from..from + 10).collect::<Vec<_>>());
}

struct Nginx {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Nginx {
    /// Proxies everything to `hub`; `tls` follows the address it listens on. The port is free when it is chosen; should another program be faster, another one is chosen.
    async fn start(hub: SocketAddr, tls: &str, directives: &str) -> Self {
        let mut words = String::new();
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().display();
            let config = format!(
                "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log error;
                events {{ worker_connections 64; }}
                http {{
                    access_log off;
                    client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
                    uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
                    server {{
                        listen {address} {tls};
                        location / {{
                            proxy_pass http://{hub};
                            proxy_http_version 1.1;
                            proxy_set_header Connection \"\";
                            proxy_set_header Host {hub};
                            {directives}
                        }}
                    }}
                }}"
            );
            let file = folder.path().join("nginx.conf");
            fs::write(&file, config).unwrap();
            let mut child = program("/usr/sbin/nginx", "nginx-light")
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(&file)
                .arg("-e")
                .arg(folder.path().join("error.log"))
                .stdin(Stdio::null())
                .spawn()
                .unwrap();
            let listens = within(async {
                loop {
                    if child.try_wait().unwrap().is_some() {
                        return false;
                    }
                    if TcpStream::connect(address).await.is_ok() {
                        return true;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            if listens {
                return Self { child, address, _folder: folder };
            }
            words = fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
        }
        panic!("nginx does not start: {words}");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
