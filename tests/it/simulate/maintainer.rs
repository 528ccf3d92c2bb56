//! One that keeps the lake in order while the workers work: the program's own compaction, deletion, expiry and vacuum.

use std::sync::{Arc, Mutex};

use chrono::{NaiveDate, TimeDelta};
use rand::Rng;
use trailhound::clock::Clock;
use trailhound::decode::columns::{CLOUDTRAIL, Table, VPC_FLOW};
use trailhound::lake::Lake;
use trailhound::maintain::erase::{self, Deletion};
use trailhound::maintain::{Error, compact, vacuum};
use trailhound::query::Limits;
use trailhound::store::LakeStore;

use super::store::Memory;
use super::worker::pause;
use super::world::{World, WorldClock};

/// The rows that somebody wants deleted, by table.
pub const UNWANTED: [(&Table, &str); 2] = [(&CLOUDTRAIL, "event_id = 'same-0'"), (&VPC_FLOW, "srcport = 1")];
/// The days before this one are expired.
pub const FIRST_KEPT: (i32, u32, u32) = (2026, 3, 9);

/// What a life begins with.
pub struct Maintainer {
    pub world: World,
    pub place: LakeStore,
    pub memory: Arc<Mutex<Memory>>,
}

impl Maintainer {
    /// Keeps the lake in order until it dies.
    pub async fn live(self) {
        let clock: Arc<dyn Clock> = Arc::new(WorldClock(self.world.clone()));
        let lake = loop {
            match Lake::create(self.place.clone(), Arc::clone(&clock)).await {
                Ok(lake) => break lake,
                Err(_) => pause(&self.world, 1..60, "no lake").await,
            }
        };
        loop {
            pause(&self.world, 10..900, "keeps nothing in order").await;
            self.memory.lock().unwrap().begin();
            let turn = self.world.draw(|random| random.random_range(0..6));
            let done = match turn {
                0 => self.expire(&lake).await,
                1 => self.delete(&lake).await,
                2 | 3 => self.vacuum(&lake).await,
                _ => self.compact(&lake).await,
            };
            if let Err(error) = done {
                self.world.note(&format!("maintenance {turn} fails: {error}"));
                self.world.count("maintenance that failed");
            }
        }
    }

    async fn compact(&self, lake: &Lake) -> Result<(), Error> {
        let settings = compact::Settings {
            // Every day is long over.
            closed_after: TimeDelta::days(-2),
            hour_files: Some(2),
            merge: true,
            target_bytes: 64 << 20,
            limits: limits(),
        };
        for job in compact::jobs(lake, &settings, None).await? {
            if let Some(done) = compact::run(lake, job, &settings, |_| {}).await? {
                self.world.count(match done.version {
                    Some(_) if done.duplicates > 0 => "compactions that took out duplicates",
                    Some(_) => "compactions",
                    None => "compactions overtaken",
                });
            }
        }
        Ok(())
    }

    async fn expire(&self, lake: &Lake) -> Result<(), Error> {
        let (year, month, day) = FIRST_KEPT;
        let first_kept = NaiveDate::from_ymd_opt(year, month, day).unwrap();
        for done in erase::expire(lake, first_kept, true, |_| {}).await? {
            self.world.count(if done.version.is_some() { "days expired" } else { "days not expired" });
        }
        Ok(())
    }

    async fn delete(&self, lake: &Lake) -> Result<(), Error> {
        for (table, condition) in UNWANTED {
            for done in Deletion::new(lake, table, condition, &limits())?.run(true, |_| {}).await? {
                self.world.count(if done.version.is_some() { "deletions" } else { "deletions in vain" });
            }
        }
        Ok(())
    }

    async fn vacuum(&self, lake: &Lake) -> Result<(), Error> {
        let hours = self.world.draw(|random| random.random_range(0..48));
        let settings = vacuum::Settings { retain: TimeDelta::hours(hours), dry_run: false };
        for done in vacuum::run(lake, settings, |_| {}).await? {
            if !done.paths.is_empty() {
                self.world.count("vacuums");
            }
        }
        Ok(())
    }
}

fn limits() -> Limits {
    Limits { memory_bytes: 64 << 20, threads: Some(1), ..Limits::default() }
}
