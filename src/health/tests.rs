use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

const PATIENCE: Duration = Duration::from_secs(8);

struct Server {
    address: SocketAddr,
    health: Health,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let health = Health {
        metrics: Metrics::new(),
        heartbeats: Heartbeats::default(),
        readiness: Readiness::default(),
        writes: WriteRefusals::new(Duration::from_secs(300)),
    };
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, health.clone(), stopped));
    Server { address, health, stop, task }
}

impl Server {
    /// The status, the head and the body.
    async fn get(&self, path: &str) -> (u16, String, String) {
        self.get_as(path, "").await
    }

    async fn get_as(&self, path: &str, headers: &str) -> (u16, String, String) {
        let request = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: operator\r\n{headers}\r\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(PATIENCE, request).await.expect("an answer in time").expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_lowercase(), body.to_owned())
    }
}

#[tokio::test]
async fn a_loop_that_is_stuck_fails_liveness_and_readiness_until_it_beats_or_ends() {
    let server = server().await;
    server.health.readiness.set("watch of AthenaSessions", Ok(()));
    let _steady = server.health.heartbeats.register("session controller", Duration::from_secs(600));
    let stuck = server.health.heartbeats.register("token buckets", Duration::ZERO);
    sleep(Duration::from_millis(10)).await;
    let (status, head, body) = server.get("/livez").await;
    assert_eq!(status, 503);
    assert!(head.contains("content-type: text/plain"), "{head}");
    assert!(body.starts_with("[+]session controller ok\n[-]token buckets failed: no sign of life for "), "{body}");
    assert!(body.ends_with("s\nlivez check failed\n"), "{body}");
    assert_eq!(server.get("/readyz").await.0, 503);

    drop(stuck);
    let (status, _, body) = server.get("/livez").await;
    assert_eq!((status, body.as_str()), (200, "[+]session controller ok\nlivez check passed\n"));
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[test]
fn a_beat_counts_for_as_long_as_the_limit() {
    let heartbeats = Heartbeats::default();
    let pulse = heartbeats.register("loop", Duration::from_secs(30));
    let alive = |seconds| report("livez", &heartbeats.checks(Instant::now() + Duration::from_secs(seconds))).0;
    assert!(alive(29) && !alive(31));
    let told = report("livez", &heartbeats.checks(Instant::now() + Duration::from_secs(31))).1;
    assert_eq!(told, "[-]loop failed: no sign of life for 31s\nlivez check failed\n");
    std::thread::sleep(Duration::from_millis(20));
    let registered = Instant::now();
    pulse.beat();
    assert!(report("livez", &heartbeats.checks(registered + Duration::from_secs(30))).0, "the beat didn't count");
}

#[tokio::test]
async fn it_is_ready_when_each_condition_holds() {
    let server = server().await;
    assert_eq!(server.get("/livez").await.0, 200);
    assert_eq!(server.get("/readyz").await.0, 503, "ready before anything was said");
    let readiness = &server.health.readiness;
    readiness.set("leader", Ok(()));
    readiness.set("watch of AthenaSessions", Err("initial list\nnot complete".to_owned()));
    let (status, _, body) = server.get("/readyz?verbose").await;
    let lines = "[+]leader ok\n[-]watch of AthenaSessions failed: initial list not complete\n[+]writes ok\nreadyz check failed\n";
    assert_eq!((status, body.as_str()), (503, lines));
    readiness.set("watch of AthenaSessions", Ok(()));
    assert_eq!(server.get("/readyz").await.0, 200);
    readiness.set("leader", Err("lost".to_owned()));
    assert_eq!(server.get("/readyz").await.0, 503);
    readiness.remove("leader");
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn metrics_are_served_in_the_form_that_is_asked_for_and_nothing_else_is_there() {
    let server = server().await;
    let (status, head, body) = server.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(!body.contains("# EOF"), "{body}");
    let (_, head, body) =
        server.get_as("/metrics", "Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    for path in ["/", "/healthz", "/metrics/", "/debug"] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn slow_clients_hold_up_neither_others_nor_the_end() {
    let server = server().await;
    let mut slow = Vec::new();
    for _ in 0..2 * MOST_CONNECTIONS {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await.expect("part of a request");
        slow.push(stream);
    }
    assert_eq!(server.get("/livez").await.0, 200);
    // The oldest was cut; it needn't wait for its life's end.
    let mut rest = Vec::new();
    let cut = timeout(CONNECTION_LIFE / 2, slow[0].read_to_end(&mut rest)).await;
    assert!(cut.is_ok(), "more connections than may be are open");
    server.stop.send_replace(true);
    assert!(timeout(PATIENCE, server.task).await.is_ok(), "it waits for slow clients at its end");
}
