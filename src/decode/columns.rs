//! The columns of every log type: one table each, which drives schema, decoder, documentation and `describe`.
//!
//! Must never hold decoding logic: a column is data.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// How a column is filled and what type it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string of the source, unescaped.
    Text,
    /// The source's own bytes of a JSON value.
    Json,
    /// A JSON boolean.
    Bool,
    /// A boolean that the source writes as the string `"true"` or `"false"`.
    BoolText,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A time the source writes as ISO 8601 text; microseconds, UTC.
    Timestamp,
    /// A time the source writes as Unix seconds; microseconds, UTC.
    Seconds,
    /// A day.
    Date,
    /// Text computed from other fields.
    Derived,
    /// What had no column or did not fit: a JSON object.
    OtherFields,
    /// Names of source fields that were an explicit null.
    NullFields,
    /// The id of the source object.
    SourceObject,
    /// The row's number in the source object.
    SourceRow,
    /// The partition: the UTC day of the table's time column; of `objects`, the day in the key.
    EventDate,
}

/// One column: its name in SQL, the path of the field in the source, how it is filled, and a line of documentation.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name in SQL, `snake_case`.
    pub name: &'static str,
    /// The dotted path in the source record; empty when no single field is behind it.
    pub source: &'static str,
    /// How it is filled.
    pub kind: Kind,
    /// One line for a person.
    pub doc: &'static str,
}

/// Builds a column: for the tables of columns only.
pub const fn column(name: &'static str, source: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { name, source, kind, doc }
}

impl Kind {
    /// The Arrow type of such a column in the lake.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Text
            | Kind::Json
            | Kind::Derived
            | Kind::OtherFields
            | Kind::NullFields
            | Kind::SourceObject => DataType::Utf8,
            Kind::Bool | Kind::BoolText => DataType::Boolean,
            Kind::Int32 | Kind::SourceRow => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Timestamp | Kind::Seconds => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Date | Kind::EventDate => DataType::Date32,
        }
    }
}

/// A table of the lake: its name, its columns, and the column that says when a row happened.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The name in SQL and the directory in the lake.
    pub name: &'static str,
    /// What it holds, one line.
    pub doc: &'static str,
    /// The column with the time of the row.
    pub time_column: &'static str,
    /// The columns in order; the partition column `event_date` is the last.
    pub columns: &'static [Column],
}

impl Table {
    /// The Arrow schema: every column nullable, in table order, the partition column last.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|c| Field::new(c.name, c.kind.data_type(), true)).collect();
        Arc::new(Schema::new(fields))
    }

    /// The position of a column by name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

/// CloudTrail management, data, network activity and Insights events.
pub static CLOUDTRAIL: Table = Table {
    name: "cloudtrail",
    doc: "AWS API calls and sign-ins, one row per CloudTrail event.",
    time_column: "event_time",
    columns: CLOUDTRAIL_COLUMNS,
};

/// VPC Flow Logs.
pub static VPC_FLOW: Table = Table {
    name: "vpc_flow",
    doc: "Network flows, one row per VPC flow log record.",
    time_column: "start_time",
    columns: VPC_FLOW_COLUMNS,
};

/// Transit gateway flow logs.
pub static TRANSIT_GATEWAY_FLOW: Table = Table {
    name: "transit_gateway_flow",
    doc: "Network flows through transit gateways, one row per transit gateway flow log record.",
    time_column: "start_time",
    columns: TRANSIT_GATEWAY_FLOW_COLUMNS,
};

/// CloudTrail digests.
pub static DIGESTS: Table = Table {
    name: "digests",
    doc: "CloudTrail digest files, one row each: which log files were delivered in an hour, and their hashes.",
    time_column: "digest_end_time",
    columns: DIGESTS_COLUMNS,
};

/// CloudTrail aggregated events.
pub static AGGREGATED_EVENTS: Table = Table {
    name: "aggregated_events",
    doc: "CloudTrail aggregated events, one row each: counts of the data events of five minutes, by one dimension.",
    time_column: "window_start",
    columns: AGGREGATED_EVENTS_COLUMNS,
};

static CLOUDTRAIL_COLUMNS: &[Column] = &[
    column("event_time", "eventTime", Kind::Timestamp, "When the call completed, UTC."),
    column("event_name", "eventName", Kind::Text, "The API action, e.g. `CreateAccessKey`."),
    column("event_source", "eventSource", Kind::Text, "The service called, e.g. `iam.amazonaws.com`."),
    column("aws_region", "awsRegion", Kind::Text, "The region the call was made to."),
    column(
        "recipient_account_id",
        "recipientAccountId",
        Kind::Text,
        "The account that received the event: the one the log file belongs to.",
    ),
    column(
        "source_ip_address",
        "sourceIPAddress",
        Kind::Text,
        "Where the call came from: an address, a service name, or `AWS Internal`.",
    ),
    column("user_agent", "userAgent", Kind::Text, "The client program, as it described itself."),
    column(
        "error_code",
        "errorCode",
        Kind::Text,
        "Why the call failed, e.g. `AccessDenied`; null when it succeeded.",
    ),
    column("error_message", "errorMessage", Kind::Text, "The failure in words."),
    column(
        "actor_arn",
        "",
        Kind::Derived,
        "Who acted: the session issuer's ARN for a role, else the identity's ARN, else its principal id, else the user of IAM Identity Center it acts for, else its account, else the service.",
    ),
    column(
        "identity_type",
        "userIdentity.type",
        Kind::Text,
        "`IAMUser`, `AssumedRole`, `Root`, `AWSService`, ...",
    ),
    column("identity_arn", "userIdentity.arn", Kind::Text, "The identity's ARN."),
    column("identity_user_name", "userIdentity.userName", Kind::Text, "The identity's friendly name."),
    column(
        "identity_principal_id",
        "userIdentity.principalId",
        Kind::Text,
        "The identity's unique id, e.g. `AROA...:session`.",
    ),
    column(
        "on_behalf_of_user_id",
        "userIdentity.onBehalfOf.userId",
        Kind::Text,
        "The user of IAM Identity Center who acts, or on whose behalf a role does.",
    ),
    column(
        "identity_account_id",
        "userIdentity.accountId",
        Kind::Text,
        "The account that owns the identity.",
    ),
    column(
        "access_key_id",
        "userIdentity.accessKeyId",
        Kind::Text,
        "The access key that signed the call: `AKIA` is long-term, `ASIA` temporary.",
    ),
    column(
        "invoked_by",
        "userIdentity.invokedBy",
        Kind::Text,
        "The AWS service that made the call on somebody's behalf.",
    ),
    column(
        "identity_provider",
        "userIdentity.identityProvider",
        Kind::Text,
        "The external identity provider of a federated identity.",
    ),
    column(
        "session_issuer_type",
        "userIdentity.sessionContext.sessionIssuer.type",
        Kind::Text,
        "What the temporary credentials were issued from: `Role`, `IAMUser`, `Root`.",
    ),
    column(
        "session_issuer_arn",
        "userIdentity.sessionContext.sessionIssuer.arn",
        Kind::Text,
        "The ARN the temporary credentials were issued from.",
    ),
    column(
        "session_issuer_user_name",
        "userIdentity.sessionContext.sessionIssuer.userName",
        Kind::Text,
        "The name of the role or user the credentials were issued from.",
    ),
    column(
        "session_issuer_principal_id",
        "userIdentity.sessionContext.sessionIssuer.principalId",
        Kind::Text,
        "The unique id of the issuer.",
    ),
    column(
        "session_issuer_account_id",
        "userIdentity.sessionContext.sessionIssuer.accountId",
        Kind::Text,
        "The account of the issuer.",
    ),
    column(
        "session_created_at",
        "userIdentity.sessionContext.attributes.creationDate",
        Kind::Timestamp,
        "When the temporary credentials were issued, UTC.",
    ),
    column(
        "mfa_authenticated",
        "userIdentity.sessionContext.attributes.mfaAuthenticated",
        Kind::BoolText,
        "Whether the session was opened with a second factor.",
    ),
    column(
        "source_identity",
        "userIdentity.sessionContext.sourceIdentity",
        Kind::Text,
        "The source identity set when the role was assumed.",
    ),
    column("read_only", "readOnly", Kind::Bool, "Whether the call only reads."),
    column("management_event", "managementEvent", Kind::Bool, "Whether the event is a management event."),
    column("event_id", "eventID", Kind::Text, "The event's GUID, unique per event."),
    column("request_id", "requestID", Kind::Text, "The called service's own id for the request."),
    column(
        "shared_event_id",
        "sharedEventID",
        Kind::Text,
        "The same action delivered to several accounts shares this GUID.",
    ),
    column(
        "event_type",
        "eventType",
        Kind::Text,
        "`AwsApiCall`, `AwsServiceEvent`, `AwsConsoleSignIn`, `AwsConsoleAction`, `AwsVpceEvent`, `AwsCloudTrailInsight`.",
    ),
    column(
        "event_category",
        "eventCategory",
        Kind::Text,
        "`Management`, `Data`, `NetworkActivity`, `Insight`.",
    ),
    column("event_version", "eventVersion", Kind::Text, "The record format's version, e.g. `1.08`."),
    column("api_version", "apiVersion", Kind::Text, "The version of the called API."),
    column("vpc_endpoint_id", "vpcEndpointId", Kind::Text, "The VPC endpoint the call went through."),
    column(
        "vpc_endpoint_account_id",
        "vpcEndpointAccountId",
        Kind::Text,
        "The account that owns the VPC endpoint.",
    ),
    column(
        "session_credential_from_console",
        "sessionCredentialFromConsole",
        Kind::BoolText,
        "True when the credentials came from a console session.",
    ),
    column(
        "tls_version",
        "tlsDetails.tlsVersion",
        Kind::Text,
        "The TLS version of the call, e.g. `TLSv1.3`.",
    ),
    column("user_identity", "userIdentity", Kind::Json, "The whole identity, as JSON text."),
    column("request_parameters", "requestParameters", Kind::Json, "The call's parameters, as JSON text."),
    column("response_elements", "responseElements", Kind::Json, "The call's answer, as JSON text."),
    column(
        "additional_event_data",
        "additionalEventData",
        Kind::Json,
        "Facts outside request and response, as JSON text.",
    ),
    column(
        "resources",
        "resources",
        Kind::Json,
        "The resources touched, a JSON array of `ARN`, `accountId`, `type`.",
    ),
    column(
        "service_event_details",
        "serviceEventDetails",
        Kind::Json,
        "What a service event is about, as JSON text.",
    ),
    column("tls_details", "tlsDetails", Kind::Json, "TLS version, cipher suite and host name, as JSON text."),
    column("addendum", "addendum", Kind::Json, "Why an event was delayed or corrected, as JSON text."),
    column(
        "edge_device_details",
        "edgeDeviceDetails",
        Kind::Json,
        "The edge device of an Outposts call, as JSON text.",
    ),
    column(
        "event_context",
        "eventContext",
        Kind::Json,
        "Condition keys and tags, where enrichment is on, as JSON text.",
    ),
    column(
        "insight_type",
        "insightDetails.insightType",
        Kind::Text,
        "What an Insights event is about: `ApiCallRateInsight` or `ApiErrorRateInsight`.",
    ),
    column(
        "insight_state",
        "insightDetails.state",
        Kind::Text,
        "`Start` or `End` of the unusual activity; both share `shared_event_id`.",
    ),
    column(
        "insight_event_source",
        "insightDetails.eventSource",
        Kind::Text,
        "The service of the unusual calls.",
    ),
    column("insight_event_name", "insightDetails.eventName", Kind::Text, "The API action called unusually."),
    column(
        "insight_error_code",
        "insightDetails.errorCode",
        Kind::Text,
        "The error that came unusually often.",
    ),
    column(
        "insight_details",
        "insightDetails",
        Kind::Json,
        "The whole of an Insights event: baseline, insight and who it is attributed to, as JSON text.",
    ),
    column(
        "other_fields",
        "",
        Kind::OtherFields,
        "Every field that has no column or did not fit its column, as a JSON object.",
    ),
    column(
        "null_fields",
        "",
        Kind::NullFields,
        "Top-level fields that were present with a JSON null, comma separated; their columns are null.",
    ),
    column(
        "source_object",
        "",
        Kind::SourceObject,
        "The `object_id` in `objects` of the log object this row came from.",
    ),
    column("source_row", "", Kind::SourceRow, "The row's number in its log object, from 0."),
    column(
        "event_date",
        "",
        Kind::EventDate,
        "The UTC day of the event: the partition; null when the time is missing or absurd.",
    ),
];

static VPC_FLOW_COLUMNS: &[Column] = &[
    column("start_time", "start", Kind::Seconds, "When the first packet of the flow was seen, UTC."),
    column("end_time", "end", Kind::Seconds, "When the last packet of the flow was seen, UTC."),
    column("action", "action", Kind::Text, "`ACCEPT` or `REJECT`; null for NODATA and SKIPDATA."),
    column("srcaddr", "srcaddr", Kind::Text, "Source address."),
    column("dstaddr", "dstaddr", Kind::Text, "Destination address."),
    column("srcport", "srcport", Kind::Int32, "Source port."),
    column("dstport", "dstport", Kind::Int32, "Destination port."),
    column("protocol", "protocol", Kind::Int32, "IANA protocol number: 1 ICMP, 6 TCP, 17 UDP."),
    column("packets", "packets", Kind::Int64, "Packets in the flow."),
    column("bytes", "bytes", Kind::Int64, "Bytes in the flow."),
    column("account_id", "account-id", Kind::Text, "The account that owns the network interface."),
    column("interface_id", "interface-id", Kind::Text, "The network interface."),
    column(
        "log_status",
        "log-status",
        Kind::Text,
        "`OK`, `NODATA` (no traffic) or `SKIPDATA` (records lost by the service).",
    ),
    column("version", "version", Kind::Int32, "The flow log format's version."),
    column("vpc_id", "vpc-id", Kind::Text, "The VPC."),
    column("subnet_id", "subnet-id", Kind::Text, "The subnet."),
    column("instance_id", "instance-id", Kind::Text, "The EC2 instance, when the interface belongs to one."),
    column(
        "tcp_flags",
        "tcp-flags",
        Kind::Int32,
        "TCP flags or-ed over the interval: 1 FIN, 2 SYN, 4 RST, 18 SYN-ACK.",
    ),
    column("type", "type", Kind::Text, "`IPv4`, `IPv6` or `EFA`."),
    column(
        "pkt_srcaddr",
        "pkt-srcaddr",
        Kind::Text,
        "The packet's own source address, behind NAT and gateways.",
    ),
    column(
        "pkt_dstaddr",
        "pkt-dstaddr",
        Kind::Text,
        "The packet's own destination address, behind NAT and gateways.",
    ),
    column("region", "region", Kind::Text, "The region of the interface."),
    column("az_id", "az-id", Kind::Text, "The availability zone's id."),
    column("sublocation_type", "sublocation-type", Kind::Text, "`wavelength`, `outpost` or `localzone`."),
    column("sublocation_id", "sublocation-id", Kind::Text, "The sublocation's id."),
    column(
        "pkt_src_aws_service",
        "pkt-src-aws-service",
        Kind::Text,
        "The AWS service the source address belongs to.",
    ),
    column(
        "pkt_dst_aws_service",
        "pkt-dst-aws-service",
        Kind::Text,
        "The AWS service the destination address belongs to.",
    ),
    column("flow_direction", "flow-direction", Kind::Text, "`ingress` or `egress`, seen from the interface."),
    column(
        "traffic_path",
        "traffic-path",
        Kind::Int32,
        "The path egress traffic takes: 1 same VPC ... 8 internet gateway.",
    ),
    column("ecs_cluster_arn", "ecs-cluster-arn", Kind::Text, "The ECS cluster ARN."),
    column("ecs_cluster_name", "ecs-cluster-name", Kind::Text, "The ECS cluster name."),
    column(
        "ecs_container_instance_arn",
        "ecs-container-instance-arn",
        Kind::Text,
        "The ECS container instance ARN.",
    ),
    column(
        "ecs_container_instance_id",
        "ecs-container-instance-id",
        Kind::Text,
        "The ECS container instance id.",
    ),
    column("ecs_container_id", "ecs-container-id", Kind::Text, "The ECS container id."),
    column("ecs_second_container_id", "ecs-second-container-id", Kind::Text, "The ECS second container id."),
    column("ecs_service_name", "ecs-service-name", Kind::Text, "The ECS service name."),
    column("ecs_task_definition_arn", "ecs-task-definition-arn", Kind::Text, "The ECS task definition ARN."),
    column("ecs_task_arn", "ecs-task-arn", Kind::Text, "The ECS task ARN."),
    column("ecs_task_id", "ecs-task-id", Kind::Text, "The ECS task id."),
    column(
        "reject_reason",
        "reject-reason",
        Kind::Text,
        "Why traffic was rejected, e.g. `BPA` (block public access).",
    ),
    column(
        "resource_id",
        "resource-id",
        Kind::Text,
        "The resource the flow belongs to where there is no interface: a regional NAT gateway.",
    ),
    column(
        "encryption_status",
        "encryption-status",
        Kind::Int32,
        "0 not encrypted, 1 by the Nitro system, 2 by the application, 3 by both.",
    ),
    column("instance_tag", "instance-tag", Kind::Text, "The value of a chosen tag of the instance."),
    column("instance_tag_2", "instance-tag-2", Kind::Text, "The value of a second tag of the instance."),
    column("interface_tag", "interface-tag", Kind::Text, "The value of a chosen tag of the interface."),
    column("interface_tag_2", "interface-tag-2", Kind::Text, "The value of a second tag of the interface."),
    column("asg_tag", "asg-tag", Kind::Text, "The value of a chosen tag of the Auto Scaling group."),
    column("asg_tag_2", "asg-tag-2", Kind::Text, "The value of a second tag of the Auto Scaling group."),
    column(
        "interface_type",
        "interface-type",
        Kind::Text,
        "What the interface is of: `nat_gateway`, `transit_gateway`, `vpc_endpoint`, ...",
    ),
    column(
        "next_hop_interface_id",
        "next-hop-interface-id",
        Kind::Text,
        "The interface on the other side: that receives egress, that sends ingress.",
    ),
    column("next_hop_subnet_id", "next-hop-subnet-id", Kind::Text, "The subnet of the other side."),
    column("next_hop_az_id", "next-hop-az-id", Kind::Text, "The availability zone's id of the other side."),
    column("next_hop_vpc_id", "next-hop-vpc-id", Kind::Text, "The VPC of the other side."),
    column(
        "next_hop_interface_type",
        "next-hop-interface-type",
        Kind::Text,
        "What the interface of the other side is of.",
    ),
    column(
        "other_fields",
        "",
        Kind::OtherFields,
        "Every field that has no column or did not fit its column, as a JSON object of strings.",
    ),
    column(
        "source_object",
        "",
        Kind::SourceObject,
        "The `object_id` in `objects` of the log object this row came from.",
    ),
    column("source_row", "", Kind::SourceRow, "The row's number in its log object, from 0."),
    column(
        "event_date",
        "",
        Kind::EventDate,
        "The UTC day of `start_time`: the partition; null when the time is missing or absurd.",
    ),
];

static TRANSIT_GATEWAY_FLOW_COLUMNS: &[Column] = &[
    column("start_time", "start", Kind::Seconds, "When the first packet of the flow was seen, UTC."),
    column("end_time", "end", Kind::Seconds, "When the last packet of the flow was seen, UTC."),
    column("tgw_id", "tgw-id", Kind::Text, "The transit gateway."),
    column("tgw_attachment_id", "tgw-attachment-id", Kind::Text, "The attachment the flow was recorded at."),
    column("srcaddr", "srcaddr", Kind::Text, "Source address."),
    column("dstaddr", "dstaddr", Kind::Text, "Destination address."),
    column("srcport", "srcport", Kind::Int32, "Source port."),
    column("dstport", "dstport", Kind::Int32, "Destination port."),
    column("protocol", "protocol", Kind::Int32, "IANA protocol number: 1 ICMP, 6 TCP, 17 UDP."),
    column("packets", "packets", Kind::Int64, "Packets in the flow."),
    column("bytes", "bytes", Kind::Int64, "Bytes in the flow."),
    column("account_id", "account-id", Kind::Text, "The account that owns the transit gateway."),
    column("resource_type", "resource-type", Kind::Text, "`TransitGateway`."),
    column("tgw_src_vpc_account_id", "tgw-src-vpc-account-id", Kind::Text, "The account of the source VPC."),
    column(
        "tgw_dst_vpc_account_id",
        "tgw-dst-vpc-account-id",
        Kind::Text,
        "The account of the destination VPC.",
    ),
    column("tgw_src_vpc_id", "tgw-src-vpc-id", Kind::Text, "The source VPC."),
    column("tgw_dst_vpc_id", "tgw-dst-vpc-id", Kind::Text, "The destination VPC."),
    column("tgw_src_subnet_id", "tgw-src-subnet-id", Kind::Text, "The source subnet."),
    column("tgw_dst_subnet_id", "tgw-dst-subnet-id", Kind::Text, "The destination subnet."),
    column("tgw_src_eni", "tgw-src-eni", Kind::Text, "The network interface of the source attachment."),
    column("tgw_dst_eni", "tgw-dst-eni", Kind::Text, "The network interface of the destination attachment."),
    column(
        "tgw_src_az_id",
        "tgw-src-az-id",
        Kind::Text,
        "The availability zone's id of the source attachment.",
    ),
    column(
        "tgw_dst_az_id",
        "tgw-dst-az-id",
        Kind::Text,
        "The availability zone's id of the destination attachment.",
    ),
    column(
        "tgw_pair_attachment_id",
        "tgw-pair-attachment-id",
        Kind::Text,
        "The attachment at the other end of the flow.",
    ),
    column(
        "log_status",
        "log-status",
        Kind::Text,
        "`OK`, `NODATA` (no traffic) or `SKIPDATA` (records lost by the service).",
    ),
    column("type", "type", Kind::Text, "`IPv4` or `IPv6`."),
    column(
        "packets_lost_no_route",
        "packets-lost-no-route",
        Kind::Int64,
        "Packets lost for want of a route.",
    ),
    column(
        "packets_lost_blackhole",
        "packets-lost-blackhole",
        Kind::Int64,
        "Packets lost in a black hole route.",
    ),
    column(
        "packets_lost_mtu_exceeded",
        "packets-lost-mtu-exceeded",
        Kind::Int64,
        "Packets lost for their size.",
    ),
    column(
        "packets_lost_ttl_expired",
        "packets-lost-ttl-expired",
        Kind::Int64,
        "Packets lost for their age.",
    ),
    column(
        "tcp_flags",
        "tcp-flags",
        Kind::Int32,
        "TCP flags or-ed over the interval: 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK, 32 URG.",
    ),
    column("region", "region", Kind::Text, "The region of the transit gateway."),
    column("flow_direction", "flow-direction", Kind::Text, "`ingress` or `egress`, seen from the gateway."),
    column(
        "pkt_src_aws_service",
        "pkt-src-aws-service",
        Kind::Text,
        "The AWS service the source address belongs to.",
    ),
    column(
        "pkt_dst_aws_service",
        "pkt-dst-aws-service",
        Kind::Text,
        "The AWS service the destination address belongs to.",
    ),
    column("version", "version", Kind::Int32, "The flow log format's version."),
    column(
        "other_fields",
        "",
        Kind::OtherFields,
        "Every field that has no column or did not fit its column, as a JSON object of strings.",
    ),
    column(
        "source_object",
        "",
        Kind::SourceObject,
        "The `object_id` in `objects` of the log object this row came from.",
    ),
    column("source_row", "", Kind::SourceRow, "The row's number in its log object, from 0."),
    column(
        "event_date",
        "",
        Kind::EventDate,
        "The UTC day of `start_time`: the partition; null when the time is missing or absurd.",
    ),
];

static DIGESTS_COLUMNS: &[Column] = &[
    column(
        "digest_end_time",
        "digestEndTime",
        Kind::Timestamp,
        "The end of the hour whose delivered log files are listed, UTC.",
    ),
    column("digest_start_time", "digestStartTime", Kind::Timestamp, "The beginning of that hour, UTC."),
    column("account_id", "awsAccountId", Kind::Text, "The account whose log files are listed."),
    column("region", "", Kind::Derived, "The region whose log files are listed, from `digest_s3_object`."),
    column("digest_s3_bucket", "digestS3Bucket", Kind::Text, "The bucket the digest was put into."),
    column(
        "digest_s3_object",
        "digestS3Object",
        Kind::Text,
        "The key the digest was put under; it must be the key it is read from.",
    ),
    column(
        "public_key_fingerprint",
        "digestPublicKeyFingerprint",
        Kind::Text,
        "The fingerprint of the key that signed the digest; the signature is in the object's metadata.",
    ),
    column("signature_algorithm", "digestSignatureAlgorithm", Kind::Text, "`SHA256withRSA`."),
    column(
        "newest_event_time",
        "newestEventTime",
        Kind::Timestamp,
        "The latest event in the listed files; null when there are none.",
    ),
    column(
        "oldest_event_time",
        "oldestEventTime",
        Kind::Timestamp,
        "The earliest event in the listed files; null when there are none.",
    ),
    column(
        "previous_digest_s3_bucket",
        "previousDigestS3Bucket",
        Kind::Text,
        "The bucket of the digest before; null in the first of a chain.",
    ),
    column(
        "previous_digest_s3_object",
        "previousDigestS3Object",
        Kind::Text,
        "The key of the digest before; null in the first of a chain.",
    ),
    column(
        "previous_digest_hash_value",
        "previousDigestHashValue",
        Kind::Text,
        "The hash of the digest before, in hex.",
    ),
    column("previous_digest_hash_algorithm", "previousDigestHashAlgorithm", Kind::Text, "`SHA-256`."),
    column(
        "previous_digest_signature",
        "previousDigestSignature",
        Kind::Text,
        "The signature of the digest before, in hex.",
    ),
    column("log_file_count", "", Kind::Int64, "How many log files are listed."),
    column(
        "log_files",
        "logFiles",
        Kind::Json,
        "The listed log files with bucket, key and hash, a JSON array.",
    ),
    column(
        "other_fields",
        "",
        Kind::OtherFields,
        "Every field that has no column or did not fit its column, as a JSON object.",
    ),
    column(
        "null_fields",
        "",
        Kind::NullFields,
        "Fields that were present with a JSON null, comma separated; their columns are null.",
    ),
    column(
        "source_object",
        "",
        Kind::SourceObject,
        "The `object_id` in `objects` of the object this row came from.",
    ),
    column("source_row", "", Kind::SourceRow, "The row's number in its object: 0."),
    column(
        "event_date",
        "",
        Kind::EventDate,
        "The UTC day of `digest_end_time`: the partition; null when the time is missing or absurd.",
    ),
];

static AGGREGATED_EVENTS_COLUMNS: &[Column] = &[
    column(
        "window_start",
        "timeWindow.windowStart",
        Kind::Timestamp,
        "The beginning of the time that is counted, UTC; it is part of it.",
    ),
    column(
        "window_end",
        "timeWindow.windowEnd",
        Kind::Timestamp,
        "The end of the time that is counted, UTC; it is no part of it.",
    ),
    column("window_size", "timeWindow.windowSize", Kind::Text, "How long that is, as `PT5M`."),
    column("event_source", "eventSource", Kind::Text, "The service called, e.g. `s3.amazonaws.com`."),
    column("aws_region", "awsRegion", Kind::Text, "The region the calls were made to."),
    column("account_id", "accountId", Kind::Text, "The account whose calls are counted."),
    column(
        "primary_dimension",
        "summary.primaryDimension.dimension",
        Kind::Text,
        "What the calls are counted by: `eventName`, `resourceARN`, `userIdentity`.",
    ),
    column(
        "aggregation_type",
        "summary.primaryDimension.aggregationType",
        Kind::Text,
        "How they are put together: `Count`.",
    ),
    column("event_id", "eventId", Kind::Text, "The aggregated event's GUID."),
    column("event_type", "eventType", Kind::Text, "`AwsAggregatedEvent`."),
    column("event_category", "eventCategory", Kind::Text, "`Aggregated`."),
    column("event_version", "eventVersion", Kind::Text, "The format's version, e.g. `1.0`."),
    column("time_window", "timeWindow", Kind::Json, "The whole window, as JSON text."),
    column(
        "summary",
        "summary",
        Kind::Json,
        "The counts by the primary dimension and, in `details`, by others, as JSON text.",
    ),
    column(
        "other_fields",
        "",
        Kind::OtherFields,
        "Every field that has no column or did not fit its column, as a JSON object.",
    ),
    column(
        "null_fields",
        "",
        Kind::NullFields,
        "Top-level fields that were present with a JSON null, comma separated; their columns are null.",
    ),
    column(
        "source_object",
        "",
        Kind::SourceObject,
        "The `object_id` in `objects` of the log object this row came from.",
    ),
    column("source_row", "", Kind::SourceRow, "The row's number in its log object, from 0."),
    column(
        "event_date",
        "",
        Kind::EventDate,
        "The UTC day of `window_start`: the partition; null when the time is missing or absurd.",
    ),
];
