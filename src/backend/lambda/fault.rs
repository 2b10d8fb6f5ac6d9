//! What AWS refused, in its own words, with what to do about it.
use std::error::Error;

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use regex::Regex;
use serde_json::json;

use crate::error::{Fault, Kind};
use crate::wire::page::squeeze;

/// The error's code, as `ResourceNotFoundException`; empty when the call did not get as far as an answer.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    // Some endpoints put more behind a colon.
    error.code().unwrap_or_default().split(':').next().unwrap_or_default()
}

/// What AWS said about it.
pub fn said<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    error.message().unwrap_or_default()
}

/// An error and everything below it, each said once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        below = error.source();
    }
    text
}

/// The fault for a call that failed: `message` says what was tried on which thing.
pub fn fault<E>(message: impl Into<String>, error: &SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let code = code(error);
    let said = said(error);
    let cause = match (code, said) {
        ("", _) => match error.raw_response() {
            Some(response) => foreign(response.status().as_u16(), response.body().bytes().unwrap_or_default()),
            None => chain_of(error),
        },
        (code, "") => code.to_owned(),
        (code, said) => format!("{said} ({code})"),
    };
    if let Some((address, why)) = no_address(&cause) {
        return Fault::usage(message)
            .cause(format!("`{address}` is no address: {why}"))
            .hint("AWS_ENDPOINT_URL, or `provider.lambda.endpoint`, begins with http:// or https://");
    }
    let (kind, hint) = match error {
        SdkError::TimeoutError(_) => (Kind::TimedOut, None),
        SdkError::DispatchFailure(_) => (
            Kind::Failed,
            Some("is the region right, and can its address be reached? AWS_ENDPOINT_URL changes it".to_owned()),
        ),
        _ => advice(code, said),
    };
    let mut fault = Fault::new(kind, message).cause(cause);
    fault.hint = hint;
    fault
}

/// The address that a call could not be sent to, since it is none, and why: the SDK puts the whole request in between.
fn no_address(said: &str) -> Option<(&str, &str)> {
    let (address, rest) = said.split_once("failed to apply endpoint `")?.1.split_once("` to request")?;
    Some((address, rest.rsplit_once("`: ")?.1))
}

/// An answer that is none of AWS's: a proxy's, or another program's behind the address.
fn foreign(status: u16, body: &[u8]) -> String {
    format!("HTTP {status}, and no error as AWS writes it: {}", beginning(body))
}

/// The beginning of an answer, on one line.
#[must_use]
pub fn beginning(body: &[u8]) -> String {
    squeeze(&String::from_utf8_lossy(body)).chars().take(200).collect()
}

fn chain_of<E: Error + 'static>(error: &SdkError<E>) -> String {
    let mut text = error.to_string();
    let mut below = match error {
        SdkError::ConstructionFailure(_) | SdkError::TimeoutError(_) => None,
        SdkError::DispatchFailure(failure) => failure.as_connector_error().map(|e| e as &dyn Error),
        SdkError::ServiceError(service) => Some(service.err() as &dyn Error),
        _ => None,
    };
    while let Some(error) = below {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        below = error.source();
    }
    text
}

fn advice(code: &str, said: &str) -> (Kind, Option<String>) {
    let hint = |kind, text: &str| (kind, Some(text.to_owned()));
    match code {
        "ResourceNotFoundException" | "NoSuchEntity" | "NoSuchEntityException" | "ParameterNotFound" => {
            (Kind::NotFound, None)
        }
        "ExpiredToken" | "ExpiredTokenException" => {
            hint(Kind::Unauthorized, "the credentials have expired: `aws sso login`, or take new ones")
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "AuthFailure" => {
            hint(Kind::Unauthorized, "AWS does not know these credentials: are they of this partition, and complete?")
        }
        "AccessDenied" | "AccessDeniedException" => (Kind::Unauthorized, policy_for(said)),
        "TooManyRequestsException" | "Throttling" | "ThrottlingException" => {
            hint(Kind::Failed, "the account's API rate is used up; try again in a minute")
        }
        "CodeStorageExceededException" => {
            hint(Kind::Failed, "the account's 75 GB for code are used up: remove old versions and functions")
        }
        "RequestEntityTooLargeException" => {
            hint(Kind::Failed, "the archive is over 50 MB: leave files out by .faasignore, or use `package: image`")
        }
        "PolicyLengthExceededException" => {
            hint(Kind::Failed, "the function's resource policy is over 20 KB: remove permissions that aren't used")
        }
        _ => (Kind::Failed, None),
    }
}

/// The smallest policy that allows what AWS refused, from its own sentence.
fn policy_for(said: &str) -> Option<String> {
    let sentence = Regex::new(r"not authorized to perform: ([\w:*-]+)(?: on resource: ([^\s,]+))?").ok()?;
    let found = sentence.captures(said)?;
    let resource = found.get(2).map_or("*", |m| m.as_str().trim_end_matches('.'));
    let policy = json!({"Effect": "Allow", "Action": &found[1], "Resource": resource});
    Some(format!("ask for this statement in a policy of yours: {policy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_told_without_the_request() {
        let said =
            "dispatch failure: other: failed to apply endpoint `here` to request `Request { a: `b` }`: must have it";
        assert_eq!(no_address(said), Some(("here", "must have it")));
        assert_eq!(no_address("dispatch failure: io error"), None);
    }

    #[test]
    fn an_answer_that_is_not_of_aws_is_shown() {
        let shown = foreign(502, b"<html>\n  <title>Bad gateway</title>");
        assert_eq!(shown, "HTTP 502, and no error as AWS writes it: <html> <title>Bad gateway</title>");
    }

    #[test]
    fn a_missing_right_is_shown_as_the_policy_to_add() {
        let said = "User: arn:aws:iam::1:user/me is not authorized to perform: lambda:CreateFunction on resource: \
                    arn:aws:lambda:eu-west-1:1:function:tax because no identity-based policy allows it";
        let (kind, hint) = advice("AccessDeniedException", said);
        assert_eq!(kind, Kind::Unauthorized);
        assert_eq!(
            hint.unwrap(),
            "ask for this statement in a policy of yours: {\"Effect\":\"Allow\",\"Action\":\"lambda:CreateFunction\",\
             \"Resource\":\"arn:aws:lambda:eu-west-1:1:function:tax\"}"
        );
        assert_eq!(advice("AccessDenied", "no").1, None);
    }
}
