//! Alerts posted to an HTTP endpoint, signed.
//!
//! Must never connect to an address the configuration does not allow, follow a redirect, or show a secret.
//!
//! # The request
//!
//! `POST` with `Content-Type: application/json` and these headers:
//!
//! | header | value |
//! |---|---|
//! | `Idempotency-Key` | the alert's id: the same alert can come more than once |
//! | `X-Trailhound-Timestamp` | when it was sent, in Unix seconds |
//! | `X-Trailhound-Signature` | `v1=` and the HMAC-SHA256, in hex, of timestamp, `.` and body; only with a secret |
//!
//! The body is a JSON object: `version` (1), the fields of [`Alert`] with times in RFC 3339, and `truncated`, which is
//! true if `evidence` was left out because the body would have passed 256 KiB.
//!
//! # Where it may go
//!
//! The host may be chosen by somebody who should not reach our network, or its name may be made to point there.
//! So addresses are checked where they are used: literal ones (the URL parser has turned `0x7f.1` into `127.0.0.1`)
//! when the sink is made, names by the resolver that hands the connection its addresses. Proxies of the environment
//! are not used, for they would do the resolving.

mod address;

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use url::{Host, Url};

use self::address::{FilteredResolver, Forbidden, Lookup, permit, system_lookup};
use super::{Cause, Error, MAX_RETRY_AFTER, Sink};
use crate::alert::Alert;
use crate::clock::Clock;

/// The header with the time the request was sent.
pub const TIMESTAMP_HEADER: &str = "x-trailhound-timestamp";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-trailhound-signature";
/// The header with the alert's id.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

const BODY_VERSION: u32 = 1;
const MAX_BODY_BYTES: usize = 256 * 1024;
/// What is read of an answer, so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 4 * 1024;
const MAX_CONNECT_TIME: Duration = Duration::from_secs(10);

/// Text that is not to be seen: `Debug` shows stars.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` out of sight.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How to reach a webhook.
#[derive(Clone)]
pub struct WebhookConfig {
    /// The sink's name.
    pub name: String,
    /// Where to post to. Its path and query may be a secret and are not shown.
    pub url: Url,
    /// The key of the signature; without one requests are not signed.
    pub secret: Option<Secret>,
    /// Headers to send along, such as `Authorization`.
    pub headers: Vec<(String, Secret)>,
    /// Whether loopback, private and shared addresses are allowed. Link-local (with the metadata service of the
    /// clouds), multicast and reserved addresses never are.
    pub allow_private_addresses: bool,
    /// Whether `http` is allowed beside `https`.
    pub allow_http: bool,
    /// The time for a whole attempt, from looking up the name to the end of the answer.
    pub timeout: Duration,
}

impl WebhookConfig {
    /// The default time for an attempt.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A webhook with the strict defaults: `https`, public addresses, not signed, 10 s.
    pub fn new(name: impl Into<String>, url: Url) -> WebhookConfig {
        WebhookConfig {
            name: name.into(),
            url,
            secret: None,
            headers: Vec::new(),
            allow_private_addresses: false,
            allow_http: false,
            timeout: WebhookConfig::DEFAULT_TIMEOUT,
        }
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig")
            .field("name", &self.name)
            .field("url", &format_args!("{}/***", self.url.origin().ascii_serialization()))
            .field("secret", &self.secret)
            .field("headers", &self.headers)
            .field("allow_private_addresses", &self.allow_private_addresses)
            .field("allow_http", &self.allow_http)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Posts alerts to a webhook.
pub struct WebhookSink {
    /// Not changed after it was checked.
    config: WebhookConfig,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
}

impl WebhookSink {
    /// A sink for the webhook, or what is wrong with its configuration. Connects to nothing.
    pub fn new(config: WebhookConfig, clock: Arc<dyn Clock>) -> Result<WebhookSink, Error> {
        WebhookSink::with_lookup(config, clock, Arc::new(system_lookup))
    }

    fn with_lookup(
        config: WebhookConfig,
        clock: Arc<dyn Clock>,
        lookup: Arc<Lookup>,
    ) -> Result<WebhookSink, Error> {
        let wrong = |reason: String, source: Option<Cause>| Error::Configuration {
            sink: config.name.clone(),
            reason,
            source,
        };
        check_url(&config).map_err(|reason| wrong(reason, None))?;
        let headers = headers(&config).map_err(|reason| wrong(reason, None))?;
        let resolver = FilteredResolver { allow_private: config.allow_private_addresses, lookup };
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(resolver))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .https_only(!config.allow_http)
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(MAX_CONNECT_TIME))
            .user_agent(concat!("trailhound/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .build()
            .map_err(|error| wrong("cannot set up the HTTP client".to_string(), Some(error.into())))?;
        Ok(WebhookSink { config, client, clock })
    }

    fn request(&self, alert: &Alert) -> Result<reqwest::RequestBuilder, Error> {
        let body = body(alert).map_err(|error| self.retry("cannot write it as JSON", None, error.into()))?;
        let timestamp = self.clock.now().timestamp().to_string();
        let mut request = self
            .client
            .post(self.config.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_HEADER, &alert.alert_id)
            .header(TIMESTAMP_HEADER, &timestamp);
        if let Some(secret) = &self.config.secret {
            request = request.header(SIGNATURE_HEADER, signature(secret, &timestamp, &body));
        }
        Ok(request.body(body))
    }

    fn failure(&self, error: reqwest::Error) -> Error {
        // The path of the URL may be a secret.
        let error = error.without_url();
        if let Some(forbidden) = forbidden(&error) {
            return self.refused(forbidden.to_string());
        }
        if error.is_builder() {
            return self.refused(format!("cannot make the request: {error}"));
        }
        let reason = if error.is_timeout() {
            format!("no answer within {:?}", self.config.timeout)
        } else if error.is_connect() {
            "cannot connect".to_string()
        } else {
            "the request failed".to_string()
        };
        self.retry(&reason, None, error.into())
    }

    fn answer(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Error> {
        if status.is_success() {
            return Ok(());
        }
        let reason = format!("it answered {status}");
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {}
            _ if status.is_server_error() => {}
            _ if status.is_redirection() => {
                return self.refused_result(format!("{reason}, and redirects are not followed"));
            }
            _ => return self.refused_result(reason),
        }
        let after = headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value, self.clock.now()));
        Err(Error::Retry { sink: self.config.name.clone(), reason, after, source: None })
    }

    fn retry(&self, reason: &str, after: Option<Duration>, source: Cause) -> Error {
        let reason = reason.to_string();
        Error::Retry { sink: self.config.name.clone(), reason, after, source: Some(source) }
    }

    fn refused(&self, reason: String) -> Error {
        Error::Refused { sink: self.config.name.clone(), reason }
    }

    fn refused_result(&self, reason: String) -> Result<(), Error> {
        Err(self.refused(reason))
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn name(&self) -> &str {
        &self.config.name
    }

    async fn deliver(&self, alert: &Alert) -> Result<(), Error> {
        let response = self.request(alert)?.send().await.map_err(|error| self.failure(error))?;
        let answer = self.answer(response.status(), response.headers());
        discard_body(response).await;
        answer
    }
}

/// Reads the start of the body. What is in it, and whether it ends well, changes nothing.
async fn discard_body(mut response: Response) {
    let mut read = 0;
    while read < MAX_ANSWER_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    version: u32,
    #[serde(flatten)]
    alert: &'a Alert,
    truncated: bool,
}

fn body(alert: &Alert) -> serde_json::Result<Vec<u8>> {
    let body = serde_json::to_vec(&Body { version: BODY_VERSION, alert, truncated: false })?;
    if body.len() <= MAX_BODY_BYTES {
        return Ok(body);
    }
    let alert = &Alert { evidence: serde_json::Map::new(), ..alert.clone() };
    serde_json::to_vec(&Body { version: BODY_VERSION, alert, truncated: true })
}

fn signature(secret: &Secret, timestamp: &str, body: &[u8]) -> HeaderValue {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes keys of every length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut text = "v1=".to_string();
    for byte in mac.finalize().into_bytes() {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    HeaderValue::from_str(&text).expect("hex digits are a header value")
}

/// `Retry-After` in seconds or as a date, between nothing and [`MAX_RETRY_AFTER`].
fn retry_after(value: &HeaderValue, now: DateTime<Utc>) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that do not fit are more than the most.
        return Some(text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    let wait = date.signed_duration_since(now).to_std().unwrap_or(Duration::ZERO);
    Some(wait.min(MAX_RETRY_AFTER))
}

/// What is wrong with the URL, if anything.
fn check_url(config: &WebhookConfig) -> Result<(), String> {
    let url = &config.url;
    match url.scheme() {
        "https" => {}
        "http" if config.allow_http => {}
        "http" => return Err("its URL is `http`: use `https`, or set `allow_http`".to_string()),
        scheme => return Err(format!("its URL is `{scheme}`: use `https`")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its URL holds a user or password, which are not sent".to_string());
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return Ok(()), // the resolver looks at its addresses
        None => return Err("its URL has no host".to_string()),
    };
    permit(address, config.allow_private_addresses).map_err(|forbidden| forbidden.to_string())
}

/// The headers of the configuration, unless they would change what we say ourselves.
fn headers(config: &WebhookConfig) -> Result<HeaderMap, String> {
    const OURS: [&str; 9] = [
        TIMESTAMP_HEADER,
        SIGNATURE_HEADER,
        IDEMPOTENCY_HEADER,
        "content-type",
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "user-agent",
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let shown = crate::text::safe(name);
        let header: HeaderName =
            name.parse().map_err(|_| format!("`{shown}` is not the name of a header"))?;
        if OURS.contains(&header.as_str()) {
            return Err(format!("the header `{shown}` cannot be set"));
        }
        let mut value = HeaderValue::from_str(value.reveal())
            .map_err(|_| format!("the value of the header `{shown}` is not one a header can have"))?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

/// The reason of ours in the chain beneath an error of the client, if it is there.
fn forbidden(error: &reqwest::Error) -> Option<&Forbidden> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(forbidden) = cause.downcast_ref() {
            return Some(forbidden);
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests;
