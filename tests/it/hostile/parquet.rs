//! Flow logs in Parquet, made byte by byte to do harm: what they claim of themselves costs neither the process nor its
//! neighbours anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use ::parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use ::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, StructArray,
};
use arrow::record_batch::RecordBatch;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};
use trailhound::decode::vpc_flow::parquet::decode;

use super::cases;
use crate::cli::Place;

const LIMIT: usize = 64 << 20;

const LIST: u8 = 9;
const STRUCTURE: u8 = 12;

const INT32: i64 = 1;
const INT64: i64 = 2;
const BYTE_ARRAY: i64 = 6;

const UTF8: i64 = 0;
const JSON: i64 = 19;

const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const DELTA_BYTE_ARRAY: i64 = 7;

/// Thrift's compact protocol, as it is written.
#[derive(Default)]
struct Thrift(Vec<u8>);

impl Thrift {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap());
    }

    /// A field so many after the last one.
    fn field(&mut self, after: u8, kind: u8) -> &mut Self {
        self.0.push(after << 4 | kind);
        self
    }

    fn integer(&mut self, after: u8, value: i64) -> &mut Self {
        self.field(after, 6).varint(((value << 1) ^ (value >> 63)).cast_unsigned());
        self
    }

    fn text(&mut self, after: u8, text: &str) -> &mut Self {
        self.field(after, 8).varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn list(&mut self, after: u8, count: u64) -> &mut Self {
        self.field(after, LIST).0.push(0xf0 | STRUCTURE);
        self.varint(count);
        self
    }

    fn end(&mut self) -> &mut Self {
        self.0.push(0);
        self
    }
}

/// A column of a file, none of whose values is null.
#[derive(Clone)]
struct Column {
    name: String,
    physical: i64,
    converted: Option<i64>,
    codec: i64,
    pages: Vec<u8>,
}

fn column(name: &str, physical: i64, pages: Vec<u8>) -> Column {
    let converted = (physical == BYTE_ARRAY).then_some(UTF8);
    Column { name: name.to_owned(), physical, converted, codec: 0, pages }
}

fn root(footer: &mut Thrift, children: i64) {
    footer.text(4, "schema").integer(1, children).end();
}

fn schema(footer: &mut Thrift, columns: &[Column]) {
    footer.list(1, columns.len() as u64 + 1);
    root(footer, i64::try_from(columns.len()).unwrap());
    for Column { name, physical, converted, .. } in columns {
        footer.integer(1, *physical).integer(2, 0).text(1, name);
        if let Some(converted) = converted {
            footer.integer(2, *converted);
        }
        footer.end();
    }
}

fn chunk(footer: &mut Thrift, column: &Column, rows: i64, start: usize) {
    let length = i64::try_from(column.pages.len()).unwrap();
    footer.integer(2, 4).field(1, STRUCTURE);
    footer.integer(1, column.physical).field(1, LIST).0.extend([0x15, 0]);
    footer.field(1, LIST).0.push(0x08);
    footer.integer(1, column.codec).integer(1, rows).integer(1, length).integer(1, length);
    footer.integer(2, i64::try_from(start).unwrap()).end().end();
}

fn whole(body: &[u8], footer: &Thrift) -> Vec<u8> {
    let length = u32::try_from(footer.0.len()).unwrap().to_le_bytes();
    [b"PAR1", body, &footer.0, &length, b"PAR1"].concat()
}

/// A row group whose pages begin at a byte; at none, it has no pages.
fn group(footer: &mut Thrift, columns: &[Column], rows: i64, mut start: usize) {
    footer.list(1, columns.len() as u64);
    for column in columns {
        chunk(footer, column, rows, start);
        start += if start == 0 { 0 } else { column.pages.len() };
    }
    footer.integer(1, 100).integer(1, rows).end();
}

/// A file of as many row groups, each of the rows that are told, all of them with the same pages.
fn file_of(columns: &[Column], groups: u64, rows: i64) -> Vec<u8> {
    let mut footer = Thrift::default();
    footer.integer(1, 1);
    schema(&mut footer, columns);
    footer.integer(1, rows).list(1, groups);
    for _ in 0..groups {
        group(&mut footer, columns, rows, 4);
    }
    footer.end();
    let pages: Vec<&[u8]> = columns.iter().map(|column| &column.pages[..]).collect();
    whole(&pages.concat(), &footer)
}

fn file(columns: &[Column], rows: i64) -> Vec<u8> {
    file_of(columns, 1, rows)
}

fn page(kind: i64, inner: u8, values: i64, encoding: i64, content: &[u8]) -> Vec<u8> {
    let mut header = Thrift::default();
    let length = i64::try_from(content.len()).unwrap();
    header.integer(1, kind).integer(1, length).integer(1, length).field(inner, STRUCTURE);
    header.integer(1, values).integer(1, encoding);
    if kind == 0 {
        header.integer(1, 3).integer(1, 3);
    }
    header.end().end();
    [&header.0, content].concat()
}

fn data(values: i64, encoding: i64, content: &[u8]) -> Vec<u8> {
    page(0, 2, values, encoding, content)
}

fn dictionary(values: i64, content: &[u8]) -> Vec<u8> {
    page(2, 4, values, PLAIN, content)
}

fn plain(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_le_bytes(), text].concat()
}

/// A page of integers in Thrift's own form, as the encodings with deltas have in front.
fn varints(values: &[u64]) -> Vec<u8> {
    let mut written = Thrift::default();
    for value in values {
        written.varint(*value);
    }
    written.0
}

fn refused(bytes: &[u8]) -> String {
    match decode(bytes, LIMIT, "o") {
        Err(error) => error.to_string(),
        Ok(decoded) => panic!("read: {:?}", decoded.map(|decoded| decoded.batch.num_rows())),
    }
}

/// The files of these tests are such as the reader reads.
#[test]
fn what_is_made_here_is_read() {
    let address = column("srcaddr", BYTE_ARRAY, data(2, PLAIN, &[plain(b"10.0.0.1"), plain(b"-")].concat()));
    let port = column("srcport", INT32, data(2, PLAIN, &[443_i32, 22].map(i32::to_le_bytes).concat()));
    let indexes = [1, 4, 1]; // Of one bit each, two equal ones.
    let text = [dictionary(2, &[plain(b"a"), plain(b"b")].concat()), data(2, PLAIN_DICTIONARY, &indexes)];
    let other = column("new_field", BYTE_ARRAY, text.concat());
    let decoded = decode(&file(&[address, port, other], 2), LIMIT, "o").unwrap().unwrap();
    assert_eq!(decoded.batch.num_rows(), 2);
    let texts =
        |name| decoded.batch.column_by_name(name).unwrap().as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(texts("srcaddr"), [Some("10.0.0.1"), None]);
    assert_eq!(texts("other_fields"), [Some(r#"{"new_field":"b"}"#); 2]);
}

#[test]
fn a_footer_of_more_row_groups_than_it_has_room_for() {
    let mut footer = Thrift::default();
    footer.integer(1, 1);
    schema(&mut footer, &[column("srcaddr", BYTE_ARRAY, Vec::new())]);
    footer.integer(1, 1).list(1, 0x7fff_ffff);
    assert_eq!(refused(&whole(b"", &footer)), "corrupt Parquet: the footer makes no sense");
}

#[test]
fn groups_in_groups() {
    let mut footer = Thrift::default();
    footer.integer(1, 1).list(1, 50_001);
    root(&mut footer, 1);
    for _ in 1..50_000 {
        footer.integer(3, 1).text(1, "version").integer(1, 1).end();
    }
    footer.integer(1, INT32).integer(2, 1).text(1, "version").end();
    footer.integer(1, 0).list(1, 0).end();
    assert_eq!(refused(&whole(b"", &footer)), "corrupt Parquet: nested columns, which no flow log has");
}

#[test]
fn a_schema_of_more_children_than_there_are() {
    let mut footer = Thrift::default();
    footer.integer(1, 1).list(1, 2);
    root(&mut footer, 0x7fff_ffff);
    footer.integer(1, INT32).integer(2, 1).text(1, "version").end();
    footer.integer(1, 0).list(1, 0).end();
    assert_eq!(refused(&whole(b"", &footer)), "corrupt Parquet: the schema is cut off");
}

#[test]
fn a_dictionary_of_more_values_than_it_has_bytes() {
    for (physical, name) in [(BYTE_ARRAY, "srcaddr"), (INT32, "srcport"), (INT64, "bytes")] {
        let pages = [dictionary(0x7fff_ffff, &plain(b"a")), data(1, PLAIN_DICTIONARY, &[0, 2, 0])].concat();
        assert_eq!(
            refused(&file(&[column(name, physical, pages)], 1)),
            format!("corrupt Parquet: column `{name}`: a dictionary of 2147483647 values in 5 bytes")
        );
    }
}

/// Texts of no bytes: each takes four in the file, and a view of sixteen when it is read.
#[test]
fn a_dictionary_that_takes_more_than_it_has_bytes() {
    let values = LIMIT / 12;
    let pages = [
        dictionary(i64::try_from(values).unwrap(), &plain(b"").repeat(values)),
        data(1, PLAIN_DICTIONARY, &[0, 2, 0]),
    ];
    assert_eq!(
        refused(&file(&[column("srcaddr", BYTE_ARRAY, pages.concat())], 1)),
        format!("content is larger than the limit of {LIMIT} bytes")
    );
}

#[test]
fn lengths_as_deltas() {
    let claim = varints(&[128, 4, 1 << 40, 0]);
    for (encoding, name) in
        [(DELTA_LENGTH_BYTE_ARRAY, "DELTA_LENGTH_BYTE_ARRAY"), (DELTA_BYTE_ARRAY, "DELTA_BYTE_ARRAY")]
    {
        let pages = data(1, encoding, &claim);
        assert_eq!(
            refused(&file(&[column("srcaddr", BYTE_ARRAY, pages)], 1)),
            format!("corrupt Parquet: column `srcaddr`: a page is encoded with {name}, which no flow log is")
        );
    }
}

/// A text that all others begin with, and that is in the file once.
#[test]
fn prefixes_of_prefixes() {
    let long = "x".repeat(100_000);
    let texts: Vec<String> = (0..200).map(|row| format!("{long}{row}")).collect();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::DELTA_BYTE_ARRAY)
        .set_statistics_enabled(EnabledStatistics::None);
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let small = written(&RecordBatch::try_from_iter([("srcaddr", texts)]).unwrap(), properties);
    assert!(small.len() < 1 << 20, "{}", small.len());
    assert_eq!(
        refused(&small),
        "corrupt Parquet: column `srcaddr`: a page is encoded with DELTA_BYTE_ARRAY, which no flow log is"
    );
}

/// Each row group is small, and all of them are the same bytes: those who read them all read for hours.
#[test]
fn row_groups_that_share_their_pages() {
    let pages = data(0, PLAIN, b"").repeat(20_000);
    let bytes = file_of(&[column("srcaddr", BYTE_ARRAY, pages)], 2_000, 0);
    let begun = Instant::now();
    assert_eq!(refused(&bytes), "corrupt Parquet: column chunks that overlap");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// As some writers end a file, or begin it: with dictionaries, of which they do not say where the pages are.
#[test]
fn row_groups_without_rows() {
    let columns = ["srcport", "dstport"].map(|name| column(name, INT32, data(2, PLAIN, &[0; 8])));
    for groups in [&[0][..], &[0, 2], &[2, 0], &[0, 2, 0]] {
        let rows = groups.iter().sum();
        let mut footer = Thrift::default();
        footer.integer(1, 1);
        schema(&mut footer, &columns);
        footer.integer(1, rows).list(1, groups.len() as u64);
        for rows in groups {
            group(&mut footer, &columns, *rows, if *rows == 0 { 0 } else { 4 });
        }
        footer.end();
        let pages = columns.each_ref().map(|column| &column.pages[..]).concat();
        let decoded = decode(&whole(&pages, &footer), LIMIT, "o").unwrap().unwrap();
        assert_eq!(i64::try_from(decoded.batch.num_rows()).unwrap(), rows, "{groups:?}");
    }
}

/// Rows that the pages do not have would be lost, or come from another row group.
#[test]
fn pages_of_fewer_or_more_values_than_rows() {
    let ports = |count: i64| data(count, PLAIN, &[0; 4].repeat(usize::try_from(count).unwrap()));
    for (count, rows) in [(3, 4), (4, 3), (1, 0)] {
        let columns = ["srcport", "dstport"].map(|name| column(name, INT32, ports(count)));
        assert_eq!(
            refused(&file(&columns, rows)),
            format!(
                "corrupt Parquet: column `srcport`: pages of other than the {rows} values of its row group"
            )
        );
    }
    let interrupted = [ports(1), ports(0), ports(1)].concat();
    assert_eq!(
        refused(&file(&[column("srcport", INT32, interrupted)], 2)),
        "corrupt Parquet: column `srcport`: a page of no values"
    );
}

#[test]
fn more_rows_than_are_read() {
    for rows in [10_000_001, i64::MAX] {
        let all_the_same = [dictionary(1, &plain(b"a")), data(0x7fff_ffff, PLAIN_DICTIONARY, &[0, 2, 0])];
        assert_eq!(
            refused(&file(&[column("srcaddr", BYTE_ARRAY, all_the_same.concat())], rows)),
            "corrupt Parquet: more than 10000000 records"
        );
    }
    assert_eq!(
        refused(&file(&[column("srcaddr", BYTE_ARRAY, Vec::new())], -1)),
        "corrupt Parquet: the footer makes no sense"
    );
}

/// Text is text whatever the schema calls it: what is no UTF-8 never becomes a string.
#[test]
fn text_by_another_name() {
    for converted in [None, Some(UTF8), Some(JSON)] {
        for name in ["srcaddr", "new_field"] {
            let known = column("dstaddr", BYTE_ARRAY, data(1, PLAIN, &plain(b"x")));
            let second = column("srcport", INT32, data(1, PLAIN, &[0; 4]));
            let bad = Column { converted, ..column(name, BYTE_ARRAY, data(1, PLAIN, &plain(b"\xff\xfe"))) };
            let error = refused(&file(&[known, second, bad], 1));
            assert!(error.starts_with("corrupt Parquet: "), "{error}");
        }
    }
}

/// Names are short: those of fields without a column are in every row.
#[test]
fn long_names_of_fields_without_a_column() {
    let rows = 8192;
    let values = [dictionary(1, &plain(b"a")), data(rows, PLAIN_DICTIONARY, &[0, 0x80, 0x80, 1])].concat();
    let with_names = |bytes: usize| {
        let mut columns = vec![column("srcaddr", BYTE_ARRAY, values.clone())];
        columns.push(column("dstaddr", BYTE_ARRAY, values.clone()));
        columns.push(column(&"n".repeat(bytes), BYTE_ARRAY, values.clone()));
        file(&columns, rows)
    };
    let decoded = decode(&with_names(64), LIMIT, "o").unwrap().unwrap();
    assert_eq!(decoded.batch.column_by_name("other_fields").unwrap().null_count(), 0);
    for bytes in [65, 100_000] {
        assert_eq!(
            refused(&with_names(bytes)),
            format!("the name of field 3, `{}...`, is longer than 64 bytes", "n".repeat(64))
        );
    }
}

/// Control characters take six bytes each as JSON, and a file has them once for all rows.
#[test]
fn fields_without_a_column_that_grow() {
    let rows = 8192;
    let values = [dictionary(1, &plain(&[1; 4096])), data(rows, PLAIN_DICTIONARY, &[0, 0x80, 0x80, 1])];
    let known = ["srcport", "dstport"].map(|name| column(name, INT32, data(rows, PLAIN, &vec![0; 4 * 8192])));
    let unknown = column("new_field", BYTE_ARRAY, values.concat());
    let bytes = file(&[&known[..], &[unknown]].concat(), rows);
    assert!(bytes.len() < 128 << 10);
    assert_eq!(refused(&bytes), format!("content is larger than the limit of {LIMIT} bytes"));
}

/// Six flows, of which each column lacks some.
fn flows() -> RecordBatch {
    let text = |values: [Option<&str>; 6]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let actions = ["ACCEPT", "REJECT", "ACCEPT", "-", "ACCEPT", "REJECT"];
    let ports = [443, 22, 443, 53, 8080, 1 << 20].map(Some);
    let starts = [0, 10, 20, 30, 40, i64::MAX - 1_418_530_010].map(|after| Some(1_418_530_010 + after));
    let columns: [(&str, ArrayRef); 7] = [
        ("version", Arc::new(Int32Array::from(vec![Some(5), None, Some(5), Some(5), None, Some(5)]))),
        ("srcaddr", text([Some("10.0.0.1"), None, Some("10.0.0.1"), Some("10.0.0.3"), Some(""), Some("-")])),
        ("action", text(actions.map(Some))),
        ("dstport", Arc::new(Int32Array::from(ports.to_vec()))),
        ("start", Arc::new(Int64Array::from(starts.to_vec()))),
        ("new_field", text([Some("a"), None, None, Some("a"), Some("b"), None])),
        (
            "new_flag",
            Arc::new(BooleanArray::from(vec![Some(true), None, None, Some(false), None, Some(true)])),
        ),
    ];
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn written(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let options =
        ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// The same flows, as writers may write them.
fn written_flows() -> Vec<(&'static str, Vec<u8>)> {
    let plain = || WriterProperties::builder().set_dictionary_enabled(false);
    let dictionaries = WriterProperties::builder;
    let small_groups = || dictionaries().set_max_row_group_row_count(Some(4));
    let deltas = ["version", "dstport", "start"].into_iter().fold(plain(), |properties, name| {
        properties.set_column_encoding(name.into(), Encoding::DELTA_BINARY_PACKED)
    });
    let versions_2 = || dictionaries().set_writer_version(WriterVersion::PARQUET_2_0);
    let texts_plain = ["srcaddr", "action", "new_field"]
        .into_iter()
        .fold(versions_2(), |properties, name| properties.set_column_encoding(name.into(), Encoding::PLAIN));
    [
        ("plain", plain()),
        ("dictionaries", dictionaries()),
        ("gzip", small_groups().set_compression(Compression::GZIP(GzipLevel::default()))),
        ("snappy", small_groups().set_compression(Compression::SNAPPY)),
        ("zstd_deltas", deltas.set_compression(Compression::ZSTD(ZstdLevel::default()))),
        ("lz4", plain().set_compression(Compression::LZ4_RAW).set_data_page_row_count_limit(2)),
        ("version_2", texts_plain.set_compression(Compression::GZIP(GzipLevel::default()))),
    ]
    .map(|(name, properties)| (name, written(&flows(), properties)))
    .to_vec()
}

/// Files that are read, and some that are none of flows.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let gateway: ArrayRef = Arc::new(StringArray::from(vec![Some("tgw-1"), None]));
    let gateway = RecordBatch::try_from_iter([("tgw_id", gateway)]).unwrap();
    let nested: ArrayRef = Arc::new(StructArray::from(gateway.clone()));
    let nested = RecordBatch::try_from_iter([("unmapped", nested)]).unwrap();
    let of_others = [("gateway", gateway), ("nested", nested)]
        .map(|(name, batch)| (name, written(&batch, WriterProperties::builder())));
    [written_flows(), of_others.to_vec()].concat()
}

#[test]
fn flows_are_the_same_however_they_are_written() {
    let mut files = written_flows().into_iter();
    let (_, first) = files.next().unwrap();
    let first = decode(&first, LIMIT, "o").unwrap().unwrap();
    assert_eq!(first.batch.num_rows(), 6);
    let others = first.batch.column_by_name("other_fields").unwrap().as_string::<i32>().iter();
    assert_eq!(others.last().unwrap(), Some(r#"{"start":"9223372036854775807","new_flag":"true"}"#));
    for (name, file) in files {
        let decoded = decode(&file, LIMIT, "o").unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decoded.expect(name).batch, first.batch, "{name}");
    }
    let (_, nested) = samples().pop().unwrap();
    assert!(decode(&nested, LIMIT, "o").unwrap().is_none(), "is for others to read");
}

/// A sample with a few bytes that are others, most of them in the footer; as long as before, so that the places in it
/// mostly still hold.
fn damaged(samples: &[(&'static str, Vec<u8>)], seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut file = samples.choose(&mut random).unwrap().1.clone();
    let length = u32::from_le_bytes(*file[..file.len() - 4].last_chunk().unwrap()) as usize;
    let footer = file.len() - 8 - length;
    for _ in 0..random.random_range(1..=3) {
        let all = if random.random_bool(0.6) { footer..file.len() } else { 4..footer };
        let at = random.random_range(all);
        let new: &[u8] = match random.random_range(0..6) {
            0 => &[0xff, 0xff, 0xff, 0xff, 0x0f],
            1 => &[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07],
            2 => &[0xff, 0xff, 0xff, 0x7f],
            3 => &[0x00],
            4 => &[file[at] ^ 1 << random.random_range(0..8)],
            _ => &[random.random()],
        };
        let new = &new[..new.len().min(file.len() - at)];
        file[at..at + new.len()].copy_from_slice(new);
    }
    file
}

#[test]
fn damage_is_an_error_or_rows_that_are_sound() {
    let samples = samples();
    let (mut read, mut refused) = (0, 0);
    for seed in 0..6_000 {
        let file = damaged(&samples, seed);
        match decode(&file, 1 << 20, "o") {
            Ok(Some(decoded)) => {
                read += 1;
                assert_eq!(decoded.batch.schema(), decoded.table.schema(), "{seed}");
                for column in decoded.batch.columns() {
                    column.to_data().validate_full().unwrap_or_else(|error| panic!("{seed}: {error}"));
                }
            }
            Ok(None) => {}
            Err(_) => refused += 1,
        }
    }
    assert!(read > 300 && refused > 2_000, "{read} read, {refused} refused");
}

/// All of it in a folder: the program ends well, has little memory taken, and read what is between.
#[test]
#[cfg(target_os = "linux")]
fn a_folder_of_damaged_files_takes_bounded_memory() {
    let place = Place::new();
    let folder = place.path("logs").join("AWSLogs/111122223333/vpcflowlogs/us-east-1/2026/03/10");
    std::fs::create_dir_all(&folder).unwrap();
    let samples = samples();
    for seed in 10_000..10_500 {
        std::fs::write(folder.join(format!("{seed}.log.parquet")), damaged(&samples, seed)).unwrap();
    }
    std::fs::write(folder.join("good.log.parquet"), &samples[0].1).unwrap();
    let line = format!("{}\n{}\n", cases::FLOW_HEADER, cases::FLOW_LINE);
    std::fs::write(folder.join("neighbour.log"), line).unwrap();
    let (code, peak) = super::loaded(&place);
    println!("{} MiB", peak >> 20);
    assert_eq!(code, 1, "some are quarantined");
    assert!(peak > 8 << 20, "memory was looked at");
    assert!(peak < 512 << 20, "{} MiB", peak >> 20);
    assert_eq!(place.rows("select count(*) as n from objects"), "n\n502\n");
    let good = "select sum(row_count) as n from objects where key like '%/good%' or key like '%/neighbour%'";
    assert_eq!(place.rows(good), "n\n7\n");
    let all = "select (select sum(row_count) from objects) - (select count(*) from vpc_flow) \
               - (select count(*) from transit_gateway_flow) as n";
    assert_eq!(place.rows(all), "n\n0\n");
}

/// The crate that reads Parquet gives up on these levels, in an assertion: that is told with the file, and only there.
#[test]
fn what_the_reader_gives_up_on_is_told_with_its_file() {
    let bytes = include_bytes!("../../../fuzz/corpus/flow_parquet/levels_beyond_their_page");
    let place = Place::new();
    std::fs::create_dir(place.path("logs")).unwrap();
    std::fs::write(place.path("logs/x.log.parquet"), bytes).unwrap();
    let ran = place.run(&["ingest", "logs"]);
    let reason = "x.log.parquet`: corrupt Parquet: the reader gave up: offset + len out of bounds\n";
    assert!(ran.code == 1 && ran.stderr.contains(reason), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

/// Writes the corpus of the fuzzer anew.
#[test]
#[ignore = "changes the project's files"]
fn write_the_corpus() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/flow_parquet");
    std::fs::create_dir_all(&corpus).unwrap();
    for (name, file) in samples() {
        std::fs::write(corpus.join(name), file).unwrap();
    }
}
