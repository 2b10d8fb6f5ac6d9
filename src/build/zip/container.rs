//! An archive's dependencies in a container, where that is asked for: by the flag, or by the function's `lambda.container`.
use std::path::Path;

use super::Processor;
use crate::build::{Options, Project};
use crate::error::{Fault, Result};
use crate::function::Function;
use crate::progress::Progress;
use crate::template::manifest::{Lambda, Step};

/// The image of the container that dependencies are installed in, where that is asked for.
pub(super) fn image(function: &Function, options: &Options, lambda: &Lambda) -> Result<Option<String>> {
    let said = function.extra.get("lambda").and_then(|own| own.get("container"));
    let asked = match (said, &options.container) {
        (Some(serde_json::Value::String(image)), None) => Some(image.as_str()),
        (Some(serde_json::Value::String(image)), Some(flag)) if flag.is_empty() => Some(image.as_str()),
        (_, Some(flag)) => Some(flag.as_str()),
        (Some(serde_json::Value::Bool(true)), None) => Some(""),
        _ => None,
    };
    let Some(asked) = asked else { return Ok(None) };
    let image = Some(asked).filter(|image| !image.is_empty()).or(lambda.container.as_deref());
    image.map(|image| Some(image.to_owned())).ok_or_else(|| {
        Fault::usage(format!("{}: lang {} names no image to install in", function.name, function.lang))
            .hint("name one: `lambda: {container: IMAGE}`, or --container=IMAGE")
    })
}

/// Installs dependencies in a container, with the build arguments as variables.
#[cfg(feature = "image")]
pub(super) async fn run(
    image: &str,
    steps: &[Step],
    folder: &Path,
    function: &Function,
    processor: Processor,
    project: &Project<'_>,
    progress: &dyn Progress,
) -> Result<()> {
    let platform = if processor == Processor::Arm { "linux/arm64" } else { "linux/amd64" };
    let proxies = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    let proxies = proxies.iter().filter_map(|name| Some(((*name).to_owned(), project.env.get(name)?.to_owned())));
    let environment = proxies.chain(function.build.args.clone()).collect();
    let steps: Vec<Step> = steps.iter().map(|one| one.filled(&[("cache", "/tmp/cache")])).collect();
    let place = crate::build::elsewhere::Elsewhere { image, platform, environment };
    place.run(&steps, folder, &function.name, project, progress).await
}

#[cfg(not(feature = "image"))]
pub(super) async fn run(
    _: &str,
    _: &[Step],
    _: &Path,
    function: &Function,
    _: Processor,
    _: &Project<'_>,
    _: &dyn Progress,
) -> Result<()> {
    Err(Fault::unsupported(format!("{}: this build of faas has no container engine", function.name))
        .hint("use one with the feature `image`, or leave `container` out"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_flag_wins_over_the_stack_and_both_over_the_template() {
        let lambda = Lambda { container: Some("template".into()), ..Lambda::default() };
        let said = |own: serde_json::Value, flag: Option<&str>| {
            let mut function = Function { name: "tax".into(), ..Function::default() };
            function.extra.insert("lambda".into(), json!({"container": own}));
            let options = Options { container: flag.map(str::to_owned), ..Options::default() };
            image(&function, &options, &lambda).unwrap()
        };
        assert_eq!(said(json!(null), None), None);
        assert_eq!(said(json!(false), None), None);
        assert_eq!(said(json!(true), None).as_deref(), Some("template"));
        assert_eq!(said(json!("own"), None).as_deref(), Some("own"));
        assert_eq!(said(json!("own"), Some("")).as_deref(), Some("own"));
        assert_eq!(said(json!("own"), Some("flag")).as_deref(), Some("flag"));
        let fault = image(
            &Function::default(),
            &Options { container: Some(String::new()), ..Options::default() },
            &Lambda::default(),
        );
        assert!(fault.unwrap_err().to_string().contains("names no image"));
    }
}
