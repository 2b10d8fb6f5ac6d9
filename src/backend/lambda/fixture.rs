//! What the tests of this folder deploy: a function as an archive, for the stack `shop`.
use crate::artifact::Artifact;
use crate::backend::{Change, How};
use crate::function::Function;

/// The change that deploys `function`.
pub fn change(function: Function) -> Change {
    let artifact = Artifact::Archive {
        path: "/x/tax.zip".into(),
        sha256: "00ff".into(),
        entry: "bootstrap".into(),
        runtime: "python3.13".into(),
    };
    Change {
        function,
        artifact,
        spec: "s".into(),
        stack: "shop".into(),
        how: How::Upsert,
        force: false,
        history: Vec::new(),
    }
}
