//! The columns of CloudTrail aggregated events.

use super::{Column, Kind, NULL_FIELDS, OTHER_FIELDS, SOURCE_OBJECT, SOURCE_ROW, column};

pub(super) static COLUMNS: &[Column] = &[
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
    OTHER_FIELDS,
    NULL_FIELDS,
    SOURCE_OBJECT,
    SOURCE_ROW,
    column(
        "event_date",
        "",
        Kind::EventDate,
        "The UTC day of `window_start`: the partition; null when the time is missing or absurd.",
    ),
];
