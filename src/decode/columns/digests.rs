//! The columns of CloudTrail digests.

use super::{Column, Kind, OTHER_FIELDS, column};

pub(super) static COLUMNS: &[Column] = &[
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
    OTHER_FIELDS,
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
