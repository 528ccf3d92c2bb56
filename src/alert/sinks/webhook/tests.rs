//! The webhook against a server on the loopback address, and its address filter against the special ranges.
//!
//! Must never connect to anything but the loopback address.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::*;
use crate::alert::sinks::tests::{alert, chain};
use crate::clock::FixedClock;

const NOW: i64 = 1_767_323_045; // 2026-01-02T03:04:05Z

fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock::new(DateTime::from_timestamp(NOW, 0).unwrap()))
}

/// A request as the server saw it.
struct Request {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Request {
        let mut reader = BufReader::new(stream);
        let mut next_line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_string()
        };
        let line = next_line();
        let mut headers = HeaderMap::new();
        loop {
            let header = next_line();
            let Some((name, value)) = header.split_once(": ") else { break };
            headers.append(HeaderName::from_str(name).unwrap(), value.parse().unwrap());
        }
        let length = headers["content-length"].to_str().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        Request { line, headers, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A server that takes one request, answers it and returns it.
fn serve_once(answer: impl Into<Vec<u8>>) -> (Url, JoinHandle<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/hook?token=t0ps3cret", listener.local_addr().unwrap())).unwrap();
    let answer = answer.into();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = Request::read(&stream);
        stream.write_all(&answer).unwrap();
        request
    });
    (url, server)
}

/// What the server thread returns; the runtime goes on meanwhile, for it is what closes connections.
async fn joined<T: Send + 'static>(server: JoinHandle<T>) -> T {
    tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap()
}

fn is_untouched(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// A webhook that may reach the test's own server.
fn local(url: Url) -> WebhookConfig {
    WebhookConfig { allow_http: true, allow_private_addresses: true, ..WebhookConfig::new("soc", url) }
}

/// What comes of an alert when the server gives this answer.
async fn delivered(answer: &str) -> Result<(), Error> {
    let (url, server) = serve_once(answer);
    let result = WebhookSink::new(local(url), clock()).unwrap().deliver(&alert()).await;
    joined(server).await;
    result
}

#[tokio::test]
async fn posts_a_signed_alert() {
    let (url, server) = serve_once("HTTP/1.1 204 No Content\r\n\r\n");
    let config = WebhookConfig {
        secret: Some(Secret::new("key")),
        headers: vec![("Authorization".into(), Secret::new("Bearer abc"))],
        ..local(url)
    };
    let sink = WebhookSink::new(config, clock()).unwrap();
    assert_eq!(sink.name(), "soc");
    sink.deliver(&alert()).await.unwrap();

    let request = joined(server).await;
    assert_eq!(request.line, "POST /hook?token=t0ps3cret HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), Some("Bearer abc"));
    assert_eq!(request.header("idempotency-key"), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(request.header("x-trailhound-timestamp"), Some("1767323045"));
    assert!(request.header("user-agent").unwrap().starts_with("trailhound/"));

    // As a receiver would: over the bytes that came, constant time.
    let signature = request.header("x-trailhound-signature").unwrap().strip_prefix("v1=").unwrap();
    let signature: Vec<u8> = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
        .collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
    mac.update(&[b"1767323045.", request.body.as_slice()].concat());
    mac.verify_slice(&signature).unwrap();
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let (url, server) = serve_once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    WebhookSink::new(local(url), clock()).unwrap().deliver(&alert()).await.unwrap();
    let request = joined(server).await;
    assert_eq!(request.header("x-trailhound-signature"), None);
    assert_eq!(request.header("x-trailhound-timestamp"), Some("1767323045"));
}

#[test]
fn signature_is_what_openssl_makes() {
    // `printf '1.{}' | openssl dgst -sha256 -hmac Jefe`
    let expect = "v1=dc7943cccf20f64327d263db5e2aca27c2b8175e8e6e7ea04f482091bf456b0f";
    assert_eq!(signature(&Secret::new("Jefe"), "1", b"{}"), expect);
}

#[test]
fn body_is_versioned_and_flat() {
    let body: serde_json::Value = serde_json::from_slice(&body(&alert()).unwrap()).unwrap();
    let expect = serde_json::json!({
        "version": 1,
        "alert_id": "0123456789abcdef0123456789abcdef",
        "rule_id": "access-key-for-another-user",
        "title": "Access key created for another user",
        "severity": "high",
        "entity": { "account_id": "111122223333", "actor_arn": "arn:aws:iam::111122223333:user/build" },
        "summary": "`build` created an access key for `admin`, which it had never done in the 90 days before.",
        "window_start": "2026-01-02T03:00:00Z",
        "first_time": "2026-01-02T03:04:05Z",
        "last_time": "2026-01-02T03:14:15Z",
        "event_count": 12,
        "event_ids": ["5e7f6d0c-0000-4000-8000-000000000001"],
        "mitre_tactics": ["TA0003"],
        "mitre_techniques": ["T1098.001"],
        "next_steps": "1. Ask the owner of `build`.\n2. Deactivate the key if nobody knows of it.",
        "evidence": { "event_name": "CreateAccessKey", "error_code": null, "source_row": 7 },
        "created_at": "2026-01-02T03:15:00Z",
        "truncated": false,
    });
    assert_eq!(body, expect);
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&body), keys(&expect), "in this order");
}

#[test]
fn large_evidence_is_left_out() {
    let mut large = alert();
    large.evidence.insert("request_parameters".into(), "x".repeat(MAX_BODY_BYTES).into());
    let body = body(&large).unwrap();
    assert!(body.len() < 2000, "{}", body.len());
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["truncated"], true);
    assert_eq!(body["evidence"], serde_json::json!({}));
    assert_eq!(body["title"], "Access key created for another user");
}

#[tokio::test]
async fn statuses() {
    for status in ["200 OK", "201 Created", "202 Accepted", "204 No Content"] {
        delivered(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await.unwrap();
    }
    for status in ["408 x", "425 x", "429 x", "500 x", "502 x", "503 x", "504 x", "599 x"] {
        let error = delivered(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await.unwrap_err();
        assert!(
            matches!(&error, Error::Retry { sink, after: None, .. } if sink == "soc"),
            "{status}: {error}"
        );
    }
    for status in ["300 x", "304 x", "400 x", "401 x", "403 x", "404 x", "410 x", "413 x", "422 x"] {
        let error = delivered(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { sink, .. } if sink == "soc"), "{status}: {error}");
    }
}

#[tokio::test]
async fn not_found_says_so() {
    let error = delivered("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap_err();
    assert_eq!(chain(&error), "sink `soc` refused the alert: it answered 404 Not Found");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let location = format!("http://{}/", elsewhere.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status} x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let error = delivered(&answer).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert!(error.to_string().ends_with("and redirects are not followed"), "{error}");
        assert!(is_untouched(&elsewhere));
    }
}

#[tokio::test]
async fn retry_after_is_carried() {
    let check = async |value: &str, expect: Option<u64>| {
        let answer = format!("HTTP/1.1 429 x\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        match delivered(&answer).await {
            Err(Error::Retry { after, .. }) => assert_eq!(after, expect.map(Duration::from_secs), "{value}"),
            other => panic!("{value}: {other:?}"),
        }
    };
    check("7", Some(7)).await;
    check("0", Some(0)).await;
    check("3600", Some(3600)).await;
    check("3601", Some(3600)).await;
    check("99999999999999999999999", Some(3600)).await;
    check("Fri, 02 Jan 2026 03:05:05 GMT", Some(60)).await;
    check("Fri, 02 Jan 2026 03:04:04 GMT", Some(0)).await;
    check("Fri, 02 Jan 2099 03:04:04 GMT", Some(3600)).await;
    check("-1", None).await;
    check("soon", None).await;
    check("", None).await;
}

#[tokio::test]
async fn slow_server_is_left() {
    // The system takes the connection; nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let config = WebhookConfig { timeout: Duration::from_millis(50), ..local(url) };
    let error = WebhookSink::new(config, clock()).unwrap().deliver(&alert()).await.unwrap_err();
    assert_eq!(error.to_string(), "sink `soc` did not take the alert: no answer within 50ms");
    assert!(matches!(error, Error::Retry { after: None, source: Some(_), .. }));
}

#[tokio::test]
async fn slow_end_of_an_answer_does_not_undo_it() {
    // Ten bytes promised, none sent, the connection kept open.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        Request::read(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0]); // until the client goes
    });
    let config = WebhookConfig { timeout: Duration::from_secs(2), ..local(url) };
    let sink = WebhookSink::new(config, clock()).unwrap();
    sink.deliver(&alert()).await.unwrap();
    joined(server).await;
}

#[tokio::test]
async fn endless_answer_is_not_read() {
    const MOST: usize = 512 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        Request::read(&stream);
        let (mut sent, part) = (0, vec![b'x'; 65536]);
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {MOST}\r\n\r\n").as_bytes()).unwrap();
        while sent < MOST && stream.write_all(&part).is_ok() {
            sent += part.len();
        }
        sent
    });
    WebhookSink::new(local(url), clock()).unwrap().deliver(&alert()).await.unwrap();
    // What the sockets of both sides hold may be gone; the rest was never taken.
    assert!(joined(server).await < MOST / 4);
}

#[tokio::test]
async fn nobody_listening_is_worth_a_retry_and_shows_no_secret() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/t0ps3cret", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let config = WebhookConfig {
        secret: Some(Secret::new("s1gning")),
        headers: vec![("authorization".into(), Secret::new("b3arer"))],
        ..local(url)
    };
    let config_text = format!("{config:?}");
    let error = WebhookSink::new(config, clock()).unwrap().deliver(&alert()).await.unwrap_err();
    assert!(matches!(error, Error::Retry { .. }), "{error}");
    assert!(error.to_string().ends_with("cannot connect"), "{error}");
    for text in [config_text, format!("{error:?}"), chain(&error)] {
        for secret in ["t0ps3cret", "s1gning", "b3arer"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn https_sends_nothing_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut start = [0; 2];
        stream.read_exact(&mut start).unwrap();
        start
    });
    let config = WebhookConfig { allow_http: false, ..local(url) };
    let error = WebhookSink::new(config, clock()).unwrap().deliver(&alert()).await.unwrap_err();
    assert!(matches!(error, Error::Retry { .. }), "{error}");
    assert_eq!(joined(server).await, [22, 3], "a TLS handshake");
}

/// Why the sink for this URL cannot be made, if it cannot.
fn rejected(url: &str, change: impl FnOnce(&mut WebhookConfig)) -> Option<String> {
    let mut config = WebhookConfig::new("soc", Url::parse(url).unwrap());
    change(&mut config);
    match WebhookSink::new(config, clock()) {
        Ok(_) => None,
        Err(error @ Error::Configuration { .. }) => Some(chain(&error)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn https_client_can_be_made() {
    // Would fail without a crypto provider in the build.
    assert_eq!(rejected("https://hooks.example.com/services/x", |_| {}), None);
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    let check = |url: &str, expect: &str| {
        let expect = format!("sink `soc` cannot be used: {expect}");
        assert_eq!(rejected(url, |_| {}).as_deref(), Some(expect.as_str()), "{url}");
    };
    check("http://example.com/", "its URL is `http`: use `https`, or set `allow_http`");
    check("file:///etc/passwd", "its URL is `file`: use `https`");
    check("gopher://127.0.0.1:25/", "its URL is `gopher`: use `https`");
    check("https://user@example.com/", "its URL holds a user or password, which are not sent");
    check("https://:pass@example.com/", "its URL holds a user or password, which are not sent");
    check(
        "https://127.0.0.1/",
        "`127.0.0.1` is a private address: set `allow_private_addresses` if it is meant",
    );
    check("https://169.254.169.254/latest/", "`169.254.169.254` is an address that no webhook can have");
    assert_eq!(rejected("http://example.com/", |config| config.allow_http = true), None);
    assert!(rejected("ftp://example.com/", |config| config.allow_http = true).is_some());
}

#[test]
fn literal_addresses_are_refused_however_they_are_written() {
    let hosts =
        ["0x7f.1", "2130706433", "0177.0.0.1", "127.1", "127.0.0.1.", "0x7f000001", "%31%32%37.0.0.1"]
            .into_iter()
            .chain(["１２７.0.0.1", "127。0。0。1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"])
            .chain([
                "[64:ff9b::10.0.0.1]",
                "[2002:7f00:1::]",
                "0",
                "0.0.0.0",
                "[::]",
                "[fe80::1]",
                "0xa9fea9fe",
            ]);
    for host in hosts {
        assert!(rejected(&format!("https://{host}/"), |_| {}).is_some(), "{host}");
    }
    assert_eq!(rejected("https://127.0.0.1/", |config| config.allow_private_addresses = true), None);
    assert_eq!(rejected("https://93.184.216.34/", |_| {}), None);
    assert_eq!(rejected("https://[2606:2800:220:1::1]/", |_| {}), None);
    for never in ["169.254.169.254", "0xa9fea9fe", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "0.0.0.0"] {
        let url = format!("https://{never}/");
        assert!(rejected(&url, |config| config.allow_private_addresses = true).is_some(), "{never}");
    }
}

#[test]
fn headers_are_checked() {
    let check = |name: &str, value: &str, expect: Option<&str>| {
        let found = rejected("https://example.com/", |config| {
            config.headers = vec![(name.to_string(), Secret::new(value))];
        });
        let expect = expect.map(|expect| format!("sink `soc` cannot be used: {expect}"));
        assert_eq!(found, expect, "{name}");
    };
    check("Authorization", "Bearer x", None);
    check("X-Team", "soc", None);
    check("X-Trailhound-Signature", "v1=00", Some("the header `X-Trailhound-Signature` cannot be set"));
    check("Host", "internal", Some("the header `Host` cannot be set"));
    check("a b", "x", Some("`a b` is not the name of a header"));
    check("x\u{1b}", "x", Some("`x\\u{1b}` is not the name of a header"));
    check("x", "a\r\nHost: b", Some("the value of the header `x` is not one a header can have"));
}

/// A sink whose names are looked up by `lookup`, on a port where the listener would notice a connection.
fn named(allow_private: bool, lookup: Arc<Lookup>) -> (TcpListener, WebhookSink) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = Url::parse(&format!("http://hooks.example.com:{port}/")).unwrap();
    let config = WebhookConfig { allow_private_addresses: allow_private, ..local(url) };
    (listener, WebhookSink::with_lookup(config, clock(), lookup).unwrap())
}

#[tokio::test]
async fn names_that_point_inside_are_refused() {
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
        let address: IpAddr = address.parse().unwrap();
        let (listener, sink) = named(false, Arc::new(move |_| Ok(vec![address])));
        let error = sink.deliver(&alert()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("sink `soc` refused the alert: {}", Forbidden::Private(address)),
        );
        assert!(is_untouched(&listener));
    }
    // The system's own look-up, too.
    let mut config = local(Url::parse("http://localhost:9/").unwrap());
    config.allow_private_addresses = false;
    let error = WebhookSink::new(config, clock()).unwrap().deliver(&alert()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[tokio::test]
async fn connection_is_made_to_the_address_that_was_checked() {
    // The first look-up is fine; any later one would send the connection elsewhere.
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let (listener, sink) = named(
        true,
        Arc::new(move |name: &str| {
            assert_eq!(name, "hooks.example.com");
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![IpAddr::from(if first { [127, 0, 0, 1] } else { [169, 254, 169, 254] })])
        }),
    );
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = Request::read(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        request
    });
    sink.deliver(&alert()).await.unwrap();
    assert_eq!(lookups.load(Ordering::SeqCst), 1);
    assert!(joined(server).await.header("host").unwrap().starts_with("hooks.example.com:"));
    // The name has turned: the next connection is checked anew.
    let error = sink.deliver(&alert()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(lookups.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn names_that_cannot_be_looked_up_are_worth_a_retry() {
    for found in [Ok(vec![]), Err(io::ErrorKind::NotFound)] {
        let (listener, sink) = named(false, Arc::new(move |_| found.clone().map_err(io::Error::from)));
        let error = sink.deliver(&alert()).await.unwrap_err();
        assert!(matches!(error, Error::Retry { .. }), "{error}");
        assert!(is_untouched(&listener));
    }
}

#[test]
fn secrets_show_stars() {
    let mut config =
        WebhookConfig::new("soc", Url::parse("https://hooks.example.com/services/T0/B0?k=v").unwrap());
    config.secret = Some(Secret::new("key"));
    config.headers = vec![("authorization".into(), Secret::new("Bearer x"))];
    assert_eq!(
        format!("{config:?}"),
        "WebhookConfig { name: \"soc\", url: https://hooks.example.com/***, secret: Some(***), \
         headers: [(\"authorization\", ***)], allow_private_addresses: false, allow_http: false, timeout: 10s }"
    );
}
