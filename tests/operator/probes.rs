//! What the operator serves over HTTP.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, eventually};

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
