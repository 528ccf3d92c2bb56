//! A queue in SQS.
//!
//! The only place that knows the SQS client. Must never wait for an answer without a limit: a receive
//! whose answer never comes would stop a worker for good.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesOutput;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName};
use aws_smithy_types::timeout::TimeoutConfig;
use serde::Deserialize;

use super::{Error, MAX_BATCH, MAX_VISIBILITY, MAX_WAIT, Message, Queue};

/// How much longer than it should take an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which queue to use, and how.
#[derive(Debug, Clone)]
pub struct SqsConfig {
    /// The queue's URL, or its name in the account and region of the credentials.
    pub queue: String,
    /// The address of an SQS-compatible service; `None`: the configuration's, or else AWS's own.
    pub endpoint: Option<String>,
    /// How long a received message stays invisible.
    pub visibility: Duration,
}

/// A queue in SQS.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
    visibility: Duration,
    patience: Duration,
}

/// What a queue says about itself; the numbers are approximate, as SQS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that were received and are invisible.
    pub in_flight: u64,
    /// Messages that were sent with a delay that is not over.
    pub delayed: u64,
    /// How long a received message stays invisible when the receive does not say.
    pub visibility: Duration,
    /// Where messages go that were received too often; `None`: nowhere, they come back until they expire.
    pub redrive: Option<Redrive>,
}

/// What becomes of messages that were received too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The ARN of the dead-letter queue.
    pub dead_letter_queue: String,
    /// After how many receives.
    pub max_receive_count: u32,
}

impl SqsQueue {
    /// The queue by its URL (no request is made) or by its name (SQS is asked for the URL).
    pub async fn connect(config: &SqsConfig, sdk: &SdkConfig) -> Result<Self, Error> {
        let is_url = config.queue.starts_with("https://") || config.queue.starts_with("http://");
        let mut builder =
            aws_sdk_sqs::config::Builder::from(sdk).timeout_config(attempts_within(PATIENCE * 2));
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint);
        } else if sdk.endpoint_url().is_none()
            && let Some(region) = region_in(&config.queue)
        {
            // The client sends requests to its own region, whatever the URL of the queue says.
            builder = builder.region(Region::new(region.to_owned()));
        }
        let client = Client::from_conf(builder.build());
        let mut queue =
            Self { client, url: config.queue.clone(), visibility: config.visibility, patience: PATIENCE };
        if !is_url {
            let answer = queue.client.get_queue_url().queue_name(&config.queue).send().await;
            let answer = answer.map_err(|error| queue.error(error))?;
            queue.url = answer.queue_url.ok_or_else(|| queue.nonsense("no `QueueUrl`"))?;
        }
        Ok(queue)
    }

    /// The queue's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the queue says about itself.
    pub async fn attributes(&self) -> Result<Attributes, Error> {
        use QueueAttributeName as Name;
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(Name::ApproximateNumberOfMessages)
            .attribute_names(Name::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(Name::ApproximateNumberOfMessagesDelayed)
            .attribute_names(Name::VisibilityTimeout)
            .attribute_names(Name::RedrivePolicy)
            .send()
            .await
            .map_err(|error| self.error(error))?;
        let redrive = answer.attributes().and_then(|all| all.get(&Name::RedrivePolicy));
        let redrive = match redrive.filter(|policy| !policy.is_empty()) {
            Some(policy) => {
                Some(parse_redrive(policy).ok_or_else(|| self.nonsense("a bad `RedrivePolicy`"))?)
            }
            None => None,
        };
        Ok(Attributes {
            visible: self.number(&answer, &Name::ApproximateNumberOfMessages)?,
            in_flight: self.number(&answer, &Name::ApproximateNumberOfMessagesNotVisible)?,
            delayed: self.number(&answer, &Name::ApproximateNumberOfMessagesDelayed)?,
            visibility: Duration::from_secs(self.number(&answer, &Name::VisibilityTimeout)?),
            redrive,
        })
    }

    fn number(&self, answer: &GetQueueAttributesOutput, name: &QueueAttributeName) -> Result<u64, Error> {
        let text = answer.attributes().and_then(|all| all.get(name));
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.nonsense("no number where one belongs"))
    }

    fn message(&self, message: aws_sdk_sqs::types::Message) -> Result<Message, Error> {
        let receive_count = message
            .attributes()
            .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount))
            .and_then(|count| count.parse().ok());
        Ok(Message {
            id: message.message_id.unwrap_or_default(),
            receipt: message.receipt_handle.ok_or_else(|| self.nonsense("a message without a receipt"))?,
            body: message.body.unwrap_or_default(),
            receive_count: receive_count.unwrap_or(1),
        })
    }

    /// Deletes up to ten; adds the receipts of those that were not deleted to `failed`.
    async fn delete_batch(&self, receipts: &[String], failed: &mut Vec<String>) -> Result<(), Error> {
        let entries: Result<Vec<_>, BuildError> = (0..)
            .zip(receipts)
            .map(|(index, receipt): (usize, _)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(receipt)
                    .build()
            })
            .collect();
        let entries = entries.map_err(|error| self.unavailable(error))?;
        let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| self.error(error))?;
        for entry in answer.failed() {
            tracing::debug!(queue = %self.url, code = entry.code(), "a message was not deleted");
            let index: Option<usize> = entry.id().parse().ok();
            failed.extend(index.and_then(|index| receipts.get(index)).cloned());
        }
        Ok(())
    }

    fn error<E, R>(&self, error: SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let queue = self.url.clone();
        match kind_of(error.code().unwrap_or_default()) {
            Kind::Stale => Error::StaleReceipt { queue },
            Kind::Refused => Error::Refused { queue, source: Box::new(error) },
            Kind::Passing => Error::Unavailable { queue, source: Box::new(error) },
        }
    }

    fn unavailable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Unavailable { queue: self.url.clone(), source: source.into() }
    }

    /// The error of an answer that SQS does not give.
    fn nonsense(&self, what: &str) -> Error {
        self.unavailable(format!("the answer holds {what}"))
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        let wait = wait.min(MAX_WAIT);
        let limits = attempts_within(wait + self.patience);
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(max.clamp(1, MAX_BATCH)).unwrap_or(1))
            .wait_time_seconds(whole_seconds(wait))
            .visibility_timeout(whole_seconds(self.visibility.min(MAX_VISIBILITY)))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .customize()
            .config_override(aws_sdk_sqs::Config::builder().timeout_config(limits))
            .send()
            .await
            .map_err(|error| self.error(error))?;
        answer.messages.unwrap_or_default().into_iter().map(|message| self.message(message)).collect()
    }

    async fn change_visibility(&self, receipt: &str, visibility: Duration) -> Result<(), Error> {
        let answer = self
            .client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt)
            .visibility_timeout(whole_seconds(visibility.min(MAX_VISIBILITY)))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // Twelve hours after the receive it can be kept no longer; nothing else here can be invalid.
            Err(error) if error.code() == Some("InvalidParameterValue") => {
                Err(Error::StaleReceipt { queue: self.url.clone() })
            }
            Err(error) => Err(self.error(error)),
        }
    }

    async fn delete(&self, receipts: &[String]) -> Result<Vec<String>, Error> {
        let mut failed = Vec::new();
        for batch in receipts.chunks(MAX_BATCH) {
            self.delete_batch(batch, &mut failed).await?;
        }
        Ok(failed)
    }
}

fn attempts_within(limit: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().operation_attempt_timeout(limit).build()
}

/// Whole seconds, rounded up, as SQS counts.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// The region in the URL of an AWS queue.
fn region_in(queue: &str) -> Option<&str> {
    let host = queue.strip_prefix("https://")?.split('/').next()?;
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let service = host.strip_suffix(".amazonaws.com")?;
    let region = service.strip_prefix("sqs.").or_else(|| service.strip_suffix(".queue"))?;
    let plain = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (plain && !region.is_empty()).then_some(region)
}

/// What an error of SQS means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The message can no longer be kept.
    Stale,
    /// Trying again does not help until somebody changes something.
    Refused,
    /// Trying again may help.
    Passing,
}

/// By the error's code. SQS writes the same code with and without a prefix that ends in a dot.
fn kind_of(code: &str) -> Kind {
    match code.rsplit('.').next().unwrap_or(code) {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => Kind::Stale,
        "QueueDoesNotExist"
        | "NonExistentQueue"
        | "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "InvalidAddress"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "KmsAccessDenied"
        | "KmsDisabled"
        | "KmsInvalidKeyUsage"
        | "KmsInvalidState"
        | "KmsNotFound"
        | "KmsOptInRequired"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "UnsupportedOperation" => Kind::Refused,
        _ => Kind::Passing,
    }
}

fn parse_redrive(policy: &str) -> Option<Redrive> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        dead_letter_target_arn: String,
        max_receive_count: Count,
    }
    /// SQS keeps the count as it was given.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(u32),
        Text(String),
    }
    let policy: Policy = serde_json::from_str(policy).ok()?;
    let max_receive_count = match policy.max_receive_count {
        Count::Number(count) => count,
        Count::Text(text) => text.parse().ok()?,
    };
    Some(Redrive { dead_letter_queue: policy.dead_letter_target_arn, max_receive_count })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use aws_config::BehaviorVersion;
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_smithy_types::retry::RetryConfig;

    use super::*;

    /// A queue whose every request gets this answer; without one, none ever comes.
    async fn answered(answer: Option<(u16, &str)>) -> SqsQueue {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answer = answer.map(|(status, body)| {
            let length = body.len();
            format!("HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        });
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().flatten() {
                match &answer {
                    Some(answer) => {
                        read_request(&mut stream);
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                    None => held.push(stream),
                }
            }
        });
        let credentials = Credentials::new("key", "secret", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region(Region::from_static("eu-west-1"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&endpoint)
            .build();
        let queue = format!("{endpoint}/123456789012/q");
        let config = SqsConfig { queue, endpoint: None, visibility: Duration::from_secs(30) };
        SqsQueue::connect(&config, &sdk).await.unwrap()
    }

    /// Reads the head and the body, whose length the head tells.
    fn read_request(stream: &mut impl Read) {
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if read == 0 || body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                    return;
                }
            }
        }
    }

    fn named(error: &Error) -> &'static str {
        match error {
            Error::StaleReceipt { .. } => "stale",
            Error::Refused { .. } => "refused",
            Error::Unavailable { .. } => "unavailable",
        }
    }

    #[tokio::test]
    async fn errors_tell_what_to_do() {
        for (status, code, expect) in [
            (400, "com.amazonaws.sqs#ReceiptHandleIsInvalid", "stale"),
            (400, "com.amazonaws.sqs#MessageNotInflight", "stale"),
            (400, "AWS.SimpleQueueService.MessageNotInflight", "stale"),
            (400, "InvalidParameterValue", "stale"),
            (400, "com.amazonaws.sqs#QueueDoesNotExist", "refused"),
            (400, "AWS.SimpleQueueService.NonExistentQueue", "refused"),
            (403, "AccessDenied", "refused"),
            (400, "com.amazon.coral.service#AccessDeniedException", "refused"),
            (400, "com.amazonaws.sqs#KmsAccessDenied", "refused"),
            (403, "InvalidClientTokenId", "refused"),
            (403, "ExpiredToken", "unavailable"),
            (403, "OverLimit", "unavailable"),
            (400, "com.amazonaws.sqs#RequestThrottled", "unavailable"),
            (500, "InternalFailure", "unavailable"),
        ] {
            let body = format!(r#"{{"__type":"{code}","message":"m"}}"#);
            let queue = answered(Some((status, &body))).await;
            let error = queue.change_visibility("r", Duration::ZERO).await.unwrap_err();
            assert_eq!(named(&error), expect, "{code}: {error:?}");
            // Only for the visibility does an invalid value say something about the receipt.
            let expect = if code == "InvalidParameterValue" { "unavailable" } else { expect };
            let error = queue.receive(1, Duration::ZERO).await.unwrap_err();
            assert_eq!(named(&error), expect, "{code}: {error:?}");
        }
        for (status, body) in [(503, "<html>busy</html>"), (200, "<html>hello</html>"), (502, "")] {
            let queue = answered(Some((status, body))).await;
            let error = queue.receive(1, Duration::ZERO).await.unwrap_err();
            assert_eq!(named(&error), "unavailable", "{status}: {error:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_ends_the_receive() {
        let mut queue = answered(None).await;
        queue.patience = Duration::from_millis(20);
        let error = queue.receive(1, Duration::ZERO).await.unwrap_err();
        assert_eq!(named(&error), "unavailable", "{error:?}");
    }

    #[tokio::test]
    async fn messages_are_read_whole() {
        let body = r#"{"Messages":[
            {"MessageId":"m","ReceiptHandle":"r","Body":"b","Attributes":{"ApproximateReceiveCount":"3"}},
            {"MessageId":"n","ReceiptHandle":"s","Body":"c"}]}"#;
        let queue = answered(Some((200, body))).await;
        let messages = queue.receive(10, Duration::ZERO).await.unwrap();
        let told: Vec<_> = messages
            .iter()
            .map(|m| (m.id.as_str(), m.receipt.as_str(), m.body.as_str(), m.receive_count))
            .collect();
        assert_eq!(told, [("m", "r", "b", 3), ("n", "s", "c", 1)]);
        let queue = answered(Some((200, "{}"))).await;
        assert!(queue.receive(10, Duration::ZERO).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn deletes_that_failed_are_told() {
        let body = r#"{"Successful":[{"Id":"0"}],"Failed":[
            {"Id":"1","SenderFault":false,"Code":"InternalError"},
            {"Id":"77","SenderFault":true,"Code":"x"},{"Id":"x","SenderFault":true,"Code":"x"}]}"#;
        let queue = answered(Some((200, body))).await;
        let receipts: Vec<_> = (0..12).map(|number| format!("r{number}")).collect();
        assert_eq!(
            queue.delete(&receipts).await.unwrap(),
            ["r1", "r11"],
            "two requests, each failed its second"
        );
        assert!(queue.delete(&[]).await.unwrap().is_empty());
    }

    #[test]
    fn durations_become_whole_seconds() {
        for (millis, expect) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (20_000, 20)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), expect, "{millis}");
        }
        assert_eq!(whole_seconds(Duration::MAX), i32::MAX);
    }

    #[test]
    fn the_region_comes_from_the_url() {
        for (queue, expect) in [
            ("https://sqs.eu-west-1.amazonaws.com/123456789012/q", Some("eu-west-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", Some("cn-north-1")),
            ("https://us-west-2.queue.amazonaws.com/123456789012/q", Some("us-west-2")),
            ("https://queue.amazonaws.com/123456789012/q", None),
            ("https://sqs..amazonaws.com/1/q", None),
            ("https://sqs.a.b.amazonaws.com/1/q", None),
            ("https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/1/q", None),
            ("http://127.0.0.1:4566/000000000000/q", None),
            ("q", None),
        ] {
            assert_eq!(region_in(queue), expect, "{queue}");
        }
    }

    #[test]
    fn redrive_policies_are_read_in_both_forms() {
        let expect = Redrive { dead_letter_queue: "arn:x".to_owned(), max_receive_count: 5 };
        for count in ["5", "\"5\""] {
            let policy = format!(r#"{{"deadLetterTargetArn":"arn:x","maxReceiveCount":{count}}}"#);
            assert_eq!(parse_redrive(&policy).as_ref(), Some(&expect));
        }
        for policy in ["", "{}", "5", r#"{"deadLetterTargetArn":"a","maxReceiveCount":"many"}"#] {
            assert_eq!(parse_redrive(policy), None, "{policy}");
        }
    }
}
