//! The platforms of the matrix: how the rows are deployed there, and where they are asked.
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Done, Test, bed};

use super::emulator::{Emulator, Make, Parameters};
use super::matrix::{Row, Shape, excluded};
use super::requests::{Place, Target};
use super::webhook;

/// What the functions are called: on beds that are shared nobody meets them.
pub fn name(row: &Row) -> String {
    format!("probe-{}", row.name)
}

pub fn plain(row: &Row) -> bool {
    matches!(row.shape, Shape::Request)
}

/// A project with a function a row.
pub fn project(provider: &str, rows: &[&'static Row], registry: &str) -> Test {
    let mut text = format!("version: 1.0\nprovider: {provider}\nfunctions:\n");
    for row in rows {
        let name = name(row);
        text += &format!(
            "  {name}:\n    lang: {}\n    handler: ./{}\n    image: {registry}probe/{name}:latest\n",
            row.lang, row.name
        );
        text += "    environment: {PROBE: set}\n    secrets: [portability-key, webhook-url]\n    timeout: 30s\n";
        if let Ok(bases) = std::env::var("FAAS_REGISTRY") {
            text += &format!("    build_args:\n      BASE: {bases}/base/{}\n", base(row.lang));
            if ["go", "rust"].contains(&row.lang) {
                // What compiled programs run in.
                text += &format!("      RUN_BASE: {bases}/base/{}\n", base("bash"));
            }
        }
    }
    let handlers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/portability");
    let mut test = with_tools(Test::new().file("stack.yml", text));
    for row in rows {
        test = test.layout(|to| crate::support::copy_tree(&handlers.join(row.name), &to.join(row.name)));
    }
    match std::env::var("DOCKER_HOST") {
        Ok(host) => test.env("DOCKER_HOST", host),
        Err(_) => test,
    }
}

/// The bases that tests/beds/openfaas/base-images.sh makes.
fn base(lang: &str) -> &'static str {
    match lang.split('-').next().unwrap_or(lang) {
        "python3" => "python:3.11",
        "node" | "typescript" => "node:18",
        "ruby" => "ruby:3.1",
        "php" => "php:8.2",
        "perl" => "perl:5.36",
        "java" => "java:17",
        "go" => "go:1.19",
        "rust" => "rust:web",
        _ => "debian:bookworm",
    }
}

/// Compilers and package managers find what they keep in the home of whoever runs the tests.
pub fn with_tools(mut test: Test) -> Test {
    // Whether it is fast is no question here, how long it takes to compile is.
    test = test.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    let home = std::env::var("HOME").unwrap_or_default();
    for (name, folder) in [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo"), ("npm_config_cache", ".npm")] {
        let folder = std::env::var(name).unwrap_or_else(|_| format!("{home}/{folder}"));
        if Path::new(&folder).is_dir() {
            test = test.env(name, folder);
        }
    }
    match std::env::var("GOCACHE") {
        Ok(folder) => test.env("GOCACHE", folder),
        Err(_) => test.env("GOCACHE", format!("{home}/.cache/go-build")),
    }
}

/// Makes the secrets. `host` is this machine as functions see it.
pub fn secrets(done: &Done, host: &str, more: &[&str]) {
    let hook = format!("http://{host}:{}/hook", webhook::port());
    for (name, value) in [("portability-key", "s3cret"), ("webhook-url", &hook)] {
        done.then().args(["secret", "create", name, "--replace"]).args(more).stdin(value).run();
    }
}

/// Deploys all rows; those that could not be stay without a target, with the reason.
pub struct Deployed {
    pub done: Done,
    stderr: String,
}

impl Deployed {
    pub fn up(done: Done, more: &[&str]) -> Self {
        let output = done.then().args(["up", "--parallel", "2"]).args(more).command().output().expect("up");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { done, stderr }
    }

    /// That the row is there, or why not.
    pub fn is_up(&self, row: &Row) -> Result<(), String> {
        let error = format!("error: {}: ", name(row));
        match self.stderr.find(&error) {
            Some(at) => Err(self.stderr[at + error.len()..].chars().take(400).collect()),
            None => Ok(()),
        }
    }
}

/// Behind the bed's gateway.
pub struct OpenFaas {
    deployed: Deployed,
    url: String,
}

impl OpenFaas {
    /// `None` when no bed runs.
    pub fn up(rows: &[&'static Row]) -> Option<Self> {
        let (url, password, registry) = (bed("OPENFAAS_URL")?, bed("OPENFAAS_PASSWORD_FILE")?, bed("FAAS_REGISTRY")?);
        let password = std::fs::read(password).expect("password");
        let login = project("{name: openfaas}", rows, &format!("{registry}/"))
            .args(["login", "-g", &url, "--password-stdin"])
            .stdin(password)
            .run();
        // The host as containers see it: faasd's bridge, or the engine's.
        let host = if bed("TESTBED_MODE").as_deref() == Some("openfaas") { "10.62.0.1" } else { "172.17.0.1" };
        secrets(&login, host, &["-g", &url]);
        Some(Self { deployed: Deployed::up(login, &["-g", &url]), url })
    }

    pub fn target(&self, row: &Row) -> Result<Target, String> {
        self.deployed.is_up(row)?;
        let address = self.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let prefix = format!("/function/{}", name(row));
        Ok(Target { place: Place::Http { address, host: None, prefix }, plain: plain(row) })
    }
}

impl Drop for OpenFaas {
    fn drop(&mut self) {
        let _ = self.deployed.done.then().args(["remove", "-g", &self.url]).command().output();
    }
}

/// On the bed's cluster.
pub struct Knative {
    deployed: Deployed,
    ingress: String,
}

impl Knative {
    pub fn up(rows: &[&'static Row]) -> Option<Self> {
        let find = |name: &str| std::env::var(name).ok();
        let (Some(kubeconfig), Some(ingress), Some(registry)) = (find("KUBECONFIG"), find("INGRESS"), find("REGISTRY"))
        else {
            assert!(find("FAAS_TEST_KNATIVE").is_none(), "FAAS_TEST_KNATIVE is set, but the bed's variables are not");
            eprintln!("skipped: no Knative cluster (tests/beds/knative/up.sh starts one and prints its variables)");
            return None;
        };
        let test = project("{name: knative}", rows, &format!("{registry}/"))
            .env("KUBECONFIG", kubeconfig)
            .env("FAAS_KNATIVE_INGRESS", &ingress);
        let done = test.args(["validate"]).run();
        // The host as pods of the bed see it.
        secrets(&done, "10.98.255.1", &[]);
        Some(Self { deployed: Deployed::up(done, &["--timeout", "3m"]), ingress })
    }

    pub fn target(&self, row: &Row) -> Result<Target, String> {
        self.deployed.is_up(row)?;
        let done = self.deployed.done.then().args(["describe", &name(row), "--output", "json"]).run();
        let described = done.json();
        let url = described["URL"].as_str().unwrap_or_default();
        let host = url.split("://").nth(1).unwrap_or_default().trim_end_matches('/').to_owned();
        let address = self.ingress.trim_start_matches("http://").to_owned();
        Ok(Target { place: Place::Http { address, host: Some(host), prefix: String::new() }, plain: plain(row) })
    }
}

impl Drop for Knative {
    fn drop(&mut self) {
        let _ = self.deployed.done.then().args(["remove"]).command().output();
    }
}

/// The archives or images of all rows, run by the emulator.
pub struct Lambda {
    done: Done,
    parameters: Parameters,
    built: Vec<(String, Value)>,
    stderr: String,
}

impl Lambda {
    /// `None` when no bed was asked for.
    pub fn built(rows: &[&'static Row], column: &str) -> Option<Self> {
        if std::env::var_os("FAAS_TEST_BEDS").is_none() && std::env::var("FAAS_TEST_LAMBDA").as_deref() != Ok("1") {
            eprintln!("skipped: neither FAAS_TEST_BEDS nor FAAS_TEST_LAMBDA is set; `make test` sets the first");
            return None;
        }
        let image = column.ends_with("image");
        let registry = bed("FAAS_REGISTRY").map(|registry| format!("{registry}/")).unwrap_or_default();
        let rows: Vec<&Row> = rows.iter().copied().filter(|row| excluded(row, column).is_none()).collect();
        let parameters = Parameters::start();
        let test = project("{name: lambda, lambda: {region: us-east-1}}", &rows, &registry)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", parameters.port));
        let done = test.args(["validate"]).run();
        let host = if image { super::emulator::bridge() } else { "127.0.0.1".to_owned() };
        secrets(&done, &host, &[]);
        if image {
            let path = done.dir().join("stack.yml");
            let text = std::fs::read_to_string(&path).expect("the stack file");
            let text = text.replace("{name: lambda, lambda: {region: us-east-1}}", "{name: openfaas}");
            std::fs::write(path, text).expect("the stack file");
        }
        let output =
            done.then().args(["build", "--parallel", "2", "--output", "json"]).command().output().expect("build");
        let lines: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let built = lines.as_array().into_iter().flatten();
        let built = built
            .filter(|line| line["artifact"].is_object())
            .map(|line| (line["name"].as_str().unwrap_or_default().to_owned(), line["artifact"].clone()))
            .collect();
        Some(Self { done, parameters, built, stderr: String::from_utf8_lossy(&output.stderr).into_owned() })
    }

    fn artifact(&self, row: &Row) -> Result<&Value, String> {
        let found = self.built.iter().find(|(built, _)| *built == name(row)).map(|(_, artifact)| artifact);
        found.ok_or_else(|| {
            let from = self.stderr.find(&format!("{}: ", name(row))).unwrap_or(0);
            format!("not built: {}", self.stderr[from..].chars().take(400).collect::<String>())
        })
    }

    pub fn image(&self, row: &Row) -> Result<Target, String> {
        let image = self.artifact(row)?["reference"].as_str().unwrap_or_default().to_owned();
        Ok(self.emulated(row, Make::Image { image }))
    }

    /// Its runtime, when that is one of Lambda's managed ones.
    pub fn managed(&self, row: &Row) -> bool {
        let runtime = |artifact: &Value| artifact["runtime"].as_str().unwrap_or_default().to_owned();
        self.artifact(row).is_ok_and(|artifact| !runtime(artifact).starts_with("provided"))
    }

    pub fn archive(&self, row: &Row, wrapped: bool) -> Result<Target, String> {
        let path = PathBuf::from(self.artifact(row)?["path"].as_str().unwrap_or_default());
        let folder = self.done.dir().join("unpacked").join(row.name);
        let task = folder.join("task");
        if !task.exists() {
            let unzip = "import os, sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nfor i in z.infolist():\n    os.chmod(z.extract(i, sys.argv[2]), i.external_attr >> 16)\n";
            let status = Command::new("python3").args(["-c", unzip]).arg(&path).arg(&task).status();
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("{} can't be unpacked", path.display()));
            }
        }
        if !wrapped {
            let start = task.join("bootstrap");
            return Ok(self.emulated(row, Make::Archive { task, start, wrapped }));
        }
        // What AWS documents of a managed runtime's start: the wrapper is called with the command in its place.
        let start = folder.join("managed");
        let ric = super::emulator::bed().join("ric");
        let script = format!(
            "#!/bin/sh\nexport PYTHONPATH=\"{}${{PYTHONPATH:+:$PYTHONPATH}}\"\nexec \"$AWS_LAMBDA_EXEC_WRAPPER\" python3 -m awslambdaric \"$_HANDLER\"\n",
            ric.display()
        );
        std::fs::write(&start, script).expect("a script");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&start, mode).expect("a program");
        Ok(self.emulated(row, Make::Archive { task, start, wrapped }))
    }

    fn emulated(&self, row: &Row, make: Make) -> Target {
        Target { place: Place::Lambda(Emulator::new(make, self.parameters.port)), plain: plain(row) }
    }
}
