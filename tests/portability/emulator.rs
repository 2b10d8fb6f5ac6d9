//! AWS's own runtime interface emulator around functions: an instance for each call that runs, as on Lambda; HTTP
//! requests become events of function URLs, and answers HTTP again.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::support::platform::Answer;

/// How many run at the same time; Lambda takes more. Each must have started within Lambda's ten seconds, on any machine.
const MOST: usize = 3;

/// The emulator's program and the folder of its bed.
pub fn bed() -> PathBuf {
    static READY: OnceLock<()> = OnceLock::new();
    let cache = std::env::var("FAAS_TESTBED_CACHE")
        .unwrap_or_else(|_| format!("{}/.cache/faas-testbed", std::env::var("HOME").expect("HOME")));
    READY.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beds/lambda/testbed.sh");
        let status = Command::new(script).arg("emulator").stdout(Stdio::null()).status();
        assert!(status.expect("testbed.sh").success(), "testbed.sh emulator");
    });
    PathBuf::from(cache).join("lambda")
}

/// AWS's parameter store, as far as secrets need it: moto, reached from containers as well.
pub struct Parameters {
    child: Child,
    pub port: u16,
}

impl Parameters {
    pub fn start() -> Self {
        let port = free();
        let child = Command::new(bed().join("venv/bin/moto_server"))
            .args(["-H", "0.0.0.0", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto");
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "moto does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, port }
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// The host's address in the engine's network.
pub fn bridge() -> String {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let output = Command::new("docker").args(["network", "inspect", "bridge", "-f", format]).output().expect("docker");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if text.is_empty() { "172.17.0.1".into() } else { text }
}

/// What Lambda's environment is like.
fn environment(host: &str, parameters: u16) -> Vec<(&'static str, String)> {
    let kept = |name: &str| format!("{name}=ssm:/faas/default/{name}");
    vec![
        ("AWS_LAMBDA_FUNCTION_TIMEOUT", "30".into()),
        ("AWS_LAMBDA_FUNCTION_NAME", "probe".into()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", "test".into()),
        ("AWS_SECRET_ACCESS_KEY", "test".into()),
        ("AWS_ENDPOINT_URL_SSM", format!("http://{host}:{parameters}")),
        ("FAAS_SECRETS", format!("{},{}", kept("portability-key"), kept("webhook-url"))),
        ("PROBE", "set".into()),
    ]
}

/// How instances are made.
pub enum Make {
    /// An unpacked archive: its `bootstrap`, or a script that a managed runtime starts and that starts it.
    Archive { task: PathBuf, start: PathBuf, wrapped: bool },
    /// An image whose process is the invoker.
    Image { image: String },
}

/// A function, and its instances that wait for a call.
#[derive(Clone)]
pub struct Emulator(Arc<Inner>);

struct Inner {
    make: Make,
    parameters: u16,
    state: Mutex<(Vec<Instance>, usize)>,
    idle: Condvar,
}

struct Instance {
    child: Option<Child>,
    container: Option<String>,
    address: String,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(name) = &self.container {
            let _ =
                Command::new("docker").args(["rm", "-f", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        if let Some(child) = &mut self.child {
            // The emulator, the invoker and the function.
            let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).stderr(Stdio::null()).status();
            let _ = child.wait();
        }
    }
}

impl Emulator {
    pub fn new(make: Make, parameters: u16) -> Self {
        Self(Arc::new(Inner { make, parameters, state: Mutex::default(), idle: Condvar::new() }))
    }

    /// A call as by the function's URL.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        let text = self.with_instance(&event(method, path, headers, body).to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {}", cut(&text)))?;
        let Some(status) = answer["statusCode"].as_u64() else { return Err(format!("it was {}", cut(&text))) };
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            fields.push((name.to_ascii_lowercase(), value.as_str().unwrap_or_default().into()));
        }
        for cookie in answer["cookies"].as_array().into_iter().flatten() {
            fields.push(("set-cookie".into(), cookie.as_str().unwrap_or_default().into()));
        }
        let text = answer["body"].as_str().unwrap_or_default();
        let body = match answer["isBase64Encoded"].as_bool() {
            Some(true) => BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?,
            _ => text.as_bytes().to_vec(),
        };
        Ok(Answer { status: u16::try_from(status).unwrap_or(0), headers: fields, body })
    }

    fn with_instance(&self, event: &str) -> Result<String, String> {
        let mut state = self.0.state.lock().expect("instances");
        let instance = loop {
            if let Some(instance) = state.0.pop() {
                break instance;
            }
            if state.1 < MOST {
                state.1 += 1;
                drop(state);
                let made = self.make();
                state = self.0.state.lock().expect("instances");
                match made {
                    Ok(instance) => break instance,
                    Err(error) => {
                        state.1 -= 1;
                        return Err(error);
                    }
                }
            }
            state = self.0.idle.wait(state).expect("instances");
        };
        drop(state);
        let answer = post(&instance.address, event);
        self.0.state.lock().expect("instances").0.push(instance);
        self.0.idle.notify_one();
        answer.map_err(|error| error.to_string())
    }

    fn make(&self) -> Result<Instance, String> {
        let port = free();
        let address = format!("127.0.0.1:{port}");
        let instance = match &self.0.make {
            Make::Archive { task, start, wrapped } => {
                let mut command = Command::new(bed().join("rie"));
                command
                    .args(["--log-level", "error", "--runtime-interface-emulator-address", &address])
                    .args(["--runtime-api-address", &format!("127.0.0.1:{}", free())])
                    .arg(start)
                    .arg("bootstrap")
                    .env_clear()
                    .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                    .env("HOME", "/tmp")
                    .env("LAMBDA_TASK_ROOT", task)
                    .envs(environment("127.0.0.1", self.0.parameters))
                    // Instances on Lambda have a `/tmp` each.
                    .env("FAAS_SECRETS_DIR", task.join(format!(".secrets-{port}")))
                    .current_dir(task)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                if *wrapped {
                    command.env("AWS_LAMBDA_EXEC_WRAPPER", task.join("bootstrap"));
                }
                std::os::unix::process::CommandExt::process_group(&mut command, 0);
                Instance { child: Some(command.spawn().map_err(|error| error.to_string())?), container: None, address }
            }
            Make::Image { image } => {
                let name = format!("probe-{}-{port}", std::process::id());
                let mut command = Command::new("docker");
                command.args(["run", "-d", "--rm", "--name", &name, "-p", &format!("{address}:8080")]);
                command.args(["-v", &format!("{}:/rie:ro", bed().join("rie").display()), "--entrypoint", "/rie"]);
                for (key, value) in environment(&bridge(), self.0.parameters) {
                    command.args(["-e", &format!("{key}={value}")]);
                }
                let output = command.args([image, "--log-level", "error", "/usr/bin/faas-watchdog"]).output();
                let output = output.map_err(|error| error.to_string())?;
                if !output.status.success() {
                    return Err(String::from_utf8_lossy(&output.stderr).into_owned());
                }
                Instance { child: None, container: Some(name), address }
            }
        };
        let until = Instant::now() + Duration::from_secs(30);
        // An engine's proxy takes connections before anybody listens behind it; the emulator answers GET with 404.
        while request(&instance.address, "GET", "/", "").is_err() {
            if Instant::now() > until {
                return Err("the emulator does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        Ok(instance)
    }
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// What a function URL makes of a request (payload 2.0).
fn event(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut fields: Map<String, Value> = Map::new();
    let mut cookies: Vec<&str> = Vec::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "cookie" {
            cookies.extend(value.split("; "));
            continue;
        }
        let joined = match fields.get(&name).and_then(Value::as_str) {
            Some(have) => format!("{have},{value}"),
            None => (*value).to_owned(),
        };
        fields.insert(name, joined.into());
    }
    // Bytes that are called text stay text.
    let kind = fields.get("content-type").and_then(Value::as_str).unwrap_or_default();
    let is_text = kind.starts_with("text/") || kind == "application/json";
    let text = std::str::from_utf8(body).ok().filter(|_| is_text || body.is_empty());
    let context =
        json!({"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "tests"});
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": fields,
        "requestContext": {"http": context, "requestId": "1", "routeKey": "$default", "stage": "$default"},
        "body": text.map_or_else(|| BASE64_STANDARD.encode(body), str::to_owned), "isBase64Encoded": text.is_none(),
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    event
}

fn post(address: &str, body: &str) -> std::io::Result<String> {
    request(address, "POST", "/2015-03-31/functions/function/invocations", body)
}

fn request(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all(head.as_bytes())?;
    socket.write_all(body.as_bytes())?;
    let mut raw = Vec::new();
    socket.read_to_end(&mut raw)?;
    if raw.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&crate::support::platform::parse(&raw).body).into_owned())
}
