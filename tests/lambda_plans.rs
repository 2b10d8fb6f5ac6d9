//! Provider `lambda`: what `faas plan` tells and `faas up` does of it, whose functions and roles are touched, and by which
//! region; with `FAAS_TEST_LAMBDA=1`.

use crate::support::lambda::{Oracle, aws, bed, project, stack, unchanged, with_keys};
use crate::support::{Done, Test};

const EVERYTHING: &str = "    url: public\n    schedule: \"0 9 * * 1-5\"\n    scale: {max: 5}\n    lambda:\n      log_retention: 7\n      provisioned: 2\n      async: {retries: 1, max_age: 300}\n      cors: {origins: [\"https://a.example\"], max_age: 60}\n";

/// What a plan says of the only function: whether it is to be left, and its lines.
fn planned(done: &Done) -> (bool, String) {
    let told = done.then().args(["plan"]).run().stdout;
    (told.starts_with("= leave"), told)
}

#[test]
fn what_differs_in_the_file_is_shown_field_by_field() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("fields", EVERYTHING).arg("up").run();
    let (left, told) = planned(&done);
    assert!(left, "{told}");
    let other = EVERYTHING
        .replace("url: public", "url: iam")
        .replace("0 9 * * 1-5", "30 9 * * *")
        .replace("log_retention: 7", "log_retention: 30")
        .replace("provisioned: 2", "provisioned: 3")
        .replace("retries: 1", "retries: 2")
        .replace("a.example", "b.example");
    let done = done.then().file("stack.yml", stack("fields", &other)).args(["plan"]).run();
    for line in [
        "    ~ FunctionUrl.AuthType: \"NONE\" -> \"AWS_IAM\"\n",
        "    ~ FunctionUrl.Cors.AllowOrigins: [\"https://a.example\"] -> [\"https://b.example\"]\n",
        "    ~ Schedule.ScheduleExpression: \"cron(0 9 ? * MON,TUE,WED,THU,FRI *)\" -> \"cron(30 9 * * ? *)\"\n",
        "    ~ LogGroup.RetentionInDays: 7 -> 30\n",
        "    ~ ProvisionedConcurrentExecutions: 2 -> 3\n",
        "    ~ EventInvokeConfig.MaximumRetryAttempts: 1 -> 2\n",
    ] {
        assert!(done.stdout.contains(line), "{line}: {}", done.stdout);
    }
    assert_eq!(done.stdout.lines().count(), 7, "{}", done.stdout);
    let json = done.then().args(["plan", "--output", "json"]).run().json();
    assert_eq!(json[0]["changes"].as_array().unwrap().len(), 6, "{json}");
    done.then().arg("up").stdout_has("updated").run();
    assert!(planned(&done).0, "{}", planned(&done).1);
    // What goes is shown, too.
    let none = done.then().file("stack.yml", stack("fields", "")).args(["plan"]).run().stdout;
    for line in ["- FunctionUrl.AuthType", "- Schedule.ScheduleExpression", "- EventInvokeConfig.MaximumRetryAttempts"]
    {
        assert!(none.contains(line), "{line}: {none}");
    }
    assert!(!none.contains("faas.dev/extras"), "{none}");
    done.then().arg("up").run();
    assert!(planned(&done).0, "{}", planned(&done).1);
    done.then().arg("remove").run();
    oracle.check();
}

#[test]
fn up_does_what_plan_says_of_what_somebody_changed() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("byhand", "    scale: {max: 5}\n").arg("up").run();
    aws("us-east-1", "c('lambda').put_function_concurrency(FunctionName='byhand-tax', ReservedConcurrentExecutions=2)");
    aws("us-east-1", "c('lambda').update_function_configuration(FunctionName='byhand-tax', Timeout=9)");
    let test = done.then().args(["plan", "--exit-code"]).status(3);
    test.stdout_has("(changed on the platform: ReservedConcurrentExecutions, Timeout)")
        .stdout_has("    ~ ReservedConcurrentExecutions: 2 -> 5\n    ~ Timeout: 9 -> 30\n")
        .run();
    done.then().arg("up").stdout_has("updated").run();
    done.then().args(["plan", "--exit-code"]).stdout_has("= leave").run();
    unchanged(&done, &oracle);
    let limit =
        "print(c('lambda').get_function_concurrency(FunctionName='byhand-tax')['ReservedConcurrentExecutions'])";
    assert_eq!(aws("us-east-1", limit), "5");
    done.then().arg("remove").run();
    oracle.check();
}

#[test]
fn a_limit_that_the_file_does_not_name_is_left_and_a_pause_is_told_as_it_is() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("paused", "").arg("up").run();
    let scaled = done.then().args(["scale", "paused-tax", "3"]).stdout("Scaled paused-tax to 3.\n").run();
    assert!(!scaled.stderr.contains("keeps"), "{}", scaled.stderr);
    done.then().args(["plan", "--exit-code"]).run();
    unchanged(&done, &oracle);
    let scaled = done.then().args(["scale", "paused-tax", "0"]).stdout("Scaled paused-tax to 0.\n").run();
    assert!(!scaled.stderr.contains("keeps"), "{}", scaled.stderr);
    done.then().arg("remove").run();
    oracle.check();
}

#[test]
fn where_up_does_not_look_plan_does_and_says_so() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("aside", EVERYTHING).arg("up").run();
    aws(
        "us-east-1",
        "c('lambda').update_function_url_config(FunctionName='aside-tax', Qualifier='live', AuthType='AWS_IAM')",
    );
    aws("us-east-1", "c('scheduler').delete_schedule(Name='aside-tax')");
    aws("us-east-1", "c('lambda').delete_function_event_invoke_config(FunctionName='aside-tax', Qualifier='live')");
    aws("us-east-1", "c('logs').put_retention_policy(logGroupName='/aws/lambda/aside-tax', retentionInDays=90)");
    let told = done.then().args(["plan", "--exit-code"]).status(3).run().stdout;
    for line in [
        "~ update aside-tax (changed on the platform where `faas up` does not look; `faas up --force` mends it)\n",
        "    ~ FunctionUrl.AuthType: \"AWS_IAM\" -> \"NONE\"\n",
        "    + Schedule.ScheduleExpression: ",
        "    + EventInvokeConfig.MaximumRetryAttempts: 1\n",
        "    ~ LogGroup.RetentionInDays: 90 -> 7\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    unchanged(&done, &oracle);
    done.then().args(["up", "--force"]).stdout_has("updated").run();
    done.then().args(["plan", "--exit-code"]).stdout_has("= leave").run();
    done.then().arg("remove").run();
    oracle.check();
}

#[test]
fn a_plan_leaves_out_what_may_not_be_read() {
    if !bed() {
        return;
    }
    let denied = "GetSchedule=AccessDeniedException:403:not authorized to perform: scheduler:GetSchedule";
    let oracle = Oracle::start_with("127.0.0.1", "", "test", &["--refuse", denied]);
    let done = oracle.project("blind", "    schedule: \"0 9 * * *\"\n").arg("up").run();
    done.then().args(["plan", "--exit-code"]).stdout_has("= leave").run();
    done.then().arg("remove").run();
}

/// A stack that is for whatever region the environment says.
fn anywhere(oracle: &Oracle, name: &str, more: &str) -> Test {
    oracle.project(name, more).file("stack.yml", stack(name, more).replace("region: us-east-1", ""))
}

#[test]
fn each_region_has_a_role_of_its_own() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = anywhere(&oracle, "regions", "    secrets: [key]\n    schedule: \"0 9 * * *\"\n").arg("validate").run();
    let (east, west) = ("us-east-2", "us-west-2");
    for region in [east, west] {
        let there = |test: Test| test.env("AWS_REGION", region);
        there(done.then()).args(["secret", "create", "key", "--from-literal", "x"]).run();
        there(done.then()).arg("up").stdout_has("created").run();
    }
    let policy = |role: &str| {
        let ask =
            format!("print(c('iam').get_role_policy(RoleName='{role}', PolicyName='regions-tax')['PolicyDocument'])");
        aws(east, &ask)
    };
    for (region, other) in [(east, west), (west, east)] {
        for role in [format!("faas-regions-{region}"), format!("faas-regions-{region}-schedules")] {
            let policy = policy(&role);
            assert!(policy.contains(region) && !policy.contains(other), "{role}: {policy}");
        }
    }
    done.then().env("AWS_REGION", west).arg("remove").run();
    let roles =
        "print(sorted(r['RoleName'] for r in c('iam').list_roles()['Roles'] if 'faas-regions' in r['RoleName']))";
    assert_eq!(aws(east, roles), format!("['faas-regions-{east}', 'faas-regions-{east}-schedules']"));
    let here = || done.then().env("AWS_REGION", east);
    here().args(["plan", "--exit-code"]).stdout_has("= leave").run();
    // Gone behind our back: `up` does not look, `plan` does.
    aws(
        east,
        &format!(
            "r='faas-regions-{east}'; i=c('iam'); i.delete_role_policy(RoleName=r, PolicyName='regions-tax'); [i.detach_role_policy(RoleName=r, PolicyArn=p['PolicyArn']) for p in i.list_attached_role_policies(RoleName=r)['AttachedPolicies']]; i.delete_role(RoleName=r)"
        ),
    );
    let told = here().args(["plan", "--exit-code"]).status(3).stdout_has("`faas up --force` mends it").run().stdout;
    assert!(told.contains(&format!("    + Role: \"arn:aws:iam::123456789012:role/faas-regions-{east}\"\n")), "{told}");
    here().arg("up").stdout_has("unchanged").run();
    here().args(["up", "--force"]).stdout_has("updated").run();
    assert!(policy(&format!("faas-regions-{east}")).contains(east));
    here().args(["plan", "--exit-code"]).stdout_has("= leave").run();
    here().arg("remove").run();
    assert_eq!(aws(east, roles), "[]");
    oracle.check();
}

#[test]
fn a_role_of_all_regions_is_used_on_and_never_removed() {
    if !bed() {
        return;
    }
    let oracle = Oracle::start("");
    let done = oracle.project("elder", "").arg("up").run();
    aws(
        "us-east-1",
        "import json; a=c('iam').create_role(RoleName='faas-elder', AssumeRolePolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': 'lambda.amazonaws.com'}, 'Action': 'sts:AssumeRole'}]}), Tags=[{'Key': 'faas.dev/stack', 'Value': 'elder'}])['Role']['Arn']; c('lambda').update_function_configuration(FunctionName='elder-tax', Role=a)",
    );
    done.then().args(["plan", "--exit-code"]).stdout_has("= leave").run();
    unchanged(&done, &oracle);
    done.then().file("stack.yml", stack("elder", "    timeout: 9s\n")).arg("up").stdout_has("updated").run();
    let role = "print(c('lambda').get_function_configuration(FunctionName='elder-tax')['Role'])";
    assert!(aws("us-east-1", role).ends_with("role/faas-elder"));
    done.then().arg("remove").run();
    let roles = "print([r['RoleName'] for r in c('iam').list_roles()['Roles'] if 'elder' in r['RoleName']])";
    assert_eq!(aws("us-east-1", roles), "['faas-elder']");
    oracle.check();
}

#[test]
fn functions_of_others_are_touched_only_when_that_is_said() {
    if !bed() {
        return;
    }
    let make = "import io, zipfile; b=io.BytesIO(); z=zipfile.ZipFile(b, 'w'); z.writestr('app.py', 'def h(e, c): return 1'); z.close(); i=c('iam'); r=[r['Arn'] for r in i.list_roles()['Roles'] if r['RoleName']=='theirs'] or [i.create_role(RoleName='theirs', AssumeRolePolicyDocument='{}')['Role']['Arn']]; c('lambda').create_function(FunctionName='alien-tax', Runtime='python3.13', Role=r[0], Handler='app.h', Code={'ZipFile': b.getvalue()})";
    let is_there = || {
        aws(
            "us-east-1",
            "print([f['FunctionName'] for f in c('lambda').list_functions()['Functions'] if 'alien' in f['FunctionName']])",
        )
    };
    aws("us-east-1", make);
    let oracle = Oracle::start("");
    let done = oracle.project("alien", "").args(["remove", "alien-tax"]).status(1);
    let done = done.stderr_has("alien-tax is not one of faas, and is left alone").stderr_has("--adopt").run();
    done.then().args(["remove", "alien-tax", "--keep-logs"]).status(1).run();
    let up = done.then().arg("up").status(1);
    up.stderr_has("alien-tax is there already, and not one of faas").stderr_has("`--adopt` takes it over").run();
    assert_eq!(is_there(), "['alien-tax']");
    assert!(oracle.seen().iter().all(|op| op.starts_with("Get")), "nothing is written");
    done.then().args(["remove", "alien-tax", "--adopt"]).stdout("Removed alien-tax.\n").run();
    assert_eq!(is_there(), "[]");
    aws("us-east-1", make);
    done.then().args(["up", "--adopt"]).stdout_has("updated").run();
    unchanged(&done, &oracle);
    done.then().arg("remove").run();
    oracle.check();
}

#[test]
fn a_role_is_named_on_the_command_line() {
    if !bed() {
        return;
    }
    aws("us-east-1", "c('iam').create_role(RoleName='mine', AssumeRolePolicyDocument='{}')");
    let oracle = Oracle::start("");
    let role = "arn:aws:iam::123456789012:role/mine";
    let done = oracle.project("given", "").args(["up", "--role", role]).stdout_has("created").run();
    let has = "print(c('lambda').get_function_configuration(FunctionName='given-tax')['Role'])";
    assert_eq!(aws("us-east-1", has), role);
    done.then().args(["deploy", "--role", role]).stdout_has("unchanged").run();
    done.then().args(["plan"]).stdout_has(format!("~ Role: \"{role}\" -> \"faas-given-us-east-1\"")).run();
    done.then().arg("remove").run();
    oracle.check();
    let wrong = with_keys(project("given", ""), "http://127.0.0.1:9").args(["up", "--role", "mine"]).status(2);
    wrong.stderr_has("`mine` is no role's ARN").run();
}
