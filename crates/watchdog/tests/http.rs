//! http mode against a real server in Python: what passes through, what doesn't, what happens when it breaks.

mod support;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use faas_watchdog::Error;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame};
use support::*;
use tokio::sync::mpsc;

/// A body without a known length, fed by the test.
fn channel() -> (mpsc::Sender<Bytes>, impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static) {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|bytes| (Ok::<_, Infallible>(Frame::data(bytes)), receiver))
    });
    (sender, StreamBody::new(Box::pin(frames)))
}

#[tokio::test]
async fn a_call_passes_through() {
    let mut config = server();
    config.env.push(("GREETING".into(), "hello".into()));
    config.cwd = Some("/".into());
    let (invoker, log) = started(config).await;
    let mut request = post("/request?a=1&b=%20", "body");
    request.headers_mut().insert("content-type", "text/x-test".parse().unwrap());
    request.headers_mut().insert("connection", "keep-alive, x-hop".parse().unwrap());
    request.headers_mut().insert("x-hop", "1".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let seen = json(&invoker, request).await;
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "/request?a=1&b=%20");
    assert_eq!(seen["length"], 4);
    assert_eq!(seen["cwd"], "/");
    assert_eq!(seen["headers"]["host"], "fn.example");
    assert_eq!(seen["headers"]["content-length"], "4");
    assert_eq!(seen["headers"]["content-type"], "text/x-test");
    for gone in ["connection", "x-hop", "te", "expect", "transfer-encoding"] {
        assert!(seen["headers"].get(gone).is_none(), "{gone} in {}", seen["headers"]);
    }
    assert_eq!(seen["env"]["GREETING"], "hello");
    assert_eq!(seen["env"]["PORT"], seen["env"]["port"]);
    assert!(seen["env"].get("CARGO_MANIFEST_DIR").is_none(), "the child inherits nothing");
    assert_eq!(seen["pid"].as_u64(), invoker.pid().map(u64::from));
    assert_eq!(log.count("note:"), 0, "{:#?}", log.all());
}

#[tokio::test]
async fn responses_of_all_kinds() {
    let (invoker, _) = started(server()).await;
    let response = invoker.call(post("/echo?status=418", "tea")).await;
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.headers()["content-length"], "3");
    assert!(response.headers()["x-duration-seconds"].to_str().unwrap().parse::<f64>().is_ok());
    assert_eq!(response.body().size_hint().exact(), Some(3));
    assert_eq!(text(response).await, "tea");

    let response = invoker.call(get("/chunked")).await;
    assert!(response.headers().get("transfer-encoding").is_none());
    assert!(response.headers().get("content-length").is_none());
    assert_eq!(text(response).await, "onetwothree");

    let response = invoker.call(get("/hop")).await;
    for gone in ["connection", "x-inner", "keep-alive", "proxy-authenticate"] {
        assert!(response.headers().get(gone).is_none(), "{gone}");
    }
    assert_eq!(response.headers()["x-outer"], "2");
    assert_eq!(text(response).await, "hop");

    let mut head = get("/head-of?bytes=1234");
    *head.method_mut() = Method::HEAD;
    let response = invoker.call(head).await;
    assert_eq!(response.headers()["content-length"], "1234");
    assert_eq!(text(response).await, "");

    let response = invoker.call(get("/header-of?bytes=60000")).await;
    assert_eq!(response.headers()["x-big"].len(), 60_000);
    assert_eq!(invoker.in_flight(), 0);
}

#[tokio::test]
async fn an_upload_without_a_length_is_chunked() {
    let (invoker, _) = started(server()).await;
    let (sender, body) = channel();
    let feed = tokio::spawn(async move {
        for piece in ["a", "bc", "def"] {
            sender.send(Bytes::from(piece)).await.unwrap();
        }
    });
    let response = invoker.call(Request::post("/request").body(body).unwrap()).await;
    feed.await.unwrap();
    let seen: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&seen["length"], &seen["headers"]["transfer-encoding"]), (&6.into(), &"chunked".into()));
}

#[tokio::test]
async fn a_buffered_upload_has_a_length() {
    let mut config = server();
    config.buffer_body = true;
    let (invoker, _) = started(config).await;
    let (sender, body) = channel();
    tokio::spawn(async move {
        sender.send(Bytes::from("abc")).await.unwrap();
        sender.send(Bytes::from("def")).await.unwrap();
    });
    let response = invoker.call(Request::post("/request").body(body).unwrap()).await;
    let seen: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(seen["headers"]["content-length"], "6");
    assert!(seen["headers"].get("transfer-encoding").is_none());
}

#[tokio::test]
async fn a_prefix_of_the_upstream_comes_before_the_path() {
    let mut config = server();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config.upstream = Some(faas_watchdog::Upstream::parse(&format!("http://localhost:{port}/request/")).unwrap());
    config.env.push(("PORT".into(), "1".into()));
    let (invoker, _) = started(config).await;
    let seen = json(&invoker, get("/?x=1")).await;
    assert_eq!(seen["path"], "/request/?x=1");
    assert_eq!(seen["env"]["PORT"], port.to_string(), "the child's own port, not the invoker's");
}

#[tokio::test]
async fn the_child_is_told_how_long_a_call_may_take() {
    let seconds = |exec: u64, write: u64| async move {
        let mut config = server();
        (config.exec_timeout, config.write_timeout) = (Duration::from_secs(exec), Duration::from_secs(write));
        let (invoker, _) = started(config).await;
        json(&invoker, get("/request")).await["env"]["AWS_LAMBDA_FUNCTION_TIMEOUT"].clone()
    };
    assert_eq!(seconds(8, 30).await, "8");
    assert_eq!(seconds(30, 6).await, "6");
    assert_eq!(seconds(0, 0).await, "900");
}

#[tokio::test]
async fn a_large_response_waits_for_its_reader() {
    let (invoker, _) = started(server()).await;
    let response = invoker.call(get("/large?bytes=50000000")).await;
    assert_eq!(invoker.in_flight(), 1, "a call lasts as long as its response");
    let mut body = response.into_body();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!((total, invoker.in_flight()), (50_000_000, 0));
}

#[tokio::test]
async fn one_too_many() {
    let mut config = server();
    config.max_inflight = 2;
    config.exec_timeout = Duration::from_secs(2);
    let (invoker, log) = started(config).await;
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let invoker = invoker.clone();
            tokio::spawn(async move { call(&invoker, get("/gate")).await })
        })
        .collect();
    log.wait_for_count("at the gate", 2).await;
    let response = invoker.call(get("/echo")).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(text(response).await, "Concurrent request limit exceeded. Max concurrent requests: 2\n");
    assert_eq!(invoker.readiness().await, StatusCode::TOO_MANY_REQUESTS);
    // The two that are in must get out, and by a third call once there is room.
    let port = invoker.call(get("/echo")).await;
    assert_eq!(port.status(), StatusCode::TOO_MANY_REQUESTS);
    for call in calls {
        call.abort();
        let _ = call.await;
    }
    assert_eq!(invoker.call(get("/echo")).await.status(), StatusCode::TOO_MANY_REQUESTS, "both still run in the child");
    // Nobody waits for them, and still they end when their time is over.
    log.wait_for("killed, because a call did not end in time").await;
    invoker.wait_ready(PATIENCE).await.unwrap();
    assert_eq!(call(&invoker, post("/echo", "room")).await, (200, "room".into()));
    assert_eq!(invoker.readiness().await, StatusCode::OK);
}

#[tokio::test]
async fn too_slow_is_a_504_that_ends_the_whole_process_group() {
    let mut config = server();
    config.exec_timeout = Duration::from_millis(1500);
    let (invoker, log) = started(config).await;
    let first = invoker.pid().unwrap();
    let (status, body) = call(&invoker, get("/nest")).await;
    assert_eq!((status, body.as_str()), (504, "the function did not answer within its exec_timeout\n"));
    log.wait_for("note: exec_timeout reached: answered 504").await;
    let nested = log.wait_for("nested ").await;
    assert!(!invoker.is_ready(), "nobody is sent to a child that is to be ended");
    invoker.wait_ready(PATIENCE).await.unwrap();
    assert_eq!(call(&invoker, post("/echo", "next")).await, (200, "next".into()));
    assert_ne!(invoker.pid().unwrap(), first);
    until_gone(first).await;
    until_gone(nested.rsplit(' ').next().unwrap().parse().unwrap()).await;
    assert_eq!(log.count("note: the function's process ended: killed, because a call did not end in time"), 1);
}

#[tokio::test]
async fn the_other_calls_in_a_child_that_is_to_be_ended_may_end() {
    let mut config = server();
    config.exec_timeout = Duration::from_millis(1500);
    let (invoker, log) = started(config).await;
    let stuck = tokio::spawn({
        let invoker = invoker.clone();
        async move { call(&invoker, get("/gate")).await.0 }
    });
    log.wait_for("at the gate").await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    let seen = json(&invoker, get("/request?after=1.0")).await;
    assert_eq!(stuck.await.unwrap(), 504, "it ran over before the other had ended");
    log.wait_for("process ended: killed").await;
    let next = json(&invoker, get("/request")).await;
    assert_ne!(next["pid"], seen["pid"]);
}

#[tokio::test]
async fn a_slow_caller_is_no_reason_to_end_the_child() {
    let mut config = server();
    config.exec_timeout = Duration::from_millis(300);
    let (invoker, log) = started(config).await;
    let pid = invoker.pid();
    let (sender, body) = channel();
    let response = invoker.call(Request::post("/echo").body(body).unwrap()).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    drop(sender);
    assert_eq!(call(&invoker, post("/echo", "next")).await.0, 200);
    assert_eq!((invoker.pid(), log.count("process ended")), (pid, 0));
}

#[tokio::test]
async fn a_call_that_its_caller_gave_up_counts_until_the_child_is_done_with_it() {
    let mut config = server();
    config.max_inflight = 1;
    let (invoker, log) = started(config).await;
    let mut request = get("/request?after=1.0");
    request.headers_mut().insert("x-timeout", "100ms".parse().unwrap());
    assert_eq!(call(&invoker, request).await.0, 504);
    assert_eq!(call(&invoker, get("/echo")).await.0, 429);
    let until = std::time::Instant::now() + PATIENCE;
    while invoker.in_flight() > 0 {
        assert!(std::time::Instant::now() < until, "it counts for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(call(&invoker, post("/echo", "room")).await, (200, "room".into()));
    assert_eq!(log.count("process ended"), 0, "the caller's own limit ends nothing");
}

#[tokio::test]
async fn a_callers_timeout_can_only_be_shorter() {
    let (invoker, _) = started(server()).await;
    let mut request = get("/gate");
    request.headers_mut().insert("x-timeout", "150ms".parse().unwrap());
    assert_eq!(call(&invoker, request).await.0, 504);
}

#[tokio::test]
async fn a_response_that_stops_half_way_is_cut_off() {
    let mut config = server();
    config.exec_timeout = Duration::from_secs(1);
    let (invoker, log) = started(config).await;
    let response = invoker.call(get("/half")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err(), "a cut response must not look whole");
    log.wait_for("response cut off: exec_timeout reached").await;
    log.wait_for("process ended: killed").await;
    assert_eq!(invoker.in_flight(), 0);
}

#[tokio::test]
async fn a_request_that_does_not_arrive_is_a_408() {
    let mut config = server();
    config.read_timeout = Duration::from_millis(150);
    let (invoker, _) = started(config).await;
    let (sender, body) = channel();
    let response = invoker.call(Request::post("/echo").body(body).unwrap()).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    drop(sender);
}

#[tokio::test]
async fn the_call_that_meets_a_crash_is_a_502_and_the_next_waits_for_the_restart() {
    let (invoker, log) = started(server()).await;
    let first = invoker.pid().unwrap();
    let (status, body) = call(&invoker, get("/crash")).await;
    assert_eq!((status, body.as_str()), (502, "the function's process broke off; see its log\n"));
    log.wait_for("process ended: exit status 3").await;
    assert_eq!(call(&invoker, post("/echo", "again")).await, (200, "again".into()));
    assert_ne!(invoker.pid().unwrap(), first);
    log.wait_for("stderr: crashing on demand").await;
    log.wait_for("note: the function's process ended: exit status 3; started again in 100ms").await;
    assert_eq!(log.count("answered 502"), 1);
}

#[tokio::test]
async fn a_killed_child_comes_back() {
    let (invoker, log) = started(server()).await;
    let pid = invoker.pid().unwrap();
    assert_eq!(call(&invoker, post("/echo", "1")).await.0, 200);
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
    log.wait_for("killed by signal 9").await;
    invoker.wait_ready(PATIENCE).await.unwrap();
    assert_eq!(call(&invoker, post("/echo", "2")).await, (200, "2".into()));
    assert_ne!(invoker.pid(), Some(pid));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("closed");
    let mut config = server();
    config.env.push(("CLOSED_FILE".into(), file.display().to_string()));
    let (invoker, _) = started(config).await;
    for round in 1..=50 {
        assert_eq!(call(&invoker, get("/close")).await, (200, "closing".into()));
        // Blocks the runtime on purpose: it must not learn of the close by its own events.
        let until = std::time::Instant::now() + PATIENCE;
        while std::fs::read_to_string(&file).unwrap_or_default().lines().count() < round {
            assert!(std::time::Instant::now() < until, "not closed");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(call(&invoker, post("/echo", "still")).await, (200, "still".into()));
    }
    // A request that may be repeated is, even when the connection is closed under it.
    for _ in 0..200 {
        assert_eq!(call(&invoker, get("/close")).await, (200, "closing".into()));
    }
}

#[tokio::test]
async fn a_child_that_hangs_up_is_a_502() {
    let (invoker, log) = started(server()).await;
    assert_eq!(call(&invoker, post("/hang-up", "x")).await.0, 502);
    log.wait_for("note: the function's process broke off").await;
}

#[tokio::test]
async fn ready_means_the_ready_path_answers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    let mut config = server();
    config.ready_path = Some("/ready".into());
    config.env.push(("READY_FILE".into(), file.display().to_string()));
    let (invoker, _) = start(config);
    let message = invoker.wait_ready(Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(message.contains("/ready does not answer 2xx"), "{message}");
    assert!(!invoker.is_ready());
    assert_eq!(invoker.readiness().await, StatusCode::SERVICE_UNAVAILABLE);
    std::fs::write(&file, "").unwrap();
    invoker.wait_ready(PATIENCE).await.unwrap();
    assert_eq!(invoker.readiness().await, StatusCode::OK);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(invoker.readiness().await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_child_that_ends_before_it_listens_is_told_with_its_words() {
    let mut config = server();
    config.env.push(("SPEAK".into(), "no module named teapot".into()));
    config.env.push(("GIVE_UP".into(), "4".into()));
    let (invoker, _) = start(config);
    let error = invoker.wait_ready(PATIENCE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the function's process ended before it listened: exit status 4\n  no module named teapot"
    );
    assert!(!invoker.is_ready());
}

#[tokio::test]
async fn a_child_that_never_listens_is_told_with_its_words() {
    let mut config = server();
    config.env.push(("SPEAK".into(), "thinking".into()));
    config.env.push(("NEVER_LISTEN".into(), "1".into()));
    config.start_wait = Duration::from_millis(100);
    let (invoker, log) = start(config);
    log.wait_for("thinking").await;
    let error = invoker.wait_ready(Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(&error, Error::NotReady { last_lines, .. } if last_lines == &["thinking"]), "{error:?}");
    assert_eq!(call(&invoker, get("/echo")).await, (503, "the function is not ready\n".into()));
}

#[tokio::test]
async fn a_child_is_started_until_it_comes_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("go");
    let mut config = server();
    config.env.push(("FAIL_UNTIL".into(), file.display().to_string()));
    let (invoker, log) = start(config);
    let waiting = {
        let invoker = invoker.clone();
        tokio::spawn(async move { call(&invoker, post("/echo", "patient")).await })
    };
    log.wait_for("exit status 7; started again in 200ms").await;
    std::fs::write(&file, "").unwrap();
    assert_eq!(waiting.await.unwrap(), (200, "patient".into()));
}

#[tokio::test]
async fn a_missing_program_is_said_at_once() {
    let log = std::sync::Arc::new(Log::default());
    let config = config(faas_watchdog::Mode::Http, &["no-such-interpreter", "app.py"]);
    let Err(error) = faas_watchdog::Invoker::start(config, log) else { panic!("started") };
    assert!(error.to_string().starts_with("no-such-interpreter: no such program (looked in "), "{error}");
}

#[tokio::test]
async fn draining_lets_calls_end_and_takes_no_more() {
    let (invoker, log) = started(server()).await;
    let pid = invoker.pid().unwrap();
    let under_way = {
        let invoker = invoker.clone();
        tokio::spawn(async move { call(&invoker, get("/request?after=1.5")).await.0 })
    };
    log.wait_for("asked to wait").await;
    let draining = {
        let invoker = invoker.clone();
        tokio::spawn(async move { invoker.drain(PATIENCE).await })
    };
    while invoker.is_ready() {
        tokio::task::yield_now().await;
    }
    assert_eq!(call(&invoker, get("/open")).await, (503, "the function is stopping\n".into()));
    assert!(!draining.is_finished() && alive(pid));
    assert_eq!(under_way.await.unwrap(), 200);
    draining.await.unwrap();
    until_gone(pid).await;
    assert_eq!(invoker.pid(), None);
    assert!(matches!(invoker.wait_ready(PATIENCE).await, Err(Error::Stopping)));
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let (invoker, log) = started(server()).await;
    let pid = invoker.pid().unwrap();
    let stuck = {
        let invoker = invoker.clone();
        tokio::spawn(async move { call(&invoker, get("/gate")).await })
    };
    log.wait_for("at the gate").await;
    invoker.drain(Duration::from_millis(50)).await;
    assert_eq!(stuck.await.unwrap().0, 502);
    until_gone(pid).await;
}

#[tokio::test]
async fn an_invoker_that_is_dropped_takes_its_child_along() {
    let (invoker, _) = started(server()).await;
    let pid = invoker.pid().unwrap();
    drop(invoker);
    until_gone(pid).await;
}

#[tokio::test]
async fn many_calls_at_a_time() {
    let (invoker, log) = started(server()).await;
    let calls = (0..200).map(|n| {
        let invoker = invoker.clone();
        async move { call(&invoker, post("/echo", format!("call {n}"))).await == (200, format!("call {n}")) }
    });
    let right = futures_util::future::join_all(calls).await.into_iter().filter(|right| *right).count();
    assert_eq!(right, 200, "{:#?}", log.all());
    assert!(
        invoker.metrics().contains("http_requests_total{code=\"200\",method=\"post\"} 200"),
        "{}",
        invoker.metrics()
    );
}

#[tokio::test]
async fn requests_are_logged_when_asked_for() {
    let mut config = server();
    config.log_requests = true;
    config.log_call_id = true;
    let (invoker, log) = started(config).await;
    let mut request = post("/echo?x=1", "y");
    request.headers_mut().insert("x-call-id", "abc".parse().unwrap());
    call(&invoker, request).await;
    let line = log.wait_for("POST /echo?x=1 - 200 OK - ContentLength: 1B (").await;
    assert!(line.starts_with("note: ") && line.ends_with("s) [abc]"), "{line}");
    let mut probe = Request::get("/echo").body(Full::<Bytes>::default()).unwrap();
    probe.headers_mut().insert("user-agent", "kube-probe/1.30".parse().unwrap());
    call(&invoker, probe).await;
    assert_eq!(log.count("GET /echo"), 0);
}
