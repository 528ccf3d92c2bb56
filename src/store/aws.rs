//! AWS: its configuration and credentials by the SDK's own chain, and S3 stores that use them.
//!
//! Must never read credentials by any other way than the SDK's chain, nor log or show one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::{ClientOptions, CredentialProvider, RetryConfig};
use tokio::sync::Mutex;
use url::Url;

/// How long before their expiry credentials are renewed.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// How long credentials without an expiry are kept, since a profile may change under a running process.
const KEEP_ENDLESS: Duration = Duration::from_mins(15);
/// How long a failed renewal is not repeated while the old credentials still hold.
const RENEW_PAUSE: Duration = Duration::from_secs(15);

/// What can go wrong before AWS is asked for anything.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The SDK's chain found no region.
    #[error("no AWS region for bucket `{bucket}`: set `AWS_REGION`, or `region` in the AWS profile")]
    NoRegion {
        /// The bucket that was to be opened.
        bucket: String,
    },
    /// The SDK's chain found no credentials.
    #[error(
        "no AWS credentials: set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or run where a role is attached"
    )]
    NoCredentials {
        /// The cause, where the chain was asked.
        #[source]
        source: Option<CredentialsError>,
    },
    /// There are credentials, but they could not be loaded.
    #[error("AWS credentials could not be loaded")]
    Credentials {
        /// The cause.
        #[source]
        source: CredentialsError,
    },
    /// The endpoint is not an address of a web server.
    #[error("endpoint `{endpoint}` is not an `http` or `https` address")]
    Endpoint {
        /// The endpoint as given.
        endpoint: String,
    },
    /// The settings of the bucket make no store.
    #[error("bucket `{bucket}` cannot be opened")]
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
}

/// The SDK's configuration by its usual chain (environment, profile, role of the machine); an endpoint or
/// a region given here wins. Makes no request, except for the region where nothing else tells it.
pub async fn sdk_config(endpoint: Option<&str>, region: Option<&str>) -> SdkConfig {
    // Pinned, so that an update of the SDK does not change retries or time limits by itself.
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
    if let Ok(name) = AppName::new(env!("CARGO_PKG_NAME")) {
        loader = loader.app_name(name);
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

/// Asks the chain for credentials once, so that their lack shows before work begins.
pub async fn check_credentials(sdk: &SdkConfig) -> Result<(), Error> {
    SdkCredentials::new(sdk)?.at(SystemTime::now()).await.map(drop)
}

/// The SDK's credentials for `object_store`, kept until shortly before they expire.
#[derive(Debug)]
pub struct SdkCredentials {
    provider: SharedCredentialsProvider,
    /// Locked while credentials are fetched, so that requests at the same time fetch them once.
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    credential: Arc<AwsCredential>,
    renew_at: SystemTime,
    expires_at: Option<SystemTime>,
}

impl SdkCredentials {
    /// Credentials by the provider of the configuration; fetches nothing yet.
    pub fn new(sdk: &SdkConfig) -> Result<Self, Error> {
        let provider = sdk.credentials_provider().ok_or(Error::NoCredentials { source: None })?;
        Ok(Self { provider, kept: Mutex::new(None) })
    }

    /// The credential to be used at a time.
    async fn at(&self, now: SystemTime) -> Result<Arc<AwsCredential>, Error> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| now < kept.renew_at) {
            return Ok(Arc::clone(&kept.credential));
        }
        let source = match self.provider.provide_credentials().await {
            Ok(credentials) => {
                let new = keep(&credentials, now);
                return Ok(Arc::clone(&kept.insert(new).credential));
            }
            Err(source) => source,
        };
        if let Some(kept) = kept.as_mut().filter(|kept| kept.expires_at.is_none_or(|end| now < end)) {
            tracing::warn!(error = &source as &dyn std::error::Error, "AWS credentials were not renewed");
            kept.renew_at = now + RENEW_PAUSE;
            return Ok(Arc::clone(&kept.credential));
        }
        Err(match source {
            CredentialsError::CredentialsNotLoaded(_) => Error::NoCredentials { source: Some(source) },
            _ => Error::Credentials { source },
        })
    }
}

fn keep(credentials: &aws_credential_types::Credentials, now: SystemTime) -> Kept {
    let credential = AwsCredential {
        key_id: credentials.access_key_id().to_owned(),
        secret_key: credentials.secret_access_key().to_owned(),
        token: credentials.session_token().map(str::to_owned),
    };
    let expires_at = credentials.expiry();
    let renew_at = match expires_at {
        // Those that hold for a shorter time are used as long as they hold.
        Some(end) => end.checked_sub(RENEW_BEFORE).filter(|renew| *renew > now).unwrap_or(end),
        None => now + KEEP_ENDLESS,
    };
    Kept { credential: Arc::new(credential), renew_at, expires_at }
}

#[async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    /// Fails with `Unauthenticated`, whose source is this module's [`Error`].
    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.at(SystemTime::now()).await.map_err(|error| object_store::Error::Unauthenticated {
            path: String::new(),
            source: Box::new(error),
        })
    }
}

/// How a bucket is to be used.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The address of an S3-compatible store, with the bucket in the path; plain HTTP only if it says so.
    /// `None`: the endpoint of the configuration, or else AWS's own.
    pub endpoint: Option<String>,
    /// How failed requests are repeated.
    pub retry: RetryConfig,
    /// The time limit of one request, its body included.
    pub request_timeout: Duration,
}

impl Default for S3Options {
    fn default() -> Self {
        Self { endpoint: None, retry: RetryConfig::default(), request_timeout: Duration::from_mins(2) }
    }
}

/// The bucket as a store with conditional put, in the region and with the credentials of the configuration.
/// Makes no request.
pub fn s3(bucket: &str, sdk: &SdkConfig, options: S3Options) -> Result<AmazonS3, Error> {
    let region = sdk.region().ok_or_else(|| Error::NoRegion { bucket: bucket.to_owned() })?;
    let endpoint = options.endpoint.or_else(|| sdk.endpoint_url().map(str::to_owned));
    let plain_http = endpoint.as_deref().map(is_plain_http).transpose()?.unwrap_or(false);
    let client = ClientOptions::new().with_timeout(options.request_timeout).with_allow_http(plain_http);
    // A bucket with a dot in its name does not match AWS's certificate as a host.
    let bucket_in_host = endpoint.is_none() && !bucket.contains('.');
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region.as_ref())
        .with_credentials(Arc::new(SdkCredentials::new(sdk)?))
        .with_client_options(client)
        .with_retry(options.retry)
        .with_virtual_hosted_style_request(bucket_in_host)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder.build().map_err(|source| Error::Bucket { bucket: bucket.to_owned(), source })
}

/// Whether the endpoint is `http` rather than `https`.
fn is_plain_http(endpoint: &str) -> Result<bool, Error> {
    let url = Url::parse(endpoint).ok().filter(Url::has_host);
    match url.as_ref().map(Url::scheme) {
        Some("http") => Ok(true),
        Some("https") => Ok(false),
        _ => Err(Error::Endpoint { endpoint: endpoint.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::future;
    use object_store::signer::Signer;

    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> SystemTime {
        START + Duration::from_secs(seconds)
    }

    /// What a provider answers; times in seconds.
    #[derive(Debug, Clone, Copy)]
    enum Answer {
        Until(u64),
        Endless,
        Fails,
    }
    use Answer::{Endless, Fails, Until};

    /// Gives its answers in turn, with credentials numbered `key-N`; and then has none.
    #[derive(Debug)]
    struct Script {
        answers: Vec<Answer>,
        asked: AtomicUsize,
    }

    impl ProvideCredentials for Script {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            let expiry = match self.answers.get(asked) {
                Some(Until(end)) => Some(after(*end)),
                Some(Endless) => None,
                Some(Fails) => {
                    let error = CredentialsError::provider_error("metadata service is away");
                    return future::ProvideCredentials::ready(Err(error));
                }
                None => {
                    let error = CredentialsError::not_loaded("nothing found");
                    return future::ProvideCredentials::ready(Err(error));
                }
            };
            let key = format!("key-{asked}");
            let credentials = Credentials::new(key, "secret", Some("t".into()), expiry, "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }

    fn scripted(answers: &[Answer]) -> SdkConfig {
        let script = Script { answers: answers.to_vec(), asked: AtomicUsize::new(0) };
        let provider = SharedCredentialsProvider::new(script);
        SdkConfig::builder().credentials_provider(provider).region(Region::from_static("eu-west-1")).build()
    }

    /// Which credential is used at each of the times, in seconds.
    async fn check(answers: &[Answer], expect: &[(u64, Result<&str, &str>)]) {
        let credentials = SdkCredentials::new(&scripted(answers)).unwrap();
        for (time, expect) in expect {
            let told = credentials.at(after(*time)).await;
            let told = told.map(|credential| credential.key_id.clone()).map_err(|error| error.to_string());
            match expect {
                Ok(key) => assert_eq!(told.as_deref(), Ok(*key), "at {time} s"),
                Err(text) => assert!(told.as_ref().is_err_and(|error| error.contains(text)), "{told:?}"),
            }
        }
    }

    #[tokio::test]
    async fn credentials_are_kept_until_shortly_before_they_expire() {
        check(
            &[Until(3600), Until(7200)],
            &[(0, Ok("key-0")), (3299, Ok("key-0")), (3300, Ok("key-1")), (6899, Ok("key-1"))],
        )
        .await;
        // Shorter than the time before expiry at which they would be renewed.
        check(&[Until(60), Until(3600)], &[(0, Ok("key-0")), (59, Ok("key-0")), (60, Ok("key-1"))]).await;
        check(&[Endless, Endless], &[(0, Ok("key-0")), (899, Ok("key-0")), (900, Ok("key-1"))]).await;
    }

    #[tokio::test]
    async fn credentials_that_still_hold_survive_a_failed_renewal() {
        check(
            &[Until(3600), Fails, Until(7200)],
            &[(0, Ok("key-0")), (3300, Ok("key-0")), (3314, Ok("key-0")), (3315, Ok("key-2"))],
        )
        .await;
        check(&[Until(3600), Fails], &[(0, Ok("key-0")), (3600, Err("AWS credentials could not be loaded"))])
            .await;
        check(&[], &[(0, Err("no AWS credentials: set `AWS_PROFILE`"))]).await;
    }

    #[tokio::test]
    async fn the_store_is_told_why_there_are_no_credentials() {
        let credentials = SdkCredentials::new(&scripted(&[])).unwrap();
        let error = credentials.get_credential().await.unwrap_err();
        let object_store::Error::Unauthenticated { source, .. } = error else { panic!("{error:?}") };
        assert!(source.is::<Error>());
        assert!(check_credentials(&scripted(&[Endless])).await.is_ok());
        let none = SdkConfig::builder().build();
        assert!(matches!(check_credentials(&none).await, Err(Error::NoCredentials { source: None })));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let kept = keep(&Credentials::new("key", "hush", Some("hush".into()), None, "test"), START);
        assert!(!format!("{kept:?}").contains("hush"));
    }

    async fn address(bucket: &str, endpoint: Option<&str>) -> String {
        let sdk = scripted(&[Endless]);
        let options = S3Options { endpoint: endpoint.map(str::to_owned), ..S3Options::default() };
        let store = s3(bucket, &sdk, options).unwrap();
        let path = object_store::path::Path::from("a/b c");
        let get = "GET".parse().unwrap();
        let mut url = store.signed_url(get, &path, Duration::from_mins(1)).await.unwrap();
        url.set_query(None);
        url.into()
    }

    #[tokio::test]
    async fn the_bucket_is_in_the_host_only_where_that_works() {
        for (bucket, endpoint, expect) in [
            ("logs", None, "https://logs.s3.eu-west-1.amazonaws.com/a/b%20c"),
            ("my.logs", None, "https://s3.eu-west-1.amazonaws.com/my.logs/a/b%20c"),
            ("logs", Some("http://127.0.0.1:9000"), "http://127.0.0.1:9000/logs/a/b%20c"),
            ("logs", Some("https://minio.example"), "https://minio.example/logs/a/b%20c"),
        ] {
            assert_eq!(address(bucket, endpoint).await, expect);
        }
    }

    #[tokio::test]
    async fn the_endpoint_and_the_region_given_win() {
        let sdk = sdk_config(Some("http://127.0.0.1:1"), Some("eu-central-1")).await;
        assert_eq!(sdk.region(), Some(&Region::from_static("eu-central-1")));
        assert_eq!(sdk.endpoint_url(), Some("http://127.0.0.1:1"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let sdk = SdkConfig::builder().build();
        let error = s3("logs", &sdk, S3Options::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no AWS region for bucket `logs`: set `AWS_REGION`, or `region` in the AWS profile"
        );
        let sdk = SdkConfig::builder().region(Region::from_static("eu-west-1")).build();
        let error = s3("logs", &sdk, S3Options::default()).unwrap_err();
        assert!(matches!(error, Error::NoCredentials { source: None }));
        for endpoint in ["", "minio:9000", "file:///tmp", "127.0.0.1:9000"] {
            let options = S3Options { endpoint: Some(endpoint.to_owned()), ..S3Options::default() };
            let error = s3("logs", &scripted(&[]), options).unwrap_err();
            assert!(matches!(error, Error::Endpoint { .. }), "{endpoint}: {error}");
        }
    }
}
