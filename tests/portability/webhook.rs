//! The webhook that the seeds' post_message posts to, on a port of the whole machine: containers and pods reach it, too.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

static POSTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Its port.
pub fn port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a webhook");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || take(stream));
            }
        });
        port
    })
}

fn take(mut stream: TcpStream) -> Option<()> {
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    let body = loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length =
                lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                break body.to_owned();
            }
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => seen.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    };
    // Known before it is answered: whoever is answered may ask for it at once.
    POSTED.lock().expect("posts").push(body);
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()
}

/// Whether that was posted.
pub fn posted(text: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        if POSTED.lock().expect("posts").iter().any(|post| post == text) {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
