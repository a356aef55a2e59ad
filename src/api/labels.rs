//! The labels, annotations and finalizers that mean something to the operator, each once:
//! `docs/reference/labels-and-annotations.md` prints the table.

macro_rules! labels {
    ($($(#[doc = $meaning:literal])+ $name:ident = $value:literal: $what:ident on $on:literal by $by:ident;)+) => {
        $($(#[doc = $meaning])+ pub const $name: &str = $value;)+

        pub const TABLE: &[Row] = &[
            $(Row { name: $value, what: What::$what, on: $on, by: By::$by, meaning: concat!($($meaning),+) },)+
        ];
    };
}

labels! {
    /// Prevents the start and the end of the session, but not an end by a limit of its AthenaWorkGroup; on an
    /// AthenaWorkGroup, each start and end of all sessions whose AthenaSessions refer to it. Only the value `false` counts
    /// as not paused.
    PAUSED = "athena-operator.dev/paused": Annotation on "AthenaSession, AthenaWorkGroup" by User;
    /// With the value `true`, lets an AthenaSession that was restored from a backup start its session.
    START_RESTORED = "athena-operator.dev/start-restored": Annotation on "AthenaSession" by User;

    /// Keeps the object until its session has ended. The operator removes it then, or at once with `deletionPolicy:
    /// Retain`.
    FINALIZER = "athena-operator.dev/session": Finalizer on "AthenaSession" by Operator;
    /// Keeps the object as long as there are AthenaSessions that are to be ended by way of it.
    WORK_GROUP_FINALIZER = "athena-operator.dev/work-group": Finalizer on "AthenaWorkGroup" by Operator;
    /// The name of the AthenaSession, in the same namespace, for which the operator wrote the ConfigMap of
    /// `spec.publishTo`.
    PUBLISHED_FOR = "athena-operator.dev/published-for": Annotation on "ConfigMap" by Operator;
    /// The value `athena-session-operator` marks a ConfigMap of `spec.publishTo` as the operator's. On an
    /// AthenaSession, the value `Helm` says that Helm tracks the object, as `meta.helm.sh/release-name` does.
    MANAGED_BY = "app.kubernetes.io/managed-by": Label on "ConfigMap, AthenaSession" by Operator;
    /// Keeps the ConfigMap of `spec.publishTo` out of Velero's backups.
    EXCLUDED_FROM_BACKUP = "velero.io/exclude-from-backup": Label on "ConfigMap" by Operator;

    /// Velero has restored the object from a backup. An AthenaSession with `spec.start` then starts no session by
    /// itself.
    RESTORED = "velero.io/restore-name": Label on "AthenaSession" by Others;
    /// Argo CD tracks the object, and would create it again: `spec.ttlAfterEnded` doesn't delete an AthenaSession
    /// with `spec.start`.
    ARGO_ID = "argocd.argoproj.io/tracking-id": Annotation on "AthenaSession" by Others;
    /// As `argocd.argoproj.io/tracking-id`.
    ARGO_INSTANCE = "argocd.argoproj.io/instance": Label on "AthenaSession" by Others;
    /// Argo CD or another tool tracks the object; as `argocd.argoproj.io/tracking-id`.
    INSTANCE = "app.kubernetes.io/instance": Label on "AthenaSession" by Others;
    /// Flux tracks the object; as `argocd.argoproj.io/tracking-id`.
    FLUX_KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/name": Label on "AthenaSession" by Others;
    /// Flux tracks the object; as `argocd.argoproj.io/tracking-id`.
    FLUX_HELM = "helm.toolkit.fluxcd.io/name": Label on "AthenaSession" by Others;
    /// Helm tracks the object; as `argocd.argoproj.io/tracking-id`.
    HELM_RELEASE = "meta.helm.sh/release-name": Annotation on "AthenaSession" by Others;
    /// A hook has created the object, so nobody creates it again: `spec.ttlAfterEnded` deletes it in spite of the
    /// marks above.
    ARGO_HOOK = "argocd.argoproj.io/hook": Annotation on "AthenaSession" by Others;
    /// As `argocd.argoproj.io/hook`, for Helm.
    HELM_HOOK = "helm.sh/hook": Annotation on "AthenaSession" by Others;
}

/// What a name of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Annotation,
    Label,
    Finalizer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    User,
    Operator,
    /// Other programs of the cluster. The operator only reads it.
    Others,
}

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub what: What,
    pub on: &'static str,
    pub by: By,
    /// What it means, in sentences.
    pub meaning: &'static str,
}
