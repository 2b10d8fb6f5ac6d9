//! How long a stack file of 1,000 functions takes to load: `cargo bench --bench stack`. Prints medians in milliseconds.
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use faas::stack::{Options, Origin, edit, parse};

fn thousand(image: &str) -> String {
    let mut text =
        String::from("version: 1.0\nprovider:\n  name: openfaas\n  gateway: http://127.0.0.1:8080\nfunctions:\n");
    for i in 0..1000 {
        text += &format!("  f{i}:\n    lang: python3\n    handler: ./f{i}\n    image: {image}f{i}:latest\n");
    }
    text
}

fn median(rounds: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

fn load(text: &str, target: Option<&str>) -> usize {
    let options = Options {
        lookup: &|_| Some("registry:5000".into()),
        substitute: true,
        target,
        strict: false,
        filter: None,
        regex: None,
        read: &|_| Ok(String::new()),
    };
    let origin = Origin { name: "stack.yml".into(), root: PathBuf::from("/project") };
    parse(text.as_bytes(), origin, &options).map_or(0, |stack| stack.functions.len())
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let rounds = if std::env::args().any(|a| a == "--bench") { 101 } else { 1 };
    let plain = thousand("shop/");
    let variables = thousand("${REGISTRY:-docker.io}/shop/");
    let targets =
        format!("{plain}targets:\n  prod: {{prefix: example.com/x, environment: {{A: b}}, scale: {{max: 3}}}}\n");
    let new = faas::stack::NewFunction {
        lambda_image: false,
        name: "new".into(),
        lang: "python3".into(),
        handler: "./new".into(),
        image: Some("new:latest".into()),
        limits: faas::function::Resources::default(),
        requests: faas::function::Resources::default(),
    };
    println!("lines: {}, bytes: {}", plain.lines().count(), plain.len());
    for (what, text, target) in [
        ("load", &plain, None),
        ("load, 1,000 variables", &variables, None),
        ("load, a target laid over", &targets, Some("prod")),
    ] {
        assert_eq!(load(text, target), 1000);
        println!(
            "{what}: {:.2} ms",
            median(rounds, || {
                black_box(load(black_box(text), target));
            })
        );
    }
    println!(
        "append a function: {:.2} ms",
        median(rounds, || drop(black_box(edit::append(black_box(&plain), "s.yml", &new))))
    );
}
