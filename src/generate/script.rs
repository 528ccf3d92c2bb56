//! Events at set times: the benign ones that look like attacks and, in `attack`, the attack itself.
//!
//! Must never depend on how much other traffic there is.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::actor::{Actor, OFFICE_ADDRESS, Place};
use super::calls::{self as c, Call, read, write};
use super::estate::{ACCOUNTS, Kind, PRINCIPALS, PROD, Principal, REGIONS, SERVICES, US_EAST_1};
use super::events::{Event, Outcome};
use super::json::{self, Clock};
use super::template::Scene;

/// One event, written.
#[derive(Debug)]
pub struct Line {
    /// The second of the day.
    pub second: i32,
    /// The position of the account and region, as [`slot`] counts.
    pub slot: usize,
    /// The record.
    pub record: Vec<u8>,
}

/// The number of an account and region together.
pub fn slot(account: usize, region: usize) -> usize {
    account * REGIONS.len() + region
}

/// Where and when a scripted event happens.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// The second of the day.
    pub second: i32,
    /// The position of the account.
    pub account: usize,
    /// The position of the region.
    pub region: usize,
}

/// Writes scripted events.
pub struct Script<'a> {
    clock: &'a Clock,
    rng: StdRng,
    /// The events so far.
    pub lines: Vec<Line>,
}

impl<'a> Script<'a> {
    /// An empty script with its own source of chance.
    pub fn new(clock: &'a Clock, seed: u64) -> Script<'a> {
        Script { clock, rng: StdRng::seed_from_u64(seed), lines: Vec::new() }
    }

    /// The day.
    pub fn clock(&self) -> &'a Clock {
        self.clock
    }

    /// Adds an event.
    pub fn add(&mut self, at: At, actor: &Actor, call: &Call, outcome: Outcome) {
        let pick = json::mix(json::hash(call.name), self.lines.len() as u64);
        self.add_named(at, actor, call, outcome, ("", pick));
    }

    /// Adds an event whose template names the application `names.0` and things chosen by `names.1`.
    pub fn add_named(
        &mut self,
        at: At,
        actor: &Actor,
        call: &Call,
        outcome: Outcome,
        names: (&'static str, u64),
    ) {
        let scene = Scene {
            clock: self.clock,
            account: at.account,
            region: at.region,
            second: at.second,
            stem: names.0,
            pick: names.1,
            own: None,
        };
        let mut record = Vec::with_capacity(1_500);
        Event { actor, call, scene, outcome }.write(&mut self.rng, &mut record);
        self.lines.push(Line { second: at.second, slot: slot(at.account, at.region), record });
    }
}

/// Seconds of a time of day.
pub const fn time(hour: i32, minute: i32, second: i32) -> i32 {
    hour * 3_600 + minute * 60 + second
}

const fn prod(second: i32) -> At {
    At { second, account: PROD, region: US_EAST_1 }
}

const BROWSER: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15";
const MANAGEMENT: usize = 0;
const EU_WEST_1: usize = 1;

static CHECK_MFA: Call = sign_in("CheckMfa", r#"{"CheckMfa":"Success"}"#, r#"{"MfaType":"Virtual MFA"}"#);
static LOGIN: Call = sign_in(
    "ConsoleLogin",
    r#"{"ConsoleLogin":"Success"}"#,
    r#"{"LoginTo":"https://console.aws.amazon.com/console/home?hashArgs=%23&isauthcode=true&state=hashArgsFromTB_us-east-1_%h","MobileVersion":"No","MFAIdentifier":"arn:aws:iam::%a:mfa/phone","MFAUsed":"Yes"}"#,
);
static LOGIN_FAILED: Call = sign_in(
    "ConsoleLogin",
    r#"{"ConsoleLogin":"Failure"}"#,
    r#"{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"No"}"#,
);
static PORTAL_AUTHENTICATION: Call = write(&c::SIGNIN, "UserAuthentication", "", "")
    .details(r#"{"UserAuthentication":"Success"}"#)
    .extra(r#"{"AuthWorkflowID":"%G","LoginTo":"https://example-org.awsapps.com/start/","CredentialType":"PASSWORD,TOTP"}"#);
static PORTAL_CREDENTIALS: Call =
    read(&c::SSO, "Federate", "").details(r#"{"role_name":"portal","account_id":"%a"}"#);

/// A console sign-in.
pub const fn sign_in(name: &'static str, response: &'static str, extra: &'static str) -> Call {
    write(&c::SIGNIN, name, "", response).extra(extra).kind("AwsConsoleSignIn")
}

/// What happens every day: people sign in, and some of what they do looks like an attack and is none.
pub fn everyday(script: &mut Script<'_>) {
    first_secrets(script);
    sign_ins(script);
    console_logins(script);
    own_key_rotation(script);
    platform_work(script);
    new_analyst(script);
    deployment_secrets(script);
}

/// Every application reads its own secret when it starts.
fn first_secrets(script: &mut Script<'_>) {
    let mut actor = Actor::default();
    let applications = PRINCIPALS.iter().filter(|p| p.profile.iter().any(|(_, group)| is_own_secret(group)));
    for (number, who) in (0..).zip(applications) {
        for account in (0..ACCOUNTS.len()).filter(|account| who.accounts[*account] > 0) {
            let second = time(0, 2, 0) + 13 * number + i32::try_from(account).unwrap_or(0);
            let at = At { second, account, region: US_EAST_1 };
            become_named(&mut actor, script.clock(), who.name, at);
            script.add_named(at, &actor, &c::SECRET_OWN[0].1, Outcome::Done, (who.stem(), 1));
        }
    }
}

fn is_own_secret(group: c::Group) -> bool {
    group.iter().any(|(_, call)| call.name == c::SECRET_OWN[0].1.name)
}

/// Everybody in Identity Center opens the portal once, with a second factor.
fn sign_ins(script: &mut Script<'_>) {
    let people = PRINCIPALS.iter().filter(|p| matches!(p.kind, Kind::Sso(_)));
    for (number, person) in (0..).zip(people) {
        let opening = (0..24).find(|hour| person.hours.works(*hour) && !person.hours.works((hour + 23) % 24));
        let hour = i32::try_from(opening.unwrap_or(8)).unwrap_or(8);
        let second = time(hour, 3 + number * 7 % 50, 11 + number * 13 % 47);
        let mut actor = Actor { agent: BROWSER, ..Actor::default() };
        let id = json::mix(json::hash(person.name), 40);
        let identity = format!(
            r#"{{"type":"IdentityCenterUser","accountId":"111122223333","onBehalfOf":{{"userId":"{:08x}-d0b1-70a6-{:04x}-5a5e3b1c77aa","identityStoreArn":"arn:aws:identitystore::111122223333:identitystore/d-9067a1b2c3"}},"credentialId":"{:016x}""#,
            id >> 32,
            id & 0xffff,
            id
        );
        json::text(&mut actor.head, &identity);
        json::text(&mut actor.source, OFFICE_ADDRESS);
        let at = At { second, account: MANAGEMENT, region: EU_WEST_1 };
        script.add(at, &actor, &PORTAL_AUTHENTICATION, Outcome::Done);
        script.add(At { second: second + 6, ..at }, &actor, &PORTAL_CREDENTIALS, Outcome::Done);
    }
}

/// The IAM users sign in to the console with a second factor; one mistypes the password twice before.
fn console_logins(script: &mut Script<'_>) {
    let mut actor = Actor::default();
    for (name, second, mistakes) in [
        ("tomasz.kowalski", time(7, 12, 9), 0),
        ("ines.duarte", time(8, 3, 41), 2),
        ("raj.krishnan", time(14, 22, 30), 0),
    ] {
        actor.become_user(name, "", OFFICE_ADDRESS, BROWSER);
        for mistake in 0..mistakes {
            let at = prod(second - 60 + 20 * mistake);
            script.add(at, &actor, &LOGIN_FAILED, Outcome::Refused("Failed authentication"));
        }
        script.add(prod(second), &actor, &CHECK_MFA, Outcome::Done);
        script.add(prod(second + 14), &actor, &LOGIN, Outcome::Done);
    }
}

/// A person rotates a key of their own.
fn own_key_rotation(script: &mut Script<'_>) {
    static LIST: Call = read(&c::IAM, "ListAccessKeys", r#"{"userName":"tomasz.kowalski"}"#);
    static CREATE: Call = write(
        &c::IAM,
        "CreateAccessKey",
        r#"{"userName":"tomasz.kowalski"}"#,
        r#"{"accessKey":{"userName":"tomasz.kowalski","accessKeyId":"AKIA5ROTATED2EXAMPLE","status":"Active","createDate":"%D"}}"#,
    );
    static DISABLE: Call = write(
        &c::IAM,
        "UpdateAccessKey",
        r#"{"userName":"tomasz.kowalski","accessKeyId":"AKIA5ROTATED1EXAMPLE","status":"Inactive"}"#,
        "",
    );
    let mut actor = Actor::default();
    actor.become_user("tomasz.kowalski", "AKIA5ROTATED1EXAMPLE", OFFICE_ADDRESS, BROWSER);
    let start = time(7, 20, 2);
    script.add(prod(start), &actor, &LIST, Outcome::Done);
    script.add(prod(start + 19), &actor, &CREATE, Outcome::Done);
    script.add(prod(start + 420), &actor, &DISABLE, Outcome::Done);
}

/// An administrator opens a web port, allows the bastion in, attaches a read-only policy, and forbids plain HTTP.
fn platform_work(script: &mut Script<'_>) {
    static WEB: Call = write(
        &c::EC2,
        "AuthorizeSecurityGroupIngress",
        r#"{"groupId":"%g","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"groups":{},"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0","description":"public https"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}"#,
        r#"{"requestId":"%G","_return":true,"securityGroupRuleSet":{"items":[{"groupOwnerId":"%a","groupId":"%g","securityGroupRuleId":"sgr-0%j","description":"public https","isEgress":false,"ipProtocol":"tcp","fromPort":443,"toPort":443,"cidrIpv4":"0.0.0.0/0"}]}}"#,
    );
    static INSIDE: Call = write(
        &c::EC2,
        "AuthorizeSecurityGroupIngress",
        r#"{"groupId":"%g","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"groups":{},"ipRanges":{"items":[{"cidrIp":"10.20.1.0/24","description":"bastion subnet"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}"#,
        r#"{"requestId":"%G","_return":true,"securityGroupRuleSet":{"items":[{"groupOwnerId":"%a","groupId":"%g","securityGroupRuleId":"sgr-0%j","description":"bastion subnet","isEgress":false,"ipProtocol":"tcp","fromPort":22,"toPort":22,"cidrIpv4":"10.20.1.0/24"}]}}"#,
    );
    static ATTACH: Call = write(
        &c::IAM,
        "AttachRolePolicy",
        r#"{"roleName":"posture-scanner-role","policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}"#,
        "",
    );
    static TLS_ONLY: Call = write(
        &c::S3,
        "PutBucketPolicy",
        r#"{"bucketPolicy":{"Version":"2012-10-17","Statement":[{"Sid":"DenyPlainHttp","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::%b","arn:aws:s3:::%b/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]},"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","policy":""}"#,
        "",
    );
    let mut actor = Actor::default();
    for (second, call) in [
        (time(10, 5, 12), &WEB),
        (time(10, 9, 55), &INSIDE),
        (time(10, 31, 7), &ATTACH),
        (time(11, 2, 48), &TLS_ONLY),
    ] {
        become_named(&mut actor, script.clock(), "anna.lindqvist@example.com", prod(second));
        script.add(prod(second), &actor, call, Outcome::Done);
    }
}

/// Somebody new tries a few things that are not allowed: too few to be an attack.
fn new_analyst(script: &mut Script<'_>) {
    static TRIES: [Call; 4] = [
        read(&c::GLUE, "GetDatabases", ""),
        read(&c::ATHENA, "ListWorkGroups", ""),
        read(&c::GLUE, "GetTables", ""),
        read(&c::ATHENA, "StartQueryExecution", ""),
    ];
    let mut actor = Actor::default();
    for (number, call) in (0..).zip(TRIES.iter().cycle().take(8)) {
        let at = prod(time(12, 14, 0) + number * 47);
        become_named(&mut actor, script.clock(), "emma.schmidt@example.com", at);
        script.add(at, &actor, call, Outcome::Denied);
    }
}

/// A deployment reads six secrets: fewer than a thief would.
fn deployment_secrets(script: &mut Script<'_>) {
    let mut actor = Actor::default();
    for (number, stem) in (0..).zip(SERVICES.iter().take(6)) {
        let at = prod(time(15, 20, 5) + number * 3);
        become_named(&mut actor, script.clock(), "github-actions-deploy-role", prod(time(15, 20, 5)));
        script.add_named(at, &actor, &c::SECRET_OWN[0].1, Outcome::Done, (stem, 1));
    }
}

fn become_named(actor: &mut Actor, clock: &Clock, name: &str, at: At) {
    let who: Option<&'static Principal> = PRINCIPALS.iter().find(|p| p.name == name);
    if let Some(who) = who {
        let place = Place { clock, account: at.account, region: at.region, second: at.second, pick: 1 };
        actor.become_principal(who, place);
    }
}
