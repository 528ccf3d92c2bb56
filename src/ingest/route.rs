//! What an object is: by the segments of its key, confirmed by its content.
//!
//! The layouts are those of the CloudTrail and Amazon VPC user guides: `AWSLogs/[o-org/]<account>/<service>/<region>/
//! YYYY/MM/DD/`, and its Hive-style form `aws-account-id=.../aws-service=.../aws-region=.../year=.../`.

use chrono::NaiveDate;

use crate::decode::cloudtrail::{self, Likeness};
use crate::decode::columns::{AGGREGATED_EVENTS, CLOUDTRAIL, TRANSIT_GATEWAY_FLOW, Table};
use crate::decode::envelope;
use crate::decode::vpc_flow::{self, Formats};

/// What kind of log an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// CloudTrail events: management, data, network activity, Insights.
    CloudTrail,
    /// CloudTrail aggregated events.
    Aggregated,
    /// CloudTrail digests.
    Digest,
    /// A Parquet file: of flow logs, if its columns are theirs.
    Parquet,
    /// VPC Flow Logs.
    VpcFlow,
    /// Transit gateway flow logs, which are delivered like those of VPCs.
    TransitGatewayFlow,
    /// A known kind that is not read yet, by its name.
    Unsupported(&'static str),
    /// The key does not say.
    Unknown,
}

impl Kind {
    /// The word in the `kind` column.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::CloudTrail => "cloudtrail",
            Kind::Aggregated => "cloudtrail_aggregated",
            Kind::Digest => "cloudtrail_digest",
            Kind::VpcFlow => "vpc_flow",
            Kind::TransitGatewayFlow => "transit_gateway_flow",
            Kind::Parquet => "parquet",
            Kind::Unsupported(name) => name,
            Kind::Unknown => "unknown",
        }
    }
}

/// What a key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The kind of log.
    pub kind: Kind,
    /// The account in the key.
    pub account_id: Option<String>,
    /// The region in the key.
    pub region: Option<String>,
    /// The day in the key: of delivery, not of the events.
    pub date: Option<NaiveDate>,
}

/// Kinds by the segment after the account, as AWS writes it.
const SERVICES: [(&str, Kind); 13] = [
    ("CloudTrail", Kind::CloudTrail),
    ("CloudTrail-NetworkActivity", Kind::CloudTrail),
    ("CloudTrail-Insight", Kind::CloudTrail),
    ("CloudTrail-Digest", Kind::Digest),
    ("CloudTrail-Aggregated", Kind::Aggregated),
    ("CloudTrail-Lake", Kind::Unsupported("cloudtrail_lake")),
    ("vpcflowlogs", Kind::VpcFlow),
    ("Config", Kind::Unsupported("config")),
    ("GuardDuty", Kind::Unsupported("guardduty")),
    ("WAFLogs", Kind::Unsupported("waf")),
    ("elasticloadbalancing", Kind::Unsupported("load_balancer")),
    ("vpcdnsquerylogs", Kind::Unsupported("dns_query")),
    ("network-firewall", Kind::Unsupported("network_firewall")),
];

/// Files by which AWS tries whether it may write: of exports of log groups, of access logs of load balancers.
const TEST_FILES: [&str; 2] = ["aws-logs-write-test", "ELBAccessLogTestFile"];

/// Reads a key; a key of any other shape says nothing, which is no error.
pub fn by_key(key: &str) -> Route {
    let segments: Vec<&str> = key.split('/').collect();
    let mut route = Route { kind: Kind::Unknown, account_id: None, region: None, date: None };
    if segments.last().is_some_and(|name| TEST_FILES.contains(name)) {
        route.kind = Kind::Unsupported("delivery_test");
        return route;
    }
    let Some(logs) = segments.iter().rposition(|segment| *segment == "AWSLogs") else { return route };
    let mut rest = &segments[logs + 1..];
    if rest.first().is_some_and(|first| first.starts_with("o-")) {
        rest = &rest[1..];
    }
    if rest.first().is_some_and(|first| first.starts_with("aws-account-id=")) {
        hive(rest, &mut route);
    } else {
        classic(rest, &mut route);
    }
    route
}

fn classic(rest: &[&str], route: &mut Route) {
    let [account, service, rest @ ..] = rest else { return };
    route.account_id = is_account(account).then(|| (*account).to_owned());
    route.kind = service_kind(service);
    let Some((region, rest)) = rest.split_first() else { return };
    route.region = is_region(region).then(|| (*region).to_owned());
    if let [year, month, day, ..] = rest {
        route.date = date(year, month, day);
    }
}

fn hive(rest: &[&str], route: &mut Route) {
    let value = |name: &str| rest.iter().find_map(|segment| segment.strip_prefix(name)?.strip_prefix('='));
    route.account_id = value("aws-account-id").filter(|text| is_account(text)).map(str::to_owned);
    route.region = value("aws-region").filter(|text| is_region(text)).map(str::to_owned);
    route.kind = value("aws-service").map_or(Kind::Unknown, service_kind);
    if let (Some(year), Some(month), Some(day)) = (value("year"), value("month"), value("day")) {
        route.date = date(year, month, day);
    }
}

fn service_kind(service: &str) -> Kind {
    SERVICES.iter().find(|(name, _)| *name == service).map_or(Kind::Unknown, |(_, kind)| kind.clone())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Words and a number, as in `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    text.len() <= 24 && words.contains('-') && words.split('-').all(is_word) && is_number(number)
}

fn date(year: &str, month: &str, day: &str) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

/// What the content is, given what the key says: content decides wherever it is clear. Records of flow logs may be in
/// one of these formats without a header.
pub fn by_content(kind: Kind, text: &[u8], formats: &Formats) -> Kind {
    if let Kind::Unsupported(_) = kind {
        return kind;
    }
    if vpc_flow::parquet::is_parquet(text) {
        return Kind::Parquet;
    }
    let start = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start();
    match start.first() {
        Some(b'{' | b'[') => json_kind(kind, start),
        Some(_) if envelope::begins_with_message(start) => Kind::CloudTrail,
        Some(_) => formats.looks_like(start).map_or(kind, of_table),
        None => kind,
    }
}

/// The kind of the objects whose records are rows of a table.
pub fn of_table(table: &Table) -> Kind {
    let kinds = [
        (&CLOUDTRAIL, Kind::CloudTrail),
        (&AGGREGATED_EVENTS, Kind::Aggregated),
        (&TRANSIT_GATEWAY_FLOW, Kind::TransitGatewayFlow),
    ];
    kinds.into_iter().find(|(of, _)| of.name == table.name).map_or(Kind::VpcFlow, |(_, kind)| kind)
}

/// JSON is CloudTrail unless one of the first keys is one that only its siblings have.
fn json_kind(kind: Kind, text: &[u8]) -> Kind {
    const SIBLINGS: [(&[u8], &str); 2] = [(b"\"configurationItems\"", "config"), (b"\"webaclId\"", "waf")];
    let head = &text[..text.len().min(4096)];
    match cloudtrail::likeness(text) {
        Likeness::Events
            if kind == Kind::Aggregated && memchr::memmem::find(text, b"\"eventTime\"").is_none() =>
        {
            kind
        }
        // A CloudTrail record may quote anything in its parameters.
        Likeness::Events => Kind::CloudTrail,
        Likeness::Digest => Kind::Digest,
        Likeness::Aggregated => Kind::Aggregated,
        Likeness::Other if matches!(kind, Kind::Digest | Kind::Aggregated) => kind,
        Likeness::Other => {
            let sibling = SIBLINGS.iter().find(|(key, _)| memchr::memmem::find(head, key).is_some());
            sibling.map_or(Kind::CloudTrail, |(_, name)| Kind::Unsupported(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value)] // The cases read better.
    fn check(key: &str, kind: Kind, account: Option<&str>, region: Option<&str>, date: Option<&str>) {
        let route = by_key(key);
        assert_eq!(route.kind, kind, "{key}");
        assert_eq!(route.account_id.as_deref(), account, "{key}");
        assert_eq!(route.region.as_deref(), region, "{key}");
        assert_eq!(route.date.map(|day| day.to_string()).as_deref(), date, "{key}");
    }

    #[test]
    fn keys_are_read_by_segment() {
        let account = Some("111122223333");
        let day = Some("2015-08-01");
        check(
            "my/pfx/AWSLogs/o-abc123def4/111122223333/CloudTrail/us-east-2/2015/08/01/111122223333_x.json.gz",
            Kind::CloudTrail,
            account,
            Some("us-east-2"),
            day,
        );
        check(
            "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/01/x.json.gz",
            Kind::Digest,
            account,
            Some("us-east-2"),
            day,
        );
        check(
            "AWSLogs/111122223333/CloudTrail-Insight/us-east-2/2015/08/01/x.json.gz",
            Kind::CloudTrail,
            account,
            Some("us-east-2"),
            day,
        );
        check(
            "AWSLogs/111122223333/CloudTrail-Aggregated/us-east-2/2015/08/01/x.json.gz",
            Kind::Aggregated,
            account,
            Some("us-east-2"),
            day,
        );
        check(
            "AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=eu-west-1/year=2015/month=08/day=01/x.log.gz",
            Kind::VpcFlow,
            account,
            Some("eu-west-1"),
            day,
        );
        check(
            "AWSLogs/111122223333/vpcflowlogs/eu-west-1/2015/08/01/x.log.parquet",
            Kind::VpcFlow,
            account,
            Some("eu-west-1"),
            day,
        );
        check(
            "AWSLogs/111122223333/Config/eu-west-1/2015/8/1/ConfigHistory/x.json.gz",
            Kind::Unsupported("config"),
            account,
            Some("eu-west-1"),
            day,
        );
        check(
            "AWSLogs/111122223333/vpcdnsquerylogs/vpc-0123456789abcdef0/2015/08/01/x.log.gz",
            Kind::Unsupported("dns_query"),
            account,
            None,
            day,
        );
        check("export/aws-logs-write-test", Kind::Unsupported("delivery_test"), None, None, None);
        check(
            "AWSLogs/111122223333/ELBAccessLogTestFile",
            Kind::Unsupported("delivery_test"),
            None,
            None,
            None,
        );
        check("logs/CloudTrail/x.json.gz", Kind::Unknown, None, None, None);
        check("AWSLogs/1/Weird/../2015/99/01", Kind::Unknown, None, None, None);
    }

    #[test]
    fn content_decides_where_it_is_clear() {
        let flows = b"2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n";
        let aggregated = format!(
            r#"{{"Records":[{{"eventType":"AwsAggregatedEvent","eventVersion":"1.0","summary":"{}","timeWindow":{{}}}}]}}"#,
            "x".repeat(5000)
        );
        for (kind, text, expected) in [
            (Kind::CloudTrail, &flows[..], Kind::VpcFlow),
            (Kind::VpcFlow, br#"{"Records":[]}"#, Kind::CloudTrail),
            (Kind::VpcFlow, b"version resource-type tgw-id\n", Kind::TransitGatewayFlow),
            (Kind::VpcFlow, b"tgw-attachment-id packets-lost-no-route start\n", Kind::TransitGatewayFlow),
            (Kind::Unknown, b"\xef\xbb\xbfversion srcaddr\n", Kind::VpcFlow),
            (
                Kind::Unknown,
                br#"{"awsAccountId":"1","digestPublicKeyFingerprint":"x"}"#,
                Kind::Digest,
            ),
            (
                Kind::Digest,
                br#"{"Records":[{"eventVersion":"1.08","x":"digestPublicKeyFingerprint"}]}"#,
                Kind::CloudTrail,
            ),
            (
                Kind::Unknown,
                br#"{"Records":[{"eventVersion":"1.08","eventType":"AwsCloudTrailInsight","insightDetails":{}}]}"#,
                Kind::CloudTrail,
            ),
            (
                Kind::CloudTrail,
                br#"[{"eventVersion":"1.0","eventType":"AwsAggregatedEvent","timeWindow":{}}]"#,
                Kind::Aggregated,
            ),
            (Kind::Unknown, aggregated.as_bytes(), Kind::Aggregated),
            (
                Kind::Unknown,
                br#"{"requestParameters":{"a":"AwsAggregatedEvent","b":["AwsAggregatedEvent","timeWindow"]},"eventVersion":"1.08","eventTime":"x"}"#,
                Kind::CloudTrail,
            ),
            (Kind::Unknown, br#"{"Records":[{"eventVersion":"1.08","x":"\"webaclId\""}]}"#, Kind::CloudTrail),
            (Kind::Unknown, b"hello", Kind::Unknown),
            (Kind::VpcFlow, b"PAR1", Kind::Parquet),
            (Kind::CloudTrail, b"", Kind::CloudTrail),
            (Kind::Unsupported("config"), flows, Kind::Unsupported("config")),
        ] {
            assert_eq!(
                by_content(kind.clone(), text, &Formats::default()),
                expected,
                "{kind:?} {}",
                String::from_utf8_lossy(text)
            );
        }
    }
}
