//! A peer whose network is gone: no FIN, no RST, nothing.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::hub::{Hub, Stream, eventually, patient};

/// A network of its own, which ends with this.
struct Network(Child);

impl Network {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec sleep 600"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare (Debian: util-linux) is needed for a peer that vanishes");
        let mut said = [0; 6];
        let is_ready = child.stdout.take().expect("piped").read_exact(&mut said).is_ok();
        let mut error = String::new();
        if !is_ready {
            let _ = child.stderr.take().expect("piped").read_to_string(&mut error);
        }
        assert!(is_ready, "a peer that vanishes needs a network namespace, which root may make (CAP_SYS_ADMIN): {error}");
        Self(child)
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }

    /// Runs `ip` in it.
    fn ip(&self, args: &str) {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.id(), "ip"]).args(args.split(' '));
        let output = command.output().expect("nsenter (Debian: util-linux) is needed");
        assert!(output.status.success(), "ip (Debian: iproute2) {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The calling thread, and what it starts, is in it from now on.
    fn enter(&self) {
        let file = File::open(format!("/proc/{}/ns/net", self.id())).expect("its namespace");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_peer_that_vanishes_is_gone_within_heartbeat_and_stall_time() {
    const HEARTBEAT: Duration = Duration::from_millis(500);
    const STALL: Duration = Duration::from_millis(1_000);
    let (near, far) = (Network::new(), Network::new());
    near.ip("link set lo up");
    near.ip(&format!("link add near type veth peer name far netns {}", far.id()));
    near.ip("address add 10.77.0.1/24 dev near");
    near.ip("link set near up");
    far.ip("address add 10.77.0.2/24 dev far");
    far.ip("link set far up");

    thread::scope(|scope| {
        let test = scope.spawn(|| {
            near.enter();
            let settings = [
                format!("timers.heartbeat={}ms", HEARTBEAT.as_millis()),
                format!("timers.write_stall={}ms", STALL.as_millis()),
            ];
            let mut command = Hub::command("10.77.0.1:0", &settings.each_ref().map(String::as_str));
            let hub = Hub::run(command.env("SSE_HUB_TOKEN", "0123456789abcdef"));
            let streams = |hub: &Hub| {
                let mut socket = TcpStream::connect(hub.address).expect("connects");
                patient(&socket);
                let request =
                    "GET /metrics HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer 0123456789abcdef\r\nconnection: close\r\n\r\n";
                socket.write_all(request.as_bytes()).expect("sent");
                let mut answer = String::new();
                socket.read_to_string(&mut answer).expect("an answer");
                let value =
                    answer.lines().find_map(|line| line.strip_prefix("sse_hub_connections ")?.trim().parse::<u64>().ok());
                value.unwrap_or_else(|| panic!("{answer}"))
            };
            let address = hub.address;
            let connect = || {
                let socket = TcpStream::connect(address).expect("connects");
                patient(&socket);
                let mut stream = Stream::ask(socket, "");
                stream.greeting();
                stream
            };
            let mut beside = connect();
            let far = &far;
            let _vanishing: Vec<Stream> = thread::scope(|scope| {
                let opening = scope.spawn(|| {
                    far.enter();
                    (0..5).map(|_| connect()).collect()
                });
                opening.join().expect("streams from the other network")
            });
            // The hub counts them at the end of a turn, which is after their greetings.
            eventually("six streams", || streams(&hub) == 6);
            far.ip("link set far down");
            let begun = Instant::now();
            eventually("one stream is left", || streams(&hub) == 1);
            eprintln!("5 peers vanished: gone after {:?}, heartbeat {HEARTBEAT:?} and stall {STALL:?}", begun.elapsed());
            // The peer beside them hears of nothing.
            assert_eq!(beside.frame().as_deref(), Some(":heartbeat\n\n"));
        });
        test.join().expect("a test");
    });
}
