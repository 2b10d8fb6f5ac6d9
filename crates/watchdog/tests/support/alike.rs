//! What is different in every answer, for reasons that docs/invoker.md gives under the same names: taken out of both
//! answers before they are compared, and only where it is what the reason says.

use serde_json::{Value, json};

/// The reasons.
pub const RULES: [&str; 8] = [
    "no compression is asked for",
    "lengths are kept",
    "no guessed Content-Type",
    "seconds on every answer",
    "who answered",
    "the classic watchdog's variables",
    "refused heads without words",
    "ETags",
];

type Headers = Vec<(String, String)>;

fn headers(list: &Value) -> Headers {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.as_array().into_iter().flatten().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn has(headers: &Headers, name: &str) -> bool {
    headers.iter().any(|(key, _)| key == name)
}

fn drop(headers: &mut Headers, name: &str) {
    headers.retain(|(key, _)| key != name);
}

/// Both answers to a request, without what the rules explain.
pub fn alike(request: &str, theirs: &Value, ours: &Value) -> (Value, Value) {
    let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
    let (mut their, mut our) = (headers(&theirs["headers"]), headers(&ours["headers"]));
    let same = theirs["status"] == ours["status"];
    if same && theirs["status"] == 400 && ours["body"] == "" {
        // refused heads without words
        return (json!(400), json!(400));
    }
    // lengths are kept: small answers of a process have one at of-watchdog, and none at ours; a head alone keeps its own
    if !request.starts_with("HEAD ") {
        for list in [&mut their, &mut our] {
            drop(list, "content-length");
            drop(list, "transfer-encoding");
        }
    }
    // seconds on every answer
    if !has(&their, "x-duration-seconds") {
        drop(&mut our, "x-duration-seconds");
    }
    // no guessed Content-Type
    if !has(&our, "content-type") && their.contains(&("content-type".into(), "text/plain; charset=utf-8".into())) {
        drop(&mut their, "content-type");
    }
    // who answered
    if has(&our, "x-openfaas-internal") {
        drop(&mut our, "x-openfaas-internal");
        drop(&mut their, "x-openfaas-internal");
        drop(&mut their, "x-content-type-options");
        for list in [&mut their, &mut our] {
            list.retain(|(name, value)| name != "content-type" || value != "text/plain; charset=utf-8");
        }
        if theirs["body"] == "" {
            ours["body"] = json!("");
        }
    }
    // ETags
    drop(&mut our, "etag");
    // the classic watchdog's variables
    for answer in [&mut theirs, &mut ours] {
        if let Some(text) = answer["body"].as_str().filter(|text| text.starts_with("Http_")) {
            let extra = ["Http_ContentLength=", "Http_Content_Length=", "Http_Host="];
            let (seen, body) = text.split_once("--\n").unwrap_or((text, ""));
            let kept = seen.lines().filter(|line| !extra.iter().any(|name| line.starts_with(name)));
            answer["body"] = json!(format!("{}\n--\n{body}", kept.collect::<Vec<_>>().join("\n")));
        }
    }
    if theirs["body"].is_object() && ours["body"].is_object() {
        let (mut they_saw, mut we_saw) = (headers(&theirs["body"]["headers"]), headers(&ours["body"]["headers"]));
        // no compression is asked for
        if !has(&we_saw, "accept-encoding") && !request.contains("Accept-Encoding") {
            drop(&mut they_saw, "accept-encoding");
        }
        // lengths are kept
        if has(&they_saw, "transfer-encoding") && has(&we_saw, "content-length") {
            drop(&mut they_saw, "transfer-encoding");
            drop(&mut we_saw, "content-length");
        }
        theirs["body"]["headers"] = json!(they_saw);
        ours["body"]["headers"] = json!(we_saw);
    }
    theirs["headers"] = json!(their);
    ours["headers"] = json!(our);
    (theirs, ours)
}
