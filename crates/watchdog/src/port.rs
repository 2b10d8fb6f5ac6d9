//! A free loopback port for a child.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

// Above what the kernel gives to outgoing connections by default (32768 to 60999), so that no client socket can take
// the port between our look and the child's listen.
const FIRST: u16 = 61000;
const COUNT: u32 = 65535 - FIRST as u32;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port nobody listens on right now. The child may still find it taken a moment later; it is then started again,
/// with another one.
pub(crate) fn free() -> std::io::Result<u16> {
    // Each process starts elsewhere, so that two of them don't offer the same port at the same time.
    let offset = std::process::id().wrapping_mul(2_654_435_761);
    for _ in 0..COUNT {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (offset.wrapping_add(turn) % COUNT) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_calls_give_two_ports() {
        let one = super::free().unwrap();
        let two = super::free().unwrap();
        assert_ne!(one, two);
        let _taken = std::net::TcpListener::bind(("127.0.0.1", one)).unwrap();
    }
}
