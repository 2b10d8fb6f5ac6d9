//! The modes that start a process per request, with real shells and `cat`.

mod support;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use faas_watchdog::{Config, Mode};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use support::*;
use tokio::sync::mpsc;

const BOTH: [Mode; 2] = [Mode::Streaming, Mode::Classic];

fn shell(mode: Mode, script: &str) -> Config {
    config(mode, &["sh", "-c", script])
}

#[tokio::test]
async fn the_body_goes_in_and_the_output_comes_back() {
    for mode in BOTH {
        let (invoker, _) = started(config(mode, &["cat"])).await;
        assert!(invoker.is_ready() && invoker.pid().is_none());
        assert_eq!(call(&invoker, post("/", "hello")).await, (200, "hello".into()), "{mode:?}");
        assert_eq!(call(&invoker, get("/")).await, (200, String::new()), "{mode:?}");
        let response = invoker.call(post("/", "x")).await;
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        assert!(response.headers()["x-duration-seconds"].to_str().unwrap().parse::<f64>().is_ok());
        drop(response);
        assert_eq!(invoker.in_flight(), 0);
    }
}

#[tokio::test]
async fn the_request_is_in_the_environment() {
    for mode in BOTH {
        let mut config = shell(mode, "env | grep -E '^(Http_|GREETING|CARGO)' | sort");
        config.env.push(("GREETING".into(), "hello".into()));
        config.content_type = "text/plain".into();
        let (invoker, _) = started(config).await;
        let mut request = post("/a%20b?q=1&r=2", "12345");
        request.headers_mut().insert("x-call-id", "id-1".parse().unwrap());
        request.headers_mut().insert("content-length", "5".parse().unwrap());
        let response = invoker.call(request).await;
        assert_eq!(response.headers()["content-type"], "text/plain");
        assert_eq!(
            text(response).await,
            "GREETING=hello\nHttp_ContentLength=5\nHttp_Content_Length=5\nHttp_Host=fn.example\nHttp_Method=POST\n\
             Http_Path=/a b\nHttp_Query=q=1&r=2\nHttp_X_Call_Id=id-1\n",
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn a_process_that_fails_is_a_500_and_its_stderr_is_in_the_log() {
    for mode in BOTH {
        let (invoker, log) = started(shell(mode, "cat >/dev/null; echo what a pity >&2; exit 3")).await;
        assert_eq!(call(&invoker, post("/", "x")).await, (500, "exit status 3\n".into()), "{mode:?}");
        log.wait_for("stderr: what a pity").await;
        log.wait_for("note: the function's process ended with exit status 3: answered 500").await;
    }
}

#[tokio::test]
async fn a_call_is_counted_and_logged_with_the_status_it_was_answered_with() {
    for mode in BOTH {
        let mut config = shell(mode, "cat; test \"$Http_Path\" != /fails");
        config.log_requests = true;
        let (invoker, log) = started(config).await;
        assert_eq!(call(&invoker, post("/with-output", "hello")).await.0, 200);
        assert_eq!(call(&invoker, get("/without")).await.0, 200);
        assert_eq!(call(&invoker, get("/fails")).await.0, 500);
        let figures = invoker.metrics();
        for line in [
            "http_requests_total{code=\"200\",method=\"post\"} 1",
            "http_requests_total{code=\"200\",method=\"get\"} 1",
            "http_requests_total{code=\"500\",method=\"get\"} 1",
            "http_request_duration_seconds_count{code=\"200\",method=\"post\"} 1",
            "http_requests_in_flight 0",
        ] {
            assert!(figures.lines().any(|got| got == line), "{mode:?}: {line}\nin\n{figures}");
        }
        assert!(!figures.contains("499"), "{mode:?}: nobody went away\n{figures}");
        for line in [
            "POST /with-output - 200 OK - ContentLength: 5B (",
            "GET /without - 200 OK - ContentLength: 0B (",
            "GET /fails - 500 Internal Server Error - ContentLength: 14B (",
        ] {
            log.wait_for(line).await;
        }
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_is_counted_as_such() {
    for mode in BOTH {
        let (invoker, log) = started(shell(mode, FAMILY)).await;
        let gone = {
            let invoker = invoker.clone();
            tokio::spawn(async move { call(&invoker, get("/")).await })
        };
        family(&log).await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        let figures = invoker.metrics();
        assert!(figures.contains("http_requests_total{code=\"499\",method=\"get\"} 1\n"), "{mode:?}: {figures}");
    }
}

#[tokio::test]
async fn classic_holds_the_output_back_until_the_process_has_ended() {
    let (invoker, _) = started(shell(Mode::Classic, "echo partial; exit 1")).await;
    assert_eq!(call(&invoker, get("/")).await, (500, "exit status 1\n".into()));
}

#[tokio::test]
async fn streaming_keeps_what_was_sent_before_a_failure() {
    let (invoker, log) = started(shell(Mode::Streaming, "echo partial; exit 1")).await;
    assert_eq!(call(&invoker, get("/")).await, (200, "partial\n".into()));
    log.wait_for("ended with exit status 1").await;
}

#[tokio::test]
async fn a_process_need_not_read_its_input() {
    for mode in BOTH {
        let (invoker, _) = started(shell(mode, "echo done")).await;
        assert_eq!(call(&invoker, post("/", vec![b'x'; 3_000_000])).await, (200, "done\n".into()), "{mode:?}");
    }
}

#[tokio::test]
async fn streaming_goes_both_ways_at_once() {
    let (invoker, _) = started(config(Mode::Streaming, &["cat"])).await;
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(Frame::data(bytes)), receiver))
    });
    let request = Request::post("/").body(StreamBody::new(Box::pin(frames))).unwrap();
    sender.send(Bytes::from("first")).await.unwrap();
    let mut body = invoker.call(request).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    sender.send(Bytes::from("second")).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "second");
    drop(sender);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn half_a_request_is_not_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = shell(Mode::Streaming, "cat >/dev/null; echo took it for whole > \"$MARK\"; echo fine");
    let mark = folder.path().join("mark");
    config.env.push(("MARK".into(), mark.display().to_string()));
    let (invoker, _) = started(config).await;
    let frames = futures_util::stream::iter([
        Ok(Frame::data(Bytes::from("half"))),
        Err(std::io::Error::other("the caller went away")),
    ]);
    let response = invoker.call(Request::post("/").body(StreamBody::new(frames)).unwrap()).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(!mark.exists());
}

/// A shell with a child in the background that shows its id, both of which outlast any limit.
const FAMILY: &str = "sleep 1000 & echo child $! >&2; echo parent $$ >&2; wait";

async fn family(log: &Log) -> Vec<u32> {
    let mut ids = Vec::new();
    for who in ["stderr: child ", "stderr: parent "] {
        ids.push(log.wait_for(who).await.strip_prefix(who).unwrap().parse().unwrap());
    }
    ids
}

#[tokio::test]
async fn a_timeout_ends_the_whole_family() {
    for mode in BOTH {
        let mut config = shell(mode, FAMILY);
        config.exec_timeout = Duration::from_secs(2);
        let (invoker, log) = started(config).await;
        let (status, body) = call(&invoker, get("/")).await;
        assert_eq!((status, body.as_str()), (504, "the function did not answer within its exec_timeout\n"), "{mode:?}");
        for id in family(&log).await {
            until_gone(id).await;
        }
    }
}

#[tokio::test]
async fn a_timeout_in_the_middle_of_the_output_cuts_it_off() {
    let mut config = shell(Mode::Streaming, "echo begun; sleep 1000");
    config.exec_timeout = Duration::from_secs(2);
    let (invoker, log) = started(config).await;
    let mut body = invoker.call(get("/")).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun\n");
    assert!(body.frame().await.unwrap().is_err(), "a cut response must not look whole");
    log.wait_for("response cut off: exec_timeout reached").await;
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_the_family() {
    for mode in BOTH {
        let (invoker, log) = started(shell(mode, FAMILY)).await;
        let gone = {
            let invoker = invoker.clone();
            tokio::spawn(async move { call(&invoker, get("/")).await })
        };
        let ids = family(&log).await;
        assert!(ids.iter().all(|id| alive(*id)));
        gone.abort();
        for id in ids {
            until_gone(id).await;
        }
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(invoker.in_flight(), 0);
    }
}

#[tokio::test]
async fn a_drain_that_is_over_ends_the_family() {
    for mode in BOTH {
        let (invoker, log) = started(shell(mode, FAMILY)).await;
        let stuck = {
            let invoker = invoker.clone();
            tokio::spawn(async move { call(&invoker, get("/")).await })
        };
        let ids = family(&log).await;
        invoker.drain(Duration::from_millis(50)).await;
        for id in ids {
            until_gone(id).await;
        }
        assert_eq!(stuck.await.unwrap(), (500, "killed by signal 9\n".into()), "{mode:?}");
        assert_eq!(call(&invoker, get("/")).await.0, 503);
    }
}

#[tokio::test]
async fn one_too_many() {
    for mode in BOTH {
        let mut config = shell(mode, FAMILY);
        config.max_inflight = 1;
        let (invoker, log) = started(config).await;
        let first = {
            let invoker = invoker.clone();
            tokio::spawn(async move { call(&invoker, get("/")).await })
        };
        family(&log).await;
        let refused = "Concurrent request limit exceeded. Max concurrent requests: 1\n".to_owned();
        assert_eq!(call(&invoker, get("/")).await, (429, refused));
        first.abort();
    }
}

#[tokio::test]
async fn the_ready_path_is_a_run_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    for mode in BOTH {
        let mut config = shell(mode, "test \"$Http_Path\" != /ready || test -e \"$READY_FILE\"");
        config.ready_path = Some("/ready".into());
        config.env.push(("READY_FILE".into(), file.display().to_string()));
        let (invoker, _) = start(config);
        let message = invoker.wait_ready(Duration::from_millis(200)).await.unwrap_err().to_string();
        assert!(message.contains("/ready does not answer 2xx"), "{message}");
        std::fs::write(&file, "").unwrap();
        invoker.wait_ready(PATIENCE).await.unwrap();
        assert_eq!(invoker.readiness().await, StatusCode::OK);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(invoker.readiness().await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(call(&invoker, get("/")).await.0, 200);
    }
}

#[tokio::test]
async fn many_at_a_time() {
    for mode in BOTH {
        let (invoker, _) = started(config(mode, &["cat"])).await;
        let calls = (0..100).map(|n| {
            let invoker = invoker.clone();
            async move { call(&invoker, post("/", format!("call {n}"))).await == (200, format!("call {n}")) }
        });
        let right = futures_util::future::join_all(calls).await.into_iter().filter(|right| *right).count();
        assert_eq!(right, 100, "{mode:?}");
    }
}

#[tokio::test]
async fn long_lines_of_the_log_are_split() {
    let mut config = shell(Mode::Classic, "printf '%s\\n' abcdefghij >&2");
    config.log_buffer_size = 4;
    let (invoker, log) = started(config).await;
    assert_eq!(call(&invoker, get("/")).await.0, 200);
    log.wait_for("stderr: ij").await;
    assert_eq!(log.all(), ["stderr: abcd", "stderr: efgh", "stderr: ij"]);
}

#[tokio::test]
async fn a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().canonicalize().unwrap();
    for mode in BOTH {
        let mut config = config(mode, &["pwd"]);
        config.cwd = Some(here.clone());
        let (invoker, _) = started(config).await;
        assert_eq!(call(&invoker, get("/")).await, (200, format!("{}\n", here.display())));
    }
}

#[tokio::test]
async fn a_header_the_environment_can_not_hold_is_left_out() {
    let (invoker, _) = started(shell(Mode::Classic, "echo \"<$Http_Path>\"")).await;
    let request = Request::get("/a%00b").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(call(&invoker, request).await, (200, "<>\n".into()));
}

#[tokio::test]
async fn a_process_finds_signals_as_a_shell_would_hand_them_over() {
    for mode in BOTH {
        let (invoker, _) = started(config(mode, &["cat", "/proc/self/status"])).await;
        let (_, found) = call(&invoker, get("/")).await;
        let own = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = |status: &str, name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            u64::from_str_radix(line[name.len() + 1..].trim(), 16).unwrap()
        };
        const SIGPIPE: u64 = 1 << 12;
        assert_eq!(mask(&found, "SigBlk"), 0, "{found}");
        // Rust ignores SIGPIPE for itself; what else is ignored, by `nohup` say, is so for the function too.
        assert_eq!(mask(&found, "SigIgn"), mask(&own, "SigIgn") & !SIGPIPE, "{found}");
    }
}

#[tokio::test]
async fn what_a_request_says_goes_before_a_variable_of_the_same_name() {
    for mode in BOTH {
        let mut config = shell(mode, "env | grep ^Http_Method=; echo $Http_Methods");
        config.env.extend([("Http_Method".into(), "mine".into()), ("Http_Methods".into(), "all".into())]);
        let (invoker, _) = started(config).await;
        assert_eq!(call(&invoker, post("/", "")).await.1, "Http_Method=POST\nall\n", "{mode:?}");
    }
}

#[tokio::test]
async fn a_program_that_has_gone_is_a_500_and_the_log_says_why() {
    for mode in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::copy("/bin/cat", &program).unwrap();
        let mut config = config(mode, &["./program"]);
        config.cwd = Some(folder.path().to_owned());
        let (invoker, log) = started(config).await;
        assert_eq!(call(&invoker, post("/", "x")).await, (200, "x".into()), "{mode:?}");
        std::fs::remove_file(&program).unwrap();
        assert_eq!(call(&invoker, post("/", "x")).await.0, 500);
        log.wait_for("note: can't start ./program: No such file or directory (os error 2): answered 500").await;
        assert_eq!(invoker.in_flight(), 0);
    }
}
