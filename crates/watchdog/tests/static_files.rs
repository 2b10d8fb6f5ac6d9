//! static mode: a folder's files over a socket.

mod support;

use std::io::{Read, Write};

use support::process::{Watchdog, split};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("public");
    std::fs::create_dir_all(root.join("css")).unwrap();
    std::fs::create_dir_all(root.join("open")).unwrap();
    std::fs::write(root.join("index.html"), "<h1>home</h1>").unwrap();
    std::fs::write(root.join("css/site.css"), "h1 { color: red }").unwrap();
    std::fs::write(root.join("open/numbers.bin"), (0..=255).collect::<Vec<u8>>()).unwrap();
    std::fs::write(folder.path().join("secret"), "not for you").unwrap();
    folder
}

fn ask(watchdog: &Watchdog, method: &str, path: &str, headers: &str) -> String {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
    watchdog.raw(request.as_bytes())
}

#[test]
fn files_folders_ranges_and_what_has_not_changed() {
    let folder = folder();
    let root = folder.path().join("public").display().to_string();
    let watchdog = Watchdog::ready(&[("mode", "static"), ("static_path", &root)]);
    assert_eq!(watchdog.get("/"), (200, "<h1>home</h1>".into()));
    let css = ask(&watchdog, "GET", "/css/site.css", "");
    assert!(css.contains("content-type: text/css; charset=utf-8\r\n") && css.ends_with("h1 { color: red }"), "{css}");
    assert!(css.contains("content-length: 17\r\n") && css.contains("x-duration-seconds: "), "{css}");
    // Gateways call by POST.
    assert!(ask(&watchdog, "POST", "/", "").ends_with("<h1>home</h1>"));
    let head = ask(&watchdog, "HEAD", "/css/site.css", "");
    assert!(head.contains("content-length: 17\r\n") && head.ends_with("\r\n\r\n"), "{head}");

    let part = ask(&watchdog, "GET", "/css/site.css", "Range: bytes=5-9\r\n");
    assert!(part.starts_with("HTTP/1.1 206 ") && part.contains("content-range: bytes 5-9/17\r\n"), "{part}");
    assert!(part.ends_with("color"), "{part}");
    assert_eq!(split(&ask(&watchdog, "GET", "/css/site.css", "Range: bytes=90-\r\n")).0, 416);
    let changed = css.lines().find_map(|line| line.strip_prefix("last-modified: ")).unwrap();
    let same = ask(&watchdog, "GET", "/css/site.css", &format!("If-Modified-Since: {changed}\r\n"));
    assert_eq!(split(&same), (304, String::new()));

    for (path, to) in
        [("/css", "css/"), ("/css?x=1", "css/?x=1"), ("/index.html", "./"), ("/css/site.css/", "../site.css")]
    {
        let answer = ask(&watchdog, "GET", path, "");
        assert!(answer.starts_with("HTTP/1.1 301 ") && answer.contains(&format!("location: {to}\r\n")), "{answer}");
    }
    assert!(watchdog.get("/open/").1.contains("<a href=\"./numbers.bin\">numbers.bin</a>"));
    for path in ["/none", "/../secret", "/%2e%2e/secret", "/css/../../secret", "/css/site.css/x"] {
        assert_eq!(watchdog.get(path), (404, "404 page not found\n".into()), "{path}");
    }
    let figures = watchdog.get("/metrics").1;
    for count in [
        "http_requests_total{code=\"200\",method=\"post\"} 1\n",
        "http_requests_total{code=\"206\",method=\"get\"} 1\n",
        "http_requests_total{code=\"304\",method=\"get\"} 1\n",
        "http_requests_total{code=\"404\",method=\"get\"} 5\n",
        "http_requests_in_flight 0\n",
    ] {
        assert!(figures.contains(count), "{count}{figures}");
    }
    assert_eq!(watchdog.get("/_/ready").0, 200);
}

#[test]
fn a_large_file_is_not_held() {
    let folder = folder();
    let root = folder.path().join("public");
    let large = std::fs::File::create(root.join("large")).unwrap();
    large.set_len(200_000_000).unwrap();
    let watchdog = Watchdog::ready(&[("mode", "static"), ("static_path", root.to_str().unwrap())]);
    let mut stream = watchdog.connect();
    write!(stream, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count,
        }
    }
    assert!(total > 200_000_000, "{total}");
    assert!(watchdog.peak_kilobytes() < 16 * 1024, "{} kB", watchdog.peak_kilobytes());
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let mut watchdog = Watchdog::start(&[("mode", "static"), ("static_path", "/nowhere/public")]);
    assert_eq!(watchdog.exit_code(), Some(1));
    watchdog.until_line("static_path: /nowhere/public is not a folder that can be read: No such file or directory");
}
