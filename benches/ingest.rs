//! What one core does a second, step by step and as a whole: MB of decompressed JSON, lines of flow logs.
//!
//! `cargo bench --bench ingest`; the figures of the last run are in `benches/README.md`. `cargo bench --bench ingest --
//! limit` prints how near the whole path comes to what its fastest steps allow.
#![allow(missing_docs)]
#![allow(clippy::print_stdout)] // It is what a bench is for.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::Array;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use trailhound::clock::{Clock, SystemClock};
use trailhound::decode::columns::{CLOUDTRAIL, VPC_FLOW};
use trailhound::decode::vpc_flow::{self, Formats};
use trailhound::decode::{cloudtrail::Decoder, gzip};
use trailhound::generate::{self, Plan};
use trailhound::ingest::listing::{self, Days};
use trailhound::ingest::load::{BatchLimits, Loader, Origin};
use trailhound::ingest::read::{Fetched, Reader};
use trailhound::lake::{self, Lake};
use trailhound::store::{self, AwsSettings, Location};

/// CloudTrail records in the document that is measured.
const RECORDS: usize = 20_000;

struct Sample {
    json: Vec<u8>,
    gzipped: Vec<u8>,
}

fn cloudtrail_sample() -> Sample {
    sample(1, RECORDS)
}

fn sample(seed: u64, records: usize) -> Sample {
    let json = generate::cloudtrail_json(seed, Plan::demo().day, records);
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut gzipped = vec![0; compressor.gzip_compress_bound(json.len())];
    let size = compressor.gzip_compress(&json, &mut gzipped).expect("fits the bound");
    gzipped.truncate(size);
    Sample { json, gzipped }
}

/// Flow records of the default format under one header.
fn flow_sample() -> Vec<u8> {
    let plan = Plan { events: 0, flow_records: 200_000, attack: false, ..Plan::demo() };
    let mut text: Vec<u8> = Vec::new();
    for object in generate::generate(&plan) {
        let mut room = Vec::new();
        let content = gzip::inflate(&object.body, &gzip::Limits::default(), &mut room).expect("is gzip");
        let (header, lines) =
            content.split_at(content.iter().position(|byte| *byte == b'\n').expect("a header") + 1);
        if text.is_empty() {
            text.extend_from_slice(header);
        }
        if text.starts_with(header) {
            text.extend_from_slice(lines);
        }
    }
    text
}

fn steps(criterion: &mut Criterion) {
    let sample = cloudtrail_sample();
    let mut group = criterion.benchmark_group("cloudtrail");
    group.throughput(Throughput::Bytes(sample.json.len() as u64));
    group.measurement_time(Duration::from_secs(4)).sample_size(15);
    let mut out = Vec::new();
    group.bench_function("inflate", |bencher| {
        bencher.iter(|| {
            let content = gzip::inflate(black_box(&sample.gzipped), &gzip::Limits::default(), &mut out);
            black_box(content.expect("inflates").len())
        });
    });
    let mut buffers = simd_json::Buffers::new(sample.json.len());
    group.bench_function("parse", |bencher| {
        bencher.iter_batched_ref(
            || sample.json.clone(),
            |json| {
                simd_json::to_tape_with_buffers(json, &mut buffers).map(|tape| tape.0.len()).expect("is JSON")
            },
            BatchSize::LargeInput,
        );
    });
    let mut decoder = Decoder::new();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            decoder.append(black_box(&sample.json), "object").expect("decodes");
            decoder.take().expect("makes a batch")
        });
    });
    decoder.append(&sample.json, "object").expect("decodes");
    let batch = decoder.take().expect("makes a batch");
    let nulls = batch.column_by_name("user_identity").expect("a column").logical_null_count();
    assert!(nulls * 10 < batch.num_rows(), "encoding empty columns would measure nothing");
    group.bench_function("encode", |bencher| {
        bencher.iter(|| lake::encode(&CLOUDTRAIL, black_box(std::slice::from_ref(&batch))).expect("encodes"));
    });
    group.finish();
}

fn flows(criterion: &mut Criterion) {
    let (text, formats) = (flow_sample(), Formats::default());
    let rows = vpc_flow::decode_packed(&formats, &text, "object").expect("decodes").batch;
    let mut group = criterion.benchmark_group("vpc_flow");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    group.measurement_time(Duration::from_secs(4)).sample_size(15);
    group.bench_function("decode", |bencher| {
        bencher.iter(|| vpc_flow::decode_packed(&formats, black_box(&text), "object").expect("decodes"));
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| lake::encode(&VPC_FLOW, black_box(std::slice::from_ref(&rows))).expect("encodes"));
    });
    group.finish();
}

/// Gzipped bytes in memory to a commit in a lake on disk, on one thread.
fn whole_path(criterion: &mut Criterion) {
    let sample = cloudtrail_sample();
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("is the first pool");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let reader = Reader::new(gzip::Limits::default(), Arc::clone(&clock));
    let bytes = Bytes::from(sample.gzipped);
    let directory = tempfile::tempdir().expect("a directory");
    let location = Location::Local(directory.path().join("lake"));
    let lake = runtime.block_on(async {
        let place = store::lake(&location, &AwsSettings::default()).await.expect("a store");
        Lake::create(place, clock).await.expect("a lake")
    });
    let mut group = criterion.benchmark_group("cloudtrail");
    group.throughput(Throughput::Bytes(sample.json.len() as u64));
    group.measurement_time(Duration::from_secs(8)).sample_size(15);
    let mut number = 0;
    group.bench_function("whole path", |bencher| {
        bencher.iter(|| {
            number += 1;
            let fetched = Fetched {
                bucket: "bench".to_owned(),
                key: format!("object-{number}"),
                etag: Some(number.to_string()),
                version_id: None,
                announced_at: None,
                bytes: bytes.clone(),
            };
            let object = reader.read(&fetched);
            let report = runtime.block_on(lake.commit(vec![object])).expect("commits");
            assert_eq!(report.added.len(), 1);
        });
    });
    group.finish();
}

criterion_group!(benches, steps, flows, whole_path);

/// What the program gives back before all else, see `src/main.rs`.
const KEPT_BYTES: usize = 8 << 20;

fn main() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
    if std::env::args().any(|argument| argument == "limit") {
        limit();
    } else {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

/// Objects, and records in each, of the comparison with the limit.
const OBJECTS: usize = 256;
const RECORDS_OF_AN_OBJECT: usize = 1250;

/// Measures the steps and the path in turns, on one thread, and takes the best of each. The path has threads that wait
/// for the disk besides: to be bound to one processor with all of them, the bench is run with `taskset -c 0`.
fn limit() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("is the first pool");
    let samples: Vec<Sample> = (0..OBJECTS).map(|seed| sample(seed as u64, RECORDS_OF_AN_OBJECT)).collect();
    let bytes: usize = samples.iter().map(|sample| sample.json.len()).sum();
    let mut decoder = Decoder::new();
    for sample in &samples {
        decoder.append(&sample.json, "object").expect("decodes");
    }
    let rows = decoder.take().expect("makes a batch");
    let logs = tempfile::tempdir().expect("a directory");
    for (number, sample) in samples.iter().enumerate() {
        let name = logs.path().join(format!("{number:03}.json.gz"));
        std::fs::write(name, &sample.gzipped).expect("writes");
    }
    let (mut inflate, mut tape, mut encode, mut path) = (f64::MAX, f64::MAX, f64::MAX, f64::MAX);
    let mut files_bytes = 0;
    for _ in 0..5 {
        inflate = inflate.min(seconds(|| inflate_all(&samples)));
        tape = tape.min(parse_all(&samples));
        encode = encode.min(seconds(|| {
            let files = lake::encode(&CLOUDTRAIL, std::slice::from_ref(&rows)).expect("encodes");
            files_bytes = files.iter().map(|file| file.content.content_length()).sum();
        }));
        path = path.min(load_all(logs.path()));
    }
    let speed = |seconds: f64| bytes as f64 / 1e6 / seconds;
    let limit = inflate + tape + encode;
    println!("| step, one thread | MB/s |\n|---|---|");
    println!(
        "| inflate | {:.0} |\n| tape | {:.0} |\n| encode | {:.0} |",
        speed(inflate),
        speed(tape),
        speed(encode)
    );
    println!("| limit: 1 / (1/inflate + 1/tape + 1/encode) | {:.0} |", speed(limit));
    println!("| whole path, gzipped files to commits on disk | {:.0} |", speed(path));
    println!("| whole path / limit | {:.0} % |", 100.0 * limit / path);
    println!(
        "\n{OBJECTS} objects, {:.0} MB of JSON, {:.1} MB of Parquet",
        bytes as f64 / 1e6,
        files_bytes as f64 / 1e6
    );
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn inflate_all(samples: &[Sample]) {
    let mut out = Vec::new();
    for sample in samples {
        let content = gzip::inflate(black_box(&sample.gzipped), &gzip::Limits::default(), &mut out);
        black_box(content.expect("inflates").len());
    }
}

/// The time of parsing alone: the copy that is parsed in place is not part of it.
fn parse_all(samples: &[Sample]) -> f64 {
    let mut buffers = simd_json::Buffers::new(samples[0].json.len());
    let (mut copy, mut tape, mut time) = (Vec::new(), Vec::new(), 0.0);
    for sample in samples {
        copy.clear();
        copy.extend_from_slice(&sample.json);
        copy.resize(sample.json.len() + simd_json::INPUT_PADDING, 0);
        let mut filled = simd_json::Tape(std::mem::take(&mut tape));
        time += seconds(|| {
            simd_json::fill_tape_padded(&mut copy, sample.json.len(), &mut buffers, &mut filled)
                .expect("is JSON");
        });
        tape = filled.reset().0;
    }
    time
}

/// The time of a load as the program does one of a folder: read, decoded and committed side by side, on one thread for
/// CPU work.
fn load_all(logs: &Path) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let directory = tempfile::tempdir().expect("a directory");
    let location = Location::Local(directory.path().join("lake"));
    let lake = runtime.block_on(async {
        let place = store::lake(&location, &AwsSettings::default()).await.expect("a store");
        Lake::create(place, Arc::clone(&clock)).await.expect("a lake")
    });
    let loader = Loader {
        lake: Arc::new(lake),
        reader: Arc::new(Reader::new(gzip::Limits::default(), clock)),
        origin: Origin::Files,
        limits: BatchLimits::default(),
        at_once: 2,
    };
    seconds(|| {
        let found = listing::files(logs, Days::default()).expect("a folder").found;
        let tally = runtime.block_on(loader.load(found, |_| {})).expect("loads");
        assert_eq!(tally.added, OBJECTS);
    })
}
