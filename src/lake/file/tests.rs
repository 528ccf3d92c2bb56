//! What is written is what the `parquet` crate reads, page by page and as a whole.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatchReader, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, concat, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType, UInt32Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::decode::columns::{Column as TableColumn, column as table_column};
use arrow::array::{Array, Date32Array};

const COLUMNS: &[TableColumn] = &[
    table_column("time", "", Kind::Timestamp, ""),
    table_column("name", "", Kind::Text, ""),
    table_column("event_id", "", Kind::Text, ""),
    table_column("json", "", Kind::Json, ""),
    table_column("nothing", "", Kind::Text, ""),
    table_column("flag", "", Kind::Bool, ""),
    table_column("small", "", Kind::Int32, ""),
    table_column("large", "", Kind::Int64, ""),
    table_column("seconds", "", Kind::Seconds, ""),
    table_column("day", "", Kind::Date, ""),
    table_column("source_row", "", Kind::SourceRow, ""),
    table_column("event_date", "", Kind::EventDate, ""),
];

static TABLE: Table = Table { name: "test", doc: "", time_column: "time", columns: COLUMNS };

/// One day, so that one file holds all.
const DAY: i64 = 86_400_000_000;

fn text(random: &mut StdRng, distinct: u32) -> Option<String> {
    match random.random_range(0..10) {
        0 => None,
        1 => Some(String::new()),
        2 => Some("ü\u{10ffff}".repeat(random.random_range(1..40))),
        _ => Some(format!("text {}", random.random_range(0..distinct))),
    }
}

/// A batch whose text columns are strings, or dictionaries with texts that no row has and that are there twice.
fn sample(random: &mut StdRng, rows: usize, is_dictionary: bool, distinct: u32) -> RecordBatch {
    let some = |random: &mut StdRng| random.random_bool(0.8);
    let times: TimestampMicrosecondArray =
        (0..rows).map(|_| some(random).then(|| random.random_range(0..DAY))).collect();
    let mut texts = |distinct| -> ArrayRef {
        let texts: StringArray = (0..rows).map(|_| text(random, distinct)).collect();
        if !is_dictionary || rows == 0 {
            return Arc::new(texts);
        }
        let numbers: UInt32Array =
            texts.iter().enumerate().map(|(row, text)| text.map(|_| u32::try_from(row).unwrap())).collect();
        Arc::new(DictionaryArray::<UInt32Type>::new(numbers, Arc::new(texts)))
    };
    let (name, id, json) = (texts(distinct), texts(u32::MAX), texts(distinct));
    let wide = |random: &mut StdRng| match random.random_range(0..8) {
        0 => i64::MIN,
        1 => i64::MAX,
        _ => random.random_range(-5..5),
    };
    let nothing: ArrayRef = arrow::array::new_null_array(&DataType::Utf8, rows);
    let narrow: Int32Array = (0..rows).map(|_| some(random).then(|| random.random())).collect();
    let large: Int64Array = (0..rows).map(|_| some(random).then(|| wide(random))).collect();
    let second = |random: &mut StdRng| random.random_range(-3..900) * 1_000_000;
    let seconds: TimestampMicrosecondArray =
        (0..rows).map(|_| some(random).then(|| second(random))).collect();
    let days: Date32Array = (0..rows).map(|_| some(random).then(|| random.random_range(0..9))).collect();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(times.with_timezone("UTC")),
        name,
        id,
        json,
        nothing,
        Arc::new((0..rows).map(|_| some(random).then(|| random.random())).collect::<BooleanArray>()),
        Arc::new(narrow),
        Arc::new(large),
        Arc::new(seconds.with_timezone("UTC")),
        Arc::new(days),
        Arc::new(Int32Array::from_iter_values(0..i32::try_from(rows).unwrap())),
        Arc::new(Date32Array::from(vec![0; rows])),
    ];
    let fields = COLUMNS.iter().zip(&arrays);
    let fields: Vec<Field> = fields.map(|(c, a)| Field::new(c.name, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn plain(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().zip(COLUMNS);
    let columns = columns.map(|(array, column)| cast(array, &column.kind.data_type()).unwrap());
    RecordBatch::try_new(TABLE.schema(), columns.collect()).unwrap()
}

/// The rows of all batches in the order of time and place, without the partition column.
fn sorted(batches: &[RecordBatch]) -> RecordBatch {
    let batches: Vec<RecordBatch> = batches.iter().map(plain).collect();
    let all = concat_batches(&TABLE.schema(), &batches).unwrap();
    let times = all.column(0).as_primitive::<TimestampMicrosecondType>().clone();
    let mut order: Vec<u32> = (0..u32::try_from(all.num_rows()).unwrap()).collect();
    order.sort_by_key(|row| {
        let row = *row as usize;
        if times.is_null(row) { i64::MAX } else { times.value(row) }
    });
    let all = take_record_batch(&all, &UInt32Array::from(order)).unwrap();
    all.project(&(0..COLUMNS.len() - 1).collect::<Vec<_>>()).unwrap()
}

fn read(file: &EncodedFile) -> (RecordBatch, ParquetRecordBatchReaderBuilder<Bytes>) {
    let bytes = Bytes::from(file.content.clone());
    let options = || ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let open = || ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options()).unwrap();
    let reader = open().with_batch_size(777).build().unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    (concat_batches(&schema, &batches).unwrap(), open())
}

fn check(batches: &[RecordBatch]) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let file = encode(&TABLE, batches).unwrap().remove(0);
    let (found, builder) = read(&file);
    let expected = sorted(batches);
    assert_eq!(found.num_rows(), expected.num_rows());
    for (index, column) in COLUMNS[..COLUMNS.len() - 1].iter().enumerate() {
        assert_eq!(found.column(index), expected.column(index), "column `{}`", column.name);
    }
    bounds_hold(&found, &builder);
    COLUMNS[..COLUMNS.len() - 1].iter().for_each(|column| nulls_are_counted(&found, column, &builder));
    for column in ["time", "flag", "small", "large", "seconds", "day", "source_row"] {
        bounds_are_exact(&found, column, &builder);
    }
    builder
}

/// The nulls of chunks, and of pages where these have an index, are those that are read.
fn nulls_are_counted(
    found: &RecordBatch,
    column: &TableColumn,
    builder: &ParquetRecordBatchReaderBuilder<Bytes>,
) {
    let name = column.name;
    let values = found.column_by_name(name).unwrap();
    let metadata = builder.metadata();
    let converter = StatisticsConverter::try_new(name, builder.schema(), builder.parquet_schema()).unwrap();
    let of_groups = converter.row_group_null_counts(metadata.row_groups()).unwrap();
    let (index, offsets) = (metadata.column_index().unwrap(), metadata.offset_index().unwrap());
    let place = builder.schema().index_of(name).unwrap();
    let (mut first, mut pages) = (0, 0);
    for (group, of_group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(of_group.num_rows()).unwrap();
        assert_eq!(of_groups.value(group), values.slice(first, rows).null_count() as u64, "`{name}` {group}");
        let starts = offsets[group][place].page_locations().iter();
        let starts = starts.map(|page| usize::try_from(page.first_row_index).unwrap()).chain([rows]);
        let starts: Vec<usize> = starts.collect();
        for (page, ends) in starts.windows(2).enumerate() {
            let nulls = values.slice(first + ends[0], ends[1] - ends[0]).null_count();
            match &index[group][place] {
                // Without bounds there is none.
                ColumnIndexMetaData::NONE => assert_eq!(column.kind, Kind::Json, "`{name}`"),
                index => {
                    assert_eq!(index.null_count(page), i64::try_from(nulls).ok(), "`{name}` {group} {page}");
                }
            }
            pages += 1;
        }
        first += rows;
    }
    assert!(pages > 0);
}

/// The bounds of pages and of chunks are the least and the greatest of their numbers.
fn bounds_are_exact(found: &RecordBatch, name: &str, builder: &ParquetRecordBatchReaderBuilder<Bytes>) {
    let numbers =
        |array: &ArrayRef| cast(array, &DataType::Int64).unwrap().as_primitive::<Int64Type>().clone();
    let values = numbers(found.column_by_name(name).unwrap());
    let metadata = builder.metadata();
    let converter = StatisticsConverter::try_new(name, builder.schema(), builder.parquet_schema()).unwrap();
    let (index, offsets) = (metadata.column_index().unwrap(), metadata.offset_index().unwrap());
    let groups: Vec<usize> = (0..metadata.num_row_groups()).collect();
    let of_pages = [
        numbers(&converter.data_page_mins(index, offsets, &groups).unwrap()),
        numbers(&converter.data_page_maxes(index, offsets, &groups).unwrap()),
    ];
    let of_groups = [
        numbers(&converter.row_group_mins(metadata.row_groups()).unwrap()),
        numbers(&converter.row_group_maxes(metadata.row_groups()).unwrap()),
    ];
    let check = |[least, most]: &[Int64Array; 2], at: usize, rows: &Int64Array| {
        let bounds = [least, most].map(|bounds| bounds.is_valid(at).then(|| bounds.value(at)));
        assert_eq!(bounds, [arrow::compute::min(rows), arrow::compute::max(rows)], "`{name}` {at}");
    };
    let column = builder.schema().index_of(name).unwrap();
    let (mut first, mut page) = (0, 0);
    for (group, of_group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(of_group.num_rows()).unwrap();
        check(&of_groups, group, &values.slice(first, rows));
        let starts = offsets[group][column].page_locations().iter();
        let mut starts: Vec<usize> =
            starts.map(|page| usize::try_from(page.first_row_index).unwrap()).collect();
        starts.push(rows);
        for ends in starts.windows(2) {
            check(&of_pages, page, &values.slice(first + ends[0], ends[1] - ends[0]));
            page += 1;
        }
        first += rows;
    }
    assert_eq!(page, of_pages[0].len());
}

/// Every value lies within the bounds of its page and of its chunk, by the order of its type.
fn bounds_hold(found: &RecordBatch, builder: &ParquetRecordBatchReaderBuilder<Bytes>) {
    let metadata = builder.metadata();
    let names = found.column(1).as_string::<i32>();
    let (mut first, mut pages) = (0, 0);
    for (group, of_group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(of_group.num_rows()).unwrap();
        let index = &metadata.column_index().unwrap()[group][1];
        let offsets = metadata.offset_index().unwrap()[group][1].page_locations();
        let ColumnIndexMetaData::BYTE_ARRAY(index) = index else { panic!("bounds of text") };
        for (page, location) in offsets.iter().enumerate() {
            let start = usize::try_from(location.first_row_index).unwrap();
            let end =
                offsets.get(page + 1).map_or(rows, |next| usize::try_from(next.first_row_index).unwrap());
            let texts =
                (first + start..first + end).filter(|row| names.is_valid(*row)).map(|row| names.value(row));
            for text in texts {
                assert!(index.min_value(page).unwrap() <= text.as_bytes(), "{text}");
                assert!(index.max_value(page).unwrap() >= text.as_bytes(), "{text}");
            }
            pages += 1;
        }
        let statistics = of_group.column(1).statistics().unwrap();
        let texts = (first..first + rows).filter(|row| names.is_valid(*row)).map(|row| names.value(row));
        for text in texts {
            assert!(statistics.min_bytes_opt().unwrap() <= text.as_bytes());
            assert!(statistics.max_bytes_opt().is_none_or(|most| most >= text.as_bytes()));
        }
        first += rows;
    }
    assert!(pages > 0);
}

#[test]
fn what_is_written_is_read_back() {
    let mut random = StdRng::seed_from_u64(7);
    for rows in [1, 7, 8, 100, 1000, 5000, 45_000] {
        for distinct in [1, 2, 300, u32::MAX] {
            let batches = [
                sample(&mut random, rows, false, distinct),
                sample(&mut random, rows / 3, true, distinct),
                sample(&mut random, rows / 7, true, 2),
            ];
            check(&batches);
        }
    }
}

/// The same with dictionaries that have each text once, and then each once more: every other row has the latter, but
/// for those of the last text.
fn packed(batch: &RecordBatch) -> RecordBatch {
    let dictionary = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    let pack = |array: &ArrayRef| -> ArrayRef {
        let packed = cast(array, &dictionary).unwrap();
        let packed = packed.as_dictionary::<UInt32Type>();
        let texts = u32::try_from(packed.values().len()).unwrap();
        let number = |(row, number): (usize, Option<u32>)| {
            number.map(|number| if row % 2 == 1 && number + 1 < texts { number + texts } else { number })
        };
        let numbers: UInt32Array = packed.keys().iter().enumerate().map(number).collect();
        let values = concat(&[packed.values(), packed.values()]).unwrap();
        Arc::new(DictionaryArray::<UInt32Type>::new(numbers, values))
    };
    let mut arrays = batch.columns().to_vec();
    arrays[1..4].iter_mut().for_each(|array| *array = pack(array));
    let fields = COLUMNS.iter().zip(&arrays);
    let fields: Vec<Field> = fields.map(|(c, a)| Field::new(c.name, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

#[test]
fn dictionaries_of_batches_become_those_of_row_groups() {
    let mut random = StdRng::seed_from_u64(12);
    for (rows, groups) in [(3000, 1), (20_000, 1), (150_000, 2)] {
        let batches = [rows, 1, rows, 0, rows / 3].map(|rows| packed(&sample(&mut random, rows, false, 50)));
        let builder = check(&batches);
        let found = builder.metadata().row_groups();
        assert_eq!(found.len(), groups);
        for name in [1, 3] {
            let has_dictionary =
                |group: &RowGroupMetaData| group.column(name).dictionary_page_offset().is_some();
            assert!(found.iter().all(has_dictionary), "column {name} of {rows} rows");
        }
        // Few of the rows, and most of them.
        for share in [10, 2] {
            let slices: Vec<Range<usize>> =
                batches.iter().map(|batch| batch.num_rows() / 20..batch.num_rows() / share).collect();
            let of = batches.iter().zip(&slices);
            let parts: Vec<Part> =
                of.clone().map(|(batch, rows)| Part { batch, rows: rows.clone() }).collect();
            let file = encode_parts(&TABLE, &parts).unwrap().remove(0);
            let slices: Vec<RecordBatch> =
                of.map(|(batch, rows)| batch.slice(rows.start, rows.len())).collect();
            assert_eq!(read(&file).0.columns(), sorted(&slices).columns(), "1/{share} of {rows}");
        }
    }
}

#[test]
fn row_groups_and_bloom_filters() {
    let mut random = StdRng::seed_from_u64(8);
    let batches: Vec<RecordBatch> =
        (0..3).map(|number| sample(&mut random, 100_000, number == 1, 50)).collect();
    let builder = check(&batches);
    assert_eq!(builder.metadata().num_row_groups(), 2);
    let filter = builder.get_row_group_column_bloom_filter(1, 2).unwrap().unwrap();
    let (found, _) = read(&encode(&TABLE, &batches).unwrap()[0]);
    let ids = found.column(2).as_string::<i32>();
    let start = usize::try_from(builder.metadata().row_group(0).num_rows()).unwrap();
    assert!((start..ids.len()).filter(|row| ids.is_valid(*row)).all(|row| filter.check(ids.value(row))));
    let absent = (0..10_000).filter(|number| filter.check(format!("absent {number}").as_str())).count();
    assert!(absent < 500, "{absent} of 10,000 are said to be there");
    assert!(builder.get_row_group_column_bloom_filter(1, 1).unwrap().is_none());
}

/// A batch of one text after the other, in the order of their time.
fn of_texts(texts: &[Option<String>]) -> RecordBatch {
    let mut random = StdRng::seed_from_u64(3);
    let mut arrays = sample(&mut random, texts.len(), false, 1).columns().to_vec();
    let times = TimestampMicrosecondArray::from_iter_values(0..i64::try_from(texts.len()).unwrap());
    arrays[0] = Arc::new(times.with_timezone("UTC"));
    arrays[1] = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
    arrays[3] = Arc::clone(&arrays[1]);
    let fields = COLUMNS.iter().zip(&arrays);
    let fields: Vec<Field> = fields.map(|(c, a)| Field::new(c.name, a.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// A first page with hardly a value says nothing of how the others shrink, however short the chunk is.
#[test]
fn pages_are_compressed_by_the_first_that_tells() {
    let text = |row: usize| format!("{row} {}", "text ".repeat(40));
    let mut random = StdRng::seed_from_u64(4);
    let mut noise = |_| -> String { (0..40).map(|_| char::from(random.random_range(b'!'..b'~'))).collect() };
    let nothing = vec![None; 20_000];
    let cases = [
        ([&nothing[..], &(0..30_000).map(|row| Some(text(row))).collect::<Vec<_>>()].concat(), true),
        ((0..300).map(|row| Some(text(row))).collect(), true),
        ((0..30_000).map(|row| Some(noise(row))).collect(), true),
        (nothing, false),
    ];
    for (at, (texts, is_compressed)) in cases.into_iter().enumerate() {
        let builder = check(&[of_texts(&texts)]);
        let chunk = builder.metadata().row_group(0).column(3);
        assert_eq!(chunk.compression() != Compression::UNCOMPRESSED, is_compressed, "{at}");
        assert!(chunk.compressed_size() <= chunk.uncompressed_size(), "{at}");
    }
}

#[test]
fn texts_that_nothing_short_is_above_have_no_upper_bound() {
    let most = "\u{10ffff}".repeat(20);
    let batches = [of_texts(&[Some(most), Some("a".to_owned()), None])];
    let (found, builder) = read(&encode(&TABLE, &batches).unwrap()[0]);
    assert_eq!(found.columns(), sorted(&batches).columns());
    let statistics = builder.metadata().row_group(0).column(1).statistics().unwrap().clone();
    assert_eq!((statistics.min_bytes_opt(), statistics.max_bytes_opt()), (Some(&b"a"[..]), None));
    assert_eq!((statistics.null_count_opt(), statistics.max_is_exact()), (Some(1), false));
}

/// As the specification has it, so that other readers know which program to make allowance for.
#[test]
fn files_say_who_wrote_them() {
    let builder = check(&[of_texts(&[None])]);
    let by = builder.metadata().file_metadata().created_by().unwrap();
    let (program, version) = by.split_once(" version ").expect("`<program> version <version>`");
    assert_eq!((program, version), ("trailhound", env!("CARGO_PKG_VERSION")));
}

#[test]
fn parts_of_batches_are_taken() {
    let mut random = StdRng::seed_from_u64(9);
    let (first, second) = (sample(&mut random, 100, true, 5), sample(&mut random, 50, false, 5));
    let parts = [
        Part { batch: &first, rows: 10..20 },
        Part { batch: &first, rows: 30..31 },
        Part { batch: &second, rows: 0..50 },
    ];
    let file = encode_parts(&TABLE, &parts).unwrap().remove(0);
    let expected = sorted(&[first.slice(10, 10), first.slice(30, 1), second]);
    let (found, _) = read(&file);
    assert_eq!(found.columns(), expected.columns());
}

/// Days have the rows they have, whether they are few of their batches or most of them.
#[test]
fn rows_of_many_days_are_in_a_file_for_each() {
    let mut random = StdRng::seed_from_u64(10);
    let mut batches = [sample(&mut random, 2000, true, 5), sample(&mut random, 900, false, 5)];
    batches[0] = packed(&batches[0]);
    let day = |row: usize| match row % 40 {
        0 => None,
        few @ 1..20 => Some(i32::try_from(few).unwrap()),
        _ => Some(99),
    };
    let batches = batches.map(|batch| {
        let mut arrays = batch.columns().to_vec();
        arrays[COLUMNS.len() - 1] = Arc::new((0..batch.num_rows()).map(day).collect::<Date32Array>());
        RecordBatch::try_new(batch.schema(), arrays).unwrap()
    });
    let files = encode(&TABLE, &batches).unwrap();
    assert_eq!(files.len(), 21);
    for file in files {
        let of_day: Vec<RecordBatch> = batches
            .iter()
            .map(|batch| {
                let rows = (0..batch.num_rows())
                    .filter(|row| day(*row).and_then(NaiveDate::from_epoch_days) == file.event_date);
                let rows: UInt32Array = rows.map(|row| u32::try_from(row).unwrap()).collect();
                take_record_batch(&plain(batch), &rows).unwrap()
            })
            .collect();
        assert_eq!(read(&file).0.columns(), sorted(&of_day).columns(), "{:?}", file.event_date);
    }
}

#[test]
fn a_type_without_an_encoding_is_an_error() {
    let mut random = StdRng::seed_from_u64(1);
    let batch = sample(&mut random, 3, false, 1);
    let mut arrays = batch.columns().to_vec();
    arrays[6] = cast(&arrays[6], &DataType::Float64).unwrap();
    let fields = batch
        .schema()
        .fields()
        .iter()
        .zip(&arrays)
        .map(|(f, a)| Field::new(f.name(), a.data_type().clone(), true))
        .collect::<Vec<_>>();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    assert!(encode(&TABLE, &[batch]).is_err());
}
