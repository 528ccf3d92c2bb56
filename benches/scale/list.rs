//! A million keys, listed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use trailhound::ingest::backfill;
use trailhound::ingest::listing::Days;
use trailhound::ingest::progress::Progress;
use trailhound::store::memory::MemoryBucket;

use crate::{memory, reset_peak};

/// The latency of a LIST request.
const LATENCY: Duration = Duration::from_millis(30);
const DAYS: usize = 365;

/// A million keys in two shapes, each listed with 1, 16, 32 and 64 requests at once.
pub fn run() {
    println!(
        "LIST answers after {} ms with up to 1,000 keys; nothing is read\n\n\
         | keys | accounts x regions x days | at once | requests | seconds | keys/s | first chunk after, s | peak, MiB |\n|---|---|---|---|---|---|---|---|",
        LATENCY.as_millis()
    );
    for (accounts, regions, per_day) in [(50, 5, 11), (1, 1, 2_740)] {
        let bucket = Arc::new(MemoryBucket::new(keys(accounts, regions, per_day)).with_latency(LATENCY));
        for at_once in [1, 16, 32, 64] {
            list_once(&bucket, &format!("{accounts} x {regions} x {DAYS}"), at_once);
        }
    }
}

fn list_once(bucket: &Arc<MemoryBucket>, shape: &str, at_once: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let progress = Arc::new(Progress::default());
    let settings = backfill::Settings { at_once, ..backfill::Settings::default() };
    reset_peak();
    let before = memory("VmRSS");
    let started = Instant::now();
    let (mut objects, mut first) = (0, None);
    runtime.block_on(async {
        let mut chunks =
            backfill::list(bucket.clone(), "AWSLogs", Days::default(), settings, Arc::clone(&progress));
        while let Some(chunk) = chunks.recv().await {
            objects += chunk.expect("is listed").len();
            first.get_or_insert_with(|| started.elapsed());
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "| {objects} | {shape} | {at_once} | {} | {seconds:.1} | {:.0} | {:.1} | {} |",
        progress.counts().requests,
        objects as f64 / seconds,
        first.unwrap_or_default().as_secs_f64(),
        memory("VmHWM").saturating_sub(before) >> 10,
    );
}

/// Keys as CloudTrail makes them, so many objects for each account, region and day.
fn keys(accounts: usize, regions: usize, per_day: usize) -> impl Iterator<Item = String> {
    let first = NaiveDate::from_ymd_opt(2025, 1, 1).expect("a day");
    (0..accounts * regions * DAYS).flat_map(move |index| {
        let (account, region, day) = (index / regions / DAYS, index / DAYS % regions, index % DAYS);
        let day = first + chrono::TimeDelta::days(i64::try_from(day).expect("is small"));
        (0..per_day).map(move |number| {
            let minute = number * 5 % 1440;
            format!(
                "AWSLogs/o-exampleorgid/{account:012}/CloudTrail/region-{region}/{}/{account:012}_CloudTrail_region-{region}_{}T{:02}{:02}Z_{number:016x}.json.gz",
                day.format("%Y/%m/%d"),
                day.format("%Y%m%d"),
                minute / 60,
                minute % 60,
            )
        })
    })
}
