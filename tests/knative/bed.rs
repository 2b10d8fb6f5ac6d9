//! The cluster that the tests meet, a namespace of their own in it, and the sample function.
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use faas::artifact::Artifact;
use faas::backend::knative::{Knative, Settings};
use faas::backend::{Backend, Call, Change, How, Namespace, Reply};
use faas::error::Fault;
use faas::function::{Function, FunctionId};
use faas::plan::spec_hash;
use faas::progress::Progress;
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::support::Test;

/// Where the cluster is; `None`, with the reason, when nobody started one.
pub struct Bed {
    pub kubeconfig: String,
    pub ingress: String,
    pub image: String,
    pub crash: String,
    pub kubectl: PathBuf,
}

pub fn bed() -> Option<Bed> {
    let find = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (Some(kubeconfig), Some(ingress), Some(image), Some(crash), Some(kubectl)) =
        (find("KUBECONFIG"), find("INGRESS"), find("KNATIVE_ECHO"), find("KNATIVE_CRASH"), find("KUBECTL"))
    else {
        assert!(find("FAAS_TEST_KNATIVE").is_none(), "FAAS_TEST_KNATIVE is set, but the bed's variables are not");
        eprintln!("skipped: no Knative cluster (tests/beds/knative/up.sh starts one and prints its variables)");
        return None;
    };
    Some(Bed { kubeconfig, ingress, image, crash, kubectl: kubectl.into() })
}

/// A namespace that goes away with the test.
pub struct Place {
    pub bed: Bed,
    pub namespace: String,
    pub backend: Knative,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut command = self.kubectl();
        let _ = command.args(["delete", "namespace", &self.namespace, "--wait=false"]).output();
    }
}

impl Place {
    pub async fn new(bed: Bed, name: &str) -> Self {
        let namespace = format!("{name}-{}", std::process::id());
        let mut place = Self { backend: Knative::new(Settings::default()), bed, namespace };
        place.backend = place.backend(false);
        let namespaces = place.backend.namespaces().expect("namespaces");
        let namespace = Namespace { name: place.namespace.clone(), ..Namespace::default() };
        namespaces.create(&namespace).await.expect("the namespace is made");
        place
    }

    pub fn backend(&self, force: bool) -> Knative {
        let env = |name: &str| match name {
            "KUBECONFIG" => Some(self.bed.kubeconfig.clone()),
            "FAAS_KNATIVE_INGRESS" => Some(self.bed.ingress.clone()),
            "FAAS_KNATIVE_NAMESPACE" => Some(self.namespace.clone()),
            _ => None,
        };
        let provider = json!({ "force": force });
        let wait = Duration::from_secs(300);
        Knative::new(Settings::new(&provider, &env, Path::new("/"), Path::new("/"), wait).expect("settings"))
    }

    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.bed.kubectl);
        command.args(["--kubeconfig", &self.bed.kubeconfig, "-n", &self.namespace]);
        command
    }

    /// Knative's own client, where KN names it.
    pub fn kn(&self) -> Option<impl Fn(&[&str]) -> Command> {
        let Some(program) = std::env::var_os("KN").filter(|program| !program.is_empty()) else {
            eprintln!("KN names no `kn`: what it reads is not looked at");
            return None;
        };
        let (config, namespace) = (self.bed.kubeconfig.clone(), self.namespace.clone());
        Some(move |args: &[&str]| {
            let mut command = Command::new(&program);
            command.args(args).args(["--kubeconfig", &config, "-n", &namespace]);
            command
        })
    }

    pub fn kubectl_output(&self, args: &[&str]) -> String {
        let output = self.kubectl().args(args).output().expect("kubectl runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Makes an object in the cluster, with `kubectl`.
    pub fn create(&self, object: &Value) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), object.to_string()).expect("written");
        self.kubectl_output(&["create", "-f", &file.path().to_string_lossy()]);
    }

    /// Makes an image of one of the bed's programs, and pushes it.
    pub fn push(&self, reference: &str, program: &str) {
        let beside = |name: &str| self.bed.kubectl.with_file_name(name);
        let output = Command::new(beside("image")).arg(reference).arg(beside(program)).output().expect("image runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A session at a prompt, next to this cluster.
    pub fn prompt(&self) -> Test {
        Test::new()
            .file("stack.yml", "provider: {name: knative}\nfunctions: {}\n")
            .env("KUBECONFIG", &self.bed.kubeconfig)
            .env("FAAS_KNATIVE_INGRESS", &self.bed.ingress)
            .env("FAAS_KNATIVE_NAMESPACE", &self.namespace)
    }

    /// A stack file with the sample function.
    pub fn stack(&self, name: &str, version: &str) -> String {
        format!(
            "provider: {{name: knative}}\nfunctions:\n  {name}:\n    skip_build: true\n    image: {}\n    environment:\n      \
             VERSION: \"{version}\"\n",
            self.bed.image
        )
    }

    pub async fn apply(&self, function: &Function, heard: &Heard) -> Result<faas::backend::Deployed, Fault> {
        self.backend.apply(&self.change(function), heard).await
    }

    pub fn change(&self, function: &Function) -> Change {
        Change {
            spec: spec_hash(function),
            artifact: self.artifact(),
            stack: "test".into(),
            how: How::Upsert,
            force: false,
            history: Vec::new(),
            function: function.clone(),
        }
    }

    pub fn artifact(&self) -> Artifact {
        image(&self.bed.image)
    }

    pub async fn call(&self, name: &str, path: &str, body: &'static str) -> (u16, Value) {
        let reply = self.reply(name, path, body).await;
        let status = reply.status.as_u16();
        let bytes: Vec<_> = reply.body.try_collect().await.expect("a body");
        (status, serde_json::from_slice(&bytes.concat()).expect("JSON"))
    }

    /// A call that no ingress takes: through the API server.
    pub async fn call_through(&self, name: &str, path: &str, body: &'static str) -> (u16, Value) {
        let env = |name: &str| match name {
            "KUBECONFIG" => Some(self.bed.kubeconfig.clone()),
            "FAAS_KNATIVE_NAMESPACE" => Some(self.namespace.clone()),
            _ => None,
        };
        let settings = Settings::new(&Value::Null, &env, Path::new("/"), Path::new("/"), Duration::ZERO);
        let reply = Knative::new(settings.expect("settings")).invoke(&id(name), call(path, body)).await;
        let reply = reply.expect("an answer");
        let status = reply.status.as_u16();
        let bytes: Vec<_> = reply.body.try_collect().await.expect("a body");
        (status, serde_json::from_slice(&bytes.concat()).expect("JSON"))
    }

    pub async fn reply(&self, name: &str, path: &str, body: &'static str) -> Reply {
        self.backend.invoke(&id(name), call(path, body)).await.expect("an answer")
    }

    pub async fn revisions(&self, name: &str) -> Vec<(String, u8)> {
        let traffic = self.backend.traffic().expect("traffic");
        let all = traffic.revisions(&id(name)).await.expect("revisions");
        all.into_iter().map(|r| (r.name, r.share)).collect()
    }
}

/// `name@sha256:…`, as the bed prints it.
pub fn image(pinned: &str) -> Artifact {
    let (name, digest) = pinned.split_once('@').expect("an image by digest");
    Artifact::Image { reference: format!("{name}:1"), digest: Some(digest.into()) }
}

pub fn call(path: &str, body: &'static str) -> Call {
    Call {
        method: http::Method::POST,
        path: path.into(),
        headers: http::HeaderMap::new(),
        body: Box::pin(futures_util::stream::iter([Ok(body.into())])),
        length: Some(body.len() as u64),
        asynchronous: false,
        timeout: Some(Duration::from_secs(60)),
        options: faas::backend::CallOptions::default(),
    }
}

pub fn id(name: &str) -> FunctionId {
    FunctionId { name: name.into(), namespace: None }
}

pub fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub fn echo(version: &str) -> Function {
    Function { name: "echo".into(), environment: map(&[("VERSION", version)]), ..Function::default() }
}

/// What the user was told.
#[derive(Default)]
pub struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub fn all(&self) -> String {
        self.0.lock().expect("lines").join("\n")
    }
}

impl Progress for Heard {
    fn step(&self, _: &str, step: &str) {
        self.0.lock().expect("lines").push(format!("step: {step}"));
    }
    fn line(&self, _: &str, line: &str) {
        self.0.lock().expect("lines").push(format!("line: {line}"));
    }
    fn warn(&self, _: &str, message: &str) {
        self.0.lock().expect("lines").push(format!("warning: {message}"));
    }
    fn done(&self, _: &str, _: &str) {}
    fn failed(&self, _: &str, _: &str) {}
}
