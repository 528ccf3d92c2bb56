//! A principal at work: its identity, address and client program, written once for a run of calls.
//!
//! Must never give two sessions the same access key, nor one session two.

use super::attack::STOLEN_ACCESS_KEY_ID;
use super::estate::{self, ACCOUNTS, Kind, LEGACY_USER, PROD, Principal, REGIONS};
use super::json::{self, BASE32, Clock};

/// The address of the company's network, where the stolen key was used from until then.
pub const OFFICE_ADDRESS: &str = "192.0.2.10";

/// Through what calls are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Channel {
    /// A program's TLS connection.
    #[default]
    Program,
    /// The console.
    Console,
    /// Inside AWS: no connection to speak of, and `invokedBy` is already in the identity.
    Service,
}

/// Who makes the next calls, with the parts of a record that depend on it.
#[derive(Debug, Default)]
pub struct Actor {
    /// `userIdentity` up to the place of `webIdFederationData`.
    pub head: Vec<u8>,
    /// Whether the identity has a session (older record versions then write an empty `webIdFederationData`).
    pub session: bool,
    /// The rest of `userIdentity`, without the closing brace.
    pub tail: Vec<u8>,
    /// The ARN, for error messages.
    pub arn: Vec<u8>,
    /// `sourceIPAddress`.
    pub source: Vec<u8>,
    /// `userAgent`, a template of its own: `%s` service, `%c` command.
    pub agent: &'static str,
    /// The VPC endpoint the calls go through, if any.
    pub endpoint: Option<u64>,
    /// Through what the calls are made.
    pub channel: Channel,
    /// Whether calls may be denied now and then.
    pub deniable: bool,
    /// Chooses the instance that the actor is, or the repository it builds.
    pub own: Option<u64>,
}

/// The place and time of a run.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The day.
    pub clock: &'a Clock,
    /// The position of the account.
    pub account: usize,
    /// The position of the region.
    pub region: usize,
    /// The second of the day.
    pub second: i32,
    /// Chooses among the sessions that run at once, and the client.
    pub pick: u64,
}

/// One set of temporary credentials.
struct Session {
    seed: u64,
    created: i32,
}

impl Actor {
    /// Writes the parts for a principal; everything of the actor before is gone.
    pub fn become_principal(&mut self, who: &'static Principal, place: Place<'_>) {
        self.clear();
        self.agent = who.agents.get(json::index(place.pick, who.agents.len())).copied().unwrap_or("");
        match who.kind {
            Kind::Sso(set) => self.sso(who, set, place),
            Kind::Person => self.person(who, place),
            Kind::Program => self.program(who, place),
            Kind::Lambda | Kind::Task | Kind::Instance | Kind::Federated(_) => self.role(who, place),
            Kind::Linked(by) => self.linked(who, by, place),
            Kind::Service(by) => self.service(by),
            Kind::Internal => self.internal(who, place),
            Kind::Token => self.token(place),
            Kind::Outside(account) => self.outside(who, account, place),
        }
    }

    fn clear(&mut self) {
        for part in [&mut self.head, &mut self.tail, &mut self.arn, &mut self.source] {
            part.clear();
        }
        self.session = false;
        self.endpoint = None;
        self.deniable = false;
        self.channel = Channel::Program;
        self.own = None;
    }

    fn sso(&mut self, who: &Principal, set: &str, place: Place<'_>) {
        let session = Session::new(who.name, place, 4, 1);
        let role = format!("AWSReservedSSO_{set}_{:016x}", json::mix(json::hash(set), place.account as u64));
        let path = format!("aws-reserved/sso.amazonaws.com/eu-west-1/{role}");
        self.assumed(place, &session, &role, &path, who.name);
        self.attributes(place.clock, &session, "false");
        self.tail.push(b'}');
        self.human(who.name, session.seed);
    }

    /// A person's IAM user: keys in the shell, or a console session opened with a second factor.
    fn person(&mut self, who: &Principal, place: Place<'_>) {
        let session = Session::new(who.name, place, 6, 1);
        self.human(who.name, session.seed);
        if self.channel == Channel::Console {
            self.user(who.name, place.account, "ASIA", session.seed);
            json::text(&mut self.head, r#","sessionContext":{"#);
            self.session = true;
            self.attributes(place.clock, &session, "true");
            self.tail.push(b'}');
        } else {
            self.user(who.name, place.account, "AKIA", json::hash(who.name));
        }
    }

    fn program(&mut self, who: &Principal, place: Place<'_>) {
        if who.name == LEGACY_USER {
            self.user_with_key(LEGACY_USER, PROD, STOLEN_ACCESS_KEY_ID);
            json::text(&mut self.source, OFFICE_ADDRESS);
            return;
        }
        self.user(
            who.name,
            place.account,
            "AKIA",
            json::mix(json::hash(who.name), 50 + place.account as u64),
        );
        aws_address(&mut self.source, json::mix(json::hash(who.name), 1));
    }

    /// An IAM user of the production account calling from `source` with `agent`, for scripted events.
    pub fn become_user(&mut self, name: &str, key: &str, source: &str, agent: &'static str) {
        self.clear();
        self.user_with_key(name, PROD, key);
        json::text(&mut self.source, source);
        self.agent = agent;
    }

    /// Marks the session as one of the console, opened at `created` with or without a second factor.
    pub fn in_console(&mut self, clock: &Clock, created: i32, mfa: &str) {
        json::text(&mut self.head, r#","sessionContext":{"#);
        self.session = true;
        self.channel = Channel::Console;
        self.attributes(clock, &Session { seed: 0, created }, mfa);
        self.tail.push(b'}');
    }

    fn user(&mut self, name: &str, account: usize, prefix: &str, seed: u64) {
        let mut key = prefix.as_bytes().to_vec();
        json::letters(&mut key, BASE32, seed, 16);
        self.user_with_key(name, account, &String::from_utf8_lossy(&key));
    }

    /// An empty key writes none, as console sign-ins do.
    fn user_with_key(&mut self, name: &str, account: usize, key: &str) {
        let id = ACCOUNTS[account].id;
        for part in ["arn:aws:iam::", id, ":user/", name] {
            json::text(&mut self.arn, part);
        }
        let head = &mut self.head;
        json::text(head, r#"{"type":"IAMUser","principalId":""#);
        estate::principal_id(head, "AIDA", account, name);
        json::text(head, r#"","arn":""#);
        head.extend_from_slice(&self.arn);
        json::text(head, r#"","accountId":""#);
        json::text(head, id);
        if !key.is_empty() {
            json::text(head, r#"","accessKeyId":""#);
            json::text(head, key);
        }
        json::text(head, r#"","userName":""#);
        json::text(head, name);
        head.push(b'"');
        self.deniable = true;
    }

    fn role(&mut self, who: &Principal, place: Place<'_>) {
        let (hours, lanes) = match who.kind {
            Kind::Lambda => (2, 5),
            Kind::Instance => (6, 12),
            Kind::Federated(_) => (1, 2),
            _ => (6, 4),
        };
        let session = Session::new(who.name, place, hours, lanes);
        let mut name = Vec::new();
        match who.kind {
            Kind::Lambda => {
                json::text(&mut name, who.stem());
                name.push(b'-');
                json::text(&mut name, ACCOUNTS[place.account].stage);
            }
            Kind::Instance => {
                let own = json::mix(json::hash(who.name), place.pick % lanes);
                self.own = Some(own);
                estate::instance_id(&mut name, place.account, place.region, own);
            }
            Kind::Federated(provider) if provider.starts_with("token") => {
                json::text(&mut name, "GitHubActions");
            }
            Kind::Federated(_) => {
                json::number(&mut name, 1_760_000_000_000_000_000 + session.seed % 1_000_000_000);
            }
            _ => (0..2).for_each(|salt| json::hex(&mut name, json::mix(session.seed, salt), 16)),
        }
        self.assumed(place, &session, who.name, who.name, &String::from_utf8_lossy(&name));
        if let Kind::Federated(provider) = who.kind {
            self.federated(provider, place.account);
        }
        self.attributes(place.clock, &session, "false");
        self.where_roles_run(who, place, &session);
    }

    fn where_roles_run(&mut self, who: &Principal, place: Place<'_>, session: &Session) {
        match who.kind {
            Kind::Instance => json::text(&mut self.tail, r#","ec2RoleDelivery":"2.0"}"#),
            _ => self.tail.push(b'}'),
        }
        if who.kind == Kind::Lambda {
            let account = &ACCOUNTS[place.account];
            let (id, stage) = (account.id, account.stage);
            let (region, stem) = (REGIONS[place.region], who.stem());
            json::text(
                &mut self.tail,
                &format!(
                    r#","inScopeOf":{{"issuerType":"AWS::Lambda::Function","credentialsIssuedTo":"arn:aws:lambda:{region}:{id}:function:{stem}-{stage}"}}"#
                ),
            );
        }
        let inside = matches!(who.kind, Kind::Task | Kind::Instance) && session.seed % 5 < 3;
        if inside && who.accounts[0] == 0 {
            self.endpoint = Some(json::mix((place.account * REGIONS.len() + place.region) as u64, 91));
            let [a, b, ..] = session.seed.to_le_bytes();
            json::address(&mut self.source, [10, 20, 1 + a % 4, 10 + b % 200]);
        } else {
            aws_address(&mut self.source, json::mix(session.seed, 4));
        }
        self.deniable = matches!(who.kind, Kind::Federated(_));
    }

    /// A service-linked role: no access key, and the service as address and client.
    fn linked(&mut self, who: &Principal, by: &'static str, place: Place<'_>) {
        let session = Session::new(who.name, place, 1, 1);
        let path = format!("aws-service-role/{by}/{}", who.name);
        let mut name = b"service-".to_vec();
        json::number(&mut name, session.seed % 1_000_000_000_000);
        let name = String::from_utf8_lossy(&name).into_owned();
        self.assumed_with_key(place, "", who.name, &path, &name);
        self.attributes(place.clock, &session, "false");
        self.tail.push(b'}');
        self.called_by(by);
    }

    fn service(&mut self, by: &'static str) {
        json::text(&mut self.head, r#"{"type":"AWSService""#);
        self.called_by(by);
    }

    fn internal(&mut self, who: &Principal, place: Place<'_>) {
        json::text(&mut self.head, r#"{"accountId":""#);
        json::text(&mut self.head, ACCOUNTS[place.account].id);
        self.head.push(b'"');
        self.called_by(who.name);
    }

    fn called_by(&mut self, by: &'static str) {
        let end = if self.session { &mut self.tail } else { &mut self.head };
        json::text(end, r#","invokedBy":""#);
        json::text(end, by);
        end.push(b'"');
        json::text(&mut self.source, by);
        self.channel = Channel::Service;
        self.agent = by;
    }

    fn token(&mut self, place: Place<'_>) {
        self.own = Some(place.pick);
        let repository = estate::word(estate::SERVICES, place.pick, 1);
        let subject = format!("repo:example-org/{repository}:ref:refs/heads/main");
        let provider = format!(
            "arn:aws:iam::{}:oidc-provider/token.actions.githubusercontent.com",
            ACCOUNTS[place.account].id
        );
        let identity = format!(
            r#"{{"type":"WebIdentityUser","principalId":"{provider}:sts.amazonaws.com:{subject}","userName":"{subject}","identityProvider":"{provider}""#
        );
        json::text(&mut self.head, &identity);
        synthesized_address(&mut self.source, json::mix(place.pick, 8));
    }

    fn outside(&mut self, who: &Principal, account: &str, place: Place<'_>) {
        json::text(&mut self.head, r#"{"type":"AWSAccount","principalId":""#);
        estate::principal_id(&mut self.head, "AROA", 99, who.name);
        json::text(&mut self.head, r#":scan","accountId":""#);
        json::text(&mut self.head, account);
        self.head.push(b'"');
        aws_address(&mut self.source, json::mix(place.pick % 3, 17));
    }

    fn assumed(&mut self, place: Place<'_>, session: &Session, role: &str, path: &str, name: &str) {
        let mut key = b"ASIA".to_vec();
        json::letters(&mut key, BASE32, session.seed, 16);
        self.assumed_with_key(place, &String::from_utf8_lossy(&key), role, path, name);
    }

    fn assumed_with_key(&mut self, place: Place<'_>, key: &str, role: &str, path: &str, name: &str) {
        let account = ACCOUNTS[place.account].id;
        for part in ["arn:aws:sts::", account, ":assumed-role/", role, "/", name] {
            json::text(&mut self.arn, part);
        }
        let head = &mut self.head;
        json::text(head, r#"{"type":"AssumedRole","principalId":""#);
        estate::principal_id(head, "AROA", place.account, role);
        head.push(b':');
        json::text(head, name);
        json::text(head, r#"","arn":""#);
        head.extend_from_slice(&self.arn);
        json::text(head, r#"","accountId":""#);
        json::text(head, account);
        if !key.is_empty() {
            json::text(head, r#"","accessKeyId":""#);
            json::text(head, key);
        }
        json::text(head, r#"","sessionContext":{"sessionIssuer":{"type":"Role","principalId":""#);
        estate::principal_id(head, "AROA", place.account, role);
        for part in [r#"","arn":"arn:aws:iam::"#, account, ":role/", path, r#"","accountId":""#, account] {
            json::text(head, part);
        }
        json::text(head, r#"","userName":""#);
        json::text(head, role);
        json::text(head, r#""},"#);
        self.session = true;
    }

    /// The token's provider goes where other sessions have an empty `webIdFederationData`.
    fn federated(&mut self, provider: &str, account: usize) {
        let id = ACCOUNTS[account].id;
        let data = format!(
            r#""webIdFederationData":{{"federatedProvider":"arn:aws:iam::{id}:oidc-provider/{provider}","attributes":{{}}}},"#
        );
        json::text(&mut self.tail, &data);
        self.session = false;
    }

    /// The session's attributes; roles close the session themselves.
    fn attributes(&mut self, clock: &Clock, session: &Session, mfa: &str) {
        json::text(&mut self.tail, r#""attributes":{"creationDate":""#);
        clock.iso(&mut self.tail, session.created);
        json::text(&mut self.tail, r#"","mfaAuthenticated":""#);
        json::text(&mut self.tail, mfa);
        json::text(&mut self.tail, r#""}"#);
    }

    /// People call from the office or from home, from the console or a shell.
    fn human(&mut self, name: &str, seed: u64) {
        if self.agent.starts_with("Mozilla") {
            self.channel = Channel::Console;
        }
        self.deniable = true;
        if seed.is_multiple_of(3) {
            home_address(&mut self.source, json::hash(name));
        } else {
            json::text(&mut self.source, OFFICE_ADDRESS);
        }
    }
}

impl Session {
    /// The session of a name at a time: one for every block of hours and lane.
    fn new(name: &str, place: Place<'_>, hours: i32, lanes: u64) -> Session {
        let lane = place.pick % lanes;
        let whole = json::mix(json::hash(name), (place.account as u64) * 64 + lane);
        let phase = i32::from(json::byte(whole)) * 14;
        let length = hours * 3_600;
        let block = (place.second + phase).div_euclid(length);
        let created = block * length - phase + i32::from(json::byte(whole >> 8) % 50);
        let seed = json::mix(whole, u64::from(block.unsigned_abs()));
        Session { seed, created: created.min(place.second) }
    }
}

/// An address that looks like one of AWS's.
pub fn aws_address(out: &mut Vec<u8>, seed: u64) {
    let [a, b, c, d, ..] = seed.to_le_bytes();
    let first = [3, 13, 18, 34, 52, 54][usize::from(a % 6)];
    json::address(out, [first, 200 + b % 50, c, 1 + d % 250]);
}

/// An address that looks like somebody's on the internet.
pub fn synthesized_address(out: &mut Vec<u8>, seed: u64) {
    json::address(out, synthesized_octets(seed));
}

/// The octets of an address on the internet: never private, reserved, or of a documentation range.
pub fn synthesized_octets(seed: u64) -> [u8; 4] {
    const FIRST: [u8; 16] = [20, 31, 45, 62, 71, 80, 85, 93, 103, 109, 128, 141, 159, 178, 185, 213];
    let [a, b, c, d, ..] = seed.to_le_bytes();
    [FIRST[usize::from(a % 16)], b, c, 1 + d % 250]
}

fn home_address(out: &mut Vec<u8>, seed: u64) {
    json::address(out, [203, 0, 113, 20 + json::byte(seed) % 200]);
}
