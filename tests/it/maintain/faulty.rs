//! A store that fails, or does what it was not asked to, below a lake that is written to and kept in order.

use super::*;

/// What happens to a conditional put.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nothing.
    None,
    /// Nothing is written, and it fails.
    Fail,
    /// It is written, and fails.
    Lie,
    /// Somebody else announced that unnamed files are deleted, and deleted them.
    Vacuum,
    /// The condition is ignored.
    Overwrite,
    /// Somebody else commits first.
    Overtake,
    /// Others went on, and cleaned up the log behind their checkpoint; whether the answer is lost.
    Sleep { lie: bool },
}

/// A local store whose next conditional puts go wrong.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    directory: PathBuf,
    faults: Mutex<VecDeque<Fault>>,
    /// How often version 2 of a log was read.
    second_reads: AtomicU64,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

/// A lake in a directory, and the store beneath it.
async fn open_faulty(directory: &Path) -> (Lake, Arc<Faulty>) {
    let mut place =
        store::lake(&Location::Local(directory.to_owned()), &AwsSettings::default()).await.expect("a store");
    let inner = place.store;
    let faulty = Arc::new(Faulty {
        inner,
        directory: directory.to_owned(),
        faults: Mutex::default(),
        second_reads: AtomicU64::default(),
    });
    place.store = Arc::clone(&faulty) as Arc<dyn ObjectStore>;
    (Lake::create(place, clock()).await.expect("a lake"), faulty)
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        path: &StorePath,
        body: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        let create = options.mode == PutMode::Create;
        let fault = if create { self.faults.lock().expect("a lock").pop_front() } else { None };
        let failed = || object_store::Error::Generic { store: "Faulty", source: "injected fault".into() };
        match fault {
            None | Some(Fault::None) => self.inner.put_opts(path, body, options).await,
            Some(Fault::Fail) => Err(failed()),
            Some(Fault::Lie) => self.inner.put_opts(path, body, options).await.and(Err(failed())),
            Some(Fault::Overtake) => {
                let theirs = r#"{"commitInfo":{"operation":"WRITE"}}"#;
                self.inner.put_opts(path, theirs.into(), options.clone()).await?;
                self.inner.put_opts(path, body, options).await
            }
            Some(Fault::Sleep { lie }) => {
                let table = self.directory.join("cloudtrail");
                std::fs::rename(table.join("_delta_log"), table.join("_before")).expect("is renamed");
                std::fs::rename(table.join("_later"), table.join("_delta_log")).expect("is renamed");
                let put = self.inner.put_opts(path, body, options).await;
                if lie { put.and(Err(failed())) } else { put }
            }
            Some(Fault::Overwrite) => {
                let options = PutOptions { mode: PutMode::Overwrite, ..options };
                self.inner.put_opts(path, body, options).await
            }
            Some(Fault::Vacuum) => {
                let marker = r#"{"commitInfo":{"operation":"VACUUM START"}}"#;
                self.inner.put_opts(path, marker.into(), options).await?;
                let newest = walkdir::WalkDir::new(self.directory.join("cloudtrail"))
                    .into_iter()
                    .filter_map(Result::ok)
                    .filter(|file| file.path().extension().is_some_and(|extension| extension == "parquet"))
                    .max_by_key(|file| file.metadata().expect("is there").modified().expect("a time"));
                std::fs::remove_file(newest.expect("a file").path()).expect("is removed");
                Err(failed())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &StorePath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &StorePath, options: GetOptions) -> StoreResult<GetResult> {
        if path.filename() == Some("00000000000000000002.json") {
            self.second_reads.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, StoreResult<StorePath>>,
    ) -> BoxStream<'static, StoreResult<StorePath>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_bucket_that_ignores_the_condition_of_a_put_is_refused() {
    let location = "s3://bucket/lake".parse::<Location>().expect("a location");
    let endpoint = "http://127.0.0.1:9";
    let aws = AwsSettings { endpoint: Some(endpoint.to_owned()), region: Some("eu-west-1".to_owned()) };
    let inner: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let create = async |faults: &[Fault]| {
        let mut place = store::lake(&location, &aws).await.expect("a store");
        let faults = Mutex::new(faults.iter().copied().collect());
        place.store = Arc::new(Faulty {
            inner: Arc::clone(&inner),
            directory: PathBuf::new(),
            faults,
            second_reads: AtomicU64::default(),
        });
        Lake::create(place, clock()).await.map(drop)
    };
    let files = async || inner.list(None).collect::<Vec<_>>().await;

    let refused = create(&[Fault::Overwrite; 2]).await.expect_err("is refused").to_string();
    assert!(
        refused.contains("`s3://bucket/lake` at `http://127.0.0.1:9` ignores `If-None-Match: *`"),
        "{refused}"
    );
    assert!(files().await.is_empty(), "nothing is made, and nothing is left behind");
    // Where it is overwritten after a fault, it is so too.
    let refused = create(&[Fault::Overwrite, Fault::Fail, Fault::Overwrite]).await.expect_err("is refused");
    assert!(refused.to_string().contains("ignores"), "{refused}");
    create(&[Fault::Fail; 3]).await.expect_err("cannot tell");
    create(&[Fault::None, Fault::Fail, Fault::Fail, Fault::Fail]).await.expect_err("cannot tell");
    assert!(files().await.is_empty(), "nothing is made, and nothing is left behind");
    create(&[Fault::Fail, Fault::None, Fault::Fail, Fault::Fail]).await.expect("is a lake");
    let made = files().await;
    assert_eq!(made.len(), lake::TABLES.len(), "one version of each table: {made:?}");
}

#[tokio::test]
async fn a_writer_that_meets_a_vacuum_stores_its_files_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let (lake, store) = open_faulty(directory.path()).await;
    add(&lake, vec![object("a", &[("1", 1, "x")])]).await;
    store.faults.lock().expect("a lock").push_back(Fault::Vacuum);
    add(&lake, vec![object("b", &[("2", 2, "x")])]).await;
    assert_eq!(rows(&lake).await, 2);
    assert_whole(&lake).await;
    // A compaction gives up: what it wrote may be gone.
    store.faults.lock().expect("a lock").push_back(Fault::Vacuum);
    let job = compact::jobs(&lake, &settings(), Some("cloudtrail")).await.expect("are found").remove(0);
    let done = compact::run(&lake, job, &settings(), |_| {}).await.expect("is tried").expect("had files");
    assert_eq!((done.version, rows(&lake).await), (None, 2));
    assert_whole(&lake).await;
    assert!(compact_all(&lake).await.iter().any(|done| done.table == "cloudtrail"));
    assert_eq!(rows(&lake).await, 2);
    assert_whole(&lake).await;
}

/// A lake whose log of `cloudtrail` ends at version 48, and beside it that of those who go on to a checkpoint at 50
/// and clean up what is behind it.
async fn sleeping(directory: &Path) -> (Lake, Arc<Faulty>) {
    let awake = open(directory).await;
    let numbered = |number: usize| object(&format!("k{number}"), &[(&format!("{number}"), 1, "x")]);
    let table = directory.join("cloudtrail");
    lengthen(directory, "cloudtrail", 1..=47);
    for number in 0..4 {
        if number == 1 {
            std::fs::create_dir(table.join("_before")).expect("is made");
            for file in std::fs::read_dir(table.join("_delta_log")).expect("a directory") {
                let file = file.expect("an entry");
                std::fs::copy(file.path(), table.join("_before").join(file.file_name())).expect("is copied");
            }
        }
        assert_eq!(awake.commit(vec![numbered(number)]).await.expect("is committed").added.len(), 1);
    }
    for version in 0..50 {
        std::fs::remove_file(table.join(format!("_delta_log/{version:020}.json"))).expect("is removed");
    }
    std::fs::rename(table.join("_delta_log"), table.join("_later")).expect("is renamed");
    std::fs::rename(table.join("_before"), table.join("_delta_log")).expect("is renamed");
    let (lake, store) = open_faulty(directory).await;
    assert_eq!(lake.commit(vec![numbered(0)]).await.expect("is known").known.len(), 1);
    (lake, store)
}

fn is_gone<T: std::fmt::Debug>(outcome: Result<T, lake::Error>) {
    let error = outcome.expect_err("is refused");
    assert!(matches!(error, lake::Error::VersionGone { table: "cloudtrail", version: 48 }), "{error:?}");
}

#[tokio::test]
async fn a_commit_that_landed_behind_a_checkpoint_proves_nothing() {
    for lie in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let (lake, store) = sleeping(directory.path()).await;
        store.faults.lock().expect("a lock").push_back(Fault::Sleep { lie });
        let new = || vec![object("new", &[("new", 1, "x")])];
        is_gone(lake.commit(new()).await);
        assert!(directory.path().join("cloudtrail/_delta_log/00000000000000000049.json").exists());
        is_gone(lake.commit(new()).await);
        // The next versions may come: what was noted stays what it is.
        is_gone(lake.commit(new()).await);
        assert_eq!(rows(&lake).await, 4);
    }
}

#[tokio::test]
async fn a_rewrite_that_landed_behind_a_checkpoint_is_not_done() {
    for lie in [false, true] {
        let directory = tempfile::tempdir().expect("a directory");
        let (lake, store) = sleeping(directory.path()).await;
        let log = lake.log("cloudtrail").expect("a table");
        let snapshot = log.snapshot().await.expect("a state");
        store.faults.lock().expect("a lock").push_back(Fault::Sleep { lie });
        let rewrite = Rewrite {
            operation: "DELETE",
            read_at: snapshot.version,
            remove: vec![snapshot.files[0].path.clone()],
            add: Vec::new(),
            removal: None,
        };
        is_gone(lake.rewrite(log, rewrite).await);
        assert_eq!(rows(&lake).await, 4);
    }
}

#[tokio::test]
async fn a_vacuum_that_others_overtake_reads_on_and_not_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let (lake, store) = open_faulty(directory.path()).await;
    for number in 0..4 {
        add(&lake, vec![object(&format!("k{number}"), &[(&format!("{number}"), 1, "x")])]).await;
    }
    compact_all(&lake).await;
    make_old(directory.path(), 1_000);
    store.faults.lock().expect("a lock").extend([Fault::Overtake; 20]);
    let before = store.second_reads.load(Ordering::Relaxed);
    let settings = vacuum::Settings { retain: TimeDelta::days(100), dry_run: false };
    assert_eq!(vacuum::run(&lake, settings, |_| {}).await.expect("is done")[0].paths, [""; 0]);
    let settings = vacuum::Settings { retain: TimeDelta::days(7), dry_run: false };
    let gone = vacuum::run(&lake, settings, |_| {}).await.expect("is done");
    assert_eq!(gone[0].paths.len(), 4, "those that were compacted away");
    let reads = store.second_reads.load(Ordering::Relaxed) - before;
    assert!(reads < 30, "version 2 of the logs was read {reads} times");
    assert_eq!(rows(&lake).await, 4);
    assert_whole(&lake).await;
}

#[tokio::test]
async fn commits_whose_answer_is_lost_are_known_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let (lake, store) = open_faulty(directory.path()).await;
    add(&lake, vec![object("a", &[("1", 1, "x"), ("2", 2, "y")])]).await;
    add(&lake, vec![object("b", &[("1", 1, "x"), ("3", 3, "y")])]).await;
    let next = |faults: &[Fault]| store.faults.lock().expect("a lock").extend(faults);
    next(&[Fault::Fail, Fault::Lie]);
    let done = compact_all(&lake).await;
    assert_eq!((done[0].duplicates, done[0].version), (1, Some(3)));
    assert_whole(&lake).await;
    next(&[Fault::Fail, Fault::Fail, Fault::Lie]);
    let deletion = Deletion::new(&lake, &CLOUDTRAIL, "event_id = '2'", &Limits::default()).expect("is sound");
    let erased = deletion.run(true, |_| {}).await.expect("is done");
    assert_eq!(erased[0].version, Some(4));
    assert_whole(&lake).await;
    make_old(directory.path(), 1_000);
    next(&[Fault::Lie]);
    let settings = vacuum::Settings { retain: TimeDelta::days(7), dry_run: false };
    let gone = vacuum::run(&lake, settings, |_| {}).await.expect("is done");
    assert_eq!(gone[0].paths.len(), 3, "two that were compacted, and the one rows were deleted from");
    assert_eq!(rows(&lake).await, 2);
    assert_whole(&lake).await;
    // All tries fail: nothing is changed, and nothing is lost.
    next(&[Fault::Fail; 12]);
    let failed = Deletion::new(&lake, &CLOUDTRAIL, "event_id = '1'", &Limits::default()).expect("is sound");
    assert!(failed.run(true, |_| {}).await.is_err());
    assert_eq!(rows(&lake).await, 2);
    assert_whole(&lake).await;
}
