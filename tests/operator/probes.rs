//! What the operator serves over HTTP.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, eventually, within};

/// The status and the body.
pub async fn ask(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Where the operator that was started last serves.
pub async fn address(world: &World) -> String {
    eventually("it says where it serves", || async {
        let lines = world.log();
        let line = lines.lines().rfind(|line| line.contains("serving metrics and probes"))?;
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = line.get("fields").unwrap_or(&line);
        fields["address"].as_str().map(str::to_owned)
    })
    .await
}

/// The lines of `/readyz` that say what is wrong; none where it is ready.
pub async fn unready(address: &str) -> Vec<String> {
    let (status, text) = ask(address, "/readyz").await;
    let wrong: Vec<_> = text.lines().filter(|line| line.starts_with("[-]")).map(str::to_owned).collect();
    assert_eq!(status == 200, wrong.is_empty(), "{status} with {text}");
    wrong
}

/// Waits until nothing is wrong.
pub async fn until_ready(address: &str) {
    eventually("it is ready", || async { unready(address).await.is_empty().then_some(()) }).await;
}

/// Waits until a line of `/readyz` has these words, and returns it.
pub async fn until_unready(address: &str, words: &str) -> String {
    eventually(&format!("it says that it isn't ready: {words}"), || async {
        unready(address).await.into_iter().find(|line| line.contains(words))
    })
    .await
}

/// A client that opens connections and never ends a request, until it is dropped.
struct SlowClient {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
}

impl SlowClient {
    const THREADS: usize = 4;
    /// So many connections are kept open by each thread.
    const OPEN: usize = 300;
    const PAUSE: Duration = Duration::from_millis(4);

    fn start(address: SocketAddr, sends: &'static str) -> Self {
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..Self::THREADS {
            let (stop, opened) = (Arc::clone(&stop), Arc::clone(&opened));
            std::thread::spawn(move || {
                let mut open = VecDeque::new();
                while !stop.load(Ordering::SeqCst) {
                    // Where it fails, the server has no room for the connection.
                    if let Ok(mut stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
                        let _ = stream.write_all(sends.as_bytes());
                        opened.fetch_add(1, Ordering::SeqCst);
                        open.push_back(stream);
                    }
                    if open.len() > Self::OPEN {
                        open.pop_front();
                    }
                    std::thread::sleep(Self::PAUSE);
                }
            });
        }
        Self { stop, opened }
    }
}

impl Drop for SlowClient {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// As deploy/deployment.yaml says.
const PROBE: Duration = Duration::from_secs(5);

/// L1: the kubelet restarts an operator whose probe fails, again and again.
#[tokio::test]
async fn connections_that_ask_nothing_keep_out_no_probe() {
    let world = World::new().await;
    world.start_operator().await;
    let address = address(&world).await;
    until_ready(&address).await;
    for sends in ["", "GET /livez HTTP/1.1\r\nX-Slow: "] {
        let client = SlowClient::start(address.parse().unwrap(), sends);
        eventually("it has opened more connections than may be open", || async {
            (client.opened.load(Ordering::SeqCst) > 200).then_some(())
        })
        .await;
        let mut took = vec![];
        for probe in 0..20 {
            let asked = Instant::now();
            let answered = within(PROBE, async { assert_eq!(ask(&address, "/livez").await.0, 200) });
            assert!(answered.await, "probe {probe} failed");
            took.push(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // A server that accepts a connection only when another one has ended takes 0.8 s.
        took.sort();
        assert!(took[took.len() / 2] < Duration::from_millis(300), "{took:?}");
    }
}
