//! `--sign`: the HMAC of the body, which has to be known before the first byte is sent.
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, Write};

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;

use super::input::{self, Input};
use crate::error::{OrFault, Result};
use crate::output::Output;

/// Stdin, and its signature as `sha256=HEX`. What can't be read twice is kept in a file without a name meanwhile.
///
/// # Errors
/// When stdin can't be read or the temporary file not be written.
pub fn read(key: &str, bodiless: bool, out: &Output) -> Result<(Input, HeaderValue)> {
    let what = || "can't read stdin".to_owned();
    if bodiless && io::stdin().is_terminal() {
        return Ok((Input::empty(), signature(key, io::empty(), io::sink()).or_fault(what)?));
    }
    let mut file = input::open(out)?;
    if file.metadata().or_fault(what)?.is_file() {
        let start = file.stream_position().or_fault(what)?;
        let signature = signature(key, &mut file, io::sink()).or_fault(what)?;
        file.seek(io::SeekFrom::Start(start)).or_fault(what)?;
        return Ok((Input::file(file).or_fault(what)?, signature));
    }
    let mut kept: File = tempfile::tempfile().or_fault(|| "can't keep the body while it is signed".into())?;
    let signature = signature(key, &mut file, &mut kept).or_fault(what)?;
    kept.rewind().or_fault(what)?;
    Ok((Input::file(kept).or_fault(what)?, signature))
}

fn signature(key: &str, mut from: impl Read, mut to: impl Write) -> io::Result<HeaderValue> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(io::Error::other)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                mac.update(&piece[..n]);
                to.write_all(&piece[..n])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("sha256={hex}")).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_faas_clis() {
        let mut kept = Vec::new();
        let value = signature("k", "hello".as_bytes(), &mut kept).unwrap();
        assert_eq!(value, "sha256=406e4b43f87095aa86ca6299d25e875921fefa180f02043bb29bec5681c0c2d0");
        assert_eq!(kept, b"hello");
    }
}
