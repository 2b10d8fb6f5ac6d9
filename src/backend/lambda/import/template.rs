//! The functions of a template of AWS SAM or CloudFormation. Parameters are their defaults; what only a deployed stack
//! knows (other resources, imports, conditions) is left out and listed.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{entry, short};
use crate::error::{Fault, Result};
use crate::imported::Imported;

const SERVERLESS: &str = "AWS::Serverless::Function";
const PLAIN: &str = "AWS::Lambda::Function";
/// What SAM's `Globals` may say twice: the function's own comes after.
const JOINED: [&str; 2] = ["Layers", "Policies"];

/// Whether a document is a template.
#[must_use]
pub fn is_one(document: &Value) -> bool {
    let resources = document.get("Resources").and_then(Value::as_object);
    document.get("AWSTemplateFormatVersion").is_some()
        || document.get("Transform").is_some()
        || resources.is_some_and(|all| {
            all.values().any(|r| r.get("Type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("AWS::")))
        })
}

/// The functions of a template, and what of it is none.
///
/// # Errors
/// When it has no resources.
pub fn template(document: &Value) -> Result<(Vec<Imported>, Vec<String>)> {
    let resources = document
        .get("Resources")
        .and_then(Value::as_object)
        .ok_or_else(|| Fault::usage("the template has no `Resources`"))?;
    let known = Known::of(document);
    let mut functions = Vec::new();
    let mut notes = Vec::new();
    for (name, default) in &known.parameters {
        notes.push(format!("the parameter `{name}` is taken as its default, `{}`", short(default)));
    }
    for (logical, resource) in resources {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        match kind {
            SERVERLESS | PLAIN => functions.push(one(document, &known, resources, logical, resource, kind)),
            // A function's own, and found from there.
            "AWS::Lambda::Url" | "AWS::Lambda::EventInvokeConfig" => {}
            _ => notes.push(format!("`{logical}` ({kind}) is no function")),
        }
    }
    Ok((functions, notes))
}

fn one(
    document: &Value,
    known: &Known,
    resources: &Map<String, Value>,
    logical: &str,
    resource: &Value,
    kind: &str,
) -> Imported {
    let mut properties = match kind {
        SERVERLESS => document.pointer("/Globals/Function").and_then(Value::as_object).cloned().unwrap_or_default(),
        _ => Map::new(),
    };
    merge(&mut properties, resource.get("Properties").and_then(Value::as_object).cloned().unwrap_or_default());
    for (config, property) in
        [("AWS::Lambda::Url", "FunctionUrlConfig"), ("AWS::Lambda::EventInvokeConfig", "EventInvokeConfig")]
    {
        let beside =
            resources.values().find(|r| r.get("Type").is_some_and(|kind| kind == config) && points(r, logical));
        if let Some(Value::Object(found)) = beside.and_then(|r| r.get("Properties")) {
            // What ties it to the function is said by where it stands now.
            let ties = ["TargetFunctionArn", "FunctionName"];
            let found: Map<String, Value> =
                found.clone().into_iter().filter(|(k, _)| !ties.contains(&k.as_str())).collect();
            properties.insert(property.into(), found.into());
        }
    }
    let mut notes = Vec::new();
    let mut properties: Map<String, Value> = properties
        .into_iter()
        .filter_map(|(name, value)| Some((name.clone(), known.resolve(&name, value, &mut notes)?)))
        .collect();
    let handler = place(&mut properties, resource, kind, &mut notes);
    let name = match properties.get("FunctionName").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => kebab(logical),
    };
    entry(name, handler, properties, notes)
}

/// Where the code lies: a folder for SAM; in plain CloudFormation it is a bucket or stands in the template.
fn place(properties: &mut Map<String, Value>, resource: &Value, kind: &str, notes: &mut Vec<String>) -> Option<String> {
    if let Some(context) = resource.pointer("/Metadata/DockerContext").and_then(Value::as_str) {
        notes.push(format!("its image is built from {context}: leave `skip_build` out and set `handler: {context}`"));
    }
    match properties.shift_remove("CodeUri") {
        Some(Value::String(archive)) if archive.ends_with(".zip") => {
            notes.push(format!("its code is packed in {archive}: put it into a folder"));
        }
        Some(Value::String(folder)) if !folder.starts_with("s3://") => return Some(folder),
        Some(elsewhere) => notes.push(format!("its code is in {}: put it into a folder", short(&elsewhere))),
        None if kind == SERVERLESS
            && !properties.contains_key("ImageUri")
            && !properties.contains_key("InlineCode") =>
        {
            return Some(".".into());
        }
        None => {}
    }
    if properties.shift_remove("InlineCode").is_some() {
        notes.push("its code stands in the template: put it into a file of the handler's folder".into());
    }
    if let Some(Value::Object(mut code)) = properties.shift_remove("Code") {
        if let Some(image) = code.shift_remove("ImageUri") {
            properties.insert("ImageUri".into(), image);
        } else if code.contains_key("ZipFile") {
            notes.push("its code stands in the template: put it into a file of the handler's folder".into());
        } else {
            notes.push(format!("its code is in {}: put it into a folder", short(&code.into())));
        }
    }
    None
}

/// Whether a resource is about the function: `TargetFunctionArn` or `FunctionName` names it.
fn points(resource: &Value, logical: &str) -> bool {
    ["TargetFunctionArn", "FunctionName"].iter().any(|key| {
        let target = resource.pointer(&format!("/Properties/{key}"));
        target.is_some_and(|target| match target {
            Value::Object(map) => map.values().any(|to| match to {
                Value::String(to) => to.split('.').next() == Some(logical),
                Value::Array(parts) => parts.first().is_some_and(|first| first == logical),
                _ => false,
            }),
            target => target == logical,
        })
    })
}

/// What SAM does with `Globals`: mappings are merged, some lists joined, all else is replaced.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if JOINED.contains(&key.as_str()) => old.extend(new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

struct Known {
    parameters: BTreeMap<String, Value>,
}

impl Known {
    fn of(document: &Value) -> Self {
        let parameters = document.get("Parameters").and_then(Value::as_object).into_iter().flatten();
        let text = document.to_string();
        let used = |name: &str| text.contains(&format!("\"Ref\":\"{name}\"")) || text.contains(&format!("${{{name}}}"));
        Self {
            parameters: parameters
                .filter(|(name, _)| used(name))
                .filter_map(|(name, parameter)| Some((name.clone(), parameter.get("Default")?.clone())))
                .collect(),
        }
    }

    /// A value without CloudFormation's functions; what can't be had without is left out and noted.
    fn resolve(&self, at: &str, value: Value, notes: &mut Vec<String>) -> Option<Value> {
        match value {
            Value::Object(map) if is_function(&map) => match self.call(&map) {
                Some(value) => Some(value),
                None => {
                    notes.push(format!("`{at}` is known to a deployed stack only: {}", short(&json!(map))));
                    None
                }
            },
            Value::Object(map) => Some(
                map.into_iter()
                    .filter_map(|(key, value)| {
                        let value = self.resolve(&format!("{at}.{key}"), value, notes)?;
                        Some((key, value))
                    })
                    .collect::<Map<_, _>>()
                    .into(),
            ),
            Value::Array(list) => {
                Some(list.into_iter().filter_map(|item| self.resolve(at, item, notes)).collect::<Vec<_>>().into())
            }
            plain => Some(plain),
        }
    }

    fn call(&self, map: &Map<String, Value>) -> Option<Value> {
        let (function, argument) = map.iter().next()?;
        match (function.as_str(), argument) {
            ("Ref", Value::String(name)) => self.parameters.get(name).cloned(),
            ("Fn::Sub", Value::String(text)) => self.substituted(text),
            ("Fn::Join", Value::Array(parts)) => {
                let (between, list) = (parts.first()?.as_str()?, parts.get(1)?.as_array()?);
                let parts: Option<Vec<String>> = list
                    .iter()
                    .map(|part| match part {
                        Value::Object(map) => self.call(map).map(|value| super::plain(&value)),
                        part => Some(super::plain(part)),
                    })
                    .collect();
                Some(parts?.join(between).into())
            }
            _ => None,
        }
    }

    fn substituted(&self, text: &str) -> Option<Value> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}')?;
            out.push_str(before);
            match name.strip_prefix('!') {
                // `${!x}` is `${x}`, literally.
                Some(literal) => out.push_str(&format!("${{{literal}}}")),
                None => out.push_str(&super::plain(self.parameters.get(name)?)),
            }
            rest = after;
        }
        Some((out + rest).into())
    }
}

fn is_function(map: &Map<String, Value>) -> bool {
    map.len() == 1 && map.keys().all(|key| key == "Ref" || key == "Condition" || key.starts_with("Fn::"))
}

/// `GetTaxFunction` as `get-tax-function`.
fn kebab(logical: &str) -> String {
    let mut name = String::new();
    let mut before = ' ';
    for c in logical.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            name.push('-');
        }
        name.push(c.to_ascii_lowercase());
        before = c;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAM: &str = r#"
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
Globals:
  Function:
    Timeout: 7
    Environment: {Variables: {STAGE: !Ref Stage, TABLE: !Ref Orders}}
Resources:
  Orders: {Type: AWS::DynamoDB::Table}
  GetTax:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: hello_world/
      Handler: app.lambda_handler
      Runtime: python3.12
      MemorySize: 512
      Environment: {Variables: {NAME: !Sub "${Stage}-tax"}}
      FunctionUrlConfig: {AuthType: NONE, Cors: {AllowOrigins: ["*"]}}
      Events:
        Clock: {Type: Schedule, Properties: {Schedule: rate(5 minutes)}}
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}
      Policies: [AmazonDynamoDBReadOnlyAccess]
      SnapStart: {ApplyOn: PublishedVersions}
      KmsKeyArn: arn:aws:kms:x
"#;

    #[test]
    fn a_template_of_sam_with_globals_and_functions_of_cloudformation() {
        let document = super::super::read(SAM).unwrap();
        assert!(is_one(&document));
        let (functions, notes) = template(&document).unwrap();
        assert_eq!(
            notes,
            ["the parameter `Stage` is taken as its default, `dev`", "`Orders` (AWS::DynamoDB::Table) is no function"]
        );
        let [function] = functions.as_slice() else { panic!("{functions:?}") };
        assert_eq!(function.name, "get-tax");
        assert_eq!(
            Value::from(function.entry.clone()),
            json!({
                "lang": "python3", "handler": "hello_world/",
                "environment": {"FAAS_HANDLER": "app.lambda_handler", "NAME": "dev-tax", "STAGE": "dev"},
                "timeout": "7s", "limits": {"memory": "512Mi"}, "url": "public", "schedule": "*/5 * * * *",
                "lambda": {"runtime": "python3.12", "cors": {"origins": ["*"]}},
            })
        );
        let all = function.notes.join("\n");
        for part in [
            "`Environment.Variables.TABLE` is known to a deployed stack only",
            "`Queue` of type SQS",
            "AmazonDynamoDBReadOnlyAccess",
            "SnapStart",
            "`KmsKeyArn` has no word",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    #[test]
    fn plain_cloudformation_and_names() {
        let document = super::super::read(
            "Resources:\n  F:\n    Type: AWS::Lambda::Function\n    Properties:\n      FunctionName: tax\n      Runtime: nodejs22.x\n      Handler: index.handler\n      Role: arn:aws:iam::123456789012:role/own\n      Code: {ZipFile: 'exports.handler = 1'}\n      Tags: [{Key: team, Value: a}]\n  U:\n    Type: AWS::Lambda::Url\n    Properties: {AuthType: AWS_IAM, TargetFunctionArn: !GetAtt F.Arn}\n",
        )
        .unwrap();
        let (functions, _) = template(&document).unwrap();
        let entry = &functions[0].entry;
        assert_eq!(
            (&entry["lang"], &entry["url"], &entry["labels"]),
            (&json!("node"), &json!("iam"), &json!({"team": "a"}))
        );
        assert_eq!(entry["lambda"]["role"], "arn:aws:iam::123456789012:role/own");
        assert_eq!(
            (&entry["timeout"], &entry["environment"]),
            (&json!("3s"), &json!({"FAAS_HANDLER": "index.handler"}))
        );
        assert!(functions[0].notes[0].contains("stands in the template"), "{:?}", functions[0].notes);
        assert_eq!(
            (kebab("HelloWorldFunction"), kebab("HTTPApi2")),
            ("hello-world-function".into(), "httpapi2".into())
        );
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        assert!(super::super::read("a: [1").is_err());
        assert!(super::super::read("a: &x 1\nb: *x").unwrap_err().contains("aliases"));
    }
}
