//! What each format prints, to the byte.

use std::sync::{Arc, Mutex};

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray, StringBuilder, StructArray,
    TimestampMicrosecondArray, UnionArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, UnionFields};

use super::*;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn times(values: &[Option<i64>], zone: Option<&str>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values.to_vec()).with_timezone_opt(zone))
}

const NOON: i64 = 1_769_860_800_000_000;

fn bytes(format: Format, batches: &[RecordBatch], options: &Options) -> Vec<u8> {
    let buffer = Buffer::default();
    let schema = batches[0].schema();
    let mut printer = Printer::new(format, &schema, Box::new(buffer.clone()), options).unwrap();
    for batch in batches {
        printer.write(batch).unwrap();
    }
    let rows = printer.finish().unwrap();
    assert_eq!(rows, batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
    let bytes = buffer.0.lock().unwrap();
    bytes.clone()
}

fn print(format: Format, batch: &RecordBatch, options: &Options) -> String {
    String::from_utf8(bytes(format, std::slice::from_ref(batch), options)).unwrap()
}

fn check(format: Format, batch: &RecordBatch, options: &Options, expect: &str) {
    let found = print(format, batch, options);
    assert_eq!(found, expect, "found\n{found}");
}

fn wide(width: usize) -> Options {
    Options { width: Some(width), ..Options::default() }
}

/// Two events with everything in them that can go wrong.
fn events() -> RecordBatch {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), Some("b\"c")]);
    tags.append_null();
    let point = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Int64, true)),
        Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
    )]);
    batch(vec![
        ("event_time", times(&[Some(NOON), Some(NOON + 1_500_000)], Some("UTC"))),
        ("name", texts(&[Some("Créate\x1b[2J"), None])),
        ("count", Arc::new(Int64Array::from(vec![Some(12), Some(-3)]))),
        ("ratio", Arc::new(Float64Array::from(vec![None, Some(0.5)]))),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("tags", Arc::new(tags.finish())),
        ("point", Arc::new(point)),
    ])
}

#[test]
fn table() {
    check(
        Format::Table,
        &events(),
        &Options::default(),
        "\
event_time               name             count  ratio  ok    tags          point
-----------------------  ---------------  -----  -----  ----  ------------  -------
2026-01-31 12:00:00      Créate\\u{1b}[2J     12         true  [\"a\",\"b\\\"c\"]  {\"x\":1}
2026-01-31 12:00:01.500                      -3    0.5                      {}
",
    );
    let empty = batch(vec![("n", Arc::new(Int64Array::from(Vec::<i64>::new())))]);
    check(Format::Table, &empty, &wide(10), "n\n-\n");
}

#[test]
fn table_on_a_narrow_terminal_cuts_text_alone() {
    let rows = batch(vec![
        ("event_time", times(&[Some(NOON), None], None)),
        ("key", texts(&[Some("日本語の長い名前です、とても"), Some("abcdefghijklmnopqrstuvwxyz")])),
        ("n", Arc::new(Int64Array::from(vec![1_234_567_890, 1]))),
    ]);
    check(
        Format::Table,
        &rows,
        &wide(50),
        "\
event_time           key                         n
-------------------  -----------------  ----------
2026-01-31 12:00:00  日本語の長い名前…  1234567890
                     abcdefghijklmnop…           1
",
    );
    let full = print(Format::Table, &rows, &Options::default());
    assert!(full.contains("日本語の長い名前です、とても"), "{full}");
}

#[test]
fn table_that_does_not_fit_has_a_line_per_value() {
    let long = "0123456789abcdefghijklmnopqrstuvwxyz";
    let one = batch(vec![("name", texts(&[Some(long)])), ("n", Arc::new(Int64Array::from(vec![7])))]);
    check(Format::Table, &one, &wide(30), &format!("name | {long}\nn    | 7\n"));
    let two = batch(vec![
        ("a", texts(&[Some(long), Some("x")])),
        ("bb", texts(&[None, Some("a\nb")])),
        ("c", texts(&[Some(long), Some(long)])),
    ]);
    check(
        Format::Table,
        &two,
        &wide(30),
        "\
-- row 1 --
a  | 0123456789abcdefghijklmn…
bb |
c  | 0123456789abcdefghijklmn…
-- row 2 --
a  | x
bb | a\\nb
c  | 0123456789abcdefghijklmn…
",
    );
}

#[test]
fn table_keeps_a_bounded_number_of_rows() {
    let rows = batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..2_000)))]);
    let options = Options { max_rows: 2, ..Options::default() };
    let found = bytes(Format::Table, &[rows.clone(), rows], &options);
    let expect = "n\n-\n0\n1\n... 3,998 more rows; use --format ndjson or add LIMIT\n";
    assert_eq!(String::from_utf8(found).unwrap(), expect);
}

#[test]
fn json_lines_leave_nulls_out() {
    check(
        Format::Ndjson,
        &events(),
        &Options::default(),
        "\
{\"event_time\":\"2026-01-31T12:00:00Z\",\"name\":\"Créate\\u001b[2J\",\"count\":12,\"ok\":true,\"tags\":[\"a\",\"b\\\"c\"],\"point\":{\"x\":1}}
{\"event_time\":\"2026-01-31T12:00:01.500Z\",\"count\":-3,\"ratio\":0.5,\"point\":{}}
",
    );
    let naive = batch(vec![("t", times(&[Some(NOON)], None))]);
    check(Format::Ndjson, &naive, &Options::default(), "{\"t\":\"2026-01-31T12:00:00Z\"}\n");
}

#[test]
fn json_is_one_array() {
    let two = batch(vec![("n", Arc::new(Int64Array::from(vec![1, 2])))]);
    check(Format::Json, &two, &Options::default(), "[{\"n\":1},{\"n\":2}]\n");
    check(Format::Json, &two.slice(0, 0), &Options::default(), "[]\n");
    check(Format::Ndjson, &two.slice(0, 0), &Options::default(), "");
}

#[test]
fn csv_is_rfc_4180() {
    let rows = batch(vec![
        ("t", times(&[Some(NOON), None], Some("UTC"))),
        ("a,b", texts(&[Some("say \"hi\"\r\n"), Some("plain")])),
        ("n", Arc::new(Int64Array::from(vec![Some(-1), None]))),
    ]);
    let expect = "t,\"a,b\",n\r\n2026-01-31T12:00:00Z,\"say \"\"hi\"\"\r\n\",-1\r\n,plain,\r\n";
    check(Format::Csv, &rows, &Options::default(), expect);
    check(Format::Csv, &rows.slice(0, 0), &Options::default(), "t,\"a,b\",n\r\n");
    let nested = print(Format::Csv, &events(), &Options::default());
    assert!(nested.contains("\"[\"\"a\"\",\"\"b\\\"\"c\"\"]\",\"{\"\"x\"\":1}\""), "{nested}");
}

#[test]
fn csv_cells_are_no_formulas() {
    let cells = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a=1", ""];
    let rows = batch(vec![("c", texts(&cells.map(Some)))]);
    let expect = "c\r\n'=1+1\r\n'+1\r\n'-1\r\n'@SUM(A1)\r\n'\tx\r\n\"'\rx\"\r\na=1\r\n\"\"\r\n";
    check(Format::Csv, &rows, &Options::default(), expect);
    let view = arrow::compute::cast(rows.column(0), &DataType::Utf8View).unwrap();
    check(Format::Csv, &batch(vec![("c", view)]), &Options::default(), expect);
    let raw = Options { raw_csv: true, ..Options::default() };
    check(Format::Csv, &rows.slice(0, 2), &raw, "c\r\n=1+1\r\n+1\r\n");
}

#[test]
fn parquet_reads_back() {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    let events = events();
    let file = bytes(Format::Parquet, &[events.clone(), events.clone()], &Options::default());
    let read: Vec<RecordBatch> = ParquetRecordBatchReader::try_new(bytes::Bytes::from(file), 100)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(arrow::compute::concat_batches(&events.schema(), [&events, &events]).unwrap(), read[0]);
    let refused = Printer::new(Format::Parquet, &events.schema(), Box::new(Vec::new()), &wide(80));
    assert_eq!(refused.unwrap_err().to_string(), "parquet cannot be printed on a terminal");
}

#[test]
fn values_of_mixed_type_are_text() {
    let fields = UnionFields::try_new(
        vec![0, 1, 2],
        vec![
            Field::new("null", DataType::Null, true),
            Field::new("int", DataType::Int64, false),
            Field::new("str", DataType::Utf8, false),
        ],
    )
    .unwrap();
    let children: Vec<ArrayRef> = vec![
        Arc::new(arrow::array::NullArray::new(3)),
        Arc::new(Int64Array::from(vec![0, 7, 0])),
        Arc::new(StringArray::from(vec!["", "", "x"])),
    ];
    let union = UnionArray::try_new(fields, ScalarBuffer::from(vec![0_i8, 1, 2]), None, children).unwrap();
    let rows = batch(vec![("v", Arc::new(union))]);
    check(Format::Ndjson, &rows, &Options::default(), "{}\n{\"v\":\"7\"}\n{\"v\":\"x\"}\n");
    check(Format::Csv, &rows, &Options::default(), "v\r\n\"\"\r\n7\r\nx\r\n");
    check(Format::Table, &rows, &Options::default(), "v\n-\n\n7\nx\n");
    assert!(!bytes(Format::Parquet, &[rows], &Options::default()).is_empty());
}

#[test]
fn absurd_times_end_nothing() {
    let days = arrow::array::Date32Array::from(vec![Some(i32::MAX), Some(i32::MIN), Some(0)]);
    let rows = batch(vec![
        ("t", times(&[Some(i64::MAX), Some(i64::MIN), Some(NOON)], Some("UTC"))),
        ("u", times(&[Some(i64::MAX), Some(6_300_000_000_000_000_000), None], None)),
        ("d", Arc::new(days)),
    ]);
    let expect =
        "{}\n{\"u\":\"+201609-01-19T16:00:00Z\"}\n{\"t\":\"2026-01-31T12:00:00Z\",\"d\":\"1970-01-01\"}\n";
    check(Format::Ndjson, &rows, &Options::default(), expect);
    check(
        Format::Csv,
        &rows,
        &Options::default(),
        "t,u,d\r\n,,\r\n,+201609-01-19T16:00:00Z,\r\n2026-01-31T12:00:00Z,,1970-01-01\r\n",
    );
    assert_eq!(print(Format::Table, &rows, &wide(200)).lines().count(), 5);
}

#[test]
fn offsets_other_than_utc_are_shown() {
    let rows = batch(vec![("t", times(&[Some(NOON)], Some("+02:00")))]);
    check(
        Format::Table,
        &rows,
        &Options::default(),
        "t\n-------------------------\n2026-01-31 14:00:00+02:00\n",
    );
    check(Format::Ndjson, &rows, &Options::default(), "{\"t\":\"2026-01-31T14:00:00+02:00\"}\n");
}

#[test]
fn rows_without_columns_are_counted() {
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(3));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).unwrap();
    check(Format::Table, &rows, &Options::default(), "");
    check(Format::Ndjson, &rows, &Options::default(), "{}\n{}\n{}\n");
}

#[test]
fn of_two_columns_of_one_name_none_is_left_out() {
    let column = || Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
    let fields = ["a", "b", "a"].map(|name| Field::new(name, DataType::Utf8, true));
    let rows =
        RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![column(), column(), column()]);
    let rows = rows.unwrap();
    check(Format::Csv, &rows, &Options::default(), "a,b,a\r\nx,x,x\r\n");
    for format in [Format::Ndjson, Format::Json, Format::Parquet] {
        let printer = Printer::new(format, &rows.schema(), Box::new(Vec::new()), &Options::default());
        let error = printer.unwrap_err().to_string();
        let expected = format!(
            "two columns are called `a`, of which `{}` holds one: give them names with `as`",
            format.name()
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn names_are_those_of_the_command_line() {
    for format in <Format as clap::ValueEnum>::value_variants() {
        assert_eq!(Format::from_name(format.name()), Some(*format));
    }
    assert_eq!(Format::from_name("xml"), None);
}
