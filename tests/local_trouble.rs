//! The embedded platform in trouble at a prompt: a full disk, broken files, stops and deployments that are cut short.
use std::process::{Command, Stdio};

use crate::support::platform::{Platform, is_alive};
use crate::support::{Done, Local, Test, free_port};

/// A function that is ready once the file `go` is in the folder, and writes its process into `pid` before.
const WAITS: &str = "import os, time\n\
    base = os.environ['BASE']\n\
    open(base + '/pid.new', 'w').write(str(os.getpid()))\n\
    os.rename(base + '/pid.new', base + '/pid')\n\
    while not os.path.exists(base + '/go'):\n    time.sleep(0.02)\n\n\
    def handle(req):\n    return req\n";

fn stack(port: u16, base: &std::path::Path) -> String {
    format!(
        "name: trouble\nprovider:\n  name: local\n  gateway: http://127.0.0.1:{port}\nfunctions:\n  slow:\n    \
         lang: python3\n    handler: ./slow\n    environment: {{BASE: {}}}\n",
        base.display()
    )
}

fn waiting() -> Test {
    let test = Test::new();
    let dir = test.dir();
    test.file("stack.yml", stack(free_port(), &dir)).file("slow/handler.py", WAITS)
}

/// The process that [`WAITS`] runs in.
fn pid(done: &Done) -> u64 {
    until("the function starts", || done.dir().join("pid").exists());
    done.read("pid").parse().unwrap()
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "never came: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// On a disk of its own, which only a mount namespace can have.
#[test]
fn a_full_disk_is_told_and_all_goes_on_once_there_is_space_again() {
    let test = Test::new();
    let like = test.command();
    let script = "mkdir -p $FAAS_HOME && mount -t tmpfs -o size=8m none $FAAS_HOME || exit 90\n\
        fill() { dd if=/dev/zero of=$FAAS_HOME/fill bs=1k count=20000 2>/dev/null; }\n\
        $FAAS local start --port 0 || exit 91\n\
        fill\n\
        for n in $(seq 100); do $FAAS namespace create a$n 2>said || break; done\n\
        cat said\n\
        $FAAS namespace create more 2>&1 && exit 92\n\
        rm $FAAS_HOME/fill\n\
        $FAAS namespace create later || exit 93\n\
        $FAAS local stop && $FAAS local start --port 0 && $FAAS namespace list || exit 94\n\
        $FAAS local stop\n\
        rm $FAAS_HOME/data/local/daemon.log; fill\n\
        $FAAS local start --port 0 2>&1 && exit 95\n\
        exit 0\n";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).current_dir(test.dir()).env_clear();
    command.env("FAAS", like.get_program());
    for (name, value) in like.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let shown = format!("{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(told.contains("no space left on the disk that holds") && told.contains("free some"), "{shown}");
    assert!(!told.contains("Previous I/O error"), "{shown}");
    assert!(told.contains(" - later\n"), "{shown}");
    assert!(told.contains("there is no room in") && told.contains("hint: free some space on that disk"), "{shown}");
}

#[test]
fn a_damaged_database_is_told_with_the_way_out_and_not_by_a_backtrace() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    platform.faas(["local", "stop"]).run();
    let path = platform.local.join("state.redb");
    let whole = std::fs::read(&path).unwrap();
    // In its head, and in all that comes after it.
    for (from, step) in [(3, 3), (4096, 1)] {
        let mut damaged = whole.clone();
        damaged.iter_mut().skip(from).step_by(step).for_each(|byte| *byte ^= 0xff);
        std::fs::write(&path, damaged).unwrap();
        let told = platform.faas(["local", "start", "--port", "0"]).status(1).stderr_has("move it away").run();
        assert!(!told.stderr.contains("panicked"), "{}", told.stderr);
    }
}

#[test]
fn a_broken_state_file_keeps_nobody_from_finding_and_stopping_the_platform() {
    let platform = Platform::start();
    let state = platform.local.join("running.json");
    std::fs::remove_file(&state).unwrap();
    // A folder in its place can't be written over.
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("x"), "").unwrap();
    platform.faas(["local", "status"]).stdout_has(&platform.url).run();
    platform.faas(["local", "start"]).stdout(format!("The embedded platform runs already on {}\n", platform.url)).run();
    platform.faas(["list"]).run();
    platform.faas(["local", "stop"]).stdout("Stopped the embedded platform\n").run();
    platform.faas(["local", "status"]).status(4).run();
}

#[test]
fn a_lost_state_file_is_written_anew() {
    let platform = Platform::start();
    let state = platform.local.join("running.json");
    let before = std::fs::read(&state).unwrap();
    std::fs::remove_file(&state).unwrap();
    platform.until("it is there again", || std::fs::read(&state).is_ok_and(|now| now == before));
}

#[test]
fn while_it_stops_that_is_what_everybody_is_told_and_a_start_waits_for_its_end() {
    let platform = Platform::start();
    platform.deploy("echo", &platform.python("echo"));
    let dir = platform.dir().join("echo");
    let mut call = platform.send("GET", "/function/echo/mark/slow", &[], b"");
    platform.until("the call is in flight", || {
        platform.get("/metrics").text().contains("_inflight{function_name=\"echo.openfaas-fn\"} 1")
    });
    let stopping = platform.faas(["local", "stop"]).spawn();
    platform.until("it takes no more calls", || {
        std::net::TcpStream::connect(platform.url.strip_prefix("http://").unwrap()).is_err()
    });
    for command in [&["list"][..], &["local", "status"], &["invoke", "echo"]] {
        let told = platform.faas([]).args(command.iter().copied()).status(1);
        told.stderr_has("is stopping: it answers the last calls").stderr_has("`faas local start` waits").run();
    }
    let starting = platform.faas(["local", "start", "--port", "0"]).spawn();
    std::fs::write(dir.join("go"), "").unwrap();
    std::io::Read::read_to_end(&mut call, &mut Vec::new()).unwrap();
    assert!(stopping.wait_with_output().unwrap().status.success());
    let started = starting.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&started.stdout), String::from_utf8_lossy(&started.stderr));
    assert!(out.starts_with("Started the embedded platform on "), "{out}{err}");
    platform.faas(["local", "status"]).run();
}

#[test]
fn a_deployment_that_is_interrupted_is_given_up() {
    let test = waiting();
    let done = test.args(["list"]).status(4).run();
    let _stop = Local::of(&done);
    let up = done.then().args(["up"]).spawn();
    let function = pid(&done);
    assert!(Command::new("kill").args(["-INT", &up.id().to_string()]).status().unwrap().success());
    let ended = up.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{told}");
    assert!(told.contains("what did not answer yet was given up"), "{told}");
    // Left alone it would be ready now.
    std::fs::write(done.dir().join("go"), "").unwrap();
    until("its process ends", || !is_alive(function));
    done.then().args(["list", "--quiet"]).stdout("").run();
}

#[test]
fn without_waiting_a_deployment_is_answered_before_the_function_is_ready() {
    let done = waiting().args(["up", "--no-wait"]).run();
    let _stop = Local::of(&done);
    let available = || {
        let shown = done.then().args(["describe", "slow", "--output", "json"]).run();
        shown.json()["availableReplicas"].as_u64()
    };
    assert_eq!(available(), Some(0));
    std::fs::write(done.dir().join("go"), "").unwrap();
    until("it answers", || available() == Some(1));
}

#[test]
fn after_a_start_of_the_platform_up_waits_for_what_is_starting_and_changes_nothing() {
    let test = waiting();
    std::fs::write(test.dir().join("go"), "").unwrap();
    let done = test.args(["up"]).run();
    let _stop = Local::of(&done);
    done.then().args(["local", "stop"]).run();
    std::fs::remove_file(done.dir().join("go")).unwrap();
    std::fs::remove_file(done.dir().join("pid")).unwrap();
    done.then().args(["local", "start"]).run();
    pid(&done);
    let again = done.then().args(["up"]).command().stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::fs::write(done.dir().join("go"), "").unwrap();
    let told = again.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("unchanged"), "{told}");
}

#[test]
fn the_log_of_a_first_deployment_that_failed_is_there_to_read() {
    let test = waiting().file("slow/handler.py", "raise SystemExit('no module named tax')\n");
    let done = test.args(["up"]).status(1).stderr_has("`faas logs slow` shows all that it said").run();
    let _stop = Local::of(&done);
    done.then().args(["logs", "slow", "--tail=false"]).stdout_has("no module named tax").run();
    done.then().args(["logs", "other", "--tail=false"]).status(4).run();
}

#[test]
fn a_namespace_has_a_name_that_stacks_can_use() {
    let platform = Platform::start();
    platform
        .faas(["namespace", "create", "Dev"])
        .status(2)
        .stderr_has("`Dev` can't be a namespace's name: `D` can't be in it: only a-z, 0-9 and `-` can")
        .run();
    platform.faas(["namespace", "create", "dev"]).stdout("Created namespace dev.\n").run();
}

#[test]
fn a_relative_home_is_below_the_folder_of_the_command() {
    let done = Test::new().env("FAAS_HOME", "here").args(["local", "start", "--port", "0"]).run();
    let _stop = Local::of(&done);
    assert!(done.dir().join("here/data/local/running.json").is_file());
    done.then().args(["local", "status"]).run();
}

#[test]
fn prune_wants_a_name_of_the_stacks_own_and_a_new_name_is_marked_without_a_restart() {
    let test = waiting();
    std::fs::write(test.dir().join("go"), "").unwrap();
    let named = std::fs::read_to_string(test.dir().join("stack.yml")).unwrap();
    let unnamed = named.replace("name: trouble\n", "");
    let done = test.file("stack.yml", unnamed).args(["up"]).run();
    let _stop = Local::of(&done);
    let first = pid(&done);
    done.then()
        .args(["up", "--prune"])
        .status(2)
        .stderr_has("--prune needs a stack with a name, and stack.yml has no `name:`")
        .stderr_has("write `name: work`")
        .run();
    let plan = done.then().file("stack.yml", named).args(["plan", "--exit-code"]).status(3);
    plan.stdout_has("update slow (it bears the mark of stack work)").run();
    done.then().args(["up"]).stdout_has("updated").run();
    let shown = done.then().args(["describe", "slow", "--output", "json"]).run();
    assert_eq!(shown.json()["annotations"]["faas.dev/stack"], "trouble");
    assert_eq!(pid(&done), first);
    assert!(is_alive(first));
    done.then().args(["up", "--prune"]).stdout_has("unchanged").run();
}

#[test]
fn a_python_that_is_broken_or_hangs_is_named() {
    use std::os::unix::fs::PermissionsExt;
    for (script, code, said) in [
        ("#!/bin/sh\necho boom >&2\nexit 1\n", 1, "python3 --version` says boom"),
        ("#!/bin/sh\nexec sleep 1000\n", 124, "python3 --version` gives no answer within"),
    ] {
        let test = waiting().file("bin/python3", script);
        let python = test.dir().join("bin/python3");
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", test.dir().join("bin").display(), std::env::var("PATH").unwrap());
        let done = test.env("PATH", path).arg("build").status(code).stderr_has(python.display().to_string()).run();
        assert!(done.stderr.contains(said) && done.stderr.contains("hint: "), "{}", done.stderr);
        if code == 124 {
            done.then().arg("doctor").status(1).stdout_has("gives no answer within").run();
        }
    }
}

#[test]
fn ctrl_c_in_a_build_leaves_nothing_of_its_steps() {
    let manifest = "language: slow\nfprocess: cat\nnative:\n  run: cat\n  install:\n    - run: sh -c 'd=$(mktemp -d) && touch $d/half && echo begun && sleep 1000'\n";
    let stack = "provider: {name: local}\nfunctions:\n  slow: {lang: slow, handler: ./slow}\n";
    let test = Test::new()
        .file("template/slow/template.yml", manifest)
        .file("template/slow/function/a", "")
        .file("slow/a", "")
        .file("stack.yml", stack)
        .file("tmp/keep", "")
        .arg("build");
    let tmp = test.dir().join("tmp");
    let test = test.env("TMPDIR", tmp.display().to_string());
    let mut child = test.spawn();
    let halves = || {
        let found = Command::new("find").arg(&tmp).args(["-name", "half"]).output().unwrap();
        String::from_utf8(found.stdout).unwrap()
    };
    until("the step has begun", || !halves().is_empty());
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let left: Vec<_> = std::fs::read_dir(&tmp).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["keep"]);
}

#[test]
fn a_namespace_that_is_not_there_is_told_by_every_command() {
    let platform = Platform::with(waiting(), &[]);
    let commands = [
        "list",
        "up",
        "plan",
        "describe slow",
        "logs slow --tail=false",
        "remove slow",
        "scale slow 1",
        "secret list",
        "secret create key --from-file stack.yml",
        "ready slow --attempts 1",
    ];
    for command in commands {
        let args = command.split(' ').chain(["-n", "nope", "-g", &platform.url]);
        let done = Test::clone_place(&platform.faas([])).args(args).status(4).stderr_has("no such namespace").run();
        assert!(!done.stderr.contains("not valid") && !done.stderr.contains("building"), "{command}: {}", done.stderr);
    }
    platform
        .faas(["invoke", "slow.nope", "-g", &platform.url])
        .status(4)
        .stderr("error: there is no namespace nope\nhint: `faas namespace list` shows what is there\n")
        .run();
    platform.faas(["invoke", "slow", "-n", "a/b"]).status(2).stderr_has("`a/b` can't be a namespace's name").run();
}
