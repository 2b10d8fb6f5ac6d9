//! What process 1 has to do: take the orphans, and leave the invoker's own children to the invoker.

mod support;

use faas_watchdog::Mode;
use support::*;

/// What the other test leaves behind is taken by this process, too: one at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn orphans_are_taken_and_own_children_are_not() {
    let _alone = ALONE.lock().await;
    // Makes this process inherit orphans as process 1 does.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let (http, log) = started(server()).await;
    // It outlives its parent, which otherwise may be there to take it.
    let script = "(while kill -0 $$; do sleep 0.01; done; exec true) >/dev/null 2>&1 & echo $!";
    let (classic, _) = started(config(Mode::Classic, &["sh", "-c", script])).await;
    let mut taken = 0;
    for _ in 0..20 {
        let (status, body) = call(&classic, get("/")).await;
        assert_eq!(status, 200, "its process was taken away from the invoker: {body}");
        let orphan: u32 = body.trim().parse().unwrap();
        until_gone(orphan).await;
        let stat = format!("/proc/{orphan}");
        while std::path::Path::new(&stat).exists() {
            taken += faas_watchdog::reap_strangers();
        }
    }
    assert_eq!(taken, 20);
    // A child of the invoker that has ended is the invoker's to wait for, however often we look.
    let pid = http.pid().unwrap();
    let reaper = std::thread::spawn(|| (0..2000).map(|_| faas_watchdog::reap_strangers()).sum::<usize>());
    assert_eq!(call(&http, get("/crash")).await.0, 502);
    log.wait_for("process ended: exit status 3").await;
    assert_eq!(call(&http, get("/echo")).await.0, 200);
    assert_ne!(http.pid(), Some(pid));
    assert_eq!(reaper.join().unwrap(), 0);
}

/// As process 1 of a container, where that can be made here.
#[test]
fn process_1_leaves_no_zombies() {
    let _alone = ALONE.blocking_lock();
    use std::process::Command;
    let apart = ["-r", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !Command::new("unshare").args(apart).arg("true").status().is_ok_and(|status| status.success()) {
        println!("this machine lets no test have process ids of its own");
        return;
    }
    // Each call leaves an orphan that has ended, then counts zombies and looks who its parent is.
    let script = "sh -c '(sleep 0.01; exec true) >/dev/null 2>&1 & \
                  echo parent $PPID zombies $(grep -l \"^State:.Z\" /proc/[0-9]*/status 2>/dev/null | wc -l)'";
    let watchdog =
        support::process::Watchdog::ready_within("unshare", &apart, &[("fprocess", script), ("mode", "serializing")]);
    let mut last = String::new();
    for _ in 0..30 {
        let (status, body) = watchdog.get("/");
        assert_eq!(status, 200);
        last = body;
    }
    assert!(last.starts_with("parent 1 "), "{last}");
    let until = std::time::Instant::now() + PATIENCE;
    while !watchdog.get("/").1.ends_with("zombies 0\n") {
        assert!(std::time::Instant::now() < until, "zombies stay: {last}");
    }
}
