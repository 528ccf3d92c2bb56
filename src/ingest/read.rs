//! One object: its bytes into rows, or into the reason why not.
//!
//! Must never fail for what is in the bytes: that is a quarantined object, which is a result like any other.

mod gathered;
mod other;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use gathered::Gathered;

use super::route::{self, Kind, Route};
use crate::clock::Clock;
use crate::decode::cloudtrail::{self, Decoder, Likeness};
use crate::decode::columns::{AGGREGATED_EVENTS, DIGESTS};
use crate::decode::gzip::{self, Limits};
use crate::decode::vpc_flow::{self, Formats};
use crate::decode::{self, Decoded, ErrorKind, envelope};
use crate::lake::{self, ObjectId, ObjectRecord, ReadObject, State, hex};

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
    pub fn unread(bucket: &str, key: &str, etag: Option<&str>) -> Self {
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
    formats: Formats,
    clock: Arc<dyn Clock>,
    spare: Mutex<Vec<Buffers>>,
}

#[derive(Debug)]
struct Buffers {
    content: Vec<u8>,
    decoder: Decoder,
    flows: vpc_flow::Gatherer,
}

impl Buffers {
    fn new(formats: &Formats) -> Self {
        Buffers {
            content: Vec::new(),
            decoder: Decoder::default(),
            flows: vpc_flow::Gatherer::new(formats.clone()),
        }
    }

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

/// How an object is read that is too large to be held whole.
enum Large {
    Events(cloudtrail::Pieces),
    Flows(Box<vpc_flow::Pieces>),
    Other,
}

impl Large {
    /// By its key and the beginning of its content.
    fn of(decoder: &mut Decoder, formats: &Formats, route: &Route, text: &[u8]) -> Self {
        match route::by_content(route.kind.clone(), text, formats) {
            Kind::CloudTrail if is_events(text, formats) => Large::Events(decoder.begin()),
            Kind::VpcFlow | Kind::TransitGatewayFlow => {
                Large::Flows(Box::new(vpc_flow::Pieces::new(formats.clone())))
            }
            _ => Large::Other,
        }
    }
}

/// Whether the content that begins like this is records one after another, in a list or by themselves.
fn is_events(text: &[u8], formats: &Formats) -> bool {
    cloudtrail::likeness(text) == Likeness::Events && !envelope::begins(text, formats)
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
        Reader { limits, formats: Formats::default(), clock, spare: Mutex::new(Vec::new()) }
    }

    /// The same, which also knows these formats of flow logs whose records come without a header.
    #[must_use]
    pub fn with_flow_formats(self, formats: Formats) -> Self {
        Reader { formats, ..self }
    }

    /// The largest object that is read, in bytes as stored.
    pub fn max_object_bytes(&self) -> usize {
        self.limits.compressed_bytes
    }

    /// Inflates, recognizes and decodes an object. CPU work: not for a thread that serves I/O.
    pub fn read(&self, fetched: &Fetched) -> ReadObject {
        let mut gathered = Gathered::default();
        let mut buffers = self.buffers();
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
        let mut buffers = self.buffers();
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
            // With what is in it, which is overwritten.
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
            let bytes = if let Some(bytes) = self.inflate_small(&fetched.bytes, content)? {
                bytes
            } else {
                if let Some(content) = self.large(decoder, fetched, route, object_id)? {
                    return Ok(content);
                }
                gzip::inflate(&fetched.bytes, &self.limits_up_to(WHOLE_BYTES), content)?.len()
            };
            let text = &content[..bytes];
            if gzip::is_gzip(text) {
                return Err(twice());
            }
            text
        } else if fetched.bytes.len() > self.limits.content_bytes {
            return Err(ErrorKind::TooLarge { limit_bytes: self.limits.content_bytes }.nowhere());
        } else {
            &fetched.bytes
        };
        other::refuse(text)?;
        let mut kind = route::by_content(route.kind.clone(), text, &self.formats);
        let rows = match kind {
            Kind::CloudTrail | Kind::Aggregated => match envelope::open(text, &self.formats)? {
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
                    let decoded = envelope::decode(&messages, decoder, &self.formats, object_id)?;
                    let enveloped = enveloped(decoded, route)?;
                    kind = enveloped.0;
                    enveloped.1
                }
            },
            Kind::Digest => {
                Found::Own(Decoded { table: &DIGESTS, batch: decoder.decode_digest(text, object_id)? })
            }
            Kind::VpcFlow | Kind::TransitGatewayFlow => match flows.append(text, object_id)? {
                Some(found) => Found::Gathered(Batch::Flows(found.batch), found.rows),
                None => Found::Own(vpc_flow::decode_packed(&self.formats, text, object_id)?),
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
            Kind::Unknown => return Err(other::unrecognized(text)),
        };
        Ok(Content { kind, bytes: text.len(), rows })
    }

    /// Inflates content that is not large, and returns how long it is; none when it is large.
    fn inflate_small(&self, bytes: &[u8], content: &mut Vec<u8>) -> Result<Option<usize>, decode::Error> {
        if !gzip::claims_to_be_small(bytes) {
            return Ok(None);
        }
        match gzip::inflate(bytes, &self.limits_up_to(gzip::TRUSTED_BYTES), content) {
            Ok(text) => Ok(Some(text.len())),
            // What it claims of itself is not so: several members, or a lie.
            Err(error) if matches!(error.kind, ErrorKind::TooLarge { .. }) => Ok(None),
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
                None => reading.insert(Large::of(decoder, &self.formats, route, text)),
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

    fn buffers(&self) -> Buffers {
        let spare = self.lock().pop();
        spare.unwrap_or_else(|| Buffers::new(&self.formats))
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

/// The SHA-256 of some bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
