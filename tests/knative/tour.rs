//! `docs/knative.md` as it stands: its files laid out, its console blocks typed in, its answers looked for.
use std::path::Path;
use std::process::Command;

use super::bed::*;
use crate::support::{Test, bed as variable};

/// A fenced block of a document: its language and lines.
struct Block {
    language: String,
    lines: Vec<String>,
}

/// The blocks between a heading and the next one of its kind.
fn blocks(text: &str, heading: &str) -> Vec<Block> {
    let start = text.find(heading).expect("the heading is there") + heading.len();
    let part = text[start..].split("\n## ").next().unwrap_or_default();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in part.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(language), None) => open = Some(Block { language: language.into(), lines: Vec::new() }),
            (None, Some(mut block)) => {
                block.lines.push(line.into());
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

#[tokio::test]
async fn the_tour_works_as_it_stands() {
    let Some(bed) = bed() else { return };
    let (Some(base), Ok(registry)) = (variable("FAAS_REGISTRY"), std::env::var("REGISTRY")) else { return };
    let place = Place::new(bed, "tour").await;
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/knative.md")).expect("text");
    // What is another one here: the registry, the image below the function's own, and how long there is to wait.
    let text = text
        .replace("registry.example.com/shop/", &format!("{registry}/{}/", place.namespace))
        .replace(
            "    handler: ./tax\n",
            &format!("    handler: ./tax\n    build_args: {{BASE: {base}/base/python:3.11}}\n"),
        )
        .replace("--every 2m", "--every 1s");
    let config = place.kubectl_output(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"]);
    let mut config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    config["contexts"][0]["context"]["namespace"] = serde_json::json!(place.namespace);
    let session = Test::new().file("../kubeconfig", config.to_string());
    let program = session.command().get_program().to_owned();
    let folders = [Path::new(&program).parent(), place.bed.kubectl.parent()].into_iter().flatten();
    let folders: Vec<_> = folders.map(|folder| folder.to_string_lossy().into_owned()).collect();
    let path = format!("{}:{}", folders.join(":"), std::env::var("PATH").unwrap_or_default());

    let run = |line: &str| {
        let plain = session.command();
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(session.dir()).env_clear();
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env("PATH", &path).env("KUBECONFIG", session.dir().join("../kubeconfig"));
        command.env("FAAS_KNATIVE_INGRESS", &place.bed.ingress);
        let output = command.output().expect("sh runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "$ {line}\n{said}");
        said
    };
    let mut commands = 0;
    for block in blocks(&text, "\n## A tour\n") {
        if block.language != "console" {
            let name = block.lines[0].trim_start_matches("# ");
            let file = session.dir().join(name);
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            std::fs::write(&file, block.lines[1..].join("\n") + "\n").expect("written");
            continue;
        }
        let mut said = String::new();
        for line in &block.lines {
            if let Some(command) = line.strip_prefix("$ ") {
                said = run(command);
                commands += 1;
            } else {
                assert!(said.contains(line.as_str()), "no `{line}` in\n{said}");
            }
        }
    }
    assert!(commands > 20, "{commands} commands");
}
