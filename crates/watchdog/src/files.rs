//! static mode: a folder's files, under the paths and with the redirects of of-watchdog's file server.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustix::io::Errno;
use tower_http::services::ServeFile;

use crate::failure::Failure;
use crate::ticket::Ticket;
use crate::{Body, Error};

const INDEX: &str = "index.html";
/// What a file's name must not bring into a link.
const IN_LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const IN_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(b'?').add(b'#').add(b'<').add(b'>');

/// What it means that there is no such file.
const MISSING: [Errno; 3] = [Errno::NOENT, Errno::NOTDIR, Errno::NAMETOOLONG];

/// Where a path leads.
enum Found {
    File(PathBuf),
    /// To be asked for under this path, relative to the one that was asked for.
    Elsewhere(String),
    Folder(PathBuf),
    Nothing,
}

/// Whether there is a folder to serve.
pub(crate) fn readable(root: &Path) -> Result<(), Error> {
    let problem = match std::fs::read_dir(root) {
        Ok(_) => return Ok(()),
        Err(error) => error.to_string(),
    };
    Err(Error::NoFolder { path: root.display().to_string(), problem })
}

/// Answers with a file below `root`. Every method but HEAD is a GET, as it is to of-watchdog: gateways call by POST.
pub(crate) async fn serve(root: &Path, parts: Parts, ticket: &mut Option<Ticket>) -> Result<Response<Body>, Failure> {
    let target = parts.uri.path().to_owned();
    let root = root.to_owned();
    let looked = tokio::task::spawn_blocking(move || find(&root, &target)).await;
    let found = looked.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
    match found {
        Found::Nothing => Err(Failure::new(StatusCode::NOT_FOUND, "404 page not found")),
        Found::Elsewhere(path) => {
            let query = parts.uri.query().map_or(String::new(), |query| format!("?{query}"));
            let location = HeaderValue::try_from(format!("{path}{query}")).map_err(|error| unreadable(&error))?;
            let mut response = Response::new(Body::full(""));
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            response.headers_mut().insert(LOCATION, location);
            Ok(response)
        }
        Found::Folder(path) => {
            let page = tokio::task::spawn_blocking(move || listing(&path)).await;
            let page = page.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
            let mut response = Response::new(Body::full(page));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            Ok(response)
        }
        Found::File(path) => {
            let mut request = Request::new(Empty::<bytes::Bytes>::new());
            if parts.method == Method::HEAD {
                *request.method_mut() = Method::HEAD;
            }
            *request.headers_mut() = parts.headers;
            let answer = ServeFile::new(path).try_call(request).await.map_err(|error| unreadable(&error))?;
            let (mut head, body) = answer.into_parts();
            say_charset(&mut head.headers);
            let mut ticket = ticket.take();
            if let Some(ticket) = &mut ticket {
                ticket.answered(head.status, None);
            }
            Ok(Response::from_parts(head, Body::file(body.map_err(Into::into).boxed_unsync(), ticket)))
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the file can't be read").because(error.to_string())
}

fn find(root: &Path, target: &str) -> std::io::Result<Found> {
    let decoded = percent_decode_str(target).decode_utf8_lossy();
    if decoded.contains('\0') {
        return Ok(Found::Nothing);
    }
    // `..` never leads above the root: what is above it is the root.
    let mut path = root.to_owned();
    let mut depth = 0;
    for component in Path::new(&*decoded).components() {
        match component {
            Component::Normal(name) => {
                path.push(name);
                depth += 1;
            }
            Component::ParentDir if depth > 0 => {
                path.pop();
                depth -= 1;
            }
            _ => {}
        }
    }
    let folder = match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => true,
        Ok(found) if found.is_file() => false,
        // A pipe, a device: nothing that ends.
        Ok(_) => return Ok(Found::Nothing),
        Err(error) if error.raw_os_error().is_some_and(|code| MISSING.contains(&Errno::from_raw_os_error(code))) => {
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(error),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let escaped = || utf8_percent_encode(&name, IN_HEADER).to_string();
    Ok(match (folder, decoded.ends_with('/')) {
        (false, false) if name == INDEX => Found::Elsewhere("./".into()),
        (false, false) => Found::File(path),
        (false, true) => Found::Elsewhere(format!("../{}", escaped())),
        (true, false) if depth > 0 => Found::Elsewhere(format!("{}/", escaped())),
        (true, _) => {
            let index = path.join(INDEX);
            if index.is_file() { Found::File(index) } else { Found::Folder(path) }
        }
    })
}

/// The names in a folder, as a page.
fn listing(folder: &Path) -> std::io::Result<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let end = if entry.path().is_dir() { "/" } else { "" };
            Some(format!("{}{end}", entry.file_name().to_string_lossy()))
        })
        .collect();
    names.sort_unstable();
    let mut page = String::from("<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n");
    for name in names {
        let (bare, end) = name.strip_suffix('/').map_or((name.as_str(), ""), |bare| (bare, "/"));
        let link = utf8_percent_encode(bare, IN_LINK);
        let shown = bare.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
        let _ = writeln!(page, "<a href=\"./{link}{end}\">{shown}{end}</a>");
    }
    page.push_str("</pre>\n");
    Ok(page)
}

/// Text is UTF-8, as Go's file server says it.
fn say_charset(headers: &mut HeaderMap) {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return };
    if (kind.starts_with("text/") || kind == "application/javascript")
        && !kind.contains(';')
        && let Ok(kind) = HeaderValue::try_from(format!("{kind}; charset=utf-8"))
    {
        headers.insert(CONTENT_TYPE, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_files_and_never_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("public");
        std::fs::create_dir_all(root.join("a b/c")).unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        std::fs::write(root.join("index.html"), "i").unwrap();
        std::fs::write(root.join("a b/x.txt"), "x").unwrap();
        let shown = |target: &str| match find(&root, target).unwrap() {
            Found::File(path) => format!("file {}", path.strip_prefix(&root).unwrap().display()),
            Found::Elsewhere(path) => format!("to {path}"),
            Found::Folder(path) => format!("folder {}", path.strip_prefix(&root).unwrap().display()),
            Found::Nothing => "nothing".into(),
        };
        for (target, leads) in [
            ("/", "file index.html"),
            ("/index.html", "to ./"),
            ("/a%20b/x.txt", "file a b/x.txt"),
            ("/a%20b/x.txt/", "to ../x.txt"),
            ("/a%20b", "to a%20b/"),
            ("/a%20b/c", "to c/"),
            ("/a%20b/", "folder a b"),
            ("/../secret", "nothing"),
            ("/a%20b/../../secret", "nothing"),
            ("/%2e%2e/secret", "nothing"),
            ("/%2e%2e%2fsecret", "nothing"),
            ("/../../../../etc/passwd", "nothing"),
            ("//etc/passwd", "nothing"),
            ("/a%20b/x.txt%00.html", "nothing"),
            ("/a%20b/x.txt/y", "nothing"),
            ("/none", "nothing"),
        ] {
            assert_eq!(shown(target), leads, "{target}");
        }
    }

    #[test]
    fn names_in_a_page_are_no_markup() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("<b> & \"c\""), "").unwrap();
        std::fs::create_dir(folder.path().join("z")).unwrap();
        let page = listing(folder.path()).unwrap();
        assert!(page.contains("<a href=\"./%3Cb%3E%20%26%20%22c%22\">&lt;b&gt; &amp; &#34;c&#34;</a>\n"), "{page}");
        assert!(page.contains("<a href=\"./z/\">z/</a>\n"), "{page}");
    }
}
