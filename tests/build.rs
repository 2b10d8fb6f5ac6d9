//! `faas build` as at a prompt: context folders, native bundles, what is refused, and what happens on a full disk.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::{Done, Test};

const STACK: &str =
    "provider: {name: openfaas}\nfunctions:\n  tax:\n    lang: mine\n    handler: ./tax\n    image: tax:1\n";
const LOCAL: &str = "provider: {name: local}\nfunctions:\n  tax:\n    lang: python3\n    handler: ./tax\n";

/// A project with a template of its own, so that no watchdog is needed.
fn project() -> Test {
    Test::new()
        .file("stack.yml", STACK)
        .file("template/mine/template.yml", "language: mine\nfprocess: cat\n")
        .file("template/mine/Dockerfile", "FROM scratch\n")
        .file("template/mine/function/handler.txt", "of the template")
        .file("template/mine/function/rest.txt", "of the template")
        .file("tax/handler.txt", "of the handler")
}

fn shrinkwrap(test: Test) -> Test {
    test.args(["build", "--shrinkwrap"])
}

fn local(handler: &str) -> Test {
    Test::new().file("stack.yml", LOCAL).file("tax/handler.py", handler).arg("build")
}

fn bundles(done: &Done) -> Vec<String> {
    let folder = done.faas_home().join("data/bundles");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with(".lock-"))
        .collect();
    names.sort();
    names
}

/// Whatever changes after a build that was seen to be unchanged at a glance is seen, too.
#[test]
fn what_is_remembered_is_forgotten_when_anything_changes() {
    let unchanged = "tax: unchanged in build/tax\n";
    let stack = STACK.to_owned() + "    build_args: {LEVEL: \"${LEVEL:-1}\"}\n";
    let seen = || {
        let done = shrinkwrap(project()).file("stack.yml", &stack).file("tax/empty/deep/x", "x").layout(|dir| {
            std::fs::remove_file(dir.join("tax/empty/deep/x")).unwrap();
        });
        let done = done.run();
        // What changed just before it was looked at is not trusted.
        std::thread::sleep(std::time::Duration::from_millis(120));
        shrinkwrap(done.then()).run();
        shrinkwrap(done.then()).stdout(unchanged).run();
        let hidden = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
        let left = std::fs::read_dir(done.dir().join("build")).expect("build").flatten().filter(hidden).count();
        assert_eq!(left, 0, "a build leaves nothing but contexts");
        let kept = std::fs::read_dir(done.faas_home().join("cache/builds")).unwrap();
        let kept = kept.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "seen"));
        assert_eq!(kept.count(), 1, "nothing was remembered");
        shrinkwrap(done.then()).stdout(unchanged).run();
        done
    };
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("a handler's file", |dir| std::fs::write(dir.join("tax/handler.txt"), "of the Handler").unwrap()),
        ("a new file in an empty folder", |dir| std::fs::write(dir.join("tax/empty/deep/y"), "y").unwrap()),
        ("a template's file", |dir| std::fs::write(dir.join("template/mine/function/rest.txt"), "other").unwrap()),
        ("a new file of a template", |dir| std::fs::write(dir.join("template/mine/new.txt"), "new").unwrap()),
        ("what was made", |dir| std::fs::write(dir.join("build/tax/Dockerfile"), "FROM other\n").unwrap()),
        ("what was made is gone", |dir| std::fs::remove_dir_all(dir.join("build")).unwrap()),
    ];
    for (what, change) in changes {
        let done = seen();
        let again = shrinkwrap(done.then()).layout(change).run();
        assert_eq!(again.stdout, "tax shrink-wrapped to build/tax\n", "{what}");
    }
    let done = seen();
    shrinkwrap(done.then()).env("LEVEL", "2").stdout(unchanged).run();
    shrinkwrap(done.then()).file("stack.yml", stack.replace("tax:1", "tax:2")).stdout(unchanged).run();
    shrinkwrap(done.then()).file("stack.yml", "provider: {name: nowhere}\n").status(2).run();
}

#[test]
fn a_context_as_faas_cli_makes_it() {
    let done = shrinkwrap(project())
        .file("tax/sub/x.txt", "x")
        .file("tax/build/no.txt", "left out")
        .file("tax/template/no.txt", "left out")
        .layout(|dir| {
            let script = dir.join("tax/run.sh");
            std::fs::write(&script, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
            symlink("handler.txt", dir.join("tax/link.txt")).unwrap();
        })
        .stdout("tax shrink-wrapped to build/tax\n")
        .stderr("")
        .run();
    assert_eq!(done.list("build"), ["tax/"]);
    assert_eq!(done.list("build/tax"), ["Dockerfile", "function/", "template.yml"]);
    assert_eq!(done.list("build/tax/function"), ["handler.txt", "link.txt", "rest.txt", "run.sh", "sub/"]);
    assert_eq!(done.read("build/tax/function/handler.txt"), "of the handler");
    assert_eq!(done.read("build/tax/function/rest.txt"), "of the template");
    let metadata = |path: &str| std::fs::symlink_metadata(done.dir().join("build/tax/function").join(path)).unwrap();
    assert!(metadata("link.txt").is_file(), "links are copied as files");
    assert_eq!(metadata("run.sh").permissions().mode() & 0o777, 0o755);
}

#[test]
fn only_what_changed_is_made_again() {
    let first = shrinkwrap(project()).run();
    // What changed in the same moment as it was looked at is not trusted.
    std::thread::sleep(std::time::Duration::from_millis(120));
    let again = || shrinkwrap(first.then());
    again().run();
    again().stdout("tax: unchanged in build/tax\n").run();
    std::fs::write(first.dir().join("tax/handler.txt"), "another handle").unwrap();
    again().stdout("tax shrink-wrapped to build/tax\n").run();
    assert_eq!(first.read("build/tax/function/handler.txt"), "another handle");
    std::thread::sleep(std::time::Duration::from_millis(120));
    again().run();
    // What somebody changed in the result is put right.
    std::fs::write(first.dir().join("build/tax/Dockerfile"), "FROM other\n").unwrap();
    std::fs::write(first.dir().join("build/tax/extra"), "").unwrap();
    again().stdout("tax shrink-wrapped to build/tax\n").run();
    assert_eq!(first.read("build/tax/Dockerfile"), "FROM scratch\n");
    assert_eq!(first.list("build/tax"), ["Dockerfile", "function/", "template.yml"]);
    std::fs::write(first.dir().join("tax/other.txt"), "").unwrap();
    std::fs::remove_file(first.dir().join("tax/handler.txt")).unwrap();
    again().stdout("tax shrink-wrapped to build/tax\n").run();
    assert_eq!(first.read("build/tax/function/handler.txt"), "of the template");
}

#[test]
fn extra_paths_keep_their_place() {
    let done = shrinkwrap(project())
        .file("stack.yml", format!("{STACK}configuration:\n  copy: [./common]\n"))
        .file("common/lib/a.txt", "a")
        .file("models/m.txt", "m")
        .args(["--copy-extra", "models/m.txt"])
        .run();
    assert_eq!(done.read("build/tax/function/common/lib/a.txt"), "a");
    assert_eq!(done.read("build/tax/function/models/m.txt"), "m");
}

#[test]
fn what_faasignore_names_is_left_out() {
    let done = shrinkwrap(project())
        .file("tax/.faasignore", "# not these\nnode_modules\n*.log\n!keep.log\n")
        .file("tax/node_modules/x/index.js", "")
        .file("tax/a.log", "")
        .file("tax/keep.log", "")
        .run();
    assert_eq!(done.list("build/tax/function"), ["handler.txt", "keep.log", "rest.txt"]);
    // As in .dockerignore: from the root, and what is left out above can be taken in below.
    let done = shrinkwrap(done.then())
        .file("tax/.faasignore", "*.log\nnode_modules\n!node_modules/x\n")
        .file("tax/sub/b.log", "")
        .file("tax/node_modules/y/index.js", "")
        .run();
    assert_eq!(done.list("build/tax/function"), ["handler.txt", "node_modules/", "rest.txt", "sub/"]);
    assert_eq!(done.list("build/tax/function/node_modules"), ["x/"]);
    shrinkwrap(done.then())
        .file("tax/.faasignore", "ok\n[\n")
        .status(2)
        .stderr_has("tax: tax/.faasignore:2: the pattern `[` is wrong")
        .run();
}

#[track_caller]
fn refused(make: impl FnOnce(&Path), message: &str) {
    let done = shrinkwrap(project()).layout(make).status(2).stderr_has(message).run();
    assert!(!done.dir().join("build/tax").exists(), "nothing is half-written");
    assert!(done.list("build").is_empty(), "{:?}", done.list("build"));
}

#[test]
fn hostile_handlers_are_refused() {
    refused(
        |dir| symlink("/etc/passwd", dir.join("tax/p")).unwrap(),
        "a link to /etc/passwd, which is outside the project",
    );
    refused(|dir| symlink("/etc", dir.join("tax/p")).unwrap(), "which is outside the project: p");
    refused(|dir| symlink("nowhere", dir.join("tax/p")).unwrap(), "a link to nowhere, which is not there: p");
    refused(|dir| symlink("p", dir.join("tax/p")).unwrap(), "a link that leads to itself: p");
    refused(|dir| symlink(".", dir.join("tax/p")).unwrap(), "a link that leads back to a folder around it: p");
    let twisted = |dir: &Path| {
        std::fs::create_dir_all(dir.join("a")).unwrap();
        std::fs::create_dir_all(dir.join("b")).unwrap();
        symlink("../b", dir.join("a/to-b")).unwrap();
        symlink("../a", dir.join("b/to-a")).unwrap();
        symlink("../a", dir.join("tax/p")).unwrap();
    };
    refused(twisted, "a link that leads back to a folder around it: p/to-b/to-a");
    refused(|dir| drop(std::os::unix::net::UnixListener::bind(dir.join("tax/s")).unwrap()), "holds a socket: s");
    let pipe = |dir: &Path| {
        let made = std::process::Command::new("mkfifo").arg(dir.join("tax/f")).status().unwrap();
        assert!(made.success());
    };
    refused(pipe, "holds a named pipe: f");
}

#[test]
fn extra_paths_outside_of_the_project_are_refused() {
    // A sibling with the same beginning is what a comparison of strings lets through.
    let sibling = |dir: &Path| {
        let other = dir.with_file_name("work-evil");
        std::fs::create_dir_all(&other).unwrap();
        std::fs::write(other.join("x"), "x").unwrap();
    };
    for (path, message) in [
        ("../work-evil", "which is outside the project"),
        ("/etc/passwd", "which is outside the project"),
        ("out", "which is outside the project"),
        (".", "which is the whole project"),
        ("none", "which is not there"),
    ] {
        let done = shrinkwrap(project())
            .layout(sibling)
            .layout(|dir| symlink("/etc", dir.join("out")).unwrap())
            .args(["--copy-extra", path])
            .status(2)
            .stderr_has(message)
            .run();
        assert!(done.list("build").is_empty(), "{:?}", done.list("build"));
    }
}

#[test]
fn a_template_that_reaches_out_is_refused() {
    shrinkwrap(project())
        .layout(|dir| symlink("/etc/passwd", dir.join("template/mine/p")).unwrap())
        .status(2)
        .stderr_has("the template `mine` holds a link to /etc/passwd")
        .run();
    shrinkwrap(project())
        .file("template/mine/template.yml", "language: mine\nhandler_folder: ../../out\n")
        .status(2)
        .stderr_has("template/mine/template.yml:2:1")
        .run();
    shrinkwrap(project())
        .file("template/mine/template.yml", "language: mine\nnative:\n  rum: x\n")
        .status(2)
        .stderr_has("template/mine/template.yml:3:3")
        .run();
}

#[test]
fn a_missing_handler_and_a_missing_template() {
    shrinkwrap(project())
        .layout(|dir| std::fs::remove_dir_all(dir.join("tax")).unwrap())
        .status(2)
        .stderr_has("tax: the handler folder tax is not there")
        .run();
    shrinkwrap(project())
        .layout(|dir| std::fs::remove_dir_all(dir.join("template")).unwrap())
        .status(2)
        .stderr_has("there is no template `mine`")
        .run();
}

#[test]
fn many_functions_are_all_tried() {
    let stack: String = (0..40).map(|n| format!("  f{n}: {{lang: mine, handler: ./f{n}, image: f{n}}}\n")).collect();
    let done = shrinkwrap(project())
        .file("stack.yml", format!("provider: {{name: openfaas}}\nfunctions:\n{stack}"))
        .layout(|dir| {
            for n in (0..40).filter(|n| *n != 7) {
                std::fs::create_dir(dir.join(format!("f{n}"))).unwrap();
                std::fs::write(dir.join(format!("f{n}/handler.txt")), n.to_string()).unwrap();
            }
        })
        .status(2)
        .stderr_has("f7: failed: the handler folder f7 is not there")
        .stderr_has("1 of 40 functions did not build")
        .run();
    assert_eq!(done.list("build").len(), 39);
    assert_eq!(done.read("build/f39/function/handler.txt"), "39");
}

#[test]
fn a_native_bundle_is_built_once() {
    let done = local("def handle(req):\n    return req\n").stderr_has("tax: built in").run();
    assert_eq!(bundles(&done).len(), 1);
    done.then().arg("build").stderr("tax: unchanged\n").run();
    let json = done.then().args(["build", "--output", "json"]).run().json();
    assert_eq!(json[0]["artifact"]["run"]["command"], "python3 index.py");
    assert_eq!(json[0]["rebuilt"], false);
    assert!(Path::new(json[0]["artifact"]["dir"].as_str().unwrap()).join("function/handler.py").is_file());
}

#[test]
fn two_builds_of_one_function_at_once_make_one_bundle() {
    let test = local("def handle(req):\n    return req\n");
    let builds: Vec<_> = (0..3).map(|_| test.spawn()).collect();
    let said: Vec<String> = builds
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stderr).into_owned()
        })
        .collect();
    assert_eq!(said.iter().filter(|text| text.contains("tax: built in")).count(), 1, "{said:?}");
    assert_eq!(bundles(&test.run()).len(), 1);
}

#[test]
fn what_killed_builds_left_is_cleared_away() {
    let done = shrinkwrap(project()).file("build/.tmp-old/x", "x").run();
    assert_eq!(done.list("build"), ["tax/"]);
}

#[test]
fn a_build_folder_that_is_none_is_refused() {
    shrinkwrap(project())
        .layout(|dir| symlink("/tmp", dir.join("build")).unwrap())
        .status(2)
        .stderr_has("is in the way: builds go there")
        .run();
}

#[test]
fn a_mistake_in_a_handler_is_shown() {
    let done = local("def handle(req):\n    retrun (\n")
        .status(1)
        .stderr_has("tax: checking failed")
        .stderr_has("function/handler.py\", line 2")
        .run();
    assert!(bundles(&done).is_empty(), "{:?}", bundles(&done));
}

#[test]
fn a_missing_interpreter_is_named() {
    let done = local("def handle(req):\n    return req\n")
        .env("PATH", "/nonexistent")
        .status(1)
        .stderr_has("tax: python3 3.9 or newer is needed to run it and is not in PATH")
        .stderr_has("hint: on Debian and Ubuntu: apt install python3")
        .run();
    assert!(bundles(&done).is_empty());
    let old = |dir: &Path| {
        std::fs::create_dir(dir.join("bin")).unwrap();
        std::fs::write(dir.join("bin/python3"), "#!/bin/sh\necho Python 3.6.8\n").unwrap();
        std::fs::set_permissions(dir.join("bin/python3"), std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let test = local("def handle(req):\n    return req\n").layout(old);
    let path = test.dir().join("bin").display().to_string();
    test.env("PATH", path).status(1).stderr_has("3.9 or newer").stderr_has("says Python 3.6.8").run();
}

#[test]
fn dependencies_that_cannot_be_installed_are_told() {
    let done = local("def handle(req):\n    return req\n")
        .file("tax/requirements.txt", "./no-such-package-here\n")
        .status(1)
        .stderr_has("tax: installing dependencies failed")
        .run();
    assert!(bundles(&done).is_empty(), "{:?}", bundles(&done));
}

#[test]
fn dependencies_are_installed_into_the_bundle() {
    // A package in the project itself, so that no network is needed.
    let wheel = "import zipfile\nw = zipfile.ZipFile('tax/greet-1-py3-none-any.whl', 'w')\n\
                 w.writestr('greet.py', \"text = 'hello'\")\n\
                 w.writestr('greet-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: greet\\nVersion: 1\\n')\n\
                 w.writestr('greet-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
                 w.writestr('greet-1.dist-info/RECORD', '')\nw.close()\n";
    let done = local("import greet\ndef handle(req):\n    return greet.text\n")
        .file("tax/requirements.txt", "./function/greet-1-py3-none-any.whl\n")
        .layout(|dir| {
            let made = std::process::Command::new("python3").args(["-c", wheel]).current_dir(dir).status().unwrap();
            assert!(made.success());
        })
        .run();
    let bundle = done.faas_home().join("data/bundles").join(&bundles(&done)[0]);
    assert!(bundle.join(".deps/greet.py").is_file(), "{}", done.stderr);
}

#[test]
fn a_dockerfile_has_no_native_run() {
    Test::new()
        .file("stack.yml", "provider: {name: local}\nfunctions: {d: {lang: dockerfile, handler: ./d}}\n")
        .file("d/Dockerfile", "FROM scratch\n")
        .arg("build")
        .status(2)
        .stderr_has("d: lang dockerfile needs a container engine; provider local runs processes")
        .run();
}

#[test]
fn without_an_engine_the_way_out_is_told() {
    project()
        .arg("build")
        .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        .status(1)
        .stderr_has("no container engine answers at unix:///nonexistent/docker.sock")
        .stderr_has("provider local runs functions without any")
        .run();
}

#[test]
fn a_tag_from_git_needs_git() {
    project().args(["build", "--tag", "sha"]).status(1).stderr_has("--tag needs a git repository").run();
    project().args(["build", "--tag", "nonsense"]).status(2).stderr_has("use latest, sha, branch").run();
}

#[test]
fn interrupted_builds_leave_no_children_and_no_folders() {
    let slow = "import time\nopen('installing', 'w').write('x')\ntime.sleep(600)\nfrom setuptools import setup\nsetup(name='slow')\n";
    let test = local("def handle(req):\n    return req\n")
        .file("tax/slow/setup.py", slow)
        .file("tax/requirements.txt", "./function/slow\n")
        .env("PIP_NO_BUILD_ISOLATION", "0");
    let child = test.spawn();
    let home = test.dir().with_file_name("faas");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let marker = || walk(&home).into_iter().any(|path| path.ends_with("slow/installing"));
    while !marker() {
        assert!(std::time::Instant::now() < until, "pip never ran the setup");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = walk(&home).into_iter().filter(|path| path.to_string_lossy().contains("bundles/tax-")).collect();
    assert!(left.is_empty(), "{left:?}");
    let home = home.display().to_string();
    let running = std::process::Command::new("pgrep").args(["-f", &home]).output().unwrap();
    assert!(running.stdout.is_empty(), "{}", String::from_utf8_lossy(&running.stdout));
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(walk(&entry.path()));
        }
        found.push(entry.path());
    }
    found
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small tmpfs");
        return;
    }
    let test = shrinkwrap(project()).file("tax/big.bin", vec![0_u8; 600 * 1024]);
    let build = test.dir().join("build");
    std::fs::create_dir(&build).unwrap();
    let mounted = Mounted::small(&build);
    let done = test.status(1).stderr_has("can't write").stderr_has("the disk is full").run();
    assert!(done.list("build").is_empty(), "{:?}", done.list("build"));
    drop(mounted);
}

#[test]
fn a_full_disk_leaves_no_bundle() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small tmpfs");
        return;
    }
    let test = local("def handle(req):\n    return req\n").file("tax/big.bin", vec![0_u8; 600 * 1024]);
    let data = test.dir().with_file_name("faas").join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mounted = Mounted::small(&data);
    let done = test.status(1).stderr_has("the disk is full").run();
    assert!(bundles(&done).is_empty(), "{:?}", bundles(&done));
    drop(mounted);
}

/// A tmpfs of 256 KiB.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn small(at: &Path) -> Self {
        let mount = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        let status = std::process::Command::new("mount").args(mount).arg(at).status().unwrap();
        assert!(status.success(), "can't mount a tmpfs");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
