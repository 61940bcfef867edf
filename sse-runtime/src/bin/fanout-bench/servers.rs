//! The servers that are measured: how each is started, subscribed to and published to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::child::{Pinned, Place};
use crate::load::Failure;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// sse-hub, one shard
    Hub,
    /// The same without io_uring: only when it is named
    HubPlain,
    /// A bare epoll loop that coalesces: the machine's limit
    Epoll,
    /// The same loop with one write an event
    EpollEach,
    /// The coalescing loop with all sends of a turn in one call, by io_uring: only when it is named
    Uring,
    /// axum and tokio's broadcast channel
    Axum,
    /// The same with TCP_NODELAY
    AxumNodelay,
    /// nginx with nchan, one worker
    Nchan,
}

/// A server that runs, and how it is spoken to.
pub(crate) struct Server {
    pub(crate) process: Pinned,
    /// With a place for the topic's number.
    pub(crate) subscribe: String,
    pub(crate) publish: String,
    pub(crate) body: &'static str,
    /// Goes with the server.
    _directory: Option<Directory>,
}

/// Where and with what servers run.
pub(crate) struct Setting {
    pub(crate) place: Place,
    pub(crate) hub: PathBuf,
}

struct Directory(PathBuf);

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "sse-hub",
            Self::HubPlain => "sse-hub, no io_uring",
            Self::Epoll => "epoll, coalescing",
            Self::EpollEach => "epoll, a write an event",
            Self::Uring => "epoll, sends by io_uring",
            Self::Axum => "axum + broadcast",
            Self::AxumNodelay => "axum + broadcast, no-delay",
            Self::Nchan => "nginx + nchan",
        }
    }

    /// Starts it on a free port and waits until it accepts connections.
    pub(crate) fn start(self, setting: &Setting) -> Result<Server, Failure> {
        let failed = |failure: Failure| Failure::new(format!("{}: {failure}", self.name()));
        match self {
            Self::Hub => start_hub(setting, &[]),
            Self::HubPlain => start_hub(setting, &["--set", "http.io_uring=false"]),
            Self::Epoll => start_own("epoll", setting),
            Self::EpollEach => start_own("epoll-each", setting),
            Self::Uring => start_own("uring", setting),
            Self::Axum => start_own("axum", setting),
            Self::AxumNodelay => start_own("axum-nodelay", setting),
            Self::Nchan => start_nchan(setting),
        }
        .map_err(failed)
    }
}

fn start_hub(setting: &Setting, more: &[&str]) -> Result<Server, Failure> {
    let args = ["--listen", "127.0.0.1:0", "--shards", "1", "--log", "warn"].iter().chain(more);
    let args: Vec<String> = args.map(ToString::to_string).collect();
    let mut process = Pinned::start(setting.place, &setting.hub, &args)?;
    let base = base(&mut process)?;
    Ok(Server {
        process,
        subscribe: format!("{base}/sse/events?topic=t{{n}}"),
        publish: format!("{base}/sse/publish"),
        body: r#"{"to":{"topic":"t{n}"},"data":"{data}"}"#,
        _directory: None,
    })
}

fn start_own(name: &str, setting: &Setting) -> Result<Server, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::new(format!("this program: {error}")))?;
    let mut process = Pinned::start(setting.place, &own, &["serve".to_owned(), name.to_owned()])?;
    let url = format!("{}/t{{n}}", base(&mut process)?);
    Ok(Server { process, subscribe: url.clone(), publish: url, body: "{data}", _directory: None })
}

/// The URL that a server's first line tells, without the last slash.
fn base(process: &mut Pinned) -> Result<String, Failure> {
    let line = process.line()?;
    let base = line.strip_prefix("listening on ").map(|url| url.trim_end().trim_end_matches('/').to_owned());
    base.ok_or_else(|| Failure::new(format!("it began with {line:?}")))
}

fn start_nchan(setting: &Setting) -> Result<Server, Failure> {
    let nginx = NGINX.iter().map(Path::new).find(|path| path.exists());
    let module = NCHAN.iter().map(Path::new).find(|path| path.exists());
    let (Some(nginx), Some(module)) = (nginx, module) else {
        return Err(Failure::new(
            "it is missing: apt-get install nginx-light libnginx-mod-nchan, or leave it out with --server",
        ));
    };
    let address = free_address().map_err(|error| Failure::new(format!("no free port: {error}")))?;
    let directory = Directory::new().map_err(|error| Failure::new(format!("a directory for temporary files: {error}")))?;
    let path = directory.0.join("nginx.conf");
    std::fs::write(&path, nchan_config(module, &directory.0, address))
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    let args = ["-p".to_owned(), directory.0.display().to_string(), "-c".to_owned(), path.display().to_string()];
    let mut process = Pinned::start(setting.place, nginx, &args)?;
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if process.has_ended() {
            return Err(process.complaint());
        }
        if begun.elapsed() > START {
            return Err(Failure::new(format!("it does not listen on {address} after {} s", START.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Server {
        process,
        subscribe: format!("http://{address}/sub?topic=t{{n}}"),
        publish: format!("http://{address}/pub?topic=t{{n}}"),
        body: "{data}",
        _directory: Some(directory),
    })
}

fn nchan_config(module: &Path, directory: &Path, address: SocketAddr) -> String {
    let (module, directory) = (module.display(), directory.display());
    // Workers of a master that is root would else be nobody, and not reach the directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "load_module {module};
daemon off;
worker_processes 1;
{user}
pid {directory}/nginx.pid;
error_log stderr crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    nchan_message_buffer_length 256;
    nchan_message_timeout 10s;
    server {{
        listen {address} backlog=4096;
        location /pub {{ nchan_publisher http; nchan_channel_id $arg_topic; }}
        location /sub {{ nchan_subscriber eventsource; nchan_subscriber_first_message newest; nchan_channel_id $arg_topic; }}
    }}
}}
"
    )
}

/// Free a moment ago: nginx cannot be asked for any free port.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

impl Directory {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("fanout-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NGINX: [&str; 2] = ["/usr/sbin/nginx", "/usr/bin/nginx"];
const NCHAN: [&str; 2] = ["/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/lib64/nginx/modules/ngx_nchan_module.so"];
/// How long nginx may take to listen.
const START: Duration = Duration::from_secs(5);
