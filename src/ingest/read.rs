//! One object: its bytes into rows, or into the reason why not.
//!
//! Must never fail for what is in the bytes: that is a quarantined object, which is a result like any other.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::route::{self, Kind, Route};
use crate::clock::Clock;
use crate::decode::cloudtrail::{self, Decoder, Likeness};
use crate::decode::columns::{AGGREGATED_EVENTS, CLOUDTRAIL, DIGESTS};
use crate::decode::gzip::{self, Limits};
use crate::decode::{self, Decoded, ErrorKind, envelope, vpc_flow};
use crate::lake::{self, ObjectId, ObjectRecord, ReadObject, SharedRows, State, hex};

/// The bucket of local files in object identities.
pub const LOCAL_BUCKET: &str = "file";

/// An object whose bytes are at hand.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The bucket, or `file`.
    pub bucket: String,
    /// The key, or the absolute path.
    pub key: String,
    /// The etag of these bytes; none for a local file, whose hash takes its place.
    pub etag: Option<String>,
    /// The S3 version of these bytes.
    pub version_id: Option<String>,
    /// When a notification said the object was written, microseconds since the epoch.
    pub announced_at: Option<i64>,
    /// The object as stored.
    pub bytes: Bytes,
}

impl Fetched {
    /// An object that is not fetched; where its etag is not known, an empty one is in its place.
    pub(super) fn unread(bucket: &str, key: &str, etag: Option<&str>) -> Self {
        Fetched {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            etag: Some(etag.unwrap_or_default().to_owned()),
            version_id: None,
            announced_at: None,
            bytes: Bytes::new(),
        }
    }
}

/// Reads objects; buffers are reused from one to the next.
#[derive(Debug)]
pub struct Reader {
    limits: gzip::Limits,
    clock: Arc<dyn Clock>,
    spare: Mutex<Vec<Buffers>>,
}

#[derive(Debug, Default)]
struct Buffers {
    content: Vec<u8>,
    decoder: Decoder,
    flows: vpc_flow::Gatherer,
}

impl Buffers {
    /// How many bytes of text the rows gathered so far take.
    fn gathered_bytes(&self) -> usize {
        self.decoder.gathered_bytes() + self.flows.bytes()
    }

    /// Whether nothing was gathered, not even text of objects that were refused.
    fn is_empty(&self) -> bool {
        self.flows.is_empty() && self.decoder.gathered_bytes() == 0
    }
}

/// Buffers that have grown beyond this are not kept for the next object.
const KEPT_BUFFER_BYTES: usize = 96 << 20;

/// Content of a kind that cannot be read piece by piece may be this large.
const WHOLE_BYTES: usize = 256 << 20;

/// A reason is cut after so many bytes.
const MAX_REASON_BYTES: usize = 1000;

/// The pieces of content that is larger.
const PIECE_BYTES: usize = 4 << 20;

/// What looks like events and is none.
const NOTIFICATION: Kind = Kind::Unsupported("event_notification");

/// How content begins that is no log, but is often found in the place of one.
const OTHER_CONTENT: [(&[u8], &str); 12] = [
    (b"\xff\xfe", "UTF-16 text, which no log is delivered as: convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text, which no log is delivered as: convert it to UTF-8"),
    (
        b"version https://git-lfs.github.com/",
        "a pointer of Git LFS in place of the file: `git lfs pull` fetches it",
    ),
    (b"PK\x03\x04", "a ZIP archive: unpack it"),
    (b"BZh", "bzip2, which no log is delivered as: unpack it"),
    (b"\xfd7zXZ\0", "xz, which no log is delivered as: unpack it"),
    (b"\x28\xb5\x2f\xfd", "zstd, which no log is delivered as: unpack it"),
    (b"<?xml", "XML, as S3 answers an error in: not a log"),
    (b"<Error>", "XML, as S3 answers an error in: not a log"),
    (b"<!", "HTML, as a page of an error: not a log"),
    (b"<html", "HTML, as a page of an error: not a log"),
    (b"<HTML", "HTML, as a page of an error: not a log"),
];

/// How an object is read that is too large to be held whole.
enum Large {
    Events(cloudtrail::Pieces),
    Flows(Box<vpc_flow::Pieces>),
    Other,
}

impl Large {
    /// By its key and the beginning of its content.
    fn of(decoder: &mut Decoder, route: &Route, text: &[u8]) -> Self {
        match route::by_content(route.kind.clone(), text) {
            Kind::CloudTrail if is_events(text) => Large::Events(decoder.begin()),
            Kind::VpcFlow | Kind::TransitGatewayFlow => Large::Flows(Box::default()),
            _ => Large::Other,
        }
    }
}

/// Whether the content that begins like this is records one after another, in a list or by themselves.
fn is_events(text: &[u8]) -> bool {
    cloudtrail::likeness(text) == Likeness::Events && !envelope::begins(text)
}

/// What came of reading an object for itself.
pub(super) enum Apart {
    Read(Box<ReadObject>),
    /// It ended in a panic: this is the object quarantined for it.
    Panicked(Box<ReadObject>),
}

/// Rows that are gathered before they become a batch, in bytes of distinct text.
const GATHERED_BYTES: usize = 8 << 20;

/// Rows and bytes of content that are read at once, at most, but for the last object.
const ROWS_AT_ONCE: i64 = 1 << 18;
const CONTENT_AT_ONCE: i64 = 128 << 20;

/// What reading one object's content gave.
struct Content {
    kind: Kind,
    bytes: usize,
    rows: Found,
}

/// The rows of an object.
enum Found {
    None,
    /// In a batch of their own.
    Own(Decoded),
    /// Among those that are gathered: in which batch, and which rows.
    Gathered(Batch, Range<usize>),
}

/// A batch that is being gathered.
#[derive(Debug, Clone, Copy)]
enum Batch {
    Events,
    Flows(usize),
}

impl Reader {
    /// A reader that refuses objects beyond the limits.
    pub fn new(limits: gzip::Limits, clock: Arc<dyn Clock>) -> Self {
        Reader { limits, clock, spare: Mutex::new(Vec::new()) }
    }

    /// The largest object that is read, in bytes as stored.
    pub fn max_object_bytes(&self) -> usize {
        self.limits.compressed_bytes
    }

    /// Inflates, recognizes and decodes an object. CPU work: not for a thread that serves I/O.
    pub fn read(&self, fetched: &Fetched) -> ReadObject {
        let mut gathered = Gathered::default();
        let mut buffers = self.lock().pop().unwrap_or_default();
        self.read_into(&mut buffers, fetched, &mut gathered);
        gathered.settle(&mut buffers);
        self.give_back(buffers);
        let record = || self.record(fetched, &route::by_key(&fetched.key), fetched.bytes.len() as u64);
        gathered.objects.pop().unwrap_or_else(|| ReadObject { record: record(), rows: None })
    }

    /// Reads objects one after the other, as they come: their rows share batches, which is what makes many small
    /// objects cheap. Ends before the last of them when there is enough to commit, however small they were as stored;
    /// those that are left are not asked for. CPU work, like [`Reader::read`].
    pub fn read_all(&self, fetched: impl IntoIterator<Item = Fetched>) -> Vec<ReadObject> {
        let mut gathered = Gathered::default();
        let mut buffers = self.lock().pop().unwrap_or_default();
        for fetched in fetched {
            self.read_into(&mut buffers, &fetched, &mut gathered);
            if buffers.gathered_bytes() > GATHERED_BYTES {
                gathered.settle(&mut buffers);
            }
            if gathered.rows >= ROWS_AT_ONCE || gathered.content_bytes >= CONTENT_AT_ONCE {
                break;
            }
        }
        gathered.settle(&mut buffers);
        self.give_back(buffers);
        gathered.objects
    }

    /// Reads objects one after the other, each for itself, where reading them together ended in a panic: the one that
    /// is to blame is quarantined. Ends as early as [`Reader::read_all`].
    pub(super) async fn read_apart(self: &Arc<Self>, fetched: Vec<Fetched>) -> Vec<Apart> {
        let (mut objects, mut rows, mut content_bytes) = (Vec::with_capacity(fetched.len()), 0, 0);
        for fetched in fetched {
            let (reader, copy) = (Arc::clone(self), fetched.clone());
            let apart = if let Ok(object) = lake::on_cpu(move || reader.read(&copy)).await {
                rows += object.record.row_count;
                content_bytes += object.record.content_bytes;
                Apart::Read(Box::new(object))
            } else {
                let (bucket, key) = (fetched.bucket.as_str(), fetched.key.as_str());
                tracing::error!(bucket, key, "reading the object ended in a panic");
                let reason = "reading it ends in a panic".to_owned();
                let size_bytes = fetched.bytes.len() as u64;
                Apart::Panicked(Box::new(self.quarantine(&fetched, size_bytes, reason)))
            };
            objects.push(apart);
            if rows >= ROWS_AT_ONCE || content_bytes >= CONTENT_AT_ONCE {
                break;
            }
        }
        objects
    }

    fn read_into(&self, buffers: &mut Buffers, fetched: &Fetched, gathered: &mut Gathered) {
        let route = route::by_key(&fetched.key);
        let mut record = self.record(fetched, &route, fetched.bytes.len() as u64);
        let object_id = record.object_id;
        let rows = match self.content(buffers, fetched, &route, &object_id.to_string()) {
            Ok(content) => note(&mut record, content),
            Err(error) => {
                record.reason = Some(cut(error.to_string()));
                Found::None
            }
        };
        gathered.push(record, rows);
    }

    fn give_back(&self, buffers: Buffers) {
        if buffers.content.capacity() <= KEPT_BUFFER_BYTES {
            // With what is in it, which is overwritten: emptied, it would be filled with zeros first.
            self.lock().push(buffers);
        }
    }

    /// An object that is not read at all, and why; of `fetched`, the bytes are not looked at.
    pub fn quarantine(&self, fetched: &Fetched, size_bytes: u64, reason: String) -> ReadObject {
        let mut record = self.record(fetched, &route::by_key(&fetched.key), size_bytes);
        if fetched.bytes.is_empty() || fetched.bytes.len() as u64 != size_bytes {
            record.sha256 = None;
        }
        ReadObject { record: ObjectRecord { reason: Some(cut(reason)), ..record }, rows: None }
    }

    /// What is known before the content is read: quarantined until it turns out to be something.
    fn record(&self, fetched: &Fetched, route: &Route, size_bytes: u64) -> ObjectRecord {
        let sha256 = sha256_hex(&fetched.bytes);
        let etag = fetched.etag.clone().unwrap_or_else(|| sha256.clone());
        let object_id = ObjectId::new(&fetched.bucket, &fetched.key, &etag);
        ObjectRecord {
            object_id,
            state: State::Quarantined,
            kind: route.kind.name().to_owned(),
            bucket: fetched.bucket.clone(),
            key: fetched.key.clone(),
            etag,
            version_id: fetched.version_id.clone(),
            sha256: Some(sha256),
            size_bytes: i64::try_from(size_bytes).unwrap_or(i64::MAX),
            content_bytes: 0,
            row_count: 0,
            first_event_time: None,
            last_event_time: None,
            account_id: route.account_id.clone(),
            region: route.region.clone(),
            delivery_date: route.date,
            reason: None,
            announced_at: fetched.announced_at,
            read_at: self.clock.now().timestamp_micros(),
        }
    }

    fn content(
        &self,
        buffers: &mut Buffers,
        fetched: &Fetched,
        route: &Route,
        object_id: &str,
    ) -> Result<Content, decode::Error> {
        if let Kind::Unsupported(_) = route.kind {
            return Ok(Content { kind: route.kind.clone(), bytes: 0, rows: Found::None });
        }
        let Buffers { content, decoder, flows } = buffers;
        let text: &[u8] = if gzip::is_gzip(&fetched.bytes) {
            if !self.inflate_small(&fetched.bytes, content)? {
                if let Some(content) = self.large(decoder, fetched, route, object_id)? {
                    return Ok(content);
                }
                gzip::inflate(&fetched.bytes, &self.limits_up_to(WHOLE_BYTES), content)?;
            }
            if gzip::is_gzip(content) {
                return Err(twice());
            }
            content
        } else if fetched.bytes.len() > self.limits.content_bytes {
            return Err(ErrorKind::TooLarge { limit_bytes: self.limits.content_bytes }.nowhere());
        } else {
            &fetched.bytes
        };
        refuse_other_content(text)?;
        let mut kind = route::by_content(route.kind.clone(), text);
        let rows = match kind {
            Kind::CloudTrail | Kind::Aggregated => match envelope::open(text)? {
                None if kind == Kind::Aggregated => {
                    let batch = decoder.decode_aggregated(text, object_id)?;
                    Found::Own(Decoded { table: &AGGREGATED_EVENTS, batch })
                }
                None => {
                    let rows = decoder.append(text, object_id)?;
                    let events = events(decoder, route, rows)?;
                    kind = events.0;
                    events.1
                }
                Some(messages) => {
                    let enveloped = enveloped(envelope::decode(&messages, decoder, object_id)?, route)?;
                    kind = enveloped.0;
                    enveloped.1
                }
            },
            Kind::Digest => {
                Found::Own(Decoded { table: &DIGESTS, batch: decoder.decode_digest(text, object_id)? })
            }
            Kind::VpcFlow | Kind::TransitGatewayFlow => match flows.append(text, object_id)? {
                Some(found) => Found::Gathered(Batch::Flows(found.batch), found.rows),
                None => Found::Own(vpc_flow::decode_packed(text, object_id)?),
            },
            Kind::Parquet => {
                let decoded = vpc_flow::parquet::decode(text, self.limits.content_bytes, object_id)?;
                if decoded.is_none() && route.kind == Kind::VpcFlow {
                    let what = "a Parquet file whose columns are not those of flow logs".to_owned();
                    return Err(ErrorKind::Shape(what).nowhere());
                }
                kind = decoded.as_ref().map_or(Kind::Unsupported("parquet"), |d| route::of_table(d.table));
                decoded.map_or(Found::None, Found::Own)
            }
            Kind::Unsupported(_) => Found::None,
            Kind::Unknown if text.trim_ascii().is_empty() => Found::None,
            Kind::Unknown => return Err(unrecognized(text)),
        };
        Ok(Content { kind, bytes: text.len(), rows })
    }

    /// Inflates content that is not large; false when it is.
    fn inflate_small(&self, bytes: &[u8], content: &mut Vec<u8>) -> Result<bool, decode::Error> {
        if !gzip::claims_to_be_small(bytes) {
            return Ok(false);
        }
        match gzip::inflate(bytes, &self.limits_up_to(gzip::TRUSTED_BYTES), content) {
            Ok(()) => Ok(true),
            // What it claims of itself is not so: several members, or a lie.
            Err(error) if matches!(error.kind, ErrorKind::TooLarge { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn limits_up_to(&self, content_bytes: usize) -> Limits {
        Limits { content_bytes: self.limits.content_bytes.min(content_bytes), ..self.limits }
    }

    /// Reads an object that is too large to be held whole, piece by piece; none when it is of a kind that has to be.
    fn large(
        &self,
        decoder: &mut Decoder,
        fetched: &Fetched,
        route: &Route,
        object_id: &str,
    ) -> Result<Option<Content>, decode::Error> {
        let (mut reading, mut bytes) = (None, 0);
        let inflated = gzip::inflate_pieces(&fetched.bytes, &self.limits, PIECE_BYTES, |text, is_last| {
            let reading = match &mut reading {
                Some(reading) => reading,
                None if gzip::is_gzip(text) => return Err(twice()),
                None => reading.insert(Large::of(decoder, route, text)),
            };
            let taken = match reading {
                Large::Events(pieces) => decoder.append_piece(pieces, text, is_last)?,
                Large::Flows(pieces) => pieces.append(text, is_last)?,
                // Nobody looks at it; the whole of it must still be sound.
                Large::Other => text.len(),
            };
            bytes += taken;
            Ok(taken)
        });
        if let Err(error) = inflated {
            if let Some(Large::Events(_)) = reading {
                decoder.drop_object();
            }
            return Err(error);
        }
        let (kind, rows) = match reading {
            Some(Large::Events(_)) => {
                let rows = decoder.end(object_id);
                events(decoder, route, rows)?
            }
            Some(Large::Flows(pieces)) => {
                let flows = pieces.finish(object_id)?;
                (route::of_table(flows.table), Found::Own(flows))
            }
            Some(Large::Other) | None => return Ok(None),
        };
        Ok(Some(Content { kind, bytes, rows }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reason of bounded length: what it quotes is from anyone.
fn cut(mut reason: String) -> String {
    if reason.len() > MAX_REASON_BYTES {
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        reason.push_str("...");
        reason.shrink_to_fit();
    }
    reason
}

fn twice() -> decode::Error {
    ErrorKind::Shape("gzip inside gzip: compressed twice".to_owned()).nowhere()
}

/// Refuses content that is certainly no log, whatever its key says, by name.
fn refuse_other_content(text: &[u8]) -> Result<(), decode::Error> {
    let start = text.trim_ascii_start();
    match OTHER_CONTENT.iter().find(|(beginning, _)| start.starts_with(beginning)) {
        Some((_, what)) => Err(ErrorKind::Shape((*what).to_owned()).nowhere()),
        None => Ok(()),
    }
}

fn unrecognized(text: &[u8]) -> decode::Error {
    let what = if vpc_flow::may_be_records(text) {
        "lines that may be flow logs, but in no default format and without their header: put a line with the names of \
         the fields before them"
    } else {
        "neither CloudTrail nor VPC Flow Logs"
    };
    ErrorKind::Shape(what.to_owned()).nowhere()
}

fn strange() -> decode::Error {
    ErrorKind::Shape("no record has `eventVersion`, `eventTime` or `eventName`".to_owned()).nowhere()
}

/// What the rows are that were read last. Unless the object's key says that they are events, they are dropped again when
/// they are none.
fn events(decoder: &mut Decoder, route: &Route, rows: Range<usize>) -> Result<(Kind, Found), decode::Error> {
    if route.kind != Kind::CloudTrail && decoder.is_strange() {
        decoder.drop_object();
        return Err(strange());
    }
    if route.kind != Kind::CloudTrail && decoder.is_of_notifications() {
        decoder.drop_object();
        return Ok((NOTIFICATION, Found::None));
    }
    Ok((Kind::CloudTrail, Found::Gathered(Batch::Events, rows)))
}

/// The same of the rows of an envelope.
fn enveloped(decoded: Decoded, route: &Route) -> Result<(Kind, Found), decode::Error> {
    let kind = route::of_table(decoded.table);
    if kind == Kind::CloudTrail && route.kind != Kind::CloudTrail {
        if is_strange(&decoded.batch) {
            return Err(strange());
        }
        if is_of_notifications(&decoded.batch) {
            return Ok((NOTIFICATION, Found::None));
        }
    }
    Ok((kind, Found::Own(decoded)))
}

/// Whether rows are all of event sources that no event of CloudTrail has, see [`Decoder::is_of_notifications`].
fn is_of_notifications(batch: &RecordBatch) -> bool {
    let Some(sources) = batch.column_by_name("event_source") else { return false };
    let are = |sources: &ArrayRef| {
        let texts = arrow::compute::cast(sources, &DataType::Utf8);
        let begins = |text: Option<&str>| text.is_some_and(|text| text.starts_with("aws:"));
        texts.is_ok_and(|texts| texts.as_string::<i32>().iter().all(begins))
    };
    // Mostly, the first tells.
    batch.num_rows() > 0 && are(&sources.slice(0, 1)) && are(sources)
}

/// Whether rows have nothing of an event: any list of JSON objects can be read as records.
fn is_strange(batch: &RecordBatch) -> bool {
    let empty =
        |name| batch.column_by_name(name).is_none_or(|column| column.null_count() == batch.num_rows());
    batch.num_rows() > 0 && ["event_version", "event_time", "event_name"].into_iter().all(empty)
}

/// Notes what the content turned out to be; returns the rows, when there are any.
fn note(record: &mut ObjectRecord, content: Content) -> Found {
    content.kind.name().clone_into(&mut record.kind);
    record.content_bytes = i64::try_from(content.bytes).unwrap_or(i64::MAX);
    let rows = match &content.rows {
        Found::None => 0,
        Found::Own(decoded) => decoded.batch.num_rows(),
        Found::Gathered(_, range) => range.len(),
    };
    record.row_count = i64::try_from(rows).unwrap_or(i64::MAX);
    record.state = match content.kind {
        Kind::Unsupported(_) => State::Unsupported,
        _ if rows == 0 => State::Empty,
        _ => State::Committed,
    };
    if rows == 0 { Found::None } else { content.rows }
}

/// Objects that were read; of the last of them, the rows are still being gathered.
#[derive(Default)]
struct Gathered {
    objects: Vec<ReadObject>,
    rows: i64,
    content_bytes: i64,
    /// Which of the objects have rows that are being gathered, in which batch, and which rows.
    waiting: Vec<(usize, Batch, Range<usize>)>,
}

impl Gathered {
    fn push(&mut self, mut record: ObjectRecord, rows: Found) {
        self.rows += record.row_count;
        self.content_bytes += record.content_bytes;
        let rows = match rows {
            Found::None => None,
            Found::Own(Decoded { table, batch }) => Some(SharedRows::all(table, batch)),
            Found::Gathered(batch, range) => {
                self.waiting.push((self.objects.len(), batch, range));
                None
            }
        };
        let rows = rows.and_then(|rows| checked(&mut record, rows));
        self.objects.push(ReadObject { record, rows });
    }

    /// Takes the rows that were gathered and gives each object its own.
    fn settle(&mut self, buffers: &mut Buffers) {
        // Of objects that were refused no row is left, but text may be: it is taken too, and is gone.
        if self.waiting.is_empty() && buffers.is_empty() {
            return;
        }
        let shared = |decoded: Result<Decoded, decode::Error>| {
            decoded.map(|Decoded { table, batch }| SharedRows::all(table, batch))
        };
        let events = shared(buffers.decoder.take().map(|batch| Decoded { table: &CLOUDTRAIL, batch }));
        let flows: Vec<_> = buffers.flows.take().into_iter().map(shared).collect();
        for (index, batch, range) in self.waiting.drain(..) {
            let ReadObject { record, rows } = &mut self.objects[index];
            let found = match batch {
                Batch::Events => &events,
                Batch::Flows(batch) => &flows[batch],
            };
            match found {
                Ok(found) => *rows = checked(record, SharedRows { range, ..found.clone() }),
                Err(error) => refuse(record, error.to_string()),
            }
        }
    }
}

/// Rows of more days than this are not taken from one object: each day is a file of its own.
const MAX_DAYS: usize = 10_000;

/// Notes the first and the last time of an object's rows; gives them back unless they are of too many days.
fn checked(record: &mut ObjectRecord, rows: SharedRows) -> Option<SharedRows> {
    note_times(record, &rows);
    let times = record.first_event_time.zip(record.last_event_time);
    let days = times.map_or(0, |(first, last)| last.abs_diff(first) / MICROS_PER_DAY);
    if days >= MAX_DAYS as u64 {
        let dates = rows.batch.column(rows.batch.num_columns() - 1).slice(rows.range.start, rows.range.len());
        let days: HashSet<Option<i32>> = dates.as_primitive::<Date32Type>().iter().collect();
        if days.len() > MAX_DAYS {
            refuse(record, format!("rows of {} days, more than {MAX_DAYS}", days.len()));
            return None;
        }
    }
    Some(rows)
}

/// Makes an object that was read one that could not be.
fn refuse(record: &mut ObjectRecord, reason: String) {
    record.state = State::Quarantined;
    record.row_count = 0;
    (record.first_event_time, record.last_event_time) = (None, None);
    record.reason = Some(reason);
}

const MICROS_PER_DAY: u64 = 86_400_000_000;

/// Notes the first and the last time of an object's rows.
fn note_times(record: &mut ObjectRecord, rows: &SharedRows) {
    if let Some(times) = rows.batch.column_by_name(rows.table.time_column) {
        let times = times.slice(rows.range.start, rows.range.len());
        let times = times.as_primitive::<TimestampMicrosecondType>();
        record.first_event_time = arrow::compute::min(times);
        record.last_event_time = arrow::compute::max(times);
    }
}

/// The SHA-256 of some bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn read_one(reader: &Reader, key: &str, content: &str) -> ReadObject {
        let fetched = Fetched {
            bucket: "bucket".to_owned(),
            key: key.to_owned(),
            etag: Some("etag".to_owned()),
            version_id: None,
            announced_at: None,
            bytes: Bytes::copy_from_slice(content.as_bytes()),
        };
        reader.read(&fetched)
    }

    /// Reads an object; returns its state, its kind, the table its rows are for and how many there are.
    fn check(key: &str, content: &str, expected: (State, &str, Option<(&str, i64)>)) {
        let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
        let ReadObject { record, rows } = read_one(&reader, key, content);
        let rows = rows.map(|rows| (rows.table.name, i64::try_from(rows.range.len()).unwrap()));
        assert_eq!(rows.map_or(0, |(_, count)| count), record.row_count, "{content}");
        assert_eq!((record.state, record.kind.as_str(), rows), expected, "{content}: {:?}", record.reason);
    }

    const FLOW: &str =
        "2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK";

    #[test]
    fn every_form_goes_to_its_table() {
        let trail = (State::Committed, "cloudtrail", Some(("cloudtrail", 1)));
        let record = r#"{"eventVersion":"1.08","eventTime":"2026-03-10T12:00:00Z"}"#;
        let quoted = serde_json::Value::from(record);
        let subscription = |message: &serde_json::Value| {
            format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"message":{message}}}]}}"#)
        };
        let trail_key = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
        check(trail_key, &format!(r#"{{"Records":[{record}]}}"#), trail);
        check("x", &format!(r#"{{"detail-type":"x","detail":{record}}}"#), trail);
        check("x", &subscription(&quoted), trail);
        check("x", &format!(r#"{{"events":[{{"message":{quoted},"ingestionTime":1}}]}}"#), trail);
        check("x", &format!(r#"[{{"detail-type":"x","detail":{record}}}]"#), trail);
        check("x", &format!("2026-03-10T12:00:00.000Z {record}\n"), trail);
        check("x", &format!("{quoted}\n"), trail);
        check("x", r#"[{"detail-type":"x","detail":{"state":"y"}}]"#, (State::Quarantined, "unknown", None));
        check("x", &format!(r#"{{"Events":[{{"CloudTrailEvent":{quoted}}}]}}"#), trail);
        check(
            "x",
            &subscription(&serde_json::Value::from(FLOW)),
            (State::Committed, "vpc_flow", Some(("vpc_flow", 1))),
        );
        check(
            "x",
            r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"message":"CWL CONTROL MESSAGE"}]}"#,
            (State::Empty, "cloudtrail", None),
        );
        check(
            "x",
            &subscription(&serde_json::Value::from("START RequestId: 1")),
            (State::Quarantined, "unknown", None),
        );
        check(
            "AWSLogs/111122223333/CloudTrail-Insight/us-east-1/2026/03/10/x.json.gz",
            r#"{"Records":[{"eventVersion":"1.08","eventType":"AwsCloudTrailInsight","insightDetails":{"state":"Start"}}]}"#,
            trail,
        );
        check(
            "x",
            r#"{"Records":[{"messageId":"1","eventSource":"aws:sqs"}]}"#,
            (State::Quarantined, "unknown", None),
        );
        let notification = r#"{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put"}"#;
        let notifications = format!(r#"{{"Records":[{notification},{notification}]}}"#);
        check("x", &notifications, (State::Unsupported, "event_notification", None));
        check(trail_key, &notifications, (State::Committed, "cloudtrail", Some(("cloudtrail", 2))));
        let both = format!(r#"{{"Records":[{notification},{record}]}}"#);
        check("x", &both, (State::Committed, "cloudtrail", Some(("cloudtrail", 2))));
        let listed = format!("[{notifications}]");
        check("x", &listed, (State::Unsupported, "event_notification", None));
        check(
            "x",
            &format!(r#"{{"message":{}}}"#, serde_json::Value::from(&*notifications)),
            (State::Unsupported, "event_notification", None),
        );
        check("x", &format!(r#"[{{"Records":[{record}]}},{{"Records":[]}}]"#), trail);
        let files = format!(r#"[{{"Records":[{record},{{"eventName":"B","x":1}}]}}]"#);
        check("x", &files, (State::Committed, "cloudtrail", Some(("cloudtrail", 2))));
        let misplaced = format!(r#"[{record},{{"Records":[{record}]}}]"#);
        check(trail_key, &misplaced, (State::Quarantined, "cloudtrail", None));
        check("x", &format!(r#"{{"_raw":{quoted},"host":"x"}}"#), trail);
        check("x", &format!(r#"{{"preview":false,"result":{{"_raw":{quoted}}}}}"#), trail);
        check("x", r#"[{"name":"x"}]"#, (State::Quarantined, "unknown", None));
        check(trail_key, r#"{"Records":[{"new":"x"}]}"#, trail);
        let aggregated = r#"[{"eventVersion":"1.0","eventType":"AwsAggregatedEvent","timeWindow":{}}]"#;
        let counts = (State::Committed, "cloudtrail_aggregated", Some(("aggregated_events", 1)));
        check("x", aggregated, counts);
        let folder = "AWSLogs/111122223333/CloudTrail-Aggregated/us-east-1/2026/03/10/x.json.gz";
        check(folder, r#"{"Records":[{"new":"x","summary":{}}]}"#, counts);
        check(folder, r#"{"Records":[{"new":"x"}]}"#, (State::Quarantined, "cloudtrail_aggregated", None));
        let event =
            r#"{"eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","timeWindow":{},"summary":{}}"#;
        for envelope in [
            subscription(&serde_json::Value::from(event)),
            format!("2026-03-10T12:00:00.000Z {event}"),
            format!(r#"[{{"detail-type":"x","detail":{event}}}]"#),
        ] {
            check("x", &envelope, counts);
            check(folder, &envelope, counts);
        }
        let many = vec![event; 64].join(",");
        check("x", &format!("[{many},{record}]"), (State::Quarantined, "unknown", None));
        check(folder, &subscription(&quoted), trail);
        check(folder, "7", (State::Quarantined, "cloudtrail_aggregated", None));
        check(folder, &format!(r#"{{"Records":[{record}]}}"#), trail);
        let late = format!(
            r#"{{"eventVersion":"1.08","x":"{}","eventTime":"2026-03-10T12:00:00Z"}}"#,
            "x".repeat(5000)
        );
        check(folder, &format!(r#"{{"Records":[{late}]}}"#), trail);
        let digest = r#"{"awsAccountId":"1","digestStartTime":"2026-03-10T12:00:00Z","digestEndTime":"2026-03-10T13:00:00Z","logFiles":[]}"#;
        let digests = (State::Committed, "cloudtrail_digest", Some(("digests", 1)));
        check("AWSLogs/1/CloudTrail-Digest/us-east-1/2026/03/10/x.json.gz", digest, digests);
        check(
            "AWSLogs/1/CloudTrail-Digest/us-east-1/2026/03/10/x.json.gz",
            "{}",
            (State::Quarantined, "cloudtrail_digest", None),
        );
    }

    #[test]
    fn large_content_is_read_whatever_its_last_member_claims() {
        let record = |name: &str| format!(r#"{{"{name}":"{}"}}"#, "x".repeat(1 << 20));
        let list = |name: &str| {
            let records = vec![record(name); 1 + (gzip::TRUSTED_BYTES >> 20)];
            format!(r#"{{"Records":[{}]}}"#, records.join(","))
        };
        let member = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, text).unwrap();
            encoder.finish().unwrap()
        };
        let reader = Reader::new(Limits::default(), Arc::new(SystemClock));
        let key = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
        for (key, name, expected) in [
            (key, "eventName", State::Committed),
            (key, "odd", State::Committed),
            ("x", "eventName", State::Committed),
            ("x", "odd", State::Quarantined),
        ] {
            let text = list(name);
            let (most, end) = text.as_bytes().split_at(text.len() - 100);
            let bytes = Bytes::from([member(most), member(end)].concat());
            assert!(gzip::claims_to_be_small(&bytes));
            let fetched = Fetched {
                bucket: "b".to_owned(),
                key: key.to_owned(),
                etag: Some("e".to_owned()),
                version_id: None,
                announced_at: None,
                bytes,
            };
            let ReadObject { record, rows } = reader.read(&fetched);
            assert_eq!(record.state, expected, "{key} {name}: {:?}", record.reason);
            assert_eq!(rows.map_or(0, |rows| rows.range.len()) > 64, expected == State::Committed);
        }
    }

    #[test]
    fn large_envelopes_are_read() {
        let record = format!(r#"{{"eventVersion":"1.08","eventName":"x","x":"{}"}}"#, "x".repeat(1 << 20));
        let records = 1 + (gzip::TRUSTED_BYTES >> 20);
        let lines = format!("2026-03-10T12:00:00.000Z {record}\n").repeat(records);
        let item = format!(r#"{{"detail-type":"x","detail":{record}}}"#);
        let list = format!("[{}]", vec![item; records].join(","));
        let files = format!(r#"[{{"Records":[{}]}}]"#, vec![&*record; records].join(","));
        let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
        for text in [lines, list, files] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
            let key = "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/10/x.json.gz";
            let mut fetched = Fetched::unread("b", key, Some("e"));
            fetched.bytes = Bytes::from(encoder.finish().unwrap());
            let record = reader.read(&fetched).record;
            assert_eq!(record.state, State::Committed, "{:?}", record.reason);
            assert_eq!(usize::try_from(record.row_count), Ok(records));
        }
    }

    #[test]
    fn a_reason_is_bounded() {
        let reason = cut(format!("{}é{}", "x".repeat(MAX_REASON_BYTES - 1), "y".repeat(1 << 20)));
        assert_eq!(reason, "x".repeat(MAX_REASON_BYTES - 1) + "...");
        let whole = "x".repeat(MAX_REASON_BYTES);
        assert_eq!(cut(whole.clone()), whole);
    }

    #[test]
    fn what_is_often_taken_for_a_log_is_named() {
        let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
        let flow =
            "7 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK x";
        let bus = r#"{"version":"0","detail-type":"EC2 Instance State-change Notification","detail":{"state":"x"}}"#;
        for (content, expected) in [
            ("version https://git-lfs.github.com/spec/v1\noid sha256:x\n", "a pointer of Git LFS"),
            ("PK\x03\x04rest", "a ZIP archive"),
            ("<?xml version=\"1.0\"?><Error/>", "XML, as S3 answers"),
            ("\n<!DOCTYPE html>", "HTML, as a page"),
            ("<134>Mar 10 x", "neither CloudTrail nor VPC Flow Logs"),
            (flow, "lines that may be flow logs"),
            ("hello ACCEPT", "neither CloudTrail nor VPC Flow Logs"),
            (bus, "an EventBridge event whose `detail` is no event of CloudTrail (byte 0)"),
        ] {
            let record = read_one(&reader, "x", content).record;
            let reason = record.reason.unwrap_or_default();
            assert!(
                record.state == State::Quarantined && reason.starts_with(expected),
                "{content}: {reason}"
            );
        }
    }

    #[test]
    fn objects_of_too_many_days_are_refused() {
        let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
        let lines = |days: i64| -> String {
            // From the year 2000 on: what is before has no day.
            let line = |day: i64| FLOW.replace("1418530010", &(86_400 * (10_957 + day)).to_string()) + "\n";
            (1..=days).map(line).collect()
        };
        let most = i64::try_from(MAX_DAYS).unwrap();
        let read = read_one(&reader, "x", &lines(most));
        assert_eq!((read.record.state, read.record.row_count), (State::Committed, most));
        let ReadObject { record, rows } = read_one(&reader, "x", &lines(most + 1));
        assert_eq!((record.state, record.row_count, rows.is_some()), (State::Quarantined, 0, false));
        assert_eq!(record.reason.as_deref(), Some("rows of 10001 days, more than 10000"));
    }

    #[test]
    fn of_refused_objects_nothing_is_kept() {
        let reader = Reader::new(gzip::Limits::default(), Arc::new(SystemClock));
        let events = r#"[{"eventName":"x","requestParameters":{"a":"b"}},7]"#;
        for content in [events, &format!("{FLOW}\n2 1\n"), "account-id start\n1 2\n3\n"] {
            let record = read_one(&reader, "x", content).record;
            assert_eq!(record.state, State::Quarantined, "{:?}", record.reason);
            assert!(reader.lock().iter().all(Buffers::is_empty), "{content}");
        }
    }
}
