//! Names of the platforms that images are for, as engines and registries write them: `linux/amd64`, `linux/arm/v7`.

/// What to do about a name that is none.
pub const HINT: &str = "write it as `linux/amd64` or `linux/arm64`";

const SYSTEMS: [&str; 3] = ["linux", "windows", "freebsd"];
const PROCESSORS: [&str; 9] = ["amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64", "mips64le"];

/// The one name of a platform, whatever case and which of its names was written; `None` when there is no such platform.
/// As <https://github.com/containerd/platforms> has it.
#[must_use]
pub fn normal(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    let (system, processor, variant) = match parts[..] {
        [system, processor] => (system, processor, None),
        [system, processor, variant] => (system, processor, Some(variant)),
        _ => return None,
    };
    let (processor, variant) = match (processor, variant) {
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", None) => ("arm", Some("v7")),
        ("armel", None) => ("arm", Some("v6")),
        ("i386" | "i686", variant) => ("386", variant),
        other => other,
    };
    if !SYSTEMS.contains(&system) || !PROCESSORS.contains(&processor) {
        return None;
    }
    let variant = match (processor, variant) {
        ("amd64", Some("v1")) | ("arm64", Some("v8" | "8")) | (_, None) if processor != "arm" => None,
        ("arm", None | Some("v7" | "7")) => Some("v7"),
        ("arm", Some("v5" | "5")) => Some("v5"),
        ("arm", Some("v6" | "6")) => Some("v6"),
        ("arm", Some("v8" | "8")) => Some("v8"),
        ("amd64", Some(level @ ("v2" | "v3" | "v4"))) => Some(level),
        ("arm64", Some("v9")) => Some("v9"),
        _ => return None,
    };
    Some(format!("{system}/{processor}{}", variant.map(|variant| format!("/{variant}")).unwrap_or_default()))
}

/// The processor in a platform's name: `arm64` of `linux/arm64`.
#[must_use]
pub fn processor(platform: &str) -> &str {
    platform.split('/').nth(1).unwrap_or_default()
}

/// The names of several, each once.
///
/// # Errors
/// The first that is none.
pub fn all<'t>(given: impl IntoIterator<Item = &'t str>) -> Result<Vec<String>, &'t str> {
    let mut all = Vec::new();
    for text in given {
        let name = normal(text).ok_or(text)?;
        if !all.contains(&name) {
            all.push(name);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_one_name() {
        for (text, name) in [
            ("linux/amd64", Some("linux/amd64")),
            (" LINUX/amd64 ", Some("linux/amd64")),
            ("linux/x86_64", Some("linux/amd64")),
            ("linux/aarch64", Some("linux/arm64")),
            ("linux/arm64/v8", Some("linux/arm64")),
            ("linux/arm", Some("linux/arm/v7")),
            ("linux/arm/v6", Some("linux/arm/v6")),
            ("linux/amd64/v3", Some("linux/amd64/v3")),
            ("windows/amd64", Some("windows/amd64")),
            ("linux/foo", None),
            ("linux/amd64/v9", None),
            ("linux/s390x/v1", None),
            ("plan9/amd64", None),
            ("amd64", None),
            ("linux/amd64/v2/x", None),
            ("", None),
        ] {
            assert_eq!(normal(text).as_deref(), name, "{text}");
        }
        assert_eq!(all(["linux/arm64", "LINUX/AMD64", "linux/aarch64"]).unwrap(), ["linux/arm64", "linux/amd64"]);
        assert_eq!(all(["linux/arm64", "linux/foo"]), Err("linux/foo"));
        assert_eq!(processor("linux/arm/v7"), "arm");
    }
}
