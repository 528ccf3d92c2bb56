//! The attack hidden in the day: a stolen key, a back door, and what was carried out.
//!
//! Must never spill into the day when the plan says no attack.

use super::actor::Actor;
use super::calls::{self as c, Call, Service, read, service, write};
use super::estate::{ACCOUNTS, LEGACY_USER, PROD, REGIONS, SERVICES, US_EAST_1};
use super::events::Outcome;
use super::script::{At, Script, sign_in, time};

/// The address all of the attack comes from.
pub const ATTACKER_ADDRESS: &str = "198.51.100.77";
/// The long-term key that was stolen; the same key does honest work from the office all day.
pub const STOLEN_ACCESS_KEY_ID: &str = "AKIA5LEGACYCIEXAMPLE";
/// The IAM user made as a back door.
pub const NEW_USER: &str = "svc-backup-sync";
/// The key made for that user.
pub const NEW_ACCESS_KEY_ID: &str = "AKIA5SVCBACKUEXAMPLE";
/// The account outside the organization that gets the snapshot.
pub const OUTSIDE_ACCOUNT_ID: &str = "666677778888";
/// The bucket that is opened and emptied.
pub const BUCKET: &str = "acme-prod-customer-exports";
/// The security group that is opened to the world on port 22.
pub const SECURITY_GROUP_ID: &str = "sg-0b057a10a1b2c3d4e";
/// The snapshot that is shared.
pub const SNAPSHOT_ID: &str = "snap-0c0ffee1d2e3f4a5b";
/// The private address of the host that is scanned, entered, and used to carry data out.
pub const HOST_ADDRESS: &str = "10.20.1.25";
/// How many secrets are read.
pub const SECRETS_READ: usize = 14;
/// How many calls are denied in the first minutes.
pub const DENIED_CALLS: usize = DENIED.len();
/// How many objects are read from the bucket.
pub const OBJECTS_READ: usize = 120;

/// The facts of the attack, for documentation and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// The address all of it comes from.
    pub attacker_address: &'static str,
    /// The IAM user whose key was stolen.
    pub stolen_user: &'static str,
    /// That key.
    pub stolen_access_key_id: &'static str,
    /// The IAM user made as a back door.
    pub new_user: &'static str,
    /// That user's key.
    pub new_access_key_id: &'static str,
    /// The account it happens in.
    pub account_id: &'static str,
    /// The region it happens in.
    pub region: &'static str,
    /// The account outside the organization that gets the snapshot.
    pub outside_account_id: &'static str,
    /// The bucket that is opened and emptied.
    pub bucket: &'static str,
    /// The security group that is opened.
    pub security_group_id: &'static str,
    /// The snapshot that is shared.
    pub snapshot_id: &'static str,
    /// The host that is scanned, entered, and used to carry data out.
    pub host_address: &'static str,
    /// The first event, in seconds of the day (UTC).
    pub starts_second: i32,
    /// The last event, in seconds of the day (UTC).
    pub ends_second: i32,
}

/// The facts of the attack.
pub const fn story() -> Story {
    Story {
        attacker_address: ATTACKER_ADDRESS,
        stolen_user: LEGACY_USER,
        stolen_access_key_id: STOLEN_ACCESS_KEY_ID,
        new_user: NEW_USER,
        new_access_key_id: NEW_ACCESS_KEY_ID,
        account_id: ACCOUNTS[PROD].id,
        region: REGIONS[US_EAST_1],
        outside_account_id: OUTSIDE_ACCOUNT_ID,
        bucket: BUCKET,
        security_group_id: SECURITY_GROUP_ID,
        snapshot_id: SNAPSHOT_ID,
        host_address: HOST_ADDRESS,
        starts_second: time(13, 41, 12),
        ends_second: time(15, 9, 8),
    }
}

/// When the port scan begins, in seconds of the day.
pub const SCAN_STARTS: i32 = time(13, 51, 20);
/// When the first SSH session from outside begins.
pub const SSH_STARTS: i32 = time(14, 14, 10);
/// When data begins to leave.
pub const EXFILTRATION_STARTS: i32 = time(14, 44, 30);
/// How many minutes data leaves for.
pub const EXFILTRATION_MINUTES: i32 = 22;

const KALI: &str =
    "aws-cli/2.15.14 Python/3.11.6 Linux/6.6.9-amd64 exe/x86_64.kali.2023 prompt/off command/%s.%c";
const PYTHON: &str = "Boto3/1.34.46 md/Botocore#1.34.46 ua/2.0 os/linux#6.6.9-amd64 md/arch#x86_64 lang/python#3.11.8 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.34.46";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0";

static BUCKET_S3: Service = Service {
    request_id: c::RequestId::Short,
    ..service("s3", "1.11", "acme-prod-customer-exports.s3.%r.amazonaws.com", true)
};
static RDS: Service = service("rds", "1.11", "rds.%r.amazonaws.com", true);
static BEDROCK: Service = service("bedrock", "1.11", "bedrock.%r.amazonaws.com", true);
static QUOTAS: Service = service("servicequotas", "1.09", "servicequotas.%r.amazonaws.com", true);
static SES: Service = service("ses", "1.08", "email.%r.amazonaws.com", true);
static REDSHIFT: Service = service("redshift", "1.08", "redshift.%r.amazonaws.com", true);
static ANALYZER: Service = service("access-analyzer", "1.09", "access-analyzer.%r.amazonaws.com", true);

const BUCKET_ARN: &str =
    r#"[{"accountId":"%a","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::acme-prod-customer-exports"}]"#;

/// Who acts in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Stolen,
    New,
    Console,
}

/// One step of the story.
struct Step(i32, Who, Call);

/// What the stolen key is allowed to look at.
static DISCOVERY: &[Step] = &[
    Step(time(13, 41, 12), Who::Stolen, read(&c::STS, "GetCallerIdentity", "")),
    Step(time(13, 42, 3), Who::Stolen, read(&c::IAM, "ListUsers", "")),
    Step(time(13, 42, 9), Who::Stolen, read(&c::IAM, "ListRoles", "")),
    Step(
        time(13, 42, 20),
        Who::Stolen,
        read(&c::S3_REGION, "ListBuckets", r#"{"Host":"s3.%r.amazonaws.com"}"#),
    ),
    Step(
        time(13, 42, 31),
        Who::Stolen,
        read(&c::EC2, "DescribeInstances", r#"{"maxResults":1000,"instancesSet":{},"filterSet":{}}"#),
    ),
    Step(
        time(13, 42, 44),
        Who::Stolen,
        read(
            &c::EC2,
            "DescribeSecurityGroups",
            r#"{"securityGroupSet":{},"securityGroupIdSet":{},"filterSet":{}}"#,
        ),
    ),
    Step(
        time(13, 43, 2),
        Who::Stolen,
        read(&c::IAM, "ListAttachedUserPolicies", r#"{"userName":"ci-deploy-legacy"}"#),
    ),
    Step(
        time(13, 43, 15),
        Who::Stolen,
        read(&c::IAM, "ListUserPolicies", r#"{"userName":"ci-deploy-legacy"}"#),
    ),
    Step(time(13, 43, 28), Who::Stolen, read(&c::IAM, "GetAccountAuthorizationDetails", "")),
];

/// What it is not: one call every dozen seconds.
static DENIED: [Call; 32] = [
    read(&c::ORGANIZATIONS, "ListAccounts", ""),
    read(&c::COST, "GetCostAndUsage", ""),
    read(&RDS, "DescribeDBInstances", ""),
    read(&RDS, "DescribeDBSnapshots", ""),
    read(&c::DYNAMODB, "ListTables", ""),
    read(&c::KMS, "ListKeys", ""),
    read(&c::KMS, "ListAliases", ""),
    read(&c::SSM, "DescribeParameters", ""),
    read(&c::SSM, "DescribeInstanceInformation", ""),
    read(&c::SECRETS, "ListSecrets", ""),
    read(&c::LAMBDA, "ListFunctions20150331", ""),
    read(&c::EKS, "ListClusters", ""),
    read(&c::ECS, "ListClusters", ""),
    read(&c::ECR, "DescribeRepositories", ""),
    read(&c::SNS, "ListTopics", ""),
    read(&c::SQS, "ListQueues", ""),
    read(&SES, "GetSendQuota", ""),
    read(&SES, "ListIdentities", ""),
    read(&c::ROUTE53, "ListHostedZones", ""),
    read(&c::CLOUDFORMATION, "ListStacks", ""),
    read(&c::GUARDDUTY, "ListDetectors", ""),
    read(&ANALYZER, "ListAnalyzers", ""),
    read(&c::SECURITYHUB, "DescribeHub", ""),
    read(&c::CONFIG, "DescribeConfigurationRecorders", ""),
    read(&c::CLOUDTRAIL, "DescribeTrails", ""),
    read(&c::LOGS, "DescribeLogGroups", ""),
    read(&REDSHIFT, "DescribeClusters", ""),
    read(&c::GLUE, "GetDatabases", ""),
    read(&BEDROCK, "ListFoundationModels", ""),
    read(&QUOTAS, "ListServiceQuotas", ""),
    read(&c::BACKUP, "ListBackupVaults", ""),
    read(
        &c::EC2,
        "DescribeSnapshots",
        r#"{"ownersSet":{"items":[{"owner":"self"}]},"snapshotSet":{},"sharedUsersSet":{},"filterSet":{}}"#,
    ),
];

/// The back door: a new administrator with a key and a password.
static PERSISTENCE: &[Step] = &[
    Step(
        time(13, 58, 3),
        Who::Stolen,
        write(
            &c::IAM,
            "CreateUser",
            r#"{"userName":"svc-backup-sync","path":"/"}"#,
            r#"{"user":{"path":"/","userName":"svc-backup-sync","userId":"AIDA5SVCBACKUPEXAMPLE","arn":"arn:aws:iam::%a:user/svc-backup-sync","createDate":"%D"}}"#,
        ),
    ),
    Step(
        time(13, 58, 20),
        Who::Stolen,
        write(
            &c::IAM,
            "AttachUserPolicy",
            r#"{"userName":"svc-backup-sync","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}"#,
            "",
        ),
    ),
    Step(
        time(13, 58, 41),
        Who::Stolen,
        write(
            &c::IAM,
            "CreateAccessKey",
            r#"{"userName":"svc-backup-sync"}"#,
            r#"{"accessKey":{"userName":"svc-backup-sync","accessKeyId":"AKIA5SVCBACKUEXAMPLE","status":"Active","createDate":"%D"}}"#,
        ),
    ),
    Step(
        time(13, 59, 10),
        Who::Stolen,
        write(
            &c::IAM,
            "CreateLoginProfile",
            r#"{"userName":"svc-backup-sync","passwordResetRequired":false}"#,
            r#"{"loginProfile":{"userName":"svc-backup-sync","createDate":"%D","passwordResetRequired":false}}"#,
        ),
    ),
    Step(time(14, 1, 30), Who::New, read(&c::STS, "GetCallerIdentity", "")),
    Step(
        LOGIN_AT,
        Who::Console,
        sign_in(
            "ConsoleLogin",
            r#"{"ConsoleLogin":"Success"}"#,
            r#"{"LoginTo":"https://console.aws.amazon.com/console/home?hashArgs=%23&isauthcode=true&state=hashArgsFromTB_us-east-1_%h","MobileVersion":"No","MFAUsed":"No"}"#,
        ),
    ),
    Step(
        time(14, 4, 12),
        Who::Console,
        read(&c::EC2, "DescribeInstances", r#"{"maxResults":100,"instancesSet":{},"filterSet":{}}"#),
    ),
    Step(
        time(14, 4, 40),
        Who::Console,
        read(&c::CLOUDTRAIL, "DescribeTrails", r#"{"trailNameList":[],"includeShadowTrails":true}"#),
    ),
    Step(time(14, 5, 2), Who::Console, read(&c::GUARDDUTY, "ListDetectors", r#"{"maxResults":50}"#)),
];

/// Blinding the watchers: the account's own trail and detector (the organization's trail goes on).
static EVASION: &[Step] = &[
    Step(time(14, 6, 40), Who::New, write(&c::GUARDDUTY, "DeleteDetector", r#"{"detectorId":"12abc34d567e8fa901bc2d34e56789f0"}"#, "")),
    Step(time(14, 8, 5), Who::New, write(&c::CLOUDTRAIL, "StopLogging", r#"{"name":"arn:aws:cloudtrail:us-east-1:123456789012:trail/prod-account-trail"}"#, "").on(r#"[{"accountId":"%a","type":"AWS::CloudTrail::Trail","ARN":"arn:aws:cloudtrail:us-east-1:%a:trail/prod-account-trail"}]"#)),
    Step(time(14, 12, 36), Who::New, write(&c::EC2, "AuthorizeSecurityGroupIngress", r#"{"groupId":"sg-0b057a10a1b2c3d4e","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"groups":{},"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}"#, r#"{"requestId":"%G","_return":true,"securityGroupRuleSet":{"items":[{"groupOwnerId":"%a","groupId":"sg-0b057a10a1b2c3d4e","securityGroupRuleId":"sgr-0%j","isEgress":false,"ipProtocol":"tcp","fromPort":22,"toPort":22,"cidrIpv4":"0.0.0.0/0"}]}}"#)),
    Step(time(14, 17, 44), Who::New, read(&c::SECRETS, "ListSecrets", r#"{"maxResults":100,"includePlannedDeletion":false}"#)),
];

/// What is carried out.
static COLLECTION: &[Step] = &[
    Step(time(14, 30, 18), Who::New, read(&c::EC2, "DescribeSnapshots", r#"{"ownersSet":{"items":[{"owner":"self"}]},"snapshotSet":{},"sharedUsersSet":{},"filterSet":{}}"#)),
    Step(time(14, 31, 9), Who::New, write(&c::EC2, "ModifySnapshotAttribute", r#"{"snapshotId":"snap-0c0ffee1d2e3f4a5b","createVolumePermission":{"add":{"items":[{"userId":"666677778888"}]}},"attributeType":"CREATE_VOLUME_PERMISSION"}"#, r#"{"requestId":"%G","_return":true}"#)),
    Step(time(14, 37, 50), Who::New, write(&BUCKET_S3, "DeleteBucketPublicAccessBlock", r#"{"publicAccessBlock":"","bucketName":"acme-prod-customer-exports","Host":"acme-prod-customer-exports.s3.%r.amazonaws.com"}"#, "").on(BUCKET_ARN)),
    Step(time(14, 38, 22), Who::New, write(&BUCKET_S3, "PutBucketPolicy", r#"{"bucketPolicy":{"Version":"2012-10-17","Statement":[{"Sid":"Sync","Effect":"Allow","Principal":"*","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::acme-prod-customer-exports","arn:aws:s3:::acme-prod-customer-exports/*"]}]},"bucketName":"acme-prod-customer-exports","Host":"acme-prod-customer-exports.s3.%r.amazonaws.com","policy":""}"#, "").on(BUCKET_ARN)),
    Step(time(14, 43, 51), Who::New, read(&BUCKET_S3, "ListObjects", r#"{"list-type":"2","bucketName":"acme-prod-customer-exports","prefix":"exports/","Host":"acme-prod-customer-exports.s3.%r.amazonaws.com","encoding-type":"url"}"#).on(BUCKET_ARN).data(0, 90_000)),
];

static GET_OBJECT: Call = read(&BUCKET_S3, "GetObject", r#"{"bucketName":"acme-prod-customer-exports","Host":"acme-prod-customer-exports.s3.%r.amazonaws.com","key":"exports/%O/customers-%z.csv.gz"}"#)
    .on(r#"[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::acme-prod-customer-exports/exports/%O/customers-%z.csv.gz"},{"accountId":"%a","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::acme-prod-customer-exports"}]"#)
    .data(0, 60_000_000);
static DECRYPT: Call = read(&c::KMS, "Decrypt", r#"{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"SecretARN":"arn:aws:secretsmanager:%r:%a:secret:%q","SecretVersionId":"%G"}}"#)
    .on(r#"[{"accountId":"%a","type":"AWS::KMS::Key","ARN":"arn:aws:kms:%r:%a:key/%K"}]"#)
    .via("secretsmanager.amazonaws.com");

const LOGIN_AT: i32 = time(14, 3, 27);

/// Adds the whole story.
pub fn events(script: &mut Script<'_>) {
    for step in [DISCOVERY, PERSISTENCE, EVASION, COLLECTION].into_iter().flatten() {
        take(script, step);
    }
    let stolen = actor(script, Who::Stolen);
    for (number, call) in (0..).zip(&DENIED) {
        script.add(at(time(13, 43, 40) + number * 12), &stolen, call, Outcome::Denied);
    }
    let new = actor(script, Who::New);
    for (number, stem) in (0..).zip(SERVICES.iter().take(SECRETS_READ)) {
        let second = time(14, 18, 20) + number * 38;
        script.add_named(at(second), &new, &c::SECRET_OWN[0].1, Outcome::Done, (stem, 1));
        script.add_named(at(second), &new, &DECRYPT, Outcome::Done, (stem, 1));
    }
    for number in (0..).take(OBJECTS_READ) {
        script.add(at(time(14, 44, 5) + number * 12), &new, &GET_OBJECT, Outcome::Done);
    }
}

fn take(script: &mut Script<'_>, step: &Step) {
    let Step(second, who, call) = step;
    let actor = match call.kind {
        "AwsConsoleSignIn" => signing_in(),
        _ => actor(script, *who),
    };
    script.add(at(*second), &actor, call, Outcome::Done);
}

fn signing_in() -> Actor {
    let mut actor = Actor::default();
    actor.become_user(NEW_USER, "", ATTACKER_ADDRESS, BROWSER);
    actor
}

fn actor(script: &Script<'_>, who: Who) -> Actor {
    let mut actor = Actor::default();
    match who {
        Who::Stolen => actor.become_user(LEGACY_USER, STOLEN_ACCESS_KEY_ID, ATTACKER_ADDRESS, KALI),
        Who::New => actor.become_user(NEW_USER, NEW_ACCESS_KEY_ID, ATTACKER_ADDRESS, PYTHON),
        Who::Console => {
            actor.become_user(NEW_USER, "ASIA5SVCBACKUEXAMPLE", ATTACKER_ADDRESS, BROWSER);
            actor.in_console(script.clock(), LOGIN_AT, "false");
        }
    }
    actor
}

const fn at(second: i32) -> At {
    At { second, account: PROD, region: US_EAST_1 }
}
