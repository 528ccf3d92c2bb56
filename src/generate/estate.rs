//! The estate: one organization, its accounts and regions, who works in it, and the names of its things.
//!
//! Must never depend on the plan's seed: the estate is the same every day, only the traffic differs.

use super::calls::{self as c, Profile};
use super::json::{self, ALNUM, BASE32, Clock};

/// The organization's id.
pub const ORGANIZATION_ID: &str = "o-exampleorgid";

/// One account of the organization.
#[derive(Debug)]
pub struct Account {
    /// The account id.
    pub id: &'static str,
    /// What it is for, short: part of the names of its things.
    pub stage: &'static str,
}

/// The accounts: management, security and logs, production, staging, development.
pub const ACCOUNTS: [Account; 5] = [
    Account { id: "111122223333", stage: "mgmt" },
    Account { id: "444455556666", stage: "security" },
    Account { id: "123456789012", stage: "prod" },
    Account { id: "777788889999", stage: "staging" },
    Account { id: "999988887777", stage: "dev" },
];
/// The position of the production account.
pub const PROD: usize = 2;

/// The regions in use.
pub const REGIONS: [&str; 4] = ["us-east-1", "eu-west-1", "eu-central-1", "ap-southeast-2"];
/// The position of the region that records global services.
pub const US_EAST_1: usize = 0;

/// How a principal signs its calls, which decides what its identity looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person in an Identity Center permission set.
    Sso(&'static str),
    /// A person with an IAM user, keys and a console password.
    Person,
    /// A program with the keys of an IAM user.
    Program,
    /// A Lambda function.
    Lambda,
    /// An ECS task.
    Task,
    /// An EC2 instance.
    Instance,
    /// A role assumed with an OIDC token from this provider.
    Federated(&'static str),
    /// A service-linked role of this service.
    Linked(&'static str),
    /// An AWS service itself.
    Service(&'static str),
    /// An AWS service reporting what it did.
    Internal,
    /// A caller with an OIDC token and no role yet.
    Token,
    /// A caller in an account outside the organization.
    Outside(&'static str),
}

/// When a principal is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hours {
    /// All day, a little more by day.
    Always,
    /// Office hours in Europe.
    Europe,
    /// Office hours in America.
    America,
    /// Office hours in Australia.
    Pacific,
    /// Between one and five in the morning, UTC.
    Night,
}

/// Somebody or something that calls AWS.
#[derive(Debug)]
pub struct Principal {
    /// The user's, role's or person's name.
    pub name: &'static str,
    /// How it signs.
    pub kind: Kind,
    /// When it works.
    pub hours: Hours,
    /// How much it calls, relative to the others.
    pub volume: u32,
    /// How much of that in each account.
    pub accounts: [u32; 5],
    /// How much of that in each region.
    pub regions: [u32; 4],
    /// What it calls.
    pub profile: Profile,
    /// The client programs it uses; `%s` is the service, `%c` the command.
    pub agents: &'static [&'static str],
}

impl Principal {
    /// How much it calls in a place at an hour (UTC).
    pub fn weight(&self, account: usize, region: usize, hour: usize) -> u64 {
        let accounts: u32 = self.accounts.iter().sum();
        let regions: u32 = self.regions.iter().sum();
        let share = u64::from(self.accounts[account]) * u64::from(self.regions[region]) * 10_000
            / (u64::from(accounts) * u64::from(regions)).max(1);
        share * u64::from(self.volume) * u64::from(self.hours.level(hour)) / 100
    }

    /// The name without its `-role` ending: the part it shares with its secret, table and function.
    pub fn stem(&self) -> &'static str {
        ["-task-role", "-lambda-role", "-instance-role", "-role"]
            .iter()
            .find_map(|end| self.name.strip_suffix(end))
            .unwrap_or(self.name)
    }
}

impl Hours {
    /// Whether there is any activity at an hour.
    pub fn works(self, hour: usize) -> bool {
        self.level(hour) > 0
    }

    /// Activity in percent of the daily mean.
    fn level(self, hour: usize) -> u32 {
        const DAY: [u32; 24] = [
            80, 78, 76, 75, 76, 80, 88, 96, 105, 112, 116, 118, 118, 119, 120, 119, 117, 114, 110, 106, 100,
            95, 90, 84,
        ];
        const OFFICE: [u32; 24] =
            [0, 0, 0, 0, 0, 0, 0, 60, 190, 300, 320, 300, 190, 240, 310, 290, 200, 0, 0, 0, 0, 0, 0, 0];
        const NIGHT: [u32; 24] =
            [0, 600, 700, 700, 400, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        match self {
            Hours::Always => DAY[hour % 24],
            Hours::Europe => OFFICE[(hour + 1) % 24],
            Hours::America => OFFICE[(hour + 18) % 24],
            Hours::Pacific => OFFICE[(hour + 11) % 24],
            Hours::Night => NIGHT[hour % 24],
        }
    }
}

const CLI: &str = "aws-cli/2.31.1 md/awscrt#0.27.6 ua/2.1 os/macos#24.6.0 md/arch#arm64 lang/python#3.13.7 m/Z,b,E cfg/retry-mode#standard md/command#%s.%c";
const CLI_LINUX: &str =
    "aws-cli/2.15.30 Python/3.11.8 Linux/6.8.0-71-generic exe/x86_64.ubuntu.24 prompt/off command/%s.%c";
const CHROME: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
const TERRAFORM: &str = "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 (+https://www.terraform.io) terraform-provider-aws/5.76.0 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.32.5 ua/2.1 os/linux lang/go#1.23.3 md/GOOS#linux md/GOARCH#amd64 api/%s#1.187.0";
const BOTO_LAMBDA: &str = "Boto3/1.40.4 md/Botocore#1.40.4 ua/2.1 os/linux#5.10.240 md/arch#x86_64 lang/python#3.12.11 exec-env/AWS_Lambda_python3.12 Botocore/1.40.4";
const JAVA_FARGATE: &str = "aws-sdk-java/2.32.11 md/io#sync md/http#Apache ua/2.1 api/%s#2.32.x os/Linux#5.10.240 lang/java#21.0.8 md/en_US exec-env/AWS_ECS_FARGATE m/D,N,Z";
const NODE_FARGATE: &str = "aws-sdk-js/3.859.0 ua/2.1 os/linux#5.10.240 lang/js md/nodejs#22.17.1 api/%s#3.859.0 exec-env/AWS_ECS_FARGATE m/E,e";
const GO_NODE: &str = "aws-sdk-go-v2/1.37.2 ua/2.1 os/linux lang/go#1.24.5 api/%s#1.240.0 m/E";
const SSM_AGENT: &str = "aws-sdk-go/1.55.5 (go1.23.10; linux; amd64) amazon-ssm-agent/3.3.987.0";
const SCANNER: &str =
    "Boto3/1.39.16 md/Botocore#1.39.16 ua/2.1 os/linux#6.1.141 lang/python#3.11.13 m/Z,b posture-scanner/4.2";
const GRAFANA: &str = "aws-sdk-go-v2/1.36.5 ua/2.1 os/linux lang/go#1.24.4 md/GOOS#linux md/GOARCH#amd64 api/%s#1.45.3 grafana/12.1.0";

const HUMAN: &[&str] = &[CHROME, CLI, CHROME, CLI_LINUX, FIREFOX];
const CI: &[&str] = &[TERRAFORM, TERRAFORM, CLI_LINUX];
const LAMBDA: &[&str] = &[BOTO_LAMBDA];
const JAVA: &[&str] = &[JAVA_FARGATE];
const NODE: &[&str] = &[NODE_FARGATE];
const AGENT: &[&str] = &[SSM_AGENT];
const KUBE: &[&str] = &[GO_NODE];
const NONE: &[&str] = &[];

const DEVELOPER: Profile = &[
    (22, c::LOGS_READ),
    (18, c::EC2_READ),
    (14, c::LAMBDA_READ),
    (14, c::ECS_READ),
    (10, c::S3_READ),
    (2, c::S3_LIST),
    (12, c::STACKS),
    (8, c::DYNAMO_READ),
];
const PLATFORM: Profile = &[
    (24, c::EC2_READ),
    (5, c::EC2_CHANGE),
    (20, c::IAM_READ),
    (2, c::IAM_CHANGE),
    (12, c::EKS_READ),
    (11, c::S3_READ),
    (1, c::S3_LIST),
    (14, c::STACKS),
    (11, c::RDS_READ),
];
const ANALYST: Profile = &[(34, c::QUERIES), (26, c::CATALOG), (26, c::S3_GET), (14, c::S3_READ)];
const AUDITOR: Profile = &[
    (22, c::IAM_READ),
    (18, c::TRAIL_READ),
    (20, c::FINDINGS_READ),
    (14, c::CONFIG_READ),
    (14, c::HUB_READ),
    (12, c::EC2_SCAN),
];
const FINANCE: Profile = &[(70, c::MONEY), (30, c::ORGANIZATION)];
const INFRASTRUCTURE: Profile = &[
    (40, c::EC2_READ),
    (22, c::IAM_READ),
    (3, c::IAM_CHANGE),
    (14, c::S3_GET),
    (5, c::S3_PUT),
    (10, c::STS_SELF),
    (10, c::ELB_READ),
];
const DEPLOY: Profile = &[
    (26, c::ECR_PUSH),
    (18, c::ECS_READ),
    (8, c::ECS_DEPLOY),
    (12, c::LAMBDA_READ),
    (8, c::LAMBDA_DEPLOY),
    (10, c::STACKS),
    (4, c::STACK_CHANGE),
    (8, c::STS_SELF),
    (6, c::S3_PUT),
    (1, c::SECRET_OWN),
];
const API: Profile = &[
    (30, c::DYNAMO_DATA),
    (14, c::S3_GET),
    (6, c::S3_PUT),
    (40, c::KMS_BY_S3),
    (10, c::SSM_READ),
    (1, c::SECRET_OWN),
];
const WEB: Profile = &[(30, c::S3_GET), (20, c::SSM_READ), (50, c::KMS_BY_S3)];
const FUNCTION: Profile = &[
    (26, c::LOGS_WRITE),
    (34, c::KMS_BY_LAMBDA),
    (12, c::S3_GET),
    (6, c::S3_PUT),
    (14, c::DYNAMO_DATA),
    (8, c::SSM_READ),
    (1, c::SECRET_OWN),
];
const SHIPPER: Profile = &[(40, c::S3_GET), (30, c::LOGS_WRITE), (30, c::KMS_BY_S3)];
const NODE_AGENT: Profile = &[(46, c::SSM_AGENT), (24, c::EC2_NODE), (30, c::ECR_PULL)];
const MANAGED: Profile = &[(100, c::SSM_AGENT)];
const SERVER: Profile = &[(60, c::SSM_AGENT), (20, c::S3_GET), (20, c::SSM_READ)];
const SCALER: Profile = &[(60, c::SCALING_READ), (40, c::EC2_NODE)];
const BALANCER: Profile = &[(60, c::ELB_READ), (40, c::EC2_READ)];
const SCAN: Profile = &[
    (22, c::EC2_SCAN),
    (18, c::S3_READ),
    (2, c::S3_LIST),
    (16, c::IAM_READ),
    (10, c::RDS_READ),
    (10, c::LAMBDA_READ),
    (8, c::ELB_READ),
    (7, c::TRAIL_READ),
    (7, c::CONFIG_READ),
];
const RECORDER: Profile = &[
    (30, c::EC2_SCAN),
    (14, c::S3_READ),
    (12, c::IAM_READ),
    (12, c::RDS_READ),
    (12, c::LAMBDA_READ),
    (10, c::ELB_READ),
    (10, c::DYNAMO_READ),
];
const DASHBOARD: Profile = &[(60, c::METRICS), (25, c::LOGS_READ), (15, c::QUEUES)];
const EXPORT: Profile = &[(80, c::S3_GET), (20, c::STS_SELF)];

const EVERYWHERE: [u32; 5] = [4, 8, 52, 20, 16];
const WORKLOADS: [u32; 5] = [0, 0, 68, 18, 14];
const PRODUCTION: [u32; 5] = [0, 0, 1, 0, 0];
const STAGES: [u32; 5] = [0, 0, 15, 25, 60];
const MANAGEMENT: [u32; 5] = [1, 0, 0, 0, 0];
const SECURITY: [u32; 5] = [1, 7, 2, 0, 0];
const GLOBE: [u32; 4] = [46, 28, 10, 16];
const MAIN: [u32; 4] = [1, 0, 0, 0];
const EUROPE: [u32; 4] = [34, 50, 16, 0];
const AMERICA: [u32; 4] = [90, 10, 0, 0];
const PACIFIC: [u32; 4] = [20, 0, 0, 80];

/// Builds a row of [`PRINCIPALS`].
const fn row(
    name: &'static str,
    kind: Kind,
    when: (Hours, u32),
    places: ([u32; 5], [u32; 4]),
    profile: Profile,
    agents: &'static [&'static str],
) -> Principal {
    Principal {
        name,
        kind,
        hours: when.0,
        volume: when.1,
        accounts: places.0,
        regions: places.1,
        profile,
        agents,
    }
}

const fn person(name: &'static str, set: &'static str, hours: Hours, volume: u32) -> Principal {
    let regions = match hours {
        Hours::America => AMERICA,
        Hours::Pacific => PACIFIC,
        _ => EUROPE,
    };
    let (accounts, profile) = match set.as_bytes()[0] {
        b'P' => (EVERYWHERE, PLATFORM),
        b'A' => (WORKLOADS, ANALYST),
        b'S' => (SECURITY, AUDITOR),
        b'B' => (MANAGEMENT, FINANCE),
        _ => (STAGES, DEVELOPER),
    };
    let regions = match set.as_bytes()[0] {
        b'B' => MAIN,
        b'S' => AMERICA,
        _ => regions,
    };
    row(name, Kind::Sso(set), (hours, volume), (accounts, regions), profile, HUMAN)
}

const fn linked(name: &'static str, by: &'static str, volume: u32, profile: Profile) -> Principal {
    row(name, Kind::Linked(by), (Hours::Always, volume), (EVERYWHERE, GLOBE), profile, NONE)
}

const fn service(by: &'static str, volume: u32, accounts: [u32; 5], profile: Profile) -> Principal {
    row(by, Kind::Service(by), (Hours::Always, volume), (accounts, GLOBE), profile, NONE)
}

const fn task(
    name: &'static str,
    volume: u32,
    profile: Profile,
    agents: &'static [&'static str],
) -> Principal {
    row(name, Kind::Task, (Hours::Always, volume), (WORKLOADS, GLOBE), profile, agents)
}

const fn function_role(name: &'static str, hours: Hours, volume: u32, profile: Profile) -> Principal {
    row(name, Kind::Lambda, (hours, volume), (WORKLOADS, GLOBE), profile, LAMBDA)
}

const fn instance(
    name: &'static str,
    volume: u32,
    profile: Profile,
    agents: &'static [&'static str],
) -> Principal {
    row(name, Kind::Instance, (Hours::Always, volume), (WORKLOADS, GLOBE), profile, agents)
}

const GITHUB: &str = "token.actions.githubusercontent.com";
const CLUSTER: &str = "oidc.eks.us-east-1.amazonaws.com/id/5C2E0D1F9A7B4C3E8D6F1A2B3C4D5E6F";

/// The name of the IAM user whose key is stolen in the attack.
pub const LEGACY_USER: &str = "ci-deploy-legacy";

/// Everybody: people, programs, functions, instances and services.
pub static PRINCIPALS: &[Principal] = &[
    person("anna.lindqvist@example.com", "PlatformAdmin", Hours::Europe, 26),
    person("marco.benedetti@example.com", "PlatformAdmin", Hours::Europe, 20),
    person("grace.okafor@example.com", "PlatformAdmin", Hours::America, 22),
    person("liam.nguyen@example.com", "PlatformAdmin", Hours::Pacific, 16),
    person("sofia.marques@example.com", "DeveloperAccess", Hours::Europe, 15),
    person("jonas.weber@example.com", "DeveloperAccess", Hours::Europe, 13),
    person("petra.novakova@example.com", "DeveloperAccess", Hours::Europe, 14),
    person("oliver.hayes@example.com", "DeveloperAccess", Hours::Europe, 10),
    person("dmitri.volkov@example.com", "DeveloperAccess", Hours::Europe, 9),
    person("hannah.cole@example.com", "DeveloperAccess", Hours::America, 14),
    person("diego.ramirez@example.com", "DeveloperAccess", Hours::America, 12),
    person("wei.zhang@example.com", "DeveloperAccess", Hours::America, 11),
    person("chloe.bennett@example.com", "DeveloperAccess", Hours::Pacific, 11),
    person("arjun.patel@example.com", "AnalystAccess", Hours::Europe, 14),
    person("emma.schmidt@example.com", "AnalystAccess", Hours::Europe, 12),
    person("noah.fischer@example.com", "AnalystAccess", Hours::America, 11),
    person("fatima.haddad@example.com", "SecurityAudit", Hours::Europe, 18),
    person("samuel.osei@example.com", "SecurityAudit", Hours::America, 14),
    person("julie.martin@example.com", "Billing", Hours::Europe, 4),
    row("tomasz.kowalski", Kind::Person, (Hours::Europe, 8), (PRODUCTION, MAIN), ANALYST, HUMAN),
    row("ines.duarte", Kind::Person, (Hours::Europe, 7), (PRODUCTION, MAIN), ANALYST, HUMAN),
    row("raj.krishnan", Kind::Person, (Hours::America, 6), (PRODUCTION, MAIN), ANALYST, HUMAN),
    row(LEGACY_USER, Kind::Program, (Hours::Always, 12), (PRODUCTION, MAIN), INFRASTRUCTURE, &[TERRAFORM]),
    row("grafana-reader", Kind::Program, (Hours::Always, 52), (WORKLOADS, GLOBE), DASHBOARD, &[GRAFANA]),
    row("data-export", Kind::Program, (Hours::Night, 6), (PRODUCTION, MAIN), EXPORT, &[CLI_LINUX]),
    row(
        "github-actions-deploy-role",
        Kind::Federated(GITHUB),
        (Hours::Europe, 26),
        (WORKLOADS, GLOBE),
        DEPLOY,
        CI,
    ),
    row(
        "terraform-plan-role",
        Kind::Federated(GITHUB),
        (Hours::Always, 30),
        (EVERYWHERE, GLOBE),
        INFRASTRUCTURE,
        &[TERRAFORM],
    ),
    row(
        "cluster-autoscaler-role",
        Kind::Federated(CLUSTER),
        (Hours::Always, 22),
        (WORKLOADS, GLOBE),
        SCALER,
        KUBE,
    ),
    row(
        "load-balancer-controller-role",
        Kind::Federated(CLUSTER),
        (Hours::Always, 18),
        (WORKLOADS, GLOBE),
        BALANCER,
        KUBE,
    ),
    row("posture-scanner-role", Kind::Task, (Hours::Always, 44), (EVERYWHERE, GLOBE), SCAN, &[SCANNER]),
    row("GitHubActions", Kind::Token, (Hours::Europe, 8), (WORKLOADS, GLOBE), &[(1, c::ASSUME_WEB)], CI),
    row(
        "posture-scanner",
        Kind::Outside("555566667777"),
        (Hours::Always, 5),
        (EVERYWHERE, GLOBE),
        &[(1, c::ASSUME_CROSS)],
        &[SCANNER],
    ),
    task("orders-api-task-role", 62, API, JAVA),
    task("payments-api-task-role", 44, API, JAVA),
    task("catalog-api-task-role", 40, API, NODE),
    task("search-indexer-task-role", 26, API, JAVA),
    task("web-frontend-task-role", 26, WEB, NODE),
    function_role("order-events-lambda-role", Hours::Always, 40, FUNCTION),
    function_role("image-resizer-lambda-role", Hours::Always, 30, FUNCTION),
    function_role("invoice-renderer-lambda-role", Hours::Always, 20, FUNCTION),
    function_role("nightly-report-lambda-role", Hours::Night, 16, FUNCTION),
    function_role("log-shipper-lambda-role", Hours::Always, 24, SHIPPER),
    instance("eks-node-instance-role", 66, NODE_AGENT, KUBE),
    instance("app-server-instance-role", 34, SERVER, AGENT),
    instance("bastion-instance-role", 8, MANAGED, AGENT),
    instance("batch-worker-instance-role", 22, SERVER, AGENT),
    linked("AWSServiceRoleForConfig", "config.amazonaws.com", 80, RECORDER),
    linked("AWSServiceRoleForConfigRules", "config.amazonaws.com", 8, &[(1, c::CONFIG_WRITE)]),
    linked(
        "AWSServiceRoleForAutoScaling",
        "autoscaling.amazonaws.com",
        18,
        &[(70, c::EC2_NODE), (30, c::ELB_READ)],
    ),
    linked("AWSServiceRoleForECS", "ecs.amazonaws.com", 18, &[(1, c::ECS_TASKS)]),
    linked(
        "AWSServiceRoleForAmazonInspector2",
        "inspector2.amazonaws.com",
        12,
        &[(60, c::EC2_SCAN), (40, c::ECR_PULL)],
    ),
    linked("AWSServiceRoleForAmazonGuardDuty", "guardduty.amazonaws.com", 30, &[(1, c::EC2_SCAN)]),
    linked(
        "AWSServiceRoleForTrustedAdvisor",
        "trustedadvisor.amazonaws.com",
        30,
        &[(40, c::EC2_SCAN), (30, c::RDS_READ), (30, c::ELB_READ)],
    ),
    linked("AWSServiceRoleForCloudWatchEvents", "events.amazonaws.com", 6, &[(1, c::SCHEDULES)]),
    linked(
        "AWSServiceRoleForSNSMonitoring",
        "monitoring.amazonaws.com",
        5,
        &[(50, c::TOPICS), (50, c::QUEUES)],
    ),
    service("lambda.amazonaws.com", 110, WORKLOADS, &[(90, c::ASSUME), (10, c::KMS_LOGS)]),
    service("ecs-tasks.amazonaws.com", 22, WORKLOADS, &[(1, c::ASSUME)]),
    service("ec2.amazonaws.com", 44, WORKLOADS, &[(1, c::ASSUME)]),
    service("config.amazonaws.com", 26, EVERYWHERE, &[(1, c::ASSUME)]),
    service("ssm.amazonaws.com", 6, WORKLOADS, &[(1, c::ASSUME)]),
    service("cloudtrail.amazonaws.com", 26, [0, 1, 0, 0, 0], &[(70, c::S3_DELIVERY), (30, c::KMS_TRAIL)]),
    service("delivery.logs.amazonaws.com", 14, [0, 1, 0, 0, 0], &[(1, c::S3_DELIVERY)]),
    service("logs.amazonaws.com", 120, EVERYWHERE, &[(1, c::KMS_LOGS)]),
    service("dynamodb.amazonaws.com", 160, WORKLOADS, &[(1, c::KMS_TABLES)]),
    service("s3.amazonaws.com", 105, WORKLOADS, &[(1, c::LAMBDA_INVOKE)]),
    row(
        "backup.amazonaws.com",
        Kind::Internal,
        (Hours::Night, 10),
        (WORKLOADS, GLOBE),
        &[(1, c::BACKUP_JOBS)],
        NONE,
    ),
    row(
        "AWS Internal",
        Kind::Internal,
        (Hours::Always, 24),
        (WORKLOADS, GLOBE),
        &[(1, c::STATE_CHANGES)],
        NONE,
    ),
    row("dns-sync-role", Kind::Task, (Hours::Always, 3), (MANAGEMENT, MAIN), &[(1, c::DNS)], NODE),
];

/// The applications of the estate.
pub const SERVICES: &[&str] = &[
    "orders-api",
    "payments-api",
    "catalog-api",
    "search-indexer",
    "web-frontend",
    "order-events",
    "image-resizer",
    "invoice-renderer",
    "nightly-report",
    "log-shipper",
    "pricing",
    "customer-profile",
    "notifications",
    "fraud-scoring",
    "warehouse-sync",
    "returns",
];
const TASK_ROLES: &[&str] = &[
    "orders-api-task-role",
    "payments-api-task-role",
    "catalog-api-task-role",
    "search-indexer-task-role",
    "web-frontend-task-role",
];
const LAMBDA_ROLES: &[&str] = &[
    "order-events-lambda-role",
    "image-resizer-lambda-role",
    "invoice-renderer-lambda-role",
    "nightly-report-lambda-role",
    "log-shipper-lambda-role",
];
const INSTANCE_ROLES: &[&str] = &[
    "eks-node-instance-role",
    "app-server-instance-role",
    "batch-worker-instance-role",
    "bastion-instance-role",
];
const FUNCTIONS: &[&str] =
    &["order-events", "image-resizer", "invoice-renderer", "nightly-report", "log-shipper"];
const PURPOSES: &[&str] = &[
    "assets",
    "uploads",
    "invoices",
    "lake-raw",
    "lake-curated",
    "config",
    "artifacts",
    "app-logs",
    "terraform-state",
    "backups",
];
const TABLES: &[&str] =
    &["orders", "order-lines", "carts", "customers", "prices", "stock", "sessions", "audit"];

/// One of the words, by a number and a salt.
pub fn word(words: &'static [&'static str], pick: u64, salt: u64) -> &'static str {
    words.get(json::index(json::mix(pick, salt), words.len())).copied().unwrap_or_default()
}

/// The role a caller assumes or looks at: services assume only roles that trust them.
pub fn role(caller: &str, pick: u64) -> &'static str {
    match caller {
        "lambda.amazonaws.com" => word(LAMBDA_ROLES, pick, 2),
        "ecs-tasks.amazonaws.com" => word(TASK_ROLES, pick, 2),
        "ec2.amazonaws.com" | "ssm.amazonaws.com" => word(INSTANCE_ROLES, pick, 2),
        "config.amazonaws.com" => "config-recorder-role",
        "GitHubActions" => "github-actions-deploy-role",
        "posture-scanner" => "posture-scanner-role",
        _ => word([TASK_ROLES, LAMBDA_ROLES, INSTANCE_ROLES][json::index(pick, 3)], pick, 2),
    }
}

/// Appends the name of a bucket of an account.
pub fn bucket(out: &mut Vec<u8>, account: usize, pick: u64) {
    staged(out, account, word(PURPOSES, pick, 4));
}

/// Appends the name of a `DynamoDB` table.
pub fn table(out: &mut Vec<u8>, account: usize, pick: u64) {
    staged(out, account, word(TABLES, pick, 5));
}

/// Appends the name of a Lambda function: the caller itself where it is one.
pub fn function(out: &mut Vec<u8>, account: usize, stem: &str, pick: u64) {
    let own = FUNCTIONS.iter().find(|name| **name == stem);
    json::text(out, own.unwrap_or(&word(FUNCTIONS, pick, 6)));
    out.push(b'-');
    json::text(out, ACCOUNTS[account].stage);
}

fn staged(out: &mut Vec<u8>, account: usize, name: &str) {
    json::text(out, "acme-");
    json::text(out, ACCOUNTS[account].stage);
    out.push(b'-');
    json::text(out, name);
}

/// Appends the name of one of the few parameters that belong to an application: each reads its own.
pub fn parameter(out: &mut Vec<u8>, account: usize, stem: &str, pick: u64) {
    out.push(b'/');
    json::text(out, ACCOUNTS[account].stage);
    out.push(b'/');
    json::text(out, word(SERVICES, json::hash(stem), 1));
    json::text(out, word(&["/feature-flags", "/db/url", "/api-base", "/limits", "/log-level"], pick, 7));
}

/// Appends the name of an application's own secret, with the suffix Secrets Manager adds.
pub fn secret(out: &mut Vec<u8>, account: usize, stem: &str) {
    json::text(out, ACCOUNTS[account].stage);
    out.push(b'/');
    json::text(out, stem);
    json::text(out, "/database-");
    json::letters(out, ALNUM, json::hash(stem), 6);
}

/// Appends the key of an S3 object.
pub fn object_key(out: &mut Vec<u8>, clock: &Clock, pick: u64) {
    let id = json::mix(pick, 13);
    match pick % 5 {
        0 => {
            json::text(out, "raw/orders/dt=");
            json::text(out, clock.date());
            json::text(out, "/part-000");
            json::hex(out, id, 2);
            out.push(b'-');
            json::guid(out, id, json::mix(id, 1));
            json::text(out, ".c000.snappy.parquet");
        }
        1 => {
            json::text(out, "uploads/");
            json::text(out, clock.slashed());
            out.push(b'/');
            json::hex(out, id, 16);
            json::text(out, ".jpg");
        }
        2 => {
            json::text(out, "invoices/");
            json::text(out, clock.slashed());
            json::text(out, "/INV-");
            json::number(out, id % 9_000_000 + 1_000_000);
            json::text(out, ".pdf");
        }
        3 => {
            json::text(out, "config/");
            json::text(out, word(SERVICES, pick, 1));
            json::text(out, "/settings.json");
        }
        _ => {
            json::text(out, word(SERVICES, pick, 1));
            json::text(out, "/terraform.tfstate");
        }
    }
}

/// Appends the id of an instance of an account and region.
pub fn instance_id(out: &mut Vec<u8>, account: usize, region: usize, pick: u64) {
    json::text(out, "i-0");
    let place = (account * REGIONS.len() + region) as u64;
    json::hex(out, json::mix(place + 77, json::mix(pick, 3) % 40), 16);
}

/// Appends a unique id such as `AROA...`, stable for a name in an account.
pub fn principal_id(out: &mut Vec<u8>, prefix: &str, account: usize, name: &str) {
    json::text(out, prefix);
    json::letters(out, BASE32, json::mix(json::hash(name), account as u64), 17);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_regions() {
        let people = PRINCIPALS.iter().filter(|p| matches!(p.kind, Kind::Sso(_) | Kind::Person)).count();
        assert!((20..=30).contains(&people), "{people} people");
        for principal in PRINCIPALS {
            let busy = (0..24)
                .flat_map(|hour| (0..20).map(move |place| (hour, place)))
                .any(|(hour, place)| principal.weight(place / 4, place % 4, hour) > 0);
            assert!(busy, "{} never works", principal.name);
        }
    }

    #[test]
    fn stems() {
        let stem = |name| PRINCIPALS.iter().find(|p| p.name == name).map(Principal::stem);
        assert_eq!(stem("orders-api-task-role"), Some("orders-api"));
        assert_eq!(stem("terraform-plan-role"), Some("terraform-plan"));
        assert_eq!(stem("grafana-reader"), Some("grafana-reader"));
    }
}
