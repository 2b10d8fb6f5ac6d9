//! `--health`: asks the watchdog that runs in the same container.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use faas_watchdog::Settings;

const PATIENCE: Duration = Duration::from_secs(3);

/// Exits 0 when `/_/health` answers 200, else 1 with a word why.
pub fn ask(variables: impl Iterator<Item = (String, String)>) -> ExitCode {
    // Only the port matters here: a command that is missing is the running watchdog's business.
    let variables = variables.chain([("function_process".to_owned(), "-".to_owned())]);
    let port = Settings::from_env(variables).map_or(8080, |settings| settings.port);
    match status(port) {
        Ok(line) if line.split(' ').nth(1) == Some("200") => ExitCode::SUCCESS,
        Ok(line) => {
            eprintln!("faas-watchdog: not healthy: {line}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("faas-watchdog: no answer on port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn status(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /_/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
