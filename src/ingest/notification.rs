//! What a queue message says: which objects are new.
//!
//! Understands what AWS puts on a queue when a log object arrives: S3 event notifications, the same through
//! SNS or EventBridge, the notifications of `CloudTrail` and of AWS Config, and Security Lake's.
//! Must never acknowledge what it does not understand (that is an error, so that the message reaches the
//! dead-letter queue), never read only the first of several records, and never confirm a subscription.
//! A message proves nothing about who sent it: the bucket and the key are checked by the caller.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The largest message accepted, in bytes: the largest that SQS carries.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The most records (or keys) accepted in one message.
pub const MAX_RECORDS: usize = 1000;
/// The longest key accepted, in bytes of UTF-8: the longest that S3 allows.
pub const MAX_KEY_BYTES: usize = 1024;
/// How many SNS envelopes may lie inside each other.
pub const MAX_ENVELOPES: usize = 3;

/// What `CloudTrail` sends through SNS when a topic is set up; not JSON.
const CLOUDTRAIL_VALIDATION: &str = "CloudTrail validation message.";

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// Objects were created; at least one.
    Objects(Vec<Announcement>),
    /// A test that AWS sends when notifications are set up: to be acknowledged.
    Test,
    /// A message that announces no new object: to be acknowledged.
    Nothing {
        /// Why there is nothing to read, free of control characters.
        reason: String,
    },
}

/// One object that a message says was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The bucket's name, valid by S3's rules.
    pub bucket: String,
    /// The key, 1 to 1024 bytes, no NUL; may hold `..`, control characters, anything else.
    pub key: String,
    /// The etag without quotes, when told.
    pub etag: Option<String>,
    /// The size in bytes, when told.
    pub size: Option<u64>,
    /// The version's id, when told: only versioned buckets have one.
    pub version_id: Option<String>,
    /// When the object was created, as the message tells.
    pub event_time: Option<DateTime<Utc>>,
    /// How `key` was written in the message.
    pub key_form: KeyForm,
    /// The key read the other way (literal for a form-encoded one, decoded for a literal one), where that
    /// is another valid key. To be tried when S3 knows no object `key`, after the same checks.
    pub alternative_key: Option<String>,
}

/// How a key is written in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// As in an HTML form: `+` for a space, `%XX` for a byte. S3's own notifications do this.
    FormEncoded,
    /// As it is. EventBridge, `CloudTrail` and AWS Config do this.
    Literal,
}

/// Why a message is not understood. Texts hold paths and literals of ours, nothing of the message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The message is too large.
    #[error("message of {bytes} bytes is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The size of the message.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// Not JSON, or a field occurs twice.
    #[error("{place} is not valid JSON")]
    Json {
        /// The path of the value.
        place: Place,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A value has another type.
    #[error("{place} is {found}, not {expected}")]
    WrongType {
        /// The path of the value.
        place: Place,
        /// The type it has.
        found: &'static str,
        /// The type it should have.
        expected: &'static str,
    },
    /// A field is missing or null.
    #[error("{place} is missing")]
    Missing {
        /// The path of the field.
        place: Place,
    },
    /// A field has a value it may not have.
    #[error("{place} {fault}")]
    Invalid {
        /// The path of the field.
        place: Place,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A list is too long.
    #[error("{place} has {count} items, more than the limit of {limit}")]
    TooMany {
        /// The path of the list.
        place: Place,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many envelopes inside each other.
    #[error("more than {limit} SNS envelopes inside each other")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// SNS asks to confirm or to end a subscription.
    #[error("SNS asks for a confirmation, which is never given automatically")]
    Confirmation,
    /// No known kind of message.
    #[error("{place} is no known kind of notification")]
    Unknown {
        /// The path of the value.
        place: Place,
    },
}

/// The path of a value in a message; the empty one is the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    fn field(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { out.write_str("message") } else { write!(out, "`{}`", self.0) }
    }
}

/// Reads the body of a queue message.
pub fn parse(body: &str) -> Result<Notification, Error> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Error::TooLarge { bytes: body.len(), limit_bytes: MAX_BODY_BYTES });
    }
    parse_at(body, &Place(String::new()), 0)
}

/// The fields by which the kinds of messages are told apart.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Records", borrow)]
    records: Option<&'a RawValue>,
    #[serde(rename = "Event", borrow)]
    event: Option<&'a RawValue>,
    #[serde(rename = "Type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(rename = "Message", borrow)]
    message: Option<&'a RawValue>,
    #[serde(rename = "detail-type", borrow)]
    detail_type: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(rename = "s3Bucket", borrow)]
    s3_bucket: Option<&'a RawValue>,
    #[serde(rename = "s3ObjectKey", borrow)]
    s3_object_key: Option<&'a RawValue>,
    #[serde(rename = "messageType", borrow)]
    message_type: Option<&'a RawValue>,
    #[serde(rename = "notificationCreationTime", borrow)]
    creation_time: Option<&'a RawValue>,
}

fn parse_at(text: &str, place: &Place, depth: usize) -> Result<Notification, Error> {
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|source| Error::Json { place: place.clone(), source })?;
    let envelope: Envelope = Field { place: place.clone(), raw: Some(raw) }.object()?;
    let unknown = || Err(Error::Unknown { place: place.clone() });
    if envelope.records.is_some() {
        return s3_event(&Field::of(place, "Records", envelope.records));
    }
    if envelope.event.is_some() {
        let event = Field::of(place, "Event", envelope.event).required_text()?;
        return if event == "s3:TestEvent" { Ok(Notification::Test) } else { unknown() };
    }
    if envelope.kind.is_some() {
        return match Field::of(place, "Type", envelope.kind).required_text()?.as_str() {
            "Notification" => unwrap_sns(&Field::of(place, "Message", envelope.message), depth),
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => Err(Error::Confirmation),
            _ => unknown(),
        };
    }
    if envelope.detail.is_some() || envelope.detail_type.is_some() {
        return event_bridge(&envelope, place);
    }
    if envelope.s3_bucket.is_some() || envelope.s3_object_key.is_some() {
        return delivered_files(&envelope, place);
    }
    if envelope.message_type.is_some() {
        return config_message(&envelope, place);
    }
    unknown()
}

fn unwrap_sns(message: &Field, depth: usize) -> Result<Notification, Error> {
    if depth >= MAX_ENVELOPES {
        return Err(Error::TooDeep { limit: MAX_ENVELOPES });
    }
    let text = message.required_text()?;
    if text == CLOUDTRAIL_VALIDATION {
        return Ok(Notification::Test);
    }
    parse_at(&text, &message.place, depth + 1)
}

#[derive(Deserialize)]
struct S3Record<'a> {
    #[serde(rename = "eventVersion", borrow)]
    version: Option<&'a RawValue>,
    #[serde(rename = "eventSource", borrow)]
    source: Option<&'a RawValue>,
    #[serde(rename = "eventName", borrow)]
    name: Option<&'a RawValue>,
    #[serde(rename = "eventTime", borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    s3: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Subject<'a> {
    #[serde(borrow)]
    bucket: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct S3Object<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    size: Option<&'a RawValue>,
    #[serde(rename = "eTag", borrow)]
    etag: Option<&'a RawValue>,
    #[serde(rename = "versionId", borrow)]
    version_id: Option<&'a RawValue>,
}

fn s3_event(records: &Field) -> Result<Notification, Error> {
    let mut announcements = Vec::new();
    let mut other_event = String::new();
    for record in records.items()? {
        match s3_record(&record)? {
            Record::Created(announcement) => announcements.push(announcement),
            Record::Other(name) => other_event = name,
        }
    }
    if announcements.is_empty() {
        let reason = format!("`{}` announces no new object", shown(&other_event));
        return Ok(Notification::Nothing { reason });
    }
    Ok(Notification::Objects(announcements))
}

/// What one record of an S3 event says.
enum Record {
    Created(Announcement),
    /// Another event, by its name.
    Other(String),
}

/// How the names of S3's events begin that create no object.
const OTHER_EVENTS: [&str; 10] = [
    "ObjectRemoved:",
    "ObjectRestore:",
    "ObjectTagging:",
    "ObjectAcl:",
    "LifecycleExpiration:",
    "LifecycleTransition",
    "IntelligentTiering",
    "Replication:",
    "ReducedRedundancyLostObject",
    "TestEvent",
];

/// The kinds of S3's events through `EventBridge` that create no object.
const OTHER_BRIDGED_EVENTS: [&str; 9] = [
    "Object Deleted",
    "Object Restore Initiated",
    "Object Restore Completed",
    "Object Restore Expired",
    "Object Tags Added",
    "Object Tags Deleted",
    "Object ACL Updated",
    "Object Storage Class Changed",
    "Object Access Tier Changed",
];

/// What stands for the name of the event where only a folder was made.
const FOLDER: &str = "a folder";

/// Whether an object is what a console makes of a folder: nothing, with a key that ends in `/`.
fn is_folder(announced: &Announcement) -> bool {
    announced.key.ends_with('/') && announced.size == Some(0)
}

fn s3_record(record: &Field) -> Result<Record, Error> {
    let place = &record.place;
    let fields: S3Record = record.object()?;
    let source = Field::of(place, "eventSource", fields.source);
    if source.required_text()? != "aws:s3" {
        return Err(source.invalid("is not `aws:s3`"));
    }
    let version = Field::of(place, "eventVersion", fields.version);
    if !version.required_text()?.starts_with("2.") {
        return Err(version.invalid("is not a version 2 of S3's events"));
    }
    let event = Field::of(place, "eventName", fields.name);
    let name = event.required_text()?;
    // Lists of events in configurations have the prefix, and messages of other stores than AWS's own.
    let bare = name.strip_prefix("s3:").unwrap_or(&name);
    if !bare.starts_with("ObjectCreated:") {
        let is_known = OTHER_EVENTS.iter().any(|family| bare.starts_with(family));
        return if is_known { Ok(Record::Other(name)) } else { Err(event.invalid("is no known event")) };
    }
    let event_time = Field::of(place, "eventTime", fields.time).time()?;
    let s3 = Field::of(place, "s3", fields.s3);
    let subject: Subject = s3.object()?;
    let bucket = bucket_of(&Field::of(&s3.place, "bucket", subject.bucket))?;
    let object = Field::of(&s3.place, "object", subject.object);
    let fields: S3Object = object.object()?;
    let field = |name, raw| Field::of(&object.place, name, raw);
    let (key, alternative_key) = form_encoded_key(&field("key", fields.key))?;
    let announced = Announcement {
        bucket,
        key,
        etag: field("eTag", fields.etag).text()?.map(unquoted),
        size: field("size", fields.size).whole_number()?,
        version_id: field("versionId", fields.version_id).text()?,
        event_time,
        key_form: KeyForm::FormEncoded,
        alternative_key,
    };
    if is_folder(&announced) {
        return Ok(Record::Other(FOLDER.to_owned()));
    }
    Ok(Record::Created(announced))
}

#[derive(Deserialize)]
struct BridgedObject<'a> {
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    size: Option<&'a RawValue>,
    #[serde(borrow)]
    etag: Option<&'a RawValue>,
    #[serde(rename = "version-id", borrow)]
    version_id: Option<&'a RawValue>,
}

/// S3 through EventBridge. Security Lake's messages lack some of the fields around `detail`, so what is
/// absent is taken for granted and only what is there has to be right.
fn event_bridge(envelope: &Envelope, place: &Place) -> Result<Notification, Error> {
    let source = Field::of(place, "source", envelope.source);
    if source.text()?.is_some_and(|source| source != "aws.s3") {
        return Err(source.invalid("is not `aws.s3`"));
    }
    let detail_type = Field::of(place, "detail-type", envelope.detail_type);
    match detail_type.text()?.as_deref() {
        None | Some("Object Created") => {}
        Some(other) if OTHER_BRIDGED_EVENTS.contains(&other) => {
            let reason = format!("`{}` announces no new object", shown(other));
            return Ok(Notification::Nothing { reason });
        }
        Some(_) => return Err(detail_type.invalid("is no event about an object")),
    }
    let detail = Field::of(place, "detail", envelope.detail);
    let subject: Subject = detail.object()?;
    let bucket = bucket_of(&Field::of(&detail.place, "bucket", subject.bucket))?;
    let object = Field::of(&detail.place, "object", subject.object);
    let fields: BridgedObject = object.object()?;
    let field = |name, raw| Field::of(&object.place, name, raw);
    let (key, alternative_key) = literal_key(&field("key", fields.key))?;
    let announced = Announcement {
        bucket,
        key,
        etag: field("etag", fields.etag).text()?.map(unquoted),
        size: field("size", fields.size).whole_number()?,
        version_id: field("version-id", fields.version_id).text()?,
        event_time: Field::of(place, "time", envelope.time).time()?,
        key_form: KeyForm::Literal,
        alternative_key,
    };
    if is_folder(&announced) {
        return Ok(Notification::Nothing { reason: format!("`{FOLDER}` announces no new object") });
    }
    Ok(Notification::Objects(vec![announced]))
}

/// `CloudTrail`'s own notification, which lists keys, and AWS Config's, which names one.
fn delivered_files(envelope: &Envelope, place: &Place) -> Result<Notification, Error> {
    let bucket = valid_bucket(&Field::of(place, "s3Bucket", envelope.s3_bucket))?;
    let event_time = Field::of(place, "notificationCreationTime", envelope.creation_time).time()?;
    let keys = Field::of(place, "s3ObjectKey", envelope.s3_object_key);
    let keys = if keys.type_name() == Some(STRING) { vec![keys] } else { keys.items()? };
    let mut announcements = Vec::with_capacity(keys.len());
    for key in &keys {
        let (key, alternative_key) = literal_key(key)?;
        announcements.push(Announcement {
            bucket: bucket.clone(),
            key,
            etag: None,
            size: None,
            version_id: None,
            event_time,
            key_form: KeyForm::Literal,
            alternative_key,
        });
    }
    Ok(Notification::Objects(announcements))
}

/// The messages of AWS Config that name no delivered object.
const CONFIG_MESSAGES: [&str; 7] = [
    "ComplianceChangeNotification",
    "ConfigRulesEvaluationStarted",
    "ConfigurationItemChangeNotification",
    "ConfigurationSnapshotDeliveryFailed",
    "ConfigurationSnapshotDeliveryStarted",
    "OversizedConfigurationItemChangeNotification",
    "OversizedConfigurationItemChangeDeliveryFailed",
];

fn config_message(envelope: &Envelope, place: &Place) -> Result<Notification, Error> {
    let kind = Field::of(place, "messageType", envelope.message_type).required_text()?;
    if !CONFIG_MESSAGES.contains(&kind.as_str()) {
        return Err(Error::Unknown { place: place.clone() });
    }
    Ok(Notification::Nothing { reason: format!("`{kind}` announces no new object") })
}

const STRING: &str = "a string";
const OBJECT: &str = "an object";
const ARRAY: &str = "an array";

/// A field of the message and its path; a null one is absent.
struct Field<'a> {
    place: Place,
    raw: Option<&'a RawValue>,
}

impl<'a> Field<'a> {
    fn of(parent: &Place, name: &str, raw: Option<&'a RawValue>) -> Self {
        Self { place: parent.field(name), raw }
    }

    fn type_name(&self) -> Option<&'static str> {
        let first = self.raw?.get().bytes().next()?;
        Some(match first {
            b'"' => STRING,
            b'{' => OBJECT,
            b'[' => ARRAY,
            b't' | b'f' => "a boolean",
            b'n' => "null",
            _ => "a number",
        })
    }

    /// The value as `T`; `expected` says in words what that is.
    fn read<T: Deserialize<'a>>(&self, expected: &'static str) -> Result<T, Error> {
        let (Some(raw), Some(found)) = (self.raw, self.type_name()) else {
            return Err(Error::Missing { place: self.place.clone() });
        };
        // Checked by hand, since a struct would also be read from an array.
        if found != expected {
            return Err(Error::WrongType { place: self.place.clone(), found, expected });
        }
        serde_json::from_str(raw.get()).map_err(|source| Error::Json { place: self.place.clone(), source })
    }

    fn object<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        self.read(OBJECT)
    }

    /// The items of a list that must have some.
    fn items(&self) -> Result<Vec<Field<'a>>, Error> {
        let items: Vec<&RawValue> = self.read(ARRAY)?;
        if items.is_empty() {
            return Err(self.invalid("is empty"));
        }
        if items.len() > MAX_RECORDS {
            let (count, limit) = (items.len(), MAX_RECORDS);
            return Err(Error::TooMany { place: self.place.clone(), count, limit });
        }
        let field = |(index, raw)| Field { place: self.place.item(index), raw: Some(raw) };
        Ok(items.into_iter().enumerate().map(field).collect())
    }

    fn required_text(&self) -> Result<String, Error> {
        self.read(STRING)
    }

    fn text(&self) -> Result<Option<String>, Error> {
        if self.raw.is_none() { Ok(None) } else { self.required_text().map(Some) }
    }

    fn whole_number(&self) -> Result<Option<u64>, Error> {
        let Some(raw) = self.raw else { return Ok(None) };
        let number = raw.get().parse().map_err(|_| self.invalid("is not a whole number of bytes"))?;
        Ok(Some(number))
    }

    fn time(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let Some(text) = self.text()? else { return Ok(None) };
        let time = DateTime::parse_from_rfc3339(&text).map_err(|_| self.invalid("is not a time"))?;
        Ok(Some(time.to_utc()))
    }

    fn invalid(&self, fault: &'static str) -> Error {
        Error::Invalid { place: self.place.clone(), fault }
    }
}

fn bucket_of(bucket: &Field) -> Result<String, Error> {
    let fields: Bucket = bucket.object()?;
    valid_bucket(&Field::of(&bucket.place, "name", fields.name))
}

fn valid_bucket(field: &Field) -> Result<String, Error> {
    let name = field.required_text()?;
    if is_bucket_name(&name) { Ok(name) } else { Err(field.invalid("is not a bucket name")) }
}

/// Whether S3 allows the name for a general purpose bucket. Aliases of access points are refused too:
/// they stand for a bucket of somebody's choice.
fn is_bucket_name(name: &str) -> bool {
    const RESERVED_STARTS: [&str; 2] = ["xn--", "sthree-"];
    const RESERVED_ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !RESERVED_STARTS.iter().any(|start| name.starts_with(start))
        && !RESERVED_ENDS.iter().any(|end| name.ends_with(end))
}

/// The key decoded, and as written where that differs.
fn form_encoded_key(field: &Field) -> Result<(String, Option<String>), Error> {
    let written = field.required_text()?;
    let key = form_decode(&written).map_err(|fault| field.invalid(fault))?;
    check_key(&key).map_err(|fault| field.invalid(fault))?;
    let differs = written != key && check_key(&written).is_ok();
    Ok((key, differs.then_some(written)))
}

/// The key as written, and decoded where that differs.
fn literal_key(field: &Field) -> Result<(String, Option<String>), Error> {
    let key = field.required_text()?;
    check_key(&key).map_err(|fault| field.invalid(fault))?;
    let decoded = form_decode(&key).ok();
    let alternative = decoded.filter(|decoded| *decoded != key && check_key(decoded).is_ok());
    Ok((key, alternative))
}

fn check_key(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("is empty");
    }
    if key.len() > MAX_KEY_BYTES {
        return Err("is longer than 1024 bytes");
    }
    if key.contains('\0') {
        return Err("holds a NUL byte");
    }
    Ok(())
}

/// Decodes once: `+` to a space, then `%XX` to bytes. Never again, or `%2541` would become `A`.
fn form_decode(text: &str) -> Result<String, &'static str> {
    let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) else {
                    return Err("holds a `%` that begins no escape");
                };
                decoded.extend(u8::try_from(high * 16 + low));
            }
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).map_err(|_| "does not decode to UTF-8")
}

/// S3 quotes etags in its headers but not in its events; other stores do.
fn unquoted(etag: String) -> String {
    match etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.to_owned(),
        None => etag,
    }
}

/// A name of the message, made short and safe to show.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use serde_json::json;

    use super::*;

    /// What the message says in one line, or the error with its causes.
    fn told(body: &str) -> String {
        match parse(body) {
            Ok(Notification::Objects(list)) => {
                list.iter().map(|a| format!("{} {:?}", a.bucket, a.key)).collect::<Vec<_>>().join(", ")
            }
            Ok(Notification::Test) => "test".to_owned(),
            Ok(Notification::Nothing { reason }) => format!("nothing: {reason}"),
            Err(error) => format!("error: {error}"),
        }
    }

    fn check(body: &serde_json::Value, expect: &str) {
        let body = body.to_string();
        assert_eq!(told(&body), expect, "{body}");
    }

    fn s3_record(name: &str, key: &str) -> serde_json::Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
            "eventTime": "2024-01-15T12:00:00.123Z", "eventName": name,
            "userIdentity": {"principalId": "AWS:AIDA"},
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "c",
                "bucket": {"name": "logs", "arn": "arn:aws:s3:::logs", "ownerIdentity": {"principalId": "A"}},
                "object": {"key": key, "size": 1024, "eTag": "d41d8cd9", "versionId": "v1", "sequencer": "0A1B"},
            },
        })
    }

    fn s3_event(key: &str) -> serde_json::Value {
        json!({"Records": [s3_record("ObjectCreated:Put", key)]})
    }

    fn sns(message: &serde_json::Value) -> serde_json::Value {
        json!({
            "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:t",
            "Subject": "Amazon S3 Notification", "Message": message.to_string(),
            "Timestamp": "2024-01-15T12:00:00.000Z", "SignatureVersion": "1", "Signature": "x",
            "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/x.pem", "UnsubscribeURL": "https://x",
        })
    }

    fn bridged(detail_type: &str, key: &str) -> serde_json::Value {
        json!({
            "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": detail_type,
            "source": "aws.s3", "account": "111122223333", "time": "2021-11-12T00:00:00Z",
            "region": "ca-central-1", "resources": ["arn:aws:s3:::logs"],
            "detail": {
                "version": "0", "bucket": {"name": "logs"},
                "object": {"key": key, "size": 5, "etag": "b1946ac9", "version-id": "IYV3", "sequencer": "00"},
                "request-id": "N4N7", "requester": "123456789012", "source-ip-address": "1.2.3.4",
                "reason": "PutObject",
            },
        })
    }

    /// The value with the one at the path replaced.
    fn with(mut value: serde_json::Value, path: &str, new: serde_json::Value) -> serde_json::Value {
        *value.pointer_mut(path).unwrap() = new;
        value
    }

    fn only(body: &serde_json::Value) -> Announcement {
        match parse(&body.to_string()).unwrap() {
            Notification::Objects(mut list) if list.len() == 1 => list.remove(0),
            other => panic!("not one object: {other:?}"),
        }
    }

    #[test]
    fn s3_event_tells_all_fields() {
        let expect = Announcement {
            bucket: "logs".to_owned(),
            key: "AWSLogs/a b.json.gz".to_owned(),
            etag: Some("d41d8cd9".to_owned()),
            size: Some(1024),
            version_id: Some("v1".to_owned()),
            event_time: Some("2024-01-15T12:00:00.123Z".parse().unwrap()),
            key_form: KeyForm::FormEncoded,
            alternative_key: Some("AWSLogs%2Fa+b.json.gz".to_owned()),
        };
        assert_eq!(only(&s3_event("AWSLogs%2Fa+b.json.gz")), expect);
        assert_eq!(only(&sns(&s3_event("AWSLogs%2Fa+b.json.gz"))), expect);
    }

    #[test]
    fn event_bridge_tells_all_fields() {
        let expect = Announcement {
            bucket: "logs".to_owned(),
            key: "a+b%20c".to_owned(),
            etag: Some("b1946ac9".to_owned()),
            size: Some(5),
            version_id: Some("IYV3".to_owned()),
            event_time: Some("2021-11-12T00:00:00Z".parse().unwrap()),
            key_form: KeyForm::Literal,
            alternative_key: Some("a b c".to_owned()),
        };
        assert_eq!(only(&bridged("Object Created", "a+b%20c")), expect);
    }

    #[test]
    fn every_known_kind_is_told_apart() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2024-01-15T12:00:00.000Z",
            "Bucket": "logs", "RequestId": "r", "HostId": "h"});
        check(&test, "test");
        check(&sns(&test), "test");
        check(&sns(&sns(&sns(&s3_event("k")))), r#"logs "k""#);
        check(&sns(&sns(&sns(&sns(&s3_event("k"))))), "error: more than 3 SNS envelopes inside each other");
        let validation = with(sns(&json!({})), "/Message", json!("CloudTrail validation message."));
        check(&validation, "test");
        let trail = json!({"s3Bucket": "logs", "s3ObjectKey": ["a+1.json.gz", "b.json.gz"]});
        check(&trail, r#"logs "a+1.json.gz", logs "b.json.gz""#);
        check(&sns(&trail), r#"logs "a+1.json.gz", logs "b.json.gz""#);
        let config = json!({"s3Bucket": "logs", "s3ObjectKey": "AWSLogs/1/Config/x.json.gz",
            "notificationCreationTime": "2024-01-15T12:00:00.000Z", "recordVersion": "1.1",
            "messageType": "ConfigurationHistoryDeliveryCompleted"});
        check(&sns(&config), r#"logs "AWSLogs/1/Config/x.json.gz""#);
        check(
            &json!({"messageType": "ConfigurationItemChangeNotification", "configurationItem": {}}),
            "nothing: `ConfigurationItemChangeNotification` announces no new object",
        );
        check(&bridged("Object Created", "k"), r#"logs "k""#);
        for kind in OTHER_BRIDGED_EVENTS {
            check(&bridged(kind, "k"), &format!("nothing: `{kind}` announces no new object"));
        }
        check(&bridged("Object Imagined", "k"), "error: `detail-type` is no event about an object");
        let security_lake = json!({"source": "aws.s3", "time": "2021-11-12T00:00:00Z", "detail":
            {"bucket": {"name": "lake"}, "object": {"key": "p.parquet"}, "requester": "securitylake.amazonaws.com"}});
        check(&security_lake, r#"lake "p.parquet""#);
        check(&json!({"detail": {"bucket": {"name": "lake"}, "object": {"key": "p"}}}), r#"lake "p""#);
    }

    #[test]
    fn every_record_counts() {
        let records: Vec<_> = [
            "ObjectRemoved:Delete",
            "ObjectCreated:Put",
            "LifecycleExpiration:Delete",
            "ObjectCreated:CompleteMultipartUpload",
        ]
        .iter()
        .enumerate()
        .map(|(index, name)| s3_record(name, &format!("k{index}")))
        .collect();
        check(&json!({"Records": records}), r#"logs "k1", logs "k3""#);
        for name in ["ObjectRemoved:DeleteMarkerCreated", "ObjectRestore:Completed", "ObjectTagging:Put"] {
            let expect = format!("nothing: `{name}` announces no new object");
            check(&json!({"Records": [s3_record(name, "k")]}), &expect);
        }
        for (name, expect) in [
            ("s3:ObjectCreated:Put", r#"logs "k""#),
            ("s3:ObjectRemoved:Delete", "nothing: `s3:ObjectRemoved:Delete` announces no new object"),
            ("LifecycleTransition", "nothing: `LifecycleTransition` announces no new object"),
            ("ObjectCreatedLater:Put", "error: `Records[0].eventName` is no known event"),
            ("objectcreated:Put", "error: `Records[0].eventName` is no known event"),
            ("s3:s3:ObjectCreated:Put", "error: `Records[0].eventName` is no known event"),
            ("", "error: `Records[0].eventName` is no known event"),
        ] {
            check(&json!({"Records": [s3_record(name, "k")]}), expect);
        }
        let mut broken = records.clone();
        broken[3] = with(broken[3].clone(), "/s3/object/key", json!(null));
        check(&json!({"Records": broken}), "error: `Records[3].s3.object.key` is missing");
    }

    #[test]
    fn folders_are_no_objects() {
        let expect = "nothing: `a folder` announces no new object";
        let empty = |event, path| with(event, path, json!(0));
        check(&empty(s3_event("AWSLogs%2F"), "/Records/0/s3/object/size"), expect);
        check(&empty(bridged("Object Created", "AWSLogs/"), "/detail/object/size"), expect);
        check(&empty(s3_event("AWSLogs/x"), "/Records/0/s3/object/size"), r#"logs "AWSLogs/x""#);
        check(&s3_event("AWSLogs/"), r#"logs "AWSLogs/""#);
    }

    #[test]
    fn keys_are_decoded_exactly_once() {
        for (written, expect) in [
            ("plain/k.json.gz", Ok("plain/k.json.gz")),
            ("a+b", Ok("a b")),
            ("a%2Bb%20c", Ok("a+b c")),
            ("a%252Bb", Ok("a%2Bb")),
            ("%c3%BC", Ok("\u{fc}")),
            ("\u{fc}", Ok("\u{fc}")),
            ("..%2f..%2fetc", Ok("../../etc")),
            ("%1b[31m", Ok("\u{1b}[31m")),
            ("a%", Err("holds a `%` that begins no escape")),
            ("a%4", Err("holds a `%` that begins no escape")),
            ("a%zz", Err("holds a `%` that begins no escape")),
            ("a%+1", Err("holds a `%` that begins no escape")),
            ("%ff", Err("does not decode to UTF-8")),
            ("%c3", Err("does not decode to UTF-8")),
            ("a%00b", Err("holds a NUL byte")),
            ("a\0b", Err("holds a NUL byte")),
            ("", Err("is empty")),
        ] {
            let expect = match expect {
                Ok(key) => format!("logs {key:?}"),
                Err(fault) => format!("error: `Records[0].s3.object.key` {fault}"),
            };
            check(&s3_event(written), &expect);
        }
    }

    #[test]
    fn key_length_counts_decoded_bytes() {
        let longest = "%C3%BC".repeat(512);
        assert_eq!(only(&s3_event(&longest)).key.len(), 1024);
        assert_eq!(only(&s3_event(&longest)).alternative_key, None, "too long when taken literally");
        let too_long = "error: `Records[0].s3.object.key` is longer than 1024 bytes";
        check(&s3_event(&"a".repeat(1025)), too_long);
        check(&bridged("Object Created", &"a".repeat(1025)), &too_long.replace("Records[0].s3", "detail"));
    }

    #[test]
    fn the_other_reading_of_a_key_is_kept() {
        for (key, form_encoded, literal) in [
            ("k", None, None),
            ("a+b", Some("a+b"), Some("a b")),
            ("a%2Fb", Some("a%2Fb"), Some("a/b")),
            ("a%00", None, None),
        ] {
            if !key.contains("%00") {
                assert_eq!(only(&s3_event(key)).alternative_key.as_deref(), form_encoded, "{key}");
            }
            assert_eq!(only(&bridged("Object Created", key)).alternative_key.as_deref(), literal, "{key}");
        }
        assert_eq!(only(&bridged("Object Created", "100%")).alternative_key, None);
    }

    #[test]
    fn bucket_names_follow_the_rules_of_s3() {
        for (name, good) in [
            ("logs", true),
            ("aws-cloudtrail-logs-123456789012-0a1b2c3d", true),
            ("my.bucket.1", true),
            ("a1b", true),
            ("ab", false),
            ("", false),
            ("Logs", false),
            ("lo_gs", false),
            ("-logs", false),
            ("logs-", false),
            ("logs.", false),
            ("lo..gs", false),
            ("192.168.5.4", false),
            ("xn--logs", false),
            ("sthree-logs", false),
            ("logs-s3alias", false),
            ("logs--ol-s3", false),
            ("logs/../other", false),
            ("logs\u{0}", false),
            ("b\u{fc}cket", false),
        ] {
            let body = with(s3_event("k"), "/Records/0/s3/bucket/name", json!(name));
            let bad = "error: `Records[0].s3.bucket.name` is not a bucket name";
            check(&body, if good { format!("{name} \"k\"") } else { bad.to_owned() }.as_str());
        }
        assert!(is_bucket_name(&"a".repeat(63)) && !is_bucket_name(&"a".repeat(64)));
    }

    #[test]
    fn errors_name_the_place() {
        let event = || s3_event("k");
        let bridge = || bridged("Object Created", "k");
        for (body, expect) in [
            (json!({}), "message is no known kind of notification"),
            (json!([]), "message is an array, not an object"),
            (json!("x"), "message is a string, not an object"),
            (json!(null), "message is null, not an object"),
            (json!({"Records": []}), "`Records` is empty"),
            (json!({"Records": {}}), "`Records` is an object, not an array"),
            (json!({"Records": [1]}), "`Records[0]` is a number, not an object"),
            (json!({"Records": [null]}), "`Records[0]` is null, not an object"),
            (json!({"Records": [["2.1", "aws:s3"]]}), "`Records[0]` is an array, not an object"),
            (json!({"Records": [{}]}), "`Records[0].eventSource` is missing"),
            (
                json!({"Records": [{"eventSource": "ec2.amazonaws.com"}]}),
                "`Records[0].eventSource` is not `aws:s3`",
            ),
            (
                with(event(), "/Records/0/eventVersion", json!("3.0")),
                "`Records[0].eventVersion` is not a version 2 of S3's events",
            ),
            (with(event(), "/Records/0/eventTime", json!("noon")), "`Records[0].eventTime` is not a time"),
            (with(event(), "/Records/0/s3", json!(null)), "`Records[0].s3` is missing"),
            (
                with(event(), "/Records/0/s3/bucket", json!([])),
                "`Records[0].s3.bucket` is an array, not an object",
            ),
            (
                with(event(), "/Records/0/s3/object/size", json!(-1)),
                "`Records[0].s3.object.size` is not a whole number of bytes",
            ),
            (
                with(event(), "/Records/0/s3/object/size", json!("5")),
                "`Records[0].s3.object.size` is not a whole number of bytes",
            ),
            (
                with(event(), "/Records/0/s3/object/key", json!({})),
                "`Records[0].s3.object.key` is an object, not a string",
            ),
            (
                sns(&with(event(), "/Records/0/s3/object/key", json!(7))),
                "`Message.Records[0].s3.object.key` is a number, not a string",
            ),
            (json!({"Event": "s3:Other"}), "message is no known kind of notification"),
            (json!({"Type": "Other"}), "message is no known kind of notification"),
            (json!({"Type": "Notification"}), "`Message` is missing"),
            (json!({"Type": "Notification", "Message": {}}), "`Message` is an object, not a string"),
            (json!({"Type": "Notification", "Message": "hello"}), "`Message` is not valid JSON"),
            (
                json!({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://x", "Message": "m"}),
                "SNS asks for a confirmation, which is never given automatically",
            ),
            (with(bridge(), "/source", json!("aws.ec2")), "`source` is not `aws.s3`"),
            (
                with(bridge(), "/detail-type", json!("AWS API Call via CloudTrail")),
                "`detail-type` is no event about an object",
            ),
            (with(bridge(), "/detail", json!(null)), "`detail` is missing"),
            (with(bridge(), "/detail/object/key", json!(null)), "`detail.object.key` is missing"),
            (json!({"s3Bucket": "logs"}), "`s3ObjectKey` is missing"),
            (json!({"s3ObjectKey": ["k"]}), "`s3Bucket` is missing"),
            (json!({"s3Bucket": "logs", "s3ObjectKey": []}), "`s3ObjectKey` is empty"),
            (
                json!({"s3Bucket": "logs", "s3ObjectKey": ["k", 1]}),
                "`s3ObjectKey[1]` is a number, not a string",
            ),
            (json!({"messageType": "DATA_MESSAGE"}), "message is no known kind of notification"),
        ] {
            check(&body, &format!("error: {expect}"));
        }
    }

    #[test]
    fn hostile_messages_are_refused_cheaply() {
        let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
        assert_eq!(told(&"[".repeat(1_000_000)), "error: message is not valid JSON");
        assert_eq!(told(&deep("[", "]", 500_000)), "error: message is an array, not an object");
        assert_eq!(told(&"{\"Records\":".repeat(90_000)), "error: message is not valid JSON");
        let records = deep("[", "]", 500_000);
        assert_eq!(
            told(&format!("{{\"Records\":{records}}}")),
            "error: `Records[0]` is an array, not an object"
        );
        assert_eq!(
            told(&format!("{{\"Message\":{records}}}")),
            "error: message is no known kind of notification"
        );
        // What nobody reads may be as deep as it likes.
        let ignored =
            s3_event("k").to_string().replacen('{', &format!("{{\"x\":{},", deep("[", "]", 400_000)), 1);
        assert_eq!(told(&ignored), r#"logs "k""#);
        let zeros = vec!["0"; 500_000].join(",");
        assert_eq!(
            told(&format!("{{\"Records\":[{zeros}]}}")),
            "error: `Records` has 500000 items, more than the limit of 1000"
        );
        assert_eq!(
            told(&" ".repeat(MAX_BODY_BYTES + 1)),
            "error: message of 1048577 bytes is larger than the limit of 1048576 bytes"
        );
        for body in
            ["", "{", "{\"Type\":\"a\",\"Type\":\"b\"}", "{\"Type\":\"\\ud800\"}", "{} {}", "\u{feff}{}"]
        {
            assert!(told(body).ends_with("is not valid JSON"), "{body}: {}", told(body));
        }
    }

    #[test]
    fn the_limit_of_records_is_exact() {
        let event = |count: usize| json!({"Records": vec![s3_record("ObjectCreated:Put", "k"); count]});
        assert!(
            matches!(parse(&event(1000).to_string()), Ok(Notification::Objects(list)) if list.len() == 1000)
        );
        check(&event(1001), "error: `Records` has 1001 items, more than the limit of 1000");
    }

    #[test]
    fn nothing_of_the_message_reaches_a_terminal() {
        let hostile = "ObjectRemoved:\u{1b}]0;x\u{7}\u{202e}\r\n".to_owned() + &"x".repeat(1000);
        let body = json!({"Records": [s3_record(&hostile, "k")]});
        let Ok(Notification::Nothing { reason }) = parse(&body.to_string()) else {
            panic!("not understood");
        };
        assert!(reason.chars().all(|c| c.is_ascii() && !c.is_control()), "{reason}");
        assert!(reason.len() < 200);
        let value = with(s3_event("k"), "/Records/0/eventSource", json!(hostile));
        let error = parse(&value.to_string()).unwrap_err();
        let mut text = String::new();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            write!(text, "{error}: ").unwrap();
            cause = error.source();
        }
        assert!(text.chars().all(|c| !c.is_control()) && text.len() < 200, "{text}");
    }

    /// The bodies of the SQS messages that a Lambda function was given.
    fn lambda_bodies(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        let records = event["Records"].as_array().unwrap();
        records.iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn samples_of_real_wrappers() {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/wrappers");
        if !samples.is_dir() {
            println!("skipped: no samples in {}", samples.display());
            return;
        }
        for name in ["sqs_s3.json", "sqs_sns_s3.json"] {
            for body in lambda_bodies(&samples.join("cloudwatch").join(name)) {
                assert_eq!(told(&body), r#"my-bucket "my-key.log""#, "{name}");
            }
        }
        // Events themselves, in envelopes like those of announcements: none may be taken for one.
        let mut seen = 0;
        for folder in ["eventbridge", "cloudwatch"] {
            for entry in std::fs::read_dir(samples.join(folder)).unwrap() {
                let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
                assert!(told(&text).starts_with("error: "), "{}", told(&text));
                seen += 1;
            }
        }
        assert!(seen > 20);
    }
}
