//! Writes one CloudTrail record: the fields, in AWS's order, of one call by one actor.
//!
//! Must never build a JSON value: the bytes go straight to the buffer.

use rand::Rng;
use rand::rngs::StdRng;

use super::actor::{Actor, Channel};
use super::calls::{Call, RequestId};
use super::estate::{ACCOUNTS, REGIONS};
use super::json::{self, UPPER36};
use super::template::Scene;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It worked.
    Done,
    /// The caller may not.
    Denied,
    /// It failed: code and message (a template).
    Failed(&'static str, &'static str),
    /// It failed, and says so only in words (console sign-ins).
    Refused(&'static str),
}

/// One event to write.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// What.
    pub call: &'a Call,
    /// Where and when.
    pub scene: Scene<'a>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Event<'_> {
    /// Appends the record.
    pub fn write(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        json::text(out, r#"{"eventVersion":""#);
        json::text(out, self.call.service.version);
        json::text(out, r#"","userIdentity":"#);
        self.identity(out);
        json::text(out, r#","eventTime":""#);
        self.scene.clock.iso(out, self.scene.second);
        json::text(out, r#"","eventSource":""#);
        json::text(out, self.call.service.name);
        json::text(out, r#".amazonaws.com","eventName":""#);
        json::text(out, self.call.name);
        json::text(out, r#"","awsRegion":""#);
        json::text(out, REGIONS[self.scene.region]);
        self.client(out);
        self.error(rng, out);
        self.parameters(rng, out);
        self.additional(rng, out);
        self.ids(rng, out);
        json::text(out, if self.call.read_only { r#","readOnly":true"# } else { r#","readOnly":false"# });
        if !self.call.resources.is_empty() && self.outcome != Outcome::Denied {
            json::text(out, r#","resources":"#);
            self.scene.expand(rng, out, self.call.resources);
        }
        self.ending(rng, out);
    }

    fn via(&self) -> &'static str {
        self.call.via
    }

    fn identity(&self, out: &mut Vec<u8>) {
        let actor = self.actor;
        out.extend_from_slice(&actor.head);
        if actor.session && self.call.service.version != "1.11" {
            json::text(out, r#""webIdFederationData":{},"#);
        }
        out.extend_from_slice(&actor.tail);
        if !self.via().is_empty() && actor.channel != Channel::Service {
            json::text(out, r#","invokedBy":""#);
            json::text(out, self.via());
            out.push(b'"');
        }
        out.push(b'}');
    }

    fn client(&self, out: &mut Vec<u8>) {
        json::text(out, r#"","sourceIPAddress":""#);
        if self.via().is_empty() {
            out.extend_from_slice(&self.actor.source);
            json::text(out, r#"","userAgent":""#);
            let bracketed = self.call.service.name == "s3" && self.actor.channel != Channel::Service;
            if bracketed {
                out.push(b'[');
            }
            self.agent(out);
            if bracketed {
                out.push(b']');
            }
        } else {
            json::text(out, self.via());
            json::text(out, r#"","userAgent":""#);
            json::text(out, self.via());
        }
        out.push(b'"');
    }

    fn agent(&self, out: &mut Vec<u8>) {
        let mut parts = self.actor.agent.split('%');
        json::text(out, parts.next().unwrap_or_default());
        for part in parts {
            if let Some(rest) = part.strip_prefix('s') {
                json::text(out, self.call.service.name);
                json::text(out, rest);
            } else if let Some(rest) = part.strip_prefix('c') {
                command(out, self.call.name);
                json::text(out, rest);
            }
        }
    }

    fn error(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        match self.outcome {
            Outcome::Done => {}
            Outcome::Failed(code, message) => {
                json::text(out, r#","errorCode":""#);
                json::text(out, code);
                out.push(b'"');
                if !message.is_empty() {
                    json::text(out, r#","errorMessage":""#);
                    self.scene.expand(rng, out, message);
                    out.push(b'"');
                }
            }
            Outcome::Refused(message) => {
                json::text(out, r#","errorMessage":""#);
                json::text(out, message);
                out.push(b'"');
            }
            Outcome::Denied => self.denied(out),
        }
    }

    fn denied(&self, out: &mut Vec<u8>) {
        let service = self.call.service.name;
        let (code, start) = match service {
            "ec2" => {
                ("Client.UnauthorizedOperation", "You are not authorized to perform this operation. User: ")
            }
            _ => ("AccessDenied", "User: "),
        };
        json::text(out, r#","errorCode":""#);
        json::text(out, code);
        json::text(out, r#"","errorMessage":""#);
        json::text(out, start);
        out.extend_from_slice(&self.actor.arn);
        json::text(out, " is not authorized to perform: ");
        json::text(out, service);
        out.push(b':');
        json::text(out, self.call.name.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'v'));
        json::text(out, if service == "iam" { " on resource: *" } else { "" });
        json::text(out, " because no identity-based policy allows the ");
        json::text(out, service);
        out.push(b':');
        json::text(out, self.call.name.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'v'));
        json::text(out, r#" action""#);
    }

    fn parameters(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        let kept = self.outcome != Outcome::Denied || matches!(self.call.service.name, "ec2" | "s3");
        json::text(out, r#","requestParameters":"#);
        if kept && !self.call.request.is_empty() {
            self.scene.expand(rng, out, self.call.request);
        } else {
            json::text(out, "null");
        }
        let answered = matches!(self.outcome, Outcome::Done | Outcome::Refused(_));
        json::text(out, r#","responseElements":"#);
        if answered && !self.call.response.is_empty() {
            self.scene.expand(rng, out, self.call.response);
        } else {
            json::text(out, "null");
        }
    }

    fn additional(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        if self.call.service.name == "s3" && self.call.kind == "AwsApiCall" {
            return self.transfer(rng, out);
        }
        if !self.call.extra.is_empty() {
            json::text(out, r#","additionalEventData":"#);
            self.scene.expand(rng, out, self.call.extra);
        }
    }

    fn transfer(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        json::text(
            out,
            r#","additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":"#,
        );
        let done = self.outcome == Outcome::Done;
        json::number(out, if done { long_tailed(rng, self.call.bytes.0) } else { 0 });
        json::text(out, r#","AuthenticationMethod":"AuthHeader","x-amz-id-2":""#);
        json::letters(out, json::BASE64, rng.random(), 75);
        json::text(out, r#"=","bytesTransferredOut":"#);
        json::number(out, if done { long_tailed(rng, self.call.bytes.1) } else { 340 });
        out.push(b'}');
    }

    fn ids(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        if self.call.kind == "AwsApiCall" {
            json::text(out, r#","requestID":""#);
            match self.call.service.request_id {
                RequestId::Guid => json::guid(out, rng.random(), rng.random()),
                RequestId::Short => json::letters(out, UPPER36, rng.random(), 16),
                RequestId::Long => json::letters(out, UPPER36, rng.random(), 52),
            }
            out.push(b'"');
        }
        json::text(out, r#","eventID":""#);
        json::guid(out, rng.random(), rng.random());
        out.push(b'"');
    }

    fn ending(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        let call = self.call;
        json::text(out, r#","eventType":""#);
        json::text(out, call.kind);
        json::text(
            out,
            if call.data { r#"","managementEvent":false,"# } else { r#"","managementEvent":true,"# },
        );
        json::text(out, r#""recipientAccountId":""#);
        json::text(out, ACCOUNTS[self.scene.account].id);
        out.push(b'"');
        if call.service.name == "sts" && self.actor.channel == Channel::Service {
            json::text(out, r#","sharedEventID":""#);
            json::guid(out, rng.random(), rng.random());
            out.push(b'"');
        }
        if !call.details.is_empty() {
            json::text(out, r#","serviceEventDetails":"#);
            self.scene.expand(rng, out, call.details);
        }
        let client = self.actor.channel != Channel::Service && self.via().is_empty();
        if client && let Some(endpoint) = self.actor.endpoint {
            json::text(out, r#","vpcEndpointId":"vpce-0"#);
            json::hex(out, json::mix(endpoint, json::hash(call.service.name)), 16);
            json::text(out, r#"","vpcEndpointAccountId":""#);
            json::text(out, ACCOUNTS[self.scene.account].id);
            out.push(b'"');
        }
        json::text(
            out,
            if call.data { r#","eventCategory":"Data""# } else { r#","eventCategory":"Management""# },
        );
        if client {
            self.tls(rng, out);
        }
        let console = self.actor.channel == Channel::Console && call.kind == "AwsApiCall";
        json::text(out, if console { r#","sessionCredentialFromConsole":"true"}"# } else { "}" });
    }

    fn tls(&self, rng: &mut StdRng, out: &mut Vec<u8>) {
        let service = self.call.service;
        json::text(
            out,
            if service.tls13 {
                r#","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":""#
            } else {
                r#","tlsDetails":{"tlsVersion":"TLSv1.2","cipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","clientProvidedHostHeader":""#
            },
        );
        self.scene.expand(rng, out, service.host);
        json::text(out, r#""}"#);
    }
}

/// `DescribeDBInstances` as the command line spells it: `describe-db-instances`.
fn command(out: &mut Vec<u8>, name: &str) {
    let mut upper_before = true;
    for letter in name.bytes() {
        let upper = letter.is_ascii_uppercase();
        if upper && !upper_before {
            out.push(b'-');
        }
        out.push(letter.to_ascii_lowercase());
        upper_before = upper;
    }
}

/// Sizes spread over the powers of two up to `most`.
fn long_tailed(rng: &mut StdRng, most: u64) -> u64 {
    if most == 0 {
        return 0;
    }
    let bits = u64::BITS - most.leading_zeros();
    (rng.random::<u64>() >> (u64::BITS - bits) >> rng.random_range(0..bits.min(12))).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        for (name, expect) in [
            ("GetCallerIdentity", "get-caller-identity"),
            ("DescribeDBInstances", "describe-dbinstances"),
            ("ListUsers", "list-users"),
        ] {
            let mut out = Vec::new();
            command(&mut out, name);
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
    }
}
