//! The load of the bench: requests at a constant rate, whether answers come or not, and how long each took from the moment
//! that it was due. `steady PORT RATE SECONDS [CONNECTIONS]`; prints what was answered, and the times in microseconds.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// What one connection found: times, and how many answers were none or not 2xx.
async fn connection(port: u16, mut due: UnboundedReceiver<Instant>) -> Result<(Vec<u64>, usize), Problem> {
    let body = Bytes::from(vec![b'x'; 100]);
    let (mut times, mut bad) = (Vec::new(), 0);
    let mut sender = None;
    while let Some(moment) = due.recv().await {
        if sender.as_ref().is_none_or(http1::SendRequest::is_closed) {
            let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
            socket.set_nodelay(true)?;
            let (made, driver) = http1::handshake(TokioIo::new(socket)).await?;
            tokio::spawn(driver);
            sender = Some(made);
        }
        let Some(open) = &mut sender else { continue };
        let request = Request::post("/").header(HOST, "localhost").body(Full::new(body.clone()))?;
        let fine = async {
            let answer = open.send_request(request).await.ok()?;
            let fine = answer.status().is_success();
            answer.into_body().collect().await.ok().filter(|_| fine)
        };
        if fine.await.is_none() {
            bad += 1;
        }
        times.push(u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok((times, bad))
}

fn main() -> Result<(), Problem> {
    let numbers = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<Vec<u32>, _>>()?;
    let [port, rate, seconds, ..] = numbers[..] else { return Err("steady PORT RATE SECONDS [CONNECTIONS]".into()) };
    let connections = numbers.get(3).copied().unwrap_or(50);
    let port = u16::try_from(port)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..connections).map(|_| mpsc::unbounded_channel()).unzip();
    // A thread of its own: the runtime's timer is good to a millisecond, which is more than what is measured.
    let pace = std::thread::spawn(move || {
        let start = Instant::now();
        for n in 0..rate * seconds {
            let due = start + Duration::from_secs_f64(f64::from(n) / f64::from(rate));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if senders[(n % connections) as usize].send(due).is_err() {
                break;
            }
        }
    });
    let (mut times, mut bad) = (Vec::new(), 0);
    runtime.block_on(async {
        let all: Vec<_> = receivers.into_iter().map(|due| tokio::spawn(connection(port, due))).collect();
        for one in all {
            let (took, wrong) = one.await??;
            times.extend(took);
            bad += wrong;
        }
        Ok::<_, Problem>(())
    })?;
    pace.join().map_err(|_| "the pace broke off")?;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{} answers, {bad} bad, p50 {} p90 {} p99 {} max {}", times.len(), at(0.5), at(0.9), at(0.99), at(1.0));
    Ok(())
}
