//! `faas chart export`: `helm template`, split into a file a resource, in a folder a kind.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::Value;

use crate::context::Context;
use crate::error::{Fault, OrFault, Result};
use crate::output::yaml;

/// What says which files of a folder an export wrote, so that the next may remove them.
const LIST: &str = ".faas-export";

/// Render a Helm chart by `helm template`, and write each resource to a file of its own
#[derive(Args)]
#[command(
    after_help = "Files that an export wrote before and this one doesn't are removed; others in the folder are left.\n\n\
                        Example:\n  faas chart export openfaas --values values-pro.yaml -o yaml"
)]
pub struct Export {
    /// The chart: ./chart/CHART
    #[arg(default_value = "openfaas", value_name = "CHART")]
    chart: String,
    /// The folder to write to
    #[arg(short = 'o', id = "folder", default_value = "./yaml", value_name = "FOLDER")]
    folder: PathBuf,
    /// A file of values
    #[arg(long, value_name = "FILE")]
    values: Vec<String>,
    /// A value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// CustomResourceDefinitions too, in a folder that sorts first
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true",
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    crds: bool,
    /// The namespace
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// The name of the release
    #[arg(long, default_value = "openfaas", value_name = "NAME")]
    release: String,
}

impl Export {
    /// Writes them.
    ///
    /// # Errors
    /// When helm is missing or fails, there is no such chart, or a file can't be written.
    pub fn run(self, context: &Context) -> Result<()> {
        let chart = Path::new("chart").join(&self.chart);
        let mut args: Vec<String> = vec!["template".into(), self.release.clone(), chart.display().to_string()];
        if self.crds {
            args.push("--include-crds".into());
        }
        args.extend(self.values.iter().flat_map(|file| ["-f".to_owned(), file.clone()]));
        args.extend(self.set.iter().flat_map(|pair| ["--set".to_owned(), pair.clone()]));
        args.extend(self.namespace.iter().flat_map(|name| ["--namespace".to_owned(), name.clone()]));
        if !context.absolute(&chart).is_dir() {
            return Err(Fault::not_found(format!("chart directory not found: {}", chart.display()))
                .hint("call it in the folder that `chart/` is in, as a clone of OpenFaaS's charts"));
        }
        context.out.tell(&format!("Running: helm {}", args.join(" ")), str::to_owned);
        let text = render(&args, context)?;
        // Without the `.` of `./yaml`, as it is shown.
        let folder: PathBuf = context.absolute(&self.folder).components().collect();
        let files = files(&text)?;
        if files.is_empty() {
            return Err(Fault::failed("no resources found in helm output"));
        }
        write(&folder, &files)?;
        let names: Vec<String> = files.keys().map(|path| path.display().to_string()).collect();
        context.out.result(&names, || {
            let lines: String = names.iter().map(|name| format!("  wrote {name}\n")).collect();
            format!("{lines}\nExported {} resources to {}\n", names.len(), folder.display())
        })
    }
}

fn render(args: &[String], context: &Context) -> Result<String> {
    let mut helm = Command::new("helm");
    helm.args(args).current_dir(&context.cwd).env_clear().envs(context.env.iter());
    let output = helm.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::failed("helm is required but was not found in PATH")
            .hint("install it: https://helm.sh/docs/intro/install"),
        _ => Fault::failed("can't start helm").cause(error),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Fault::failed("helm template failed").cause(crate::output::plain(said.trim())));
    }
    String::from_utf8(output.stdout).map_err(|_| Fault::failed("what helm writes is no text"))
}

/// The resources of a stream of YAML, each as the text of a file, by path below the folder.
fn files(text: &str) -> Result<BTreeMap<PathBuf, String>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| Fault::failed("helm's output can't be read").cause(error))?;
    let text = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let resources: Vec<(String, String, String, Value)> = documents
        .into_iter()
        .map(|value| {
            (text(&value, "/kind"), text(&value, "/metadata/name"), text(&value, "/metadata/namespace"), value)
        })
        .filter(|(kind, name, ..)| !kind.is_empty() && !name.is_empty())
        .collect();
    let mut files = BTreeMap::new();
    for (kind, name, namespace, value) in &resources {
        // Names of resources are not all names of files.
        let safe = |part: &String| !part.contains(['/', '\\', '\0']) && part != "." && part != "..";
        if ![kind, name, namespace].into_iter().all(safe) {
            return Err(Fault::failed(format!("the resource {kind} {name:?} can't be the name of a file")));
        }
        let alike = resources.iter().filter(|(k, n, ..)| k == kind && n == name).count();
        let file = if alike > 1 && !namespace.is_empty() {
            format!("{name}.{namespace}.yaml")
        } else {
            format!("{name}.yaml")
        };
        let first = if kind == "CustomResourceDefinition" { "00_" } else { "" };
        let yaml = yaml::write(&sorted(value.clone()))?;
        files.insert(PathBuf::from(format!("{first}{}", kind.to_lowercase())).join(file), yaml);
    }
    Ok(files)
}

/// The same with the keys of every map in order, so that the same chart gives the same files.
pub(in crate::cli) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Writes files, and removes those of the export before that are none of them.
fn write(folder: &Path, files: &BTreeMap<PathBuf, String>) -> Result<()> {
    let list = folder.join(LIST);
    let before = std::fs::read_to_string(&list).unwrap_or_default();
    for (path, text) in files {
        let to = folder.join(path);
        let cant = || format!("can't write {}", to.display());
        std::fs::create_dir_all(to.parent().unwrap_or(folder)).or_fault(cant)?;
        crate::fetch::replace(&to, text.as_bytes()).or_fault(cant)?;
    }
    let kept: BTreeSet<&Path> = files.keys().map(PathBuf::as_path).collect();
    for path in before.lines().map(Path::new).filter(|path| !kept.contains(path)) {
        let inside = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if inside && std::fs::remove_file(folder.join(path)).is_ok() {
            // The folder of its kind, when nothing else is in it.
            let _ = path.parent().map(|parent| std::fs::remove_dir(folder.join(parent)));
        }
    }
    let lines: String = files.keys().map(|path| format!("{}\n", path.display())).collect();
    crate::fetch::replace(&list, lines.as_bytes()).or_fault(|| format!("can't write {}", list.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_by_kind_and_name() {
        let text = "---\n# Source: x\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: o}\n---\n---\nkind: Service\n\
                    metadata:\n  namespace: m\n  name: a\n---\nkind: CustomResourceDefinition\nmetadata: {name: c}\n---\nother: 1\n";
        let files = files(text).unwrap();
        let paths: Vec<String> = files.keys().map(|path| path.display().to_string()).collect();
        assert_eq!(paths, ["00_customresourcedefinition/c.yaml", "service/a.m.yaml", "service/a.o.yaml"]);
        assert_eq!(files[Path::new("service/a.m.yaml")], "kind: Service\nmetadata:\n  name: a\n  namespace: m\n");
        let odd = super::files("kind: Service\nmetadata: {name: a, namespace: 'n'}\ndata: {'on': x}\n").unwrap();
        let text = &odd[Path::new("service/a.yaml")];
        assert!(text.contains("namespace: \"n\"") || text.contains("namespace: 'n'"), "{text}");
        assert!(text.contains("\"on\": x"), "{text}");
        assert!(super::files("kind: X\nmetadata: {name: ../../x}\n").is_err());
    }

    #[test]
    fn only_what_an_export_wrote_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let of = |names: &[&str]| names.iter().map(|name| (PathBuf::from(name), "x\n".to_owned())).collect();
        std::fs::write(folder.path().join("mine.txt"), "x").unwrap();
        write(folder.path(), &of(&["service/a.yaml", "role/b.yaml"])).unwrap();
        std::fs::write(folder.path().join("service/mine.yaml"), "x").unwrap();
        write(folder.path(), &of(&["service/c.yaml"])).unwrap();
        let is_there = |path: &str| folder.path().join(path).exists();
        assert!(is_there("mine.txt") && is_there("service/mine.yaml") && is_there("service/c.yaml"));
        assert!(!is_there("service/a.yaml") && !is_there("role"));
    }
}
