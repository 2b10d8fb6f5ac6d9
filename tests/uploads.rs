//! Large blobs to registries that cut connections, ask for patience or take no pieces. Needs `docker-registry`, which the test
//! beds install.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::support::registry::{Fate, Kind, Line, Proxy, Registry};
use crate::support::{Done, Test, bed};

/// More than one piece, and nothing that gets smaller.
const SIZE: usize = 17 << 20;

/// An image with a large layer over no base at all, built without an engine.
fn built(host: &str) -> Done {
    let image = format!("{host}/test/large");
    let stack = format!(
        "provider: {{name: openfaas}}\nfunctions:\n  f: {{lang: bash, handler: ./f, image: \"{image}\", build_args: {{BASE: scratch}}}}\n"
    );
    let mut state = 88_172_645_463_325_252_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let bytes: Vec<u8> = noise.take(SIZE / 8).flatten().collect();
    let test = Test::new().file("stack.yml", stack).file("f/handler.sh", "cat\n").layout(|dir| {
        std::fs::write(dir.join("f/noise"), bytes).unwrap();
    });
    test.env("FAAS_ENGINE", "none").env("DOCKER_HOST", "tcp://127.0.0.1:1").arg("build").run()
}

/// A proxy whose nth PATCH (from 1) fares so; and the number of PATCHes.
fn patches(real: &str, fate: impl Fn(usize, &Line) -> Fate + Send + Sync + 'static) -> (Proxy, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let proxy = Proxy::new(real, move |line| match line.starts_with("PATCH") {
        true => fate(seen.fetch_add(1, SeqCst) + 1, line),
        false => fate(0, line),
    });
    (proxy, count)
}

fn is_there(registry: &Registry, done: &Done) {
    let digest = done.json()[0]["digest"].as_str().unwrap().to_owned();
    let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(registry.blob(&digest)).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let large = layers.iter().find(|layer| layer["size"].as_u64().unwrap() > SIZE as u64).unwrap();
    let path = registry.blob(large["digest"].as_str().unwrap());
    assert_eq!(std::fs::metadata(path).unwrap().len(), large["size"].as_u64().unwrap());
}

#[test]
fn an_upload_that_is_cut_goes_on_where_it_was() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let (proxy, count) = patches(&registry.host, |nth, _| if nth == 2 { Fate::Cut } else { Fate::Pass });
    let done = built(&proxy.host);
    let pushed = done.then().args(["push", "--output", "json"]);
    let pushed = pushed.stderr_has("trying again in").stderr_has("going on after 16777216 of ").run();
    is_there(&registry, &pushed);
    // Two pieces, of which one went twice.
    assert_eq!(count.load(SeqCst), 3);
}

#[test]
fn an_upload_that_is_cut_within_a_piece_arrives() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let (proxy, _) = patches(&registry.host, |nth, _| if nth == 2 { Fate::CutAfter(512 << 10) } else { Fate::Pass });
    let done = built(&proxy.host);
    is_there(&registry, &done.then().args(["push", "--output", "json"]).stderr_has("trying again in").run());
}

#[test]
fn a_registry_that_asks_for_patience_gets_it() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let manifests = AtomicUsize::new(0);
    let (proxy, _) = patches(&registry.host, move |nth, line| match nth {
        1 => Fate::Later(503, 2),
        0 if line.starts_with("PUT") && line.contains("/manifests/") && manifests.fetch_add(1, SeqCst) == 0 => {
            Fate::Later(429, 3)
        }
        _ => Fate::Pass,
    });
    let done = built(&proxy.host);
    let pushed = done.then().args(["push", "--output", "json"]);
    let pushed = pushed
        .stderr_has("503 Service Unavailable; trying again in 2.0s")
        .stderr_has("429 Too Many Requests; trying again in 3.0s")
        .run();
    is_there(&registry, &pushed);
    // Who asks for an hour is told so at once; by a registry that has nothing yet.
    let registry = Registry::new(Kind::Plain);
    let (proxy, _) = patches(&registry.host, |nth, _| if nth == 1 { Fate::Later(429, 3600) } else { Fate::Pass });
    let done = built(&proxy.host);
    done.then().args(["push"]).status(1).stderr_has("the registry takes no more for now").run();
}

#[test]
fn a_registry_that_takes_no_pieces_gets_the_whole() {
    if bed("FAAS_REGISTRY").is_none() {
        return;
    }
    let registry = Registry::new(Kind::Plain);
    let (proxy, count) = patches(&registry.host, |nth, _| if nth > 0 { Fate::Answer(405, "") } else { Fate::Pass });
    let done = built(&proxy.host);
    is_there(&registry, &done.then().args(["push", "--output", "json"]).run());
    assert_eq!(count.load(SeqCst), 1);
}
