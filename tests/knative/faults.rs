//! An API server that goes away, forgets, lacks Knative, or can't be trusted.
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faas::backend::Backend;
use serde_json::{Value, json};

use super::bed::*;
use super::relay::{Does, Relay, expired_watch, status};
use crate::support::server::{Server, answer};
use crate::support::{Done, Test};

/// A session whose cluster is behind the relay.
fn through(place: &Place, relay: &Relay, stack: &str, args: &[&str]) -> Test {
    Test::new()
        .file("stack.yml", stack)
        .file("relay.yaml", relay.kubeconfig())
        .env("KUBECONFIG", "relay.yaml")
        .env("FAAS_KNATIVE_INGRESS", &place.bed.ingress)
        .args(args.iter().map(ToString::to_string))
}

/// Whether it is the watch of a deployment.
fn is_watch(line: &str) -> bool {
    line.contains("/services?") && line.contains("watch=true")
}

#[tokio::test]
async fn an_api_server_that_goes_away_during_a_watch_is_waited_for() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "away").await;
    let relay = Relay::new(&place);
    let hand = relay.hand();
    let mut first = true;
    relay.rule(move |line| {
        if is_watch(line) && std::mem::take(&mut first) {
            hand.down_soon(Some(Duration::from_secs(4)));
        }
        Does::Pass
    });
    let deploy =
        |name: &str, timeout: &str| through(&place, &relay, &place.stack(name, "1"), &["deploy", "--timeout", timeout]);
    deploy("back", "2m").stdout_has("created").stderr_has("the API server doesn't answer").run();
    assert!(relay.asked(&["GET ", "/services/back"]) >= 2, "before it is deployed, and once the API server is back");

    // Away for good: told when the time is up, and what there is to do.
    let hand = relay.hand();
    relay.rule(move |line| {
        if is_watch(line) {
            hand.down_soon(None);
        }
        Does::Pass
    });
    let gone = deploy("gone", "6s").status(124).stderr_has("doesn't become ready within 6s").run();
    for words in ["the API server doesn't answer", "may be ready by now", "faas ready gone"] {
        assert!(gone.stderr.contains(words), "{words}: {}", gone.stderr);
    }
    relay.down(false);
    relay.rule(|_| Does::Pass);
    place.backend.remove(&id("gone")).await.expect("it was deployed");

    // Before anything was asked, and while it starts.
    relay.rule(|_| Does::Close);
    deploy("never", "20s").status(1).stderr_has("is the cluster running").run();
    relay.rule(|line| match line.starts_with("PATCH ") {
        true => Does::Answer(status(503, "ServiceUnavailable", "apiserver is shutting down")),
        false => Does::Pass,
    });
    deploy("never", "20s").status(1).stderr_has("apiserver is shutting down").run();
}

#[test]
fn a_busy_api_server_is_asked_again_and_not_for_ever() {
    let list = |server: &Server| {
        let url = &server.url;
        let kubeconfig = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {{server: '{url}'}}}}], \
             contexts: [{{name: c, context: {{cluster: c}}}}], users: []}}"
        );
        let stack = "version: 1.0\nprovider: {name: knative}\nfunctions: {}\n";
        Test::new()
            .file("stack.yml", stack)
            .file("config.yaml", kubeconfig)
            .env("KUBECONFIG", "config.yaml")
            .arg("list")
    };
    let busy = |code: u16, wait: &str| {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": "ServiceUnavailable", "message": "apiserver is shutting down"});
        answer(&format!("{code} No"), &[("Content-Type", "application/json"), ("Retry-After", wait)], &body.to_string())
    };
    let none = json!({"apiVersion": "serving.knative.dev/v1", "kind": "ServiceList", "metadata": {}, "items": []});
    let none = answer("200 OK", &[("Content-Type", "application/json")], &none.to_string());
    let asked = AtomicUsize::new(0);
    let soon = Server::new(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => busy(429, "1"),
        1 => busy(503, "0"),
        _ => none.clone(),
    });
    list(&soon).run();
    assert_eq!(soon.asked().len(), 3, "{:?}", soon.lines());

    // One that wants to be left alone for longer than anybody waits at a prompt.
    let later = Server::new(move |_| busy(503, "3600"));
    list(&later).status(1).stderr_has("apiserver is shutting down").stderr_has("try later").run();
    assert_eq!(later.asked().len(), 1, "{:?}", later.lines());
}

#[tokio::test]
async fn a_service_that_others_write_meanwhile_is_scaled_all_the_same() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "busy").await;
    let relay = Relay::new(&place);
    let stack = place.stack("echo", "1");
    through(&place, &relay, &stack, &["deploy", "--timeout", "2m"]).stdout_has("created").run();
    let mut refused = 0;
    relay.rule(move |line| {
        refused += u32::from(line.starts_with("PATCH "));
        match line.starts_with("PATCH ") && refused <= 2 {
            true => Does::Answer(status(409, "Conflict", "the object has been modified")),
            false => Does::Pass,
        }
    });
    through(&place, &relay, &stack, &["scale", "echo", "2"]).stdout("Scaled echo to 2.\n").run();
    relay.rule(|line| match line.starts_with("PATCH ") {
        true => Does::Answer(status(409, "Conflict", "the object has been modified")),
        false => Does::Pass,
    });
    through(&place, &relay, &stack, &["scale", "echo", "1"]).status(1).stderr_has("has been modified").run();
}

#[tokio::test]
async fn what_the_api_server_forgot_is_asked_anew() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "forgot").await;
    let relay = Relay::new(&place);
    // The first watch ends with 410 as an event, the second as an answer, the third one dies without a word.
    let mut watches = 0;
    relay.rule(move |line| {
        watches += usize::from(is_watch(line));
        match watches {
            1 if is_watch(line) => Does::Answer(expired_watch()),
            2 if is_watch(line) => Does::Answer(status(410, "Expired", "too old resource version")),
            3 if is_watch(line) => Does::Hang,
            _ => Does::Pass,
        }
    });
    through(&place, &relay, &place.stack("a", "1"), &["deploy", "--timeout", "5m"]).stdout_has("created").run();
    assert!(relay.asked(&["/services?", "watch=true"]) >= 3);

    // A list whose place was forgotten begins again, and nothing is told twice.
    for name in ["b", "c"] {
        through(&place, &relay, &place.stack(name, "1"), &["deploy", "--no-wait"]).run();
    }
    let mut forgets = true;
    relay.rule(move |line| {
        if line.contains("continue=") && std::mem::take(&mut forgets) {
            return Does::Answer(status(410, "Expired", "The provided continue parameter is too old"));
        }
        Does::Rewrite(line.replace("limit=500", "limit=1"))
    });
    through(&place, &relay, &place.stack("a", "1"), &["list", "-q"]).stdout("a\nb\nc\n").run();
    assert!(relay.asked(&["/services?", "continue="]) >= 3);
}

#[tokio::test]
async fn a_followed_log_goes_on_where_it_was_cut() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "cutlog").await;
    let relay = Relay::new(&place);
    place.apply(&echo("1"), &Heard::default()).await.expect("deployed");
    place.call("echo", "/before", "").await;
    let session = through(&place, &relay, "provider: {name: knative}\nfunctions: {}\n", &["logs", "echo"]);
    let mut log = session.spawn();
    let text = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let (mut stdout, lines) = (log.stdout.take().expect("stdout"), text.clone());
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = std::io::Read::read(&mut stdout, &mut piece) {
            lines.lock().expect("lock").push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    });
    let seen = async |words: &str| {
        for _ in 0..300 {
            if text.lock().expect("lock").contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no {words} in {}", text.lock().expect("lock"));
    };
    seen("/before").await;
    relay.cut();
    place.call("echo", "/after", "").await;
    seen("/after").await;
    let all = text.lock().expect("lock").clone();
    for words in ["/before", "/after"] {
        assert_eq!(all.matches(words).count(), 1, "{all}");
    }
    log.kill().expect("ended");
    log.wait().expect("ended");
}

#[tokio::test]
async fn a_cluster_without_knative_says_so() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "without").await;
    let relay = Relay::new(&place);
    // The API server's own answer for a group that it doesn't have.
    relay.rule(|line| Does::Rewrite(line.replace("/apis/serving.knative.dev/", "/apis/absent.knative.dev/")));
    for args in [&["list"][..], &["deploy"], &["describe", "echo"], &["invoke", "echo"], &["plan"]] {
        let done = through(&place, &relay, &place.stack("echo", "1"), args).status(1);
        done.stderr_has("is Knative Serving installed there").run();
    }
    // Without Eventing functions work, and what needs it is refused before anything is made.
    relay.rule(|line| {
        let line = line.replace("/apis/eventing.knative.dev/", "/apis/absent.knative.dev/");
        Does::Rewrite(line.replace("/apis/sources.knative.dev/", "/apis/absent.knative.dev/"))
    });
    let session = |more: &str, args: &[&str]| through(&place, &relay, &(place.stack("echo", "1") + more), args);
    let schedule = "    schedule: '*/5 * * * *'\n";
    session(schedule, &["deploy"])
        .status(6)
        .stderr_has("it has no PingSource")
        .stderr_has("install Knative Eventing")
        .run();
    session("    topic: a\n", &["deploy"]).status(6).stderr_has("it has no Trigger").run();
    session("", &["describe", "echo"]).status(4).run();
    session("", &["deploy", "--no-wait"]).stdout_has("created").run();
    let queued = session("", &["invoke", "echo", "--async"]).status(6).stderr_has("has no Knative Eventing");
    queued.stderr_has("leave out --async").run();
}

#[tokio::test]
async fn certificates_and_plugins_that_are_no_good_are_told_apart() {
    let Some(bed) = bed() else { return };
    let place = Place::new(bed, "certs").await;
    let text = place.kubectl_output(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
    let config: Value = serde_json::from_str(&text).expect("JSON");
    let list = |change: &dyn Fn(&mut Value)| {
        let mut config = config.clone();
        change(&mut config);
        let kubeconfig = config.to_string();
        place.prompt().file("config.json", kubeconfig).env("KUBECONFIG", "config.json").args(["list"])
    };

    // Files that the kubeconfig names, and that aren't there or hold something else.
    let missing = |config: &mut Value| {
        config["users"][0]["user"] = json!({"client-certificate": "gone.crt", "client-key": "gone.key"});
    };
    let told = list(&missing).status(1).stderr_has("gone.").stderr_has("No such file");
    told.stderr_has("look at client-certificate").stderr_has("of the user").run();
    let broken = |config: &mut Value| config["users"][0]["user"]["client-key-data"] = json!("bm9uc2Vuc2U=");
    list(&broken).status(1).stderr_has("look at client-key").run();
    let missing = |config: &mut Value| {
        let server = config["clusters"][0]["cluster"]["server"].clone();
        config["clusters"][0]["cluster"] = json!({"server": server, "certificate-authority": "gone-ca.crt"});
    };
    list(&missing).status(1).stderr_has("gone-ca.crt").run();
    list(&missing).file("gone-ca.crt", "no certificate\n").status(1).stderr_has("can't").run();

    // Another authority than the one that signed the server's certificate.
    let pki = tempfile::tempdir().expect("a folder");
    let ours = Authority::new(pki.path());
    let other =
        |config: &mut Value| config["clusters"][0]["cluster"]["certificate-authority-data"] = json!(ours.data());
    list(&other).status(1).stderr_has("is not trusted").run();

    // A server whose certificate is out of date, and one that has another name.
    for (name, days, words) in [("expired", "-1", "is out of date"), ("elsewhere", "1", "has other names")] {
        let san = if name == "elsewhere" { "DNS:elsewhere.example.com" } else { "IP:127.0.0.1" };
        ours.sign(name, days, &format!("/CN={name}"), san);
        let (port, _server) = ours.serve(name);
        let there = |config: &mut Value| {
            config["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{port}"));
            config["clusters"][0]["cluster"]["certificate-authority-data"] = json!(ours.data());
        };
        list(&there).status(1).stderr_has(words).run();
    }

    // A certificate of ours that the cluster once gave, and that is over.
    let authority = Path::new(&place.bed.kubeconfig).with_file_name("pki");
    let cluster = Authority { folder: pki.path().into(), key: authority.join("ca.key"), crt: authority.join("ca.crt") };
    cluster.sign("guest", "-1", "/O=system:masters/CN=guest", "DNS:guest");
    let (crt, key) = (cluster.path("guest.crt"), cluster.path("guest.key"));
    let over = |config: &mut Value| config["users"][0]["user"] = json!({"client-certificate": crt, "client-key": key});
    list(&over).status(5).stderr_has("out of date").stderr_has("log in again").run();

    // A plugin that waits for something: Ctrl-C ends it, and so does time.
    let plugin = |script: &str| {
        let script = script.to_owned();
        move |config: &mut Value| {
            config["users"][0]["user"] = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1",
                "interactiveMode": "Never", "command": "sh", "args": ["-c", script]}});
        }
    };
    let session = list(&plugin("exec sleep 300"));
    let mut waits = session.spawn();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let interrupted = Command::new("kill").args(["-INT", &waits.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    let ended = tokio::time::timeout(Duration::from_secs(20), tokio::task::spawn_blocking(move || waits.wait()));
    assert_eq!(ended.await.expect("in time").expect("thread").expect("status").code(), Some(130));
    list(&plugin("echo '{}'")).status(5).stderr_has("credentials").run();
    list(&plugin("echo no login >&2; exit 3")).status(5).stderr_has(": sh ended with exit status: 3: no login").run();
    let absent = |config: &mut Value| {
        config["users"][0]["user"] = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1",
            "interactiveMode": "Never", "command": "no-such-plugin"}});
    };
    list(&absent).status(5).stderr_has("no-such-plugin").run();
    // It is ended with all that it started.
    let hangs = list(&plugin("echo $$ > shell; sleep 300 & echo $! > child; wait"));
    let done: Done = hangs.status(124).stderr_has("waiting for the kubeconfig's credential plugin `sh`").run();
    for words in ["gave no answer within 20s, and was ended", "run it by hand"] {
        assert!(done.stderr.contains(words), "{words}: {}", done.stderr);
    }
    for file in ["shell", "child"] {
        let running = std::fs::read(format!("/proc/{}/cmdline", done.read(file).trim())).unwrap_or_default();
        assert!(running.is_empty(), "{file} is left: {}", String::from_utf8_lossy(&running));
    }
}

/// A maker of certificates, by `openssl`.
struct Authority {
    folder: std::path::PathBuf,
    key: std::path::PathBuf,
    crt: std::path::PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        let made = Self { folder: folder.into(), key: folder.join("ca.key"), crt: folder.join("ca.crt") };
        let (key, crt) = (made.path("ca.key"), made.path("ca.crt"));
        let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=test-ca";
        openssl(args.split(' ').chain(["-keyout", &key, "-out", &crt]));
        made
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// The certificate as kubeconfigs have it.
    fn data(&self) -> String {
        let bytes = std::fs::read(&self.crt).expect("a file");
        let output = Command::new("base64").arg("-w0").arg(&self.crt).output().expect("base64 runs");
        assert!(output.status.success() && !bytes.is_empty());
        String::from_utf8(output.stdout).expect("text")
    }

    /// NAME.crt and NAME.key, good for so many days; fewer than none are over.
    fn sign(&self, name: &str, days: &str, subject: &str, san: &str) {
        let [key, csr, crt, ext] = ["key", "csr", "crt", "ext"].map(|part| self.path(&format!("{name}.{part}")));
        std::fs::write(&ext, format!("subjectAltName={san}\n")).expect("a file");
        let args = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(args.split(' ').chain(["-keyout", &key, "-out", &csr, "-subj", subject]));
        let (ca, ca_key) = (self.crt.to_string_lossy(), self.key.to_string_lossy());
        let args = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-set_serial", "7", "-days", days];
        openssl(args.into_iter().chain(["-extfile", &ext, "-out", &crt]));
    }

    /// A server with that certificate, which ends with what is given back.
    fn serve(&self, name: &str) -> (u16, Ended) {
        let port = crate::support::free_port();
        let (key, crt) = (self.path(&format!("{name}.key")), self.path(&format!("{name}.crt")));
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-cert", &crt, "-key", &key]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("openssl");
        let child = Ended(child);
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        (port, child)
    }
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl<'a>(args: impl IntoIterator<Item = &'a str>) {
    let args: Vec<_> = args.into_iter().collect();
    let output = Command::new("openssl").args(&args).output().expect("openssl runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
