//! From nothing to a control plane that serves.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer as _, EcPrivateKeyRfc5915Der},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::{
    ControlPlane, Error, access, audit, program,
    supervisor::{API_SERVER, CONTROLLER_MANAGER, Ports, Supervisor},
};

/// A start takes 5 s; a machine that builds at the same time needs several times that.
const READY_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const ATTEMPTS: usize = 5;

/// What a control plane has beyond the usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Keeps the audit log that [`ControlPlane::audit_entries`] reads.
    pub audit: bool,
}

pub(crate) async fn start(options: &Options) -> Result<ControlPlane, Error> {
    let program = tokio::task::spawn_blocking(program)
        .await
        .map_err(|error| Error::Io("the build".to_owned(), error.into()))??;
    let mut attempt = 1;
    loop {
        match start_once(&program, options).await {
            Err(Error::PortTaken(_)) if attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

async fn start_once(program: &Path, options: &Options) -> Result<ControlPlane, Error> {
    let ports = free_ports().map_err(Error::io("a free port"))?;
    let admin_token = Uuid::new_v4().to_string();
    let api_url = format!("https://127.0.0.1:{}", ports.api);
    let (folder, arguments) = prepare(options, &api_url, &admin_token)?;
    let mut control_plane = ControlPlane {
        supervisor: Supervisor::start(program, folder, ports, &arguments)?,
        api_url,
        admin_token,
        ca_pem: String::new(),
    };

    let deadline = Instant::now() + READY_WITHIN;
    let supervisor = &control_plane.supervisor;
    let client = until(supervisor, API_SERVER, deadline, async || {
        let client = access::client(&access::admin_kubeconfig(supervisor.folder())).await?;
        let request = http::Request::get("/readyz").body(vec![]).map_err(kube::Error::HttpError)?;
        client.request_text(request).await?;
        Ok(client)
    })
    .await?;
    control_plane.ca_pem = std::fs::read_to_string(access::ca(supervisor.folder())).map_err(Error::io("the CA"))?;
    control_plane.supervisor.api_server_is_ready()?;
    until(&control_plane.supervisor, CONTROLLER_MANAGER, deadline, async || default_service_account(&client).await)
        .await?;
    Ok(control_plane)
}

/// kube-controller-manager makes it, so it tells that the controllers run, and also that the
/// namespaces are there which the API server makes only after it is ready.
async fn default_service_account(client: &Client) -> Result<(), Error> {
    for namespace in ["default", "kube-system"] {
        Api::<ServiceAccount>::namespaced(client.clone(), namespace).get("default").await?;
    }
    Ok(())
}

/// Asks again until the answer is good, the deadline is over, or any component has ended.
async fn until<T>(
    supervisor: &Supervisor,
    component: &'static str,
    deadline: Instant,
    ask: impl AsyncFn() -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        let answer = timeout(Duration::from_secs(5), ask()).await;
        // Looked at after the answer: it may have come from another control plane, on whose
        // database ours would sit after its own etcd lost the port.
        if let Some(component) = supervisor.ended() {
            let log = supervisor.log(component);
            return Err(if log.contains("address already in use") {
                Error::PortTaken(component)
            } else {
                Error::Ended { component, log }
            });
        }
        let last = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() > deadline {
            return Err(Error::NotReady {
                component,
                seconds: READY_WITHIN.as_secs(),
                last,
                log: supervisor.log(component),
            });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Both are held at once, so that they differ. Another process can take them before the component
/// does; the start is then repeated.
fn free_ports() -> std::io::Result<Ports> {
    let database = TcpListener::bind("127.0.0.1:0")?;
    let api = TcpListener::bind("127.0.0.1:0")?;
    Ok(Ports { database: database.local_addr()?.port(), api: api.local_addr()?.port() })
}

/// The folder with all that the components read, and the arguments that depend on the options.
fn prepare(options: &Options, api_url: &str, admin_token: &str) -> Result<(PathBuf, Vec<String>), Error> {
    let folder =
        tempfile::Builder::new().prefix("control-plane-").tempdir().map_err(Error::io("the temporary folder"))?;
    let write = |name: &str, content: &str| access::write_private(&folder.path().join(name), content);
    let controllers_token = Uuid::new_v4().to_string();
    // The controllers have a user of their own, so that the audit log tells them from the tests.
    write(
        "tokens.csv",
        &format!(
            "{admin_token},admin,admin,system:masters\n\
             {controllers_token},kube-controller-manager,kube-controller-manager,system:masters\n"
        ),
    )?;
    write("service-account.key", &signing_key()?)?;
    for (name, token) in
        [(access::ADMIN_KUBECONFIG, admin_token), ("kube-controller-manager.kubeconfig", &controllers_token)]
    {
        let ca = access::ca(folder.path());
        write(name, &access::kubeconfig(api_url, Some(&ca), token, "default"))?;
    }
    let mut arguments = vec![];
    if options.audit {
        write(audit::POLICY_FILE, audit::POLICY)?;
        arguments.push(format!("--audit-policy-file={}", audit::POLICY_FILE));
        arguments.push(format!("--audit-log-path={}", audit::LOG));
        // In MB. The default begins another file at 100, and what is in the first one would be lost.
        arguments.push("--audit-log-maxsize=100000".to_owned());
    }
    Ok((folder.keep(), arguments))
}

/// In the older of the two formats, since kube-apiserver finds no public key in the newer one.
fn signing_key() -> Result<String, Error> {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| Error::Key)?;
    let key: EcPrivateKeyRfc5915Der = key.private_key().as_der().map_err(|_| Error::Key)?;
    Ok(format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n", STANDARD.encode(key.as_ref())))
}
