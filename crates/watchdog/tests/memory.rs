//! Functions that hold more memory than they may.

mod support;

use faas_watchdog::Mode;
use support::*;

/// Twice the limit and more, held until somebody ends it.
const GLUTTON: &str =
    "import sys, time\nif 'eat' in sys.stdin.read():\n kept = b'x' * 200_000_000\n time.sleep(1000)\nprint('fine')";
const LIMIT: u64 = 80 << 20;

#[tokio::test]
async fn a_process_of_one_call_is_ended() {
    for mode in [Mode::Streaming, Mode::Classic] {
        let mut config = config(mode, &["python3", "-c", GLUTTON]);
        config.memory_limit = Some(LIMIT);
        let (invoker, log) = started(config).await;
        let (status, body) = call(&invoker, post("/", "eat")).await;
        assert_eq!(
            (status, body.as_str()),
            (500, "the function's process held more memory than its limit\n"),
            "{mode:?}"
        );
        let line = log.wait_for("killed: it held ").await;
        assert!(line.contains(" MiB, and its memory limit is 80 MiB"), "{line}");
        assert_eq!(call(&invoker, post("/", "")).await, (200, "fine\n".into()), "{mode:?}");
    }
}

#[tokio::test]
async fn a_child_counts_with_its_parent() {
    let script = "echo parent $$ >&2; python3 -c \"$GLUTTON\" & echo eater $! >&2; wait";
    let mut config = config(Mode::Classic, &["sh", "-c", script]);
    // The shell would give a process in the background no stdin.
    config.env.push(("GLUTTON".into(), "import time\nkept = b'x' * 200_000_000\ntime.sleep(1000)".into()));
    config.memory_limit = Some(LIMIT);
    let (invoker, log) = started(config).await;
    assert_eq!(call(&invoker, get("/")).await.0, 500);
    for who in ["stderr: parent ", "stderr: eater "] {
        let pid = log.wait_for(who).await.strip_prefix(who).unwrap().parse().unwrap();
        until_gone(pid).await;
    }
}

#[tokio::test]
async fn a_server_is_ended_and_started_again() {
    let mut config = server();
    config.memory_limit = Some(LIMIT);
    let (invoker, log) = started(config).await;
    let before = invoker.pid();
    let (status, _) = call(&invoker, get("/eat?bytes=200000000")).await;
    assert_eq!(status, 502);
    log.wait_for("process ended: killed: it held ").await;
    assert_eq!(call(&invoker, get("/echo")).await.0, 200);
    assert_ne!(invoker.pid(), before);
}

#[tokio::test]
async fn below_the_limit_nothing_happens() {
    let mut config = server();
    config.memory_limit = Some(LIMIT * 4);
    let (invoker, log) = started(config).await;
    let before = invoker.pid();
    assert_eq!(call(&invoker, get("/eat?bytes=50000000&for=0.5")).await, (200, "eaten".into()));
    assert_eq!((invoker.pid(), log.count("killed")), (before, 0));
}
