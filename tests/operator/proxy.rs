//! A proxy in front of the API server or of Athena. It knows each request by name. It can hold a request, answer it
//! itself, or let a test kill the operator before or after the request takes effect.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;
use control_plane::ControlPlane;
use futures::StreamExt;
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use crate::world::{OPERATOR_ACCOUNT, OPERATOR_NAMESPACE, World};

const MOST_BYTES: usize = 1 << 20;

/// A request that can be recognised in another run: its name, and its number among the requests of that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub request: String,
    pub occurrence: u32,
}

/// Whether to strike before or after the request's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    Before,
    After,
}

/// An answer that the proxy gives itself.
pub enum Meddle {
    Never,
    Answer(u16, Value),
}

/// Gets the name and the body of each request. None lets the request through.
type Meddler = Box<dyn Fn(&str, &str) -> Option<Meddle> + Send + Sync>;

/// What the proxies of one test share, and how the test controls them.
#[derive(Default)]
pub struct Script {
    meddler: Option<Meddler>,
    paused: watch::Sender<bool>,
    counts: Mutex<HashMap<String, u32>>,
    seen: Mutex<Vec<Key>>,
    strike: Mutex<Option<(Key, When)>>,
    struck: Notify,
    cuts: bool,
    only_group: Option<String>,
    hold: Mutex<Option<Hold>>,
}

/// Holds requests until the test releases them.
#[derive(Clone)]
pub struct Hold {
    request: String,
    arrived: Arc<Notify>,
    released: watch::Receiver<bool>,
}

impl Hold {
    /// Returns once a request is held.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Script {
    /// A script that answers some requests itself.
    pub fn meddling(meddler: impl Fn(&str, &str) -> Option<Meddle> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self::default().with_meddler(meddler))
    }

    pub fn with_meddler(self, meddler: impl Fn(&str, &str) -> Option<Meddle> + Send + Sync + 'static) -> Self {
        Self { meddler: Some(Box::new(meddler)), ..self }
    }

    /// A script whose strike cuts the connection. Otherwise the request stays without an answer.
    pub fn cutting() -> Self {
        Self { cuts: true, ..Self::default() }
    }

    /// Lists and watches show this AthenaWorkGroup and no other, and the AthenaSessions of the test's namespace. So several operators of
    /// all namespaces share an API server, and none of them acts on the objects of another test.
    pub fn showing_only(self, group: &str) -> Self {
        Self { only_group: Some(group.to_owned()), ..self }
    }

    /// Lets watches stand still: their connections stay open, and nothing arrives.
    pub fn pause_watches(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// How many requests of this name there were.
    pub fn count(&self, request: &str) -> usize {
        self.counts.lock().unwrap().get(request).map_or(0, |count| *count as usize)
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Key> {
        self.seen.lock().unwrap().clone()
    }

    /// Strikes once, at this request: [`Script::struck`] returns, and the request is never answered.
    pub fn strike_at(&self, key: Key, when: When) {
        *self.strike.lock().unwrap() = Some((key, when));
    }

    /// Returns at the strike.
    pub async fn struck(&self) {
        self.struck.notified().await;
    }

    /// Whether the strike has happened, or none was set.
    pub fn is_spent(&self) -> bool {
        self.strike.lock().unwrap().is_none()
    }

    /// Holds the requests of this name until true is sent.
    pub fn hold(&self, request: &str) -> (Hold, watch::Sender<bool>) {
        let (release, released) = watch::channel(false);
        let hold = Hold { request: request.to_owned(), arrived: Arc::default(), released };
        *self.hold.lock().unwrap() = Some(hold.clone());
        (hold, release)
    }

    fn arrives(&self, request: String) -> (Key, Option<When>) {
        let mut counts = self.counts.lock().unwrap();
        let occurrence = *counts.entry(request.clone()).and_modify(|count| *count += 1).or_insert(1);
        let key = Key { request, occurrence };
        self.seen.lock().unwrap().push(key.clone());
        let strike = self.strike.lock().unwrap().take_if(|(at, _)| *at == key);
        (key, strike.map(|(_, when)| when))
    }
}

struct Proxy {
    upstream: Client,
    script: Arc<Script>,
    namespace: String,
}

/// A kubeconfig for the operator that leads through a proxy.
pub async fn kubeconfig_by_way_of(script: &Arc<Script>, world: &World) -> Option<PathBuf> {
    let url = before_api_server(world.plane, script, &world.namespace).await;
    let token = world.plane.service_account_token(OPERATOR_NAMESPACE, OPERATOR_ACCOUNT).await.unwrap();
    Some(world.plane.kubeconfig_for_token_at(&url, &token).unwrap())
}

/// The name of a request about an AthenaSession or its status, or about all of them.
pub fn about(verb: &str, object: &str) -> String {
    let path = "/apis/athena-operator.dev/v1alpha1/namespaces/NAMESPACE/athenasessions";
    format!("{verb} {path}{}{object}", if object.is_empty() { "" } else { "/" })
}

/// A refusal, as the API server writes it.
pub fn refusal(code: u16, reason: &str, message: &str) -> Meddle {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "details": {}, "status": "Failure",
                        "code": code, "reason": reason, "message": message});
    Meddle::Answer(code, status)
}

/// Starts a proxy in front of the API server; returns its URL.
async fn before_api_server(plane: &ControlPlane, script: &Arc<Script>, namespace: &str) -> String {
    let kubeconfig = Kubeconfig::read_from(plane.admin_kubeconfig()).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // The operator's own token says who asks.
    config.auth_info = AuthInfo::default();
    start(config, script, namespace).await
}

/// Starts a proxy in front of an Athena; returns its URL.
pub async fn before_athena(url: &str, script: &Arc<Script>, namespace: &str) -> String {
    start(kube::Config::new(url.parse().unwrap()), script, namespace).await
}

async fn start(config: kube::Config, script: &Arc<Script>, namespace: &str) -> String {
    let upstream = Client::try_from(config).unwrap();
    let proxy = Proxy { upstream, script: Arc::clone(script), namespace: namespace.to_owned() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(Arc::new(proxy));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn pass(State(proxy): State<Arc<Proxy>>, request: Request<Body>) -> Response {
    let name = proxy.name_of(&request);
    let (_, strike) = proxy.script.arrives(name.clone());
    let hold = proxy.script.hold.lock().unwrap().clone().filter(|hold| hold.request == name);
    if let Some(mut hold) = hold {
        hold.arrived.notify_one();
        let _ = hold.released.wait_for(|released| *released).await;
    }
    if strike == Some(When::Before) {
        return proxy.strike().await;
    }
    let (mut head, body) = request.into_parts();
    if let Some(narrower) = proxy.narrower(&head.uri) {
        head.uri = narrower;
    }
    let body = axum::body::to_bytes(body, MOST_BYTES).await.unwrap();
    let meddler = proxy.script.meddler.as_ref();
    match meddler.and_then(|meddler| meddler(&name, &String::from_utf8_lossy(&body))) {
        Some(Meddle::Never) => return std::future::pending().await,
        Some(Meddle::Answer(status, body)) => return answer(status, "application/json", body.to_string()),
        None => {}
    }
    let answered = proxy.upstream.send(Request::from_parts(head, body.into())).await;
    if strike == Some(When::After) {
        return proxy.strike().await;
    }
    match answered {
        Ok(answer) if name.contains(" (watch) ") => answer.map(|body| pausing(Body::new(body), &proxy.script)),
        Ok(answer) => answer.map(Body::new),
        Err(error) => answer(StatusCode::BAD_GATEWAY.as_u16(), "text/plain", error.to_string()),
    }
}

fn answer(status: u16, kind: &str, body: String) -> Response {
    Response::builder().status(status).header("content-type", kind).body(Body::from(body)).unwrap()
}

/// A body that stands still while watches are paused.
fn pausing(body: Body, script: &Script) -> Body {
    let paused = script.paused.subscribe();
    Body::from_stream(body.into_data_stream().then(move |chunk| {
        let mut paused = paused.clone();
        async move {
            let _ = paused.wait_for(|paused| !paused).await;
            chunk
        }
    }))
}

impl Proxy {
    /// Leaves the request without an answer. By then the operator is dead, or the connection is cut within an answer.
    async fn strike(&self) -> Response {
        self.script.struck.notify_one();
        if self.script.cuts {
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            return Response::new(Body::from_stream(futures::stream::once(async { Err::<Vec<u8>, _>(broken) })));
        }
        std::future::pending().await
    }

    /// The URI of a list or a watch of all AthenaSessions or AthenaWorkGroups, where it is to show only those of the test.
    fn narrower(&self, uri: &Uri) -> Option<Uri> {
        let group = self.script.only_group.as_ref()?;
        let selector = match uri.path().strip_prefix("/apis/athena-operator.dev/v1alpha1/")? {
            "athenasessions" => format!("metadata.namespace%3D{}", self.namespace),
            "athenaworkgroups" => format!("metadata.name%3D{group}"),
            _ => return None,
        };
        let query = uri.query().unwrap_or_default();
        let query = match query.split_once("fieldSelector=") {
            Some((before, after)) => format!("{before}fieldSelector={selector}%2C{after}"),
            None => format!("{query}&fieldSelector={selector}"),
        };
        Some(format!("{}?{query}", uri.path()).parse().unwrap())
    }

    /// The name of a request, which is the same in each run.
    fn name_of(&self, request: &Request<Body>) -> String {
        if let Some(target) = request.headers().get("x-amz-target") {
            let unsigned = if request.headers().contains_key("authorization") { "" } else { " (unsigned)" };
            return format!("{}{unsigned}", target.to_str().unwrap());
        }
        let path = request.uri().path().replace(&self.namespace, "NAMESPACE");
        let path =
            path.split_once("/events").map_or(path.as_str(), |(before, _)| &path[..before.len() + "/events".len()]);
        let asks = |what: &str| request.uri().query().is_some_and(|query| query.contains(what));
        let how = if asks("watch=true") {
            " (watch)"
        } else if asks("dryRun=All") {
            " (dry run)"
        } else {
            ""
        };
        format!("{}{how} {path}", request.method())
    }
}
