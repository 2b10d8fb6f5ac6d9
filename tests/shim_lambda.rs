//! Handlers of AWS Lambda in the shims: called over HTTP, they find what Lambda would give them.

use serde_json::{Value, json};

use crate::shim::{Answer, Shim};

const URL_CALL: &str = "POST /a%20b?x=1&x=2 HTTP/1.1\r\nHost: x\r\nCookie: c=d; e=f\r\nX-Call-Id: id-1\r\nContent-Length: 17\r\n\r\n{\"subtotal\": 100}";
const RAW_EVENT: &str =
    "POST / HTTP/1.1\r\nHost: x\r\nX-Faas-Event: raw\r\nContent-Length: 16\r\n\r\n{\"Records\": [1]}";

/// A handler of AWS Lambda sees an HTTP request as a function URL hands it over, and any other event as it is.
fn is_called_as_by_lambda(shim: &Shim) {
    let answer = shim.send(URL_CALL);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let seen: Value = serde_json::from_str(&answer.body).unwrap();
    let wanted = json!({
        "path": "/a%20b", "query": {"x": "1,2"}, "cookies": ["c=d", "e=f"], "method": "POST", "id": "id-1", "subtotal": 100
    });
    assert_eq!(seen, wanted);
    assert!(answer.head.contains("Set-Cookie: g=h"), "{}", answer.head);
    let raw = shim.send(RAW_EVENT);
    assert_eq!((raw.status, raw.body.replace(' ', "").as_str()), (200, r#"{"records":[1]}"#));
}

#[test]
fn python_takes_handlers_of_lambda() {
    let shim = Shim::start(
        "python3",
        "lambda_function.py",
        "import json\n\ndef lambda_handler(event, context):\n    if 'Records' in event:\n        return {'records': event['Records']}\n    \
         seen = {'path': event['rawPath'], 'query': event['queryStringParameters'], 'cookies': event['cookies'],\n            \
         'method': event['requestContext']['http']['method'], 'id': context.aws_request_id, 'subtotal': event['subtotal']}\n    \
         assert json.loads(event['body'])['subtotal'] == 100\n    return {'statusCode': 201, 'cookies': ['g=h'], 'body': json.dumps(seen)}\n",
    );
    is_called_as_by_lambda(&shim);
}

#[test]
fn node_takes_handlers_of_lambda() {
    let shim = Shim::start(
        "node",
        "index.mjs",
        "export const handler = async (event, context) => {\n  if (event.Records) return { records: event.Records };\n  const seen = {\n    \
         path: event.rawPath, query: event.queryStringParameters, cookies: event.cookies,\n    method: event.requestContext.http.method, \
         id: context.awsRequestId, subtotal: event.subtotal,\n  };\n  return { statusCode: 201, cookies: ['g=h'], body: JSON.stringify(seen) };\n};\n",
    );
    is_called_as_by_lambda(&shim);
    let shim = Shim::node(
        "exports.handler = (event, context, callback) => setTimeout(() => callback(null, { later: event.a }), 10);\n",
    );
    assert_eq!(shim.post("{\"a\": 1}").body, "{\"later\":1}");
}

#[test]
fn a_module_and_function_may_be_named_as_lambda_does() {
    let handler = "def entry(event, context):\n    return 'deep ' + event['a']\n";
    let shim = Shim::start_with("python3", "deep.py", handler, &[("FAAS_HANDLER", "deep.entry")]);
    assert_eq!(shim.post("{\"a\": \"b\"}").body, "deep b");
}

/// A handler in each language that has them, which answers its request's context and how long it has left.
fn telling(variables: &[(&str, &str)]) -> [Shim; 3] {
    let python = "import json\n\ndef lambda_handler(event, context):\n    \
        left = context.get_remaining_time_in_millis()\n    \
        return {'statusCode': 200, 'headers': {'X-None': None}, 'body': json.dumps([event['requestContext'], left, event['headers']])}\n";
    let node = "exports.handler = async (event, context) => ({ statusCode: 200, headers: { 'X-None': null }, \
        body: JSON.stringify([event.requestContext, context.getRemainingTimeInMillis(), event.headers]) });\n";
    let ruby = "require 'json'\n\ndef lambda_handler(event:, context:)\n  \
        left = context.get_remaining_time_in_millis\n  \
        { statusCode: 200, headers: { 'X-None' => nil }, body: JSON.generate([event['requestContext'], left, event['headers']]) }\nend\n";
    let start = |lang, file, handler| Shim::start_with(lang, file, handler, variables);
    [
        start("python3", "lambda_function.py", python),
        start("node", "handler.js", node),
        start("ruby", "lambda_function.rb", ruby),
    ]
}

fn told(answer: &Answer) -> (Value, u64, Value) {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.head.to_lowercase().contains("x-none"), "{}", answer.head);
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn the_context_of_a_request_is_that_of_a_function_url() {
    // As 12/Mar/2020:19:03:58 +0000.
    let pattern = regex::Regex::new(r"^\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000$").unwrap();
    for shim in telling(&[("OPENFAAS_NAME", "tax")]) {
        let answer = shim.send(
            "GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:5000\r\nX-Forwarded-Host: tax.example:8080\r\nUser-Agent: me\r\n\
             X-Forwarded-For: 203.0.113.7:38356, 10.0.0.1\r\nX-Call-Id: id-1\r\n\r\n",
        );
        let (mut context, _, _) = told(&answer);
        let time = context["time"].take();
        let epoch = context["timeEpoch"].take();
        let wanted = json!({
            "accountId": "000000000000", "apiId": "tax", "domainName": "tax.example", "domainPrefix": "tax",
            "http": {"method": "GET", "path": "/a", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "me"},
            "requestId": "id-1", "routeKey": "$default", "stage": "$default", "time": null, "timeEpoch": null,
        });
        assert_eq!(context, wanted);
        assert!(epoch.as_u64().unwrap() > 1_700_000_000_000, "{epoch}");
        assert!(pattern.is_match(time.as_str().unwrap()), "{time}");
        for (from, address) in [("[2001:db8::1]:99", "2001:db8::1"), ("2001:db8::1", "2001:db8::1")] {
            let answer = shim.send(&format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {from}\r\n\r\n"));
            assert_eq!(told(&answer).0["http"]["sourceIp"], address);
        }
    }
}

#[test]
fn what_is_left_of_a_call_is_of_the_functions_own_time() {
    for shim in telling(&[("AWS_LAMBDA_FUNCTION_TIMEOUT", "6.5")]) {
        let (_, left, _) = told(&shim.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!((1..=6500).contains(&left), "{left}");
        // Lambda says itself when it is over: here in the year 2100.
        let asked = "GET / HTTP/1.1\r\nHost: x\r\nLambda-Runtime-Deadline-Ms: 4102444800000\r\n\r\n";
        let (_, left, headers) = told(&shim.send(asked));
        assert!(left > 1_000_000_000_000, "{left}");
        assert!(headers.get("lambda-runtime-deadline-ms").is_none(), "{headers}");
    }
}

#[test]
fn statuses_and_fields_that_are_none_are_the_handlers_fault() {
    let python = "def lambda_handler(event, context):\n    q = event['queryStringParameters']\n    \
        return {'statusCode': int(q['status']), 'headers': {q['name']: 'b'}, 'body': ''}\n";
    let node = "exports.handler = async ({ queryStringParameters: q }) => ({ statusCode: Number(q.status), headers: { [q.name]: 'b' } });\n";
    let ruby = "def lambda_handler(event:, context:)\n  q = event['queryStringParameters']\n  \
        { statusCode: q['status'].to_i, headers: { q['name'] => 'b' } }\nend\n";
    for (lang, file, handler) in
        [("python3", "handler.py", python), ("node", "handler.js", node), ("ruby", "handler.rb", ruby)]
    {
        let shim = Shim::start(lang, file, handler);
        for (query, said) in [
            ("status=100&name=a", "the status 100 is none that an answer can have"),
            ("status=0&name=a", "the status 0 is none that an answer can have"),
            ("status=200&name=a%20b", "can't be the name of a header field"),
        ] {
            let answer = shim.send(&format!("GET /?{query} HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert_eq!(answer.status, 500, "{lang} {query}: {}", answer.body);
            assert!(answer.body.contains(said), "{lang} {query}: {}", answer.body);
        }
        assert_eq!(shim.send("GET /?status=201&name=a HTTP/1.1\r\nHost: x\r\n\r\n").status, 201, "{lang}");
    }
}

#[test]
fn node_that_never_calls_back_ends_with_null_once_nothing_is_under_way() {
    for (handler, answer) in [
        ("exports.handler = (event, context, callback) => {};\n", "null"),
        ("exports.handler = (event, context) => { new Promise(() => {}); };\n", "null"),
        ("exports.handler = (event, context, callback) => { setTimeout(() => {}, 50); };\n", "null"),
        ("exports.handler = (event, context, callback) => { setInterval(() => {}, 50).unref(); };\n", "null"),
        ("exports.handler = (...all) => { setTimeout(() => all[2](null, 'late'), 50); };\n", "\"late\""),
        ("exports.handler = (event, context) => { setTimeout(() => context.succeed('late'), 50); };\n", "\"late\""),
        (
            "const fs = require('fs');\nexports.handler = (event, context, callback) => {\n  \
             fs.readFile(__filename, (error, text) => setImmediate(() => callback(error, text.length > 0)));\n};\n",
            "true",
        ),
        (
            "exports.handler = (event, context, callback) => {\n  \
             (async () => { for (let n = 0; n < 3; n += 1) await new Promise((go) => setTimeout(go, 30)); callback(null, 3); })();\n};\n",
            "3",
        ),
    ] {
        let shim = Shim::node(handler);
        // In both ways, and as often as one likes.
        for request in [RAW_EVENT, RAW_EVENT] {
            assert_eq!(shim.send(request).body, answer, "{handler}");
        }
        assert_eq!(shim.post("{}").body, answer.trim_matches('"'), "{handler}");
    }
}
