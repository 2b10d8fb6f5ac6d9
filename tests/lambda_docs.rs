//! `docs/lambda.md` as it stands, typed in against moto and the oracle; with `FAAS_TEST_LAMBDA=1`.

use std::process::Command;

use crate::docs::{page, type_in};
use crate::support::Test;
use crate::support::lambda::{Oracle, bed, bridge, with_keys};

#[test]
fn the_tour_works_as_it_stands() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let inside = Oracle::start_at(&bridge(), "", "role-secret-key");
    let session =
        with_keys(Test::new(), &format!("http://{}", oracle.address)).env("AWS_EC2_METADATA_DISABLED", "true");
    let session = session.args(["version"]).run();
    // In AWS's place, where functions read their secrets.
    let variables = format!("environment: {{AWS_ENDPOINT_URL_SSM: \"http://{}\", ", inside.address);
    let text = page("lambda.md").replace("environment: {", &variables);
    let shell = |bash: &mut Command| {
        for (name, value) in session.then().command().get_envs() {
            bash.env(name, value.unwrap_or_default());
        }
    };
    type_in("lambda.md", &text, &session.dir(), shell, str::to_owned);
    oracle.check();
    inside.check();
}
