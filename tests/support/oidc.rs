//! A real OpenID provider with a gateway that takes its tokens (tests/beds/oidc), and a browser that signs in there.
#![allow(dead_code, missing_docs)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use regex::Regex;

/// Both servers; they end with the test.
pub struct Bed {
    child: Child,
    /// Kept open: a program whose stdout is closed ends at its next word.
    _stdout: Box<dyn std::any::Any>,
    pub provider: String,
    pub gateway: String,
}

impl Bed {
    /// `None`, with a word on stderr, where npm can't fetch the provider.
    pub fn start(env: &[(&str, &str)]) -> Option<Self> {
        let up = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beds/oidc/up.sh");
        let made = Command::new(up).output().expect("the script runs");
        if !made.status.success() {
            eprintln!("skipped: npm can't fetch the OpenID provider: {}", String::from_utf8_lossy(&made.stderr));
            return None;
        }
        let folder = String::from_utf8(made.stdout).expect("text");
        let mut command = Command::new("node");
        command.arg("server.mjs").current_dir(folder.trim()).envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let line = lines
            .find_map(|line| line.expect("a line").strip_prefix("ready ").map(str::to_owned))
            .expect("the provider starts");
        let (provider, gateway) = line.split_once(' ').expect("two addresses");
        Some(Self { provider: provider.into(), gateway: gateway.into(), child, _stdout: Box::new(lines) })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Signs in as `me`: fills every form that comes, until there is none; the text of the last page.
pub fn sign_in(url: &str) -> String {
    let jar = tempfile::NamedTempFile::new().expect("a jar");
    let jar = jar.path().to_str().expect("a path");
    let curl = |args: &[&str]| {
        let page = Command::new("curl").args(["-sSL", "-m", "20", "-c", jar, "-b", jar]).args(args).output();
        let page = page.expect("curl runs");
        assert!(page.status.success(), "{args:?}: {}", String::from_utf8_lossy(&page.stderr));
        String::from_utf8(page.stdout).expect("text")
    };
    let form = Regex::new(r#"(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>"#).unwrap();
    let input = Regex::new(r"<input[^>]*>").unwrap();
    let attribute = |tag: &str, name: &str| {
        let found = Regex::new(&format!("{name}=\"([^\"]*)\"")).unwrap();
        found.captures(tag).map(|found| found[1].to_owned())
    };
    let mut page = curl(&[url]);
    for _ in 0..8 {
        let Some(found) = form.captures(&page) else { return page };
        let mut args = Vec::new();
        for tag in input.find_iter(&found[2]) {
            let Some(name) = attribute(tag.as_str(), "name") else { continue };
            let value = match name.as_str() {
                "login" | "password" => "me".into(),
                _ => attribute(tag.as_str(), "value").unwrap_or_default(),
            };
            args.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        let mut all: Vec<&str> = args.iter().map(String::as_str).collect();
        let action = found[1].to_owned();
        all.push(&action);
        page = curl(&all);
    }
    panic!("no end of forms: {page}");
}
