//! VPC Flow Logs of the estate: one text file for every flow log and five minutes.
//!
//! Must never write a flow outside its file's window.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::actor::synthesized_octets;
use super::attack;
use super::estate::{ACCOUNTS, PROD, REGIONS, US_EAST_1};
use super::json::{self, Clock};

/// Seconds a file covers.
pub const WINDOW: i32 = 300;
/// Files in a day, for each flow log.
pub const WINDOWS: usize = 288;

const DEFAULT_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
const CUSTOM_HEADER: &str = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path\n";

const MEBIBYTE: u64 = 1 << 20;
const TCP: u64 = 6;
const UDP: u64 = 17;
const SCANNED_PORTS: u16 = 64;
const SSH_MINUTES: i32 = 55;

/// One flow log.
#[derive(Debug)]
pub struct FlowLog {
    /// The position of its account.
    pub account: usize,
    /// The position of its region.
    pub region: usize,
    /// Its id.
    pub id: &'static str,
    /// The second octet of its addresses.
    network: u8,
    /// Its share of all flows, in percent.
    pub share: u64,
}

/// The flow logs: production writes the version 5 format, the others the default.
pub static FLOW_LOGS: &[FlowLog] = &[
    FlowLog { account: PROD, region: US_EAST_1, id: "fl-0a1b2c3d4e5f60718", network: 20, share: 46 },
    FlowLog { account: PROD, region: 1, id: "fl-0b2c3d4e5f6071829", network: 30, share: 22 },
    FlowLog { account: PROD, region: 3, id: "fl-0c3d4e5f60718293a", network: 40, share: 8 },
    FlowLog { account: 3, region: US_EAST_1, id: "fl-0d4e5f60718293a4b", network: 50, share: 13 },
    FlowLog { account: 4, region: 1, id: "fl-0e5f60718293a4b5c", network: 60, share: 8 },
    FlowLog { account: 1, region: 2, id: "fl-0f60718293a4b5c6d", network: 70, share: 3 },
];

impl FlowLog {
    fn custom(&self) -> bool {
        self.account == PROD
    }

    /// The key of the file of a window.
    pub fn key(&self, clock: &Clock, window: usize, unique: u64) -> String {
        let (account, region) = (ACCOUNTS[self.account].id, REGIONS[self.region]);
        let (path, time) = clock.delivery(i32::try_from(window).unwrap_or(0) * 5);
        let hash = unique & 0xffff_ffff;
        let id = self.id;
        format!(
            "AWSLogs/{account}/vpcflowlogs/{region}/{path}/{account}_vpcflowlogs_{region}_{id}_{time}_{hash:08x}.log.gz"
        )
    }

    /// The header line of its files.
    pub fn header(&self) -> &'static str {
        if self.custom() { CUSTOM_HEADER } else { DEFAULT_HEADER }
    }
}

/// What a host does, which is the third octet of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tier {
    Edge = 1,
    Balancer = 2,
    App = 3,
    Data = 4,
}

/// A network interface.
#[derive(Debug, Clone, Copy)]
struct Host {
    tier: Tier,
    number: u8,
}

const BASTION: Host = Host { tier: Tier::Edge, number: 25 };

/// One end of a flow.
#[derive(Debug, Clone, Copy)]
enum End {
    Host(Host),
    Outside([u8; 4]),
}

/// One row to write, before it has an interface and a direction.
#[derive(Debug, Clone, Copy)]
struct Flow {
    from: End,
    to: End,
    ports: (u16, u16),
    protocol: u64,
    packets: u64,
    bytes: u64,
    start: i32,
    end: i32,
    accepted: bool,
    flags: u8,
    /// `ingress` at the receiving interface, else at the sending one.
    ingress: bool,
    /// The AWS service at the far end.
    service: &'static str,
}

/// A row of the attack: its time decides its file, and it is always in the first flow log.
#[derive(Debug, Clone, Copy)]
pub struct Scripted(Flow);

impl Scripted {
    /// The window it is delivered in.
    pub fn window(&self) -> usize {
        usize::try_from(self.0.end / WINDOW).unwrap_or(0)
    }
}

/// The flows of the attack, in time order: a port scan, SSH from outside, and gigabytes on their way out.
pub fn attack() -> Vec<Scripted> {
    let attacker = End::Outside([198, 51, 100, 77]);
    let host = End::Host(BASTION);
    let flow = |ports, packets, bytes, start, accepted, flags| Flow {
        from: attacker,
        to: host,
        ports,
        protocol: TCP,
        packets,
        bytes,
        start,
        end: start + 58,
        accepted,
        flags,
        ingress: true,
        service: "-",
    };
    let back = |mut flow: Flow, packets, bytes| {
        (flow.from, flow.to, flow.ingress, flow.ports) =
            (host, attacker, false, (flow.ports.1, flow.ports.0));
        (flow.packets, flow.bytes) = (packets, bytes);
        flow
    };
    let mut flows = Vec::new();
    for number in 0..SCANNED_PORTS {
        let start = attack::SCAN_STARTS + i32::from(number) * 4;
        let port = if number == 7 { 22 } else { 20 + number * 131 % 9_000 };
        flows.push(flow((41_022 + number, port), 1, 44, start, false, 2));
    }
    for minute in 0..SSH_MINUTES {
        let start = attack::SSH_STARTS + minute * 60;
        let login = flow((51_644, 22), 180, 14_400, start, true, if minute == 0 { 2 } else { 0 });
        flows.extend([login, back(login, 170, 36_000)]);
    }
    for minute in 0..attack::EXFILTRATION_MINUTES {
        let start = attack::EXFILTRATION_STARTS + minute * 60;
        let answer = flow((443, 48_210), 76_000, 4 * MEBIBYTE, start, true, if minute == 0 { 18 } else { 0 });
        let volume =
            (190 + u64::from(json::byte(json::mix(3, minute.unsigned_abs().into())) % 50)) * MEBIBYTE;
        flows.extend([back(answer, volume / 1_460, volume), answer]);
    }
    flows.sort_by_key(|flow| flow.end);
    flows.into_iter().map(Scripted).collect()
}

/// Writes one file's text: the header, `count` rows of ordinary traffic, and the scripted rows.
pub fn write_file(
    out: &mut Vec<u8>,
    clock: &Clock,
    log: &FlowLog,
    (window, seed): (usize, u64),
    count: usize,
    scripted: &[Scripted],
) {
    let mut rng = StdRng::seed_from_u64(seed);
    json::text(out, log.header());
    let writer = Rows { log, midnight: clock.midnight() };
    let start = i32::try_from(window).unwrap_or(0) * WINDOW;
    let mut scripted = scripted.iter();
    let every = count.checked_div(scripted.len()).unwrap_or(usize::MAX).max(1);
    for row in 0..count {
        writer.ordinary(out, &mut rng, start);
        if row % every == every - 1
            && let Some(Scripted(flow)) = scripted.next()
        {
            writer.flow(out, flow);
        }
    }
    for Scripted(flow) in scripted {
        writer.flow(out, flow);
    }
}

struct Rows<'a> {
    log: &'a FlowLog,
    midnight: i64,
}

impl Rows<'_> {
    fn ordinary(&self, out: &mut Vec<u8>, rng: &mut StdRng, window: i32) {
        let end = window + rng.random_range(0..WINDOW);
        let start = (end - rng.random_range(12..60)).max(0);
        match rng.random_range(0..1_000) {
            0..20 => self.without_data(out, host(rng), (start, end), "NODATA"),
            20..21 => self.without_data(out, host(rng), (start, end), "SKIPDATA"),
            kind => self.flow(out, &traffic(rng, kind, (start, end))),
        }
    }

    /// A row with no flow in it.
    fn without_data(&self, out: &mut Vec<u8>, host: Host, (start, end): (i32, i32), status: &str) {
        self.interface(out, host);
        json::text(out, " - - - - - - - ");
        self.time(out, start);
        out.push(b' ');
        self.time(out, end);
        json::text(out, " - ");
        json::text(out, status);
        if self.log.custom() {
            self.network(out, host);
            json::text(out, " - - - - ");
            self.zone(out, host);
            json::text(out, " - - - - - -");
        }
        out.push(b'\n');
    }

    fn flow(&self, out: &mut Vec<u8>, flow: &Flow) {
        let at = match (flow.from, flow.to) {
            (_, End::Host(to)) if flow.ingress => to,
            (End::Host(from), _) => from,
            (_, End::Host(to)) => to,
            _ => BASTION,
        };
        self.interface(out, at);
        out.push(b' ');
        self.end(out, flow.from);
        out.push(b' ');
        self.end(out, flow.to);
        for value in [flow.ports.0.into(), flow.ports.1.into(), flow.protocol, flow.packets, flow.bytes] {
            out.push(b' ');
            json::number(out, value);
        }
        out.push(b' ');
        self.time(out, flow.start);
        out.push(b' ');
        self.time(out, flow.end);
        json::text(out, if flow.accepted { " ACCEPT OK" } else { " REJECT OK" });
        if self.log.custom() {
            self.custom(out, flow, at);
        }
        out.push(b'\n');
    }

    /// The fields after the default ones.
    fn custom(&self, out: &mut Vec<u8>, flow: &Flow, at: Host) {
        self.network(out, at);
        out.push(b' ');
        if flow.protocol == TCP {
            json::number(out, flow.flags.into());
        } else {
            out.push(b'0');
        }
        json::text(out, " IPv4 ");
        self.end(out, flow.from);
        out.push(b' ');
        self.end(out, flow.to);
        out.push(b' ');
        self.zone(out, at);
        json::text(out, " - - ");
        let (from, to) = if flow.ingress { (flow.service, "-") } else { ("-", flow.service) };
        json::text(out, from);
        out.push(b' ');
        json::text(out, to);
        let inside = matches!((flow.from, flow.to), (End::Host(_), End::Host(_)));
        json::text(
            out,
            match (flow.ingress, inside, flow.service) {
                (true, ..) => " ingress -",
                (false, true, _) => " egress 1",
                (false, false, "S3") => " egress 7",
                (false, false, _) => " egress 8",
            },
        );
    }

    fn interface(&self, out: &mut Vec<u8>, host: Host) {
        json::text(out, if self.log.custom() { "5 " } else { "2 " });
        json::text(out, ACCOUNTS[self.log.account].id);
        json::text(out, " eni-0");
        json::hex(out, self.id(host, 1), 16);
    }

    fn network(&self, out: &mut Vec<u8>, host: Host) {
        json::text(out, " vpc-0");
        json::hex(out, json::mix(u64::from(self.log.network), 60), 16);
        json::text(out, " subnet-0");
        let subnet = json::mix(u64::from(self.log.network), 61 + host.tier as u64);
        json::hex(out, subnet, 16);
        if matches!(host.tier, Tier::Edge | Tier::App) {
            json::text(out, " i-0");
            json::hex(out, self.id(host, 2), 16);
        } else {
            json::text(out, " -");
        }
    }

    fn zone(&self, out: &mut Vec<u8>, host: Host) {
        const ZONES: [&str; 4] = ["use1-az", "euw1-az", "euc1-az", "apse2-az"];
        json::text(out, REGIONS[self.log.region]);
        out.push(b' ');
        json::text(out, ZONES[self.log.region]);
        out.push(b'1' + host.number % 3);
    }

    fn id(&self, host: Host, salt: u64) -> u64 {
        let place = u64::from(self.log.network) << 16 | (host.tier as u64) << 8 | u64::from(host.number);
        json::mix(place, salt)
    }

    fn end(&self, out: &mut Vec<u8>, end: End) {
        let octets = match end {
            End::Host(host) => [10, self.log.network, host.tier as u8, host.number],
            End::Outside(octets) => octets,
        };
        json::address(out, octets);
    }

    fn time(&self, out: &mut Vec<u8>, second: i32) {
        json::number(out, u64::try_from(self.midnight + i64::from(second)).unwrap_or(0));
    }
}

fn host(rng: &mut StdRng) -> Host {
    match rng.random_range(0..10) {
        0 => BASTION,
        1..4 => balancer(rng),
        4..8 => app(rng),
        _ => data(rng),
    }
}

fn balancer(rng: &mut StdRng) -> Host {
    Host { tier: Tier::Balancer, number: rng.random_range(10..16) }
}

fn app(rng: &mut StdRng) -> Host {
    Host { tier: Tier::App, number: rng.random_range(20..44) }
}

fn data(rng: &mut StdRng) -> Host {
    Host { tier: Tier::Data, number: rng.random_range(10..14) }
}

fn high_port(rng: &mut StdRng) -> u16 {
    rng.random_range(32_768..61_000)
}

/// Somebody on the internet: never the attacker's address.
fn stranger(rng: &mut StdRng) -> End {
    End::Outside(synthesized_octets(rng.random()))
}

/// A flow of the kind that `kind` (20 to 999) stands for.
fn traffic(rng: &mut StdRng, kind: i32, times: (i32, i32)) -> Flow {
    let end = |host| End::Host(host);
    let port = high_port(rng);
    match kind {
        ..260 => {
            let ends = (stranger(rng), end(balancer(rng)));
            exchange(rng, ends, (port, 443), times, 400_000)
        }
        260..520 => {
            let ends = (end(balancer(rng)), end(app(rng)));
            exchange(rng, ends, (port, 8080), times, 300_000)
        }
        520..720 => {
            let ends = (end(app(rng)), end(data(rng)));
            let service = if rng.random_range(0..3) == 0 { 6379 } else { 5432 };
            exchange(rng, ends, (port, service), times, 900_000)
        }
        720..860 => to_aws(rng, port, times),
        860..890 => {
            let ends = (end(app(rng)), stranger(rng));
            let mut flow = exchange(rng, ends, (123, 123), times, 76);
            (flow.protocol, flow.packets, flow.bytes) = (UDP, 1, 76);
            flow
        }
        890..894 => {
            let ends = (end(BASTION), end(app(rng)));
            exchange(rng, ends, (port, 22), times, 40_000)
        }
        _ => noise(rng, times),
    }
}

/// Half of a connection inside the estate or with a client: request or answer, at one of the two ends.
fn exchange(
    rng: &mut StdRng,
    (client, server): (End, End),
    ports: (u16, u16),
    (start, end): (i32, i32),
    most: u64,
) -> Flow {
    let answer = rng.random::<bool>();
    let bytes = 60 + ((rng.random::<u64>() % most) >> rng.random_range(0..9));
    let (from, to) = if answer { (server, client) } else { (client, server) };
    let ports = if answer { (ports.1, ports.0) } else { ports };
    let ingress = match (from, to) {
        (End::Outside(_), _) => true,
        (_, End::Outside(_)) => false,
        _ => rng.random(),
    };
    Flow {
        from,
        to,
        ports,
        protocol: TCP,
        packets: bytes / 900 + 1,
        bytes,
        start,
        end,
        accepted: true,
        flags: if answer { 19 } else { 3 },
        ingress,
        service: "-",
    }
}

/// Calls to S3 and to other AWS services.
fn to_aws(rng: &mut StdRng, port: u16, times: (i32, i32)) -> Flow {
    let (service, network) =
        if rng.random_range(0..3) == 0 { ("AMAZON", [54, 239]) } else { ("S3", [52, 216]) };
    let address = End::Outside([network[0], network[1], rng.random_range(8..16), rng.random_range(1..64)]);
    let most = if service == "S3" { 5_000_000 } else { 30_000 };
    let caller = End::Host(app(rng));
    let mut flow = exchange(rng, (caller, address), (port, 443), times, most);
    flow.service = service;
    flow
}

/// What reaches every public address: somebody tries a door or two and goes.
fn noise(rng: &mut StdRng, (start, end): (i32, i32)) -> Flow {
    const DOORS: [u16; 16] =
        [22, 23, 3389, 445, 22, 23, 23, 8080, 5060, 6379, 1433, 3306, 2375, 5555, 8443, 21];
    let ping = rng.random_range(0..25) == 0;
    let door = DOORS[rng.random_range(0..DOORS.len())];
    let to = if rng.random::<bool>() { BASTION } else { balancer(rng) };
    let packets = rng.random_range(1..4);
    Flow {
        from: stranger(rng),
        to: End::Host(to),
        ports: if ping { (0, 0) } else { (high_port(rng), door) },
        protocol: if ping { 1 } else { TCP },
        packets,
        bytes: packets * 44,
        start,
        end,
        accepted: false,
        flags: 2,
        ingress: true,
        service: "-",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn every_row_has_a_value_for_every_field_of_its_header() {
        let clock = Clock::new(NaiveDate::from_ymd_opt(2025, 10, 14).unwrap());
        let scripted = attack();
        for log in FLOW_LOGS {
            let mut out = Vec::new();
            write_file(&mut out, &clock, log, (100, 5), 500, &scripted);
            let text = String::from_utf8(out).unwrap();
            let mut lines = text.lines();
            let fields = lines.next().unwrap().split(' ').count();
            assert_eq!(fields, if log.account == PROD { 29 } else { 14 });
            assert!(lines.clone().all(|line| line.split(' ').count() == fields));
            assert_eq!(lines.count(), 500 + scripted.len());
        }
    }

    #[test]
    fn noise_never_looks_like_a_scan() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut ports = HashMap::<[u8; 4], BTreeSet<u16>>::new();
        for _ in 0..5_000 {
            let flow = noise(&mut rng, (0, 60));
            assert!(!flow.accepted);
            match flow.from {
                End::Outside(octets) => ports.entry(octets).or_default().insert(flow.ports.1),
                End::Host(host) => panic!("noise from inside: {host:?}"),
            };
        }
        assert!(ports.len() > 4_000, "{} sources", ports.len());
        assert!(ports.values().all(|seen| seen.len() < 5));
    }
}
