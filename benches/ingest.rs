//! What one core does a second, step by step and as a whole: MB of decompressed JSON, lines of flow logs.
//!
//! `cargo bench --bench ingest`; the figures of the last run are in `benches/README.md`.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use trailhound::clock::{Clock, SystemClock};
use trailhound::decode::columns::{CLOUDTRAIL, VPC_FLOW};
use trailhound::decode::{cloudtrail::Decoder, gzip, vpc_flow};
use trailhound::generate::{self, Plan};
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
    let json = generate::cloudtrail_json(1, Plan::demo().day, RECORDS);
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
        let mut content = Vec::new();
        gzip::inflate(&object.body, &gzip::Limits::default(), &mut content).expect("is gzip");
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
            gzip::inflate(black_box(&sample.gzipped), &gzip::Limits::default(), &mut out).expect("inflates");
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
        bencher.iter(|| decoder.decode(black_box(&sample.json), "object").expect("decodes"));
    });
    let batch = decoder.decode(&sample.json, "object").expect("decodes");
    let filled =
        batch.column_by_name("user_identity").expect("a column").as_string::<i32>().iter().flatten().count();
    assert!(filled * 10 > batch.num_rows() * 9, "encoding empty columns would measure nothing");
    group.bench_function("encode", |bencher| {
        bencher.iter(|| lake::encode(&CLOUDTRAIL, black_box(std::slice::from_ref(&batch))).expect("encodes"));
    });
    group.finish();
}

fn flows(criterion: &mut Criterion) {
    let text = flow_sample();
    let rows = vpc_flow::decode(&text, "object").expect("decodes");
    let mut group = criterion.benchmark_group("vpc_flow");
    group.throughput(Throughput::Elements(rows.num_rows() as u64));
    group.measurement_time(Duration::from_secs(4)).sample_size(15);
    group.bench_function("decode", |bencher| {
        bencher.iter(|| vpc_flow::decode(black_box(&text), "object").expect("decodes"));
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
criterion_main!(benches);
