//! Ways in: kubeconfigs, tokens and clients.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use uuid::Uuid;

use crate::{ControlPlane, Error};

pub(crate) const ADMIN_KUBECONFIG: &str = "admin.kubeconfig";
/// Longer than any test or demo.
const TOKEN_SECONDS: i64 = 7 * 24 * 60 * 60;

impl ControlPlane {
    /// The API server's address, `https://127.0.0.1:PORT`.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The certificates, in PEM, that the API server is to be verified with.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The file of [`ca_pem`](Self::ca_pem).
    pub fn ca_path(&self) -> PathBuf {
        ca(self.folder())
    }

    /// The token of the user `admin`, of the group `system:masters`.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// A kubeconfig of the user `admin`.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        admin_kubeconfig(self.folder())
    }

    /// A new [client](fn@client) of the user `admin`.
    ///
    /// # Panics
    /// Where its kubeconfig was changed meanwhile.
    pub async fn client(&self) -> Client {
        match client(&self.admin_kubeconfig()).await {
            Ok(client) => client,
            Err(error) => panic!("the admin's client: {error}"),
        }
    }

    /// A token of a ServiceAccount, from the TokenRequest API, that lasts for a week.
    ///
    /// # Errors
    /// Where there is no such ServiceAccount.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String, Error> {
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(TOKEN_SECONDS), ..TokenRequestSpec::default() },
            ..TokenRequest::default()
        };
        let answer = Api::<ServiceAccount>::namespaced(self.client().await, namespace)
            .create_token_request(name, &PostParams::default(), &request)
            .await?;
        Ok(answer.status.map(|status| status.token).unwrap_or_default())
    }

    /// A kubeconfig with a [token](Self::service_account_token) of a ServiceAccount; its namespace
    /// is the current one.
    ///
    /// # Errors
    /// Where there is no such ServiceAccount.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let token = self.service_account_token(namespace, name).await?;
        self.write_kubeconfig(&self.api_url, &token, namespace)
    }

    /// A kubeconfig with a token for any address, such as a proxy's in front of the API server.
    /// For `https` it names the API server's own certificates.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub fn kubeconfig_for_token_at(&self, server_url: &str, token: &str) -> Result<PathBuf, Error> {
        self.write_kubeconfig(server_url, token, "default")
    }

    fn write_kubeconfig(&self, server_url: &str, token: &str, namespace: &str) -> Result<PathBuf, Error> {
        let path = self.folder().join(format!("{}.kubeconfig", Uuid::new_v4()));
        let ca = self.ca_path();
        let ca = server_url.starts_with("https:").then_some(ca.as_path());
        write_private(&path, &kubeconfig(server_url, ca, token, namespace))?;
        Ok(path)
    }
}

/// For this user only; kubectl and helm warn about other kubeconfigs.
pub(crate) fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(Error::io(path.to_string_lossy()))
}

/// kube-apiserver signs its certificate by itself and writes it here, with its authority.
pub(crate) fn ca(folder: &Path) -> PathBuf {
    folder.join("certs").join("apiserver.crt")
}

pub(crate) fn admin_kubeconfig(folder: &Path) -> PathBuf {
    folder.join(ADMIN_KUBECONFIG)
}

pub(crate) fn kubeconfig(server_url: &str, ca: Option<&Path>, token: &str, namespace: &str) -> String {
    let mut cluster = json!({ "server": server_url });
    if let Some(ca) = ca {
        cluster["certificate-authority"] = json!(ca);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "control-plane", "cluster": cluster }],
        "users": [{ "name": "user", "user": { "token": token } }],
        "contexts": [{
            "name": "control-plane",
            "context": { "cluster": "control-plane", "user": "user", "namespace": namespace },
        }],
        "current-context": "control-plane",
    })
    .to_string()
}

/// A new client with a kubeconfig, such as a ServiceAccount's, bound to the runtime of the caller. It
/// has no rate limit and repeats nothing: each answer is seen.
///
/// # Errors
/// Where the file isn't a kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client, Error> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}
