//! The API calls of the estate: one row per call, with what CloudTrail records of it.
//!
//! Must never hold logic: a call is data. `%` and a letter stand for a name that `template` fills in.

/// How a service writes its request ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestId {
    /// A GUID, as most do.
    Guid,
    /// 16 letters and digits (S3).
    Short,
    /// 52 letters and digits (`DynamoDB`).
    Long,
}

/// An AWS service as CloudTrail sees it.
#[derive(Debug)]
pub struct Service {
    /// The prefix of its actions and of `eventSource`.
    pub name: &'static str,
    /// The record version it writes.
    pub version: &'static str,
    /// The host name its clients call; a template.
    pub host: &'static str,
    /// Whether its endpoint speaks TLS 1.3 (else 1.2).
    pub tls13: bool,
    /// Whether its calls are recorded in us-east-1 only.
    pub global: bool,
    /// The shape of its request ids.
    pub request_id: RequestId,
}

/// One API call.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The service called.
    pub service: &'static Service,
    /// `eventName`.
    pub name: &'static str,
    /// `readOnly`.
    pub read_only: bool,
    /// Whether it is a data event.
    pub data: bool,
    /// `eventType`.
    pub kind: &'static str,
    /// `requestParameters`; empty for null.
    pub request: &'static str,
    /// `responseElements`; empty for null.
    pub response: &'static str,
    /// `additionalEventData`; empty for none. S3 has its own.
    pub extra: &'static str,
    /// `resources`; empty for none.
    pub resources: &'static str,
    /// `serviceEventDetails`; empty for none.
    pub details: &'static str,
    /// The usual failure: code, message (a template), how often in a thousand calls.
    pub failure: Option<(&'static str, &'static str, u32)>,
    /// The service that makes the call on the caller's behalf; empty for none.
    pub via: &'static str,
    /// At most so many bytes in and out (S3 only).
    pub bytes: (u64, u64),
}

/// Calls with their weights inside the group.
pub type Group = &'static [(u32, Call)];

/// Groups with their weights: what a principal does all day.
pub type Profile = &'static [(u32, Group)];

const fn call(service: &'static Service, name: &'static str, read_only: bool, request: &'static str) -> Call {
    Call {
        service,
        name,
        read_only,
        data: false,
        kind: "AwsApiCall",
        request,
        response: "",
        extra: "",
        resources: "",
        details: "",
        failure: None,
        via: "",
        bytes: (0, 400),
    }
}

/// A call that only reads.
pub const fn read(service: &'static Service, name: &'static str, request: &'static str) -> Call {
    call(service, name, true, request)
}

/// A call that changes something, with its answer.
pub const fn write(
    service: &'static Service,
    name: &'static str,
    request: &'static str,
    response: &'static str,
) -> Call {
    let mut made = call(service, name, false, request);
    made.response = response;
    made
}

impl Call {
    /// With an answer, though it only reads.
    pub const fn answers(mut self, response: &'static str) -> Call {
        self.response = response;
        self
    }

    /// On these resources.
    pub const fn on(mut self, resources: &'static str) -> Call {
        self.resources = resources;
        self
    }

    /// With a usual failure.
    pub const fn fails(mut self, code: &'static str, message: &'static str, permille: u32) -> Call {
        self.failure = Some((code, message, permille));
        self
    }

    /// Made by a service on the caller's behalf.
    pub const fn via(mut self, service: &'static str) -> Call {
        self.via = service;
        self
    }

    /// With additional data.
    pub const fn extra(mut self, extra: &'static str) -> Call {
        self.extra = extra;
        self
    }

    /// A data event that moves at most so many bytes.
    pub const fn data(mut self, bytes_in: u64, bytes_out: u64) -> Call {
        self.data = true;
        self.bytes = (bytes_in, bytes_out);
        self
    }

    /// Another `eventType`.
    pub const fn kind(mut self, kind: &'static str) -> Call {
        self.kind = kind;
        self
    }

    /// A service event with these details.
    pub const fn details(mut self, details: &'static str) -> Call {
        self.kind = "AwsServiceEvent";
        self.details = details;
        self
    }
}

pub const fn service(name: &'static str, version: &'static str, host: &'static str, tls13: bool) -> Service {
    Service { name, version, host, tls13, global: false, request_id: RequestId::Guid }
}

const fn global(name: &'static str, version: &'static str, host: &'static str) -> Service {
    Service { name, version, host, tls13: true, global: true, request_id: RequestId::Guid }
}

pub static EC2: Service = service("ec2", "1.11", "ec2.%r.amazonaws.com", true);
pub static S3: Service =
    Service { request_id: RequestId::Short, ..service("s3", "1.11", "%b.s3.%r.amazonaws.com", true) };
pub static S3_REGION: Service =
    Service { request_id: RequestId::Short, ..service("s3", "1.11", "s3.%r.amazonaws.com", true) };
pub static STS: Service = service("sts", "1.08", "sts.%r.amazonaws.com", true);
pub static KMS: Service = service("kms", "1.11", "kms.%r.amazonaws.com", true);
pub static IAM: Service = global("iam", "1.11", "iam.amazonaws.com");
pub static LOGS: Service = service("logs", "1.09", "logs.%r.amazonaws.com", true);
pub static CLOUDWATCH: Service = service("monitoring", "1.11", "monitoring.%r.amazonaws.com", true);
pub static LAMBDA: Service = service("lambda", "1.09", "lambda.%r.amazonaws.com", true);
pub static SSM: Service = service("ssm", "1.08", "ssm.%r.amazonaws.com", false);
pub static DYNAMODB: Service =
    Service { request_id: RequestId::Long, ..service("dynamodb", "1.09", "dynamodb.%r.amazonaws.com", true) };
pub static SECRETS: Service = service("secretsmanager", "1.11", "secretsmanager.%r.amazonaws.com", true);
pub static ECR: Service = service("ecr", "1.09", "api.ecr.%r.amazonaws.com", true);
pub static ECS: Service = service("ecs", "1.11", "ecs.%r.amazonaws.com", true);
pub static EKS: Service = service("eks", "1.09", "eks.%r.amazonaws.com", true);
pub static ELB: Service =
    service("elasticloadbalancing", "1.11", "elasticloadbalancing.%r.amazonaws.com", false);
pub static AUTOSCALING: Service = service("autoscaling", "1.08", "autoscaling.%r.amazonaws.com", false);
pub static RDS: Service = service("rds", "1.11", "rds.%r.amazonaws.com", true);
pub static CONFIG: Service = service("config", "1.09", "config.%r.amazonaws.com", true);
pub static CLOUDTRAIL: Service = service("cloudtrail", "1.09", "cloudtrail.%r.amazonaws.com", true);
pub static CLOUDFORMATION: Service =
    service("cloudformation", "1.08", "cloudformation.%r.amazonaws.com", false);
pub static GUARDDUTY: Service = service("guardduty", "1.09", "guardduty.%r.amazonaws.com", true);
pub static SECURITYHUB: Service = service("securityhub", "1.08", "securityhub.%r.amazonaws.com", true);
pub static ATHENA: Service = service("athena", "1.08", "athena.%r.amazonaws.com", true);
pub static GLUE: Service = service("glue", "1.08", "glue.%r.amazonaws.com", true);
pub static SQS: Service = service("sqs", "1.11", "sqs.%r.amazonaws.com", true);
pub static SNS: Service = service("sns", "1.09", "sns.%r.amazonaws.com", true);
pub static COST: Service = global("ce", "1.08", "ce.us-east-1.amazonaws.com");
pub static ORGANIZATIONS: Service = global("organizations", "1.09", "organizations.us-east-1.amazonaws.com");
pub static ROUTE53: Service = global("route53", "1.08", "route53.amazonaws.com");
pub static SIGNIN: Service = service("signin", "1.08", "%r.signin.aws.amazon.com", true);
pub static SSO: Service = service("sso", "1.08", "portal.sso.%r.amazonaws.com", true);
pub static BACKUP: Service = service("backup", "1.08", "backup.%r.amazonaws.com", true);
pub static EVENTS: Service = service("events", "1.09", "events.%r.amazonaws.com", true);

const BUCKET: &str = r#"[{"accountId":"%a","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::%b"}]"#;
const OBJECT: &str = r#"[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::%b/%k"},{"accountId":"%a","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::%b"}]"#;
const KEY: &str = r#"[{"accountId":"%a","type":"AWS::KMS::Key","ARN":"arn:aws:kms:%r:%a:key/%K"}]"#;
const ROLE: &str = r#"[{"accountId":"%a","type":"AWS::IAM::Role","ARN":"arn:aws:iam::%a:role/%R"}]"#;
const TABLE: &str =
    r#"[{"accountId":"%a","type":"AWS::DynamoDB::Table","ARN":"arn:aws:dynamodb:%r:%a:table/%t"}]"#;
const REPOSITORY: &str = r#"[{"accountId":"%a","ARN":"arn:aws:ecr:%r:%a:repository/%w"}]"#;
const PARAMETER: &str = r#"[{"accountId":"%a","ARN":"arn:aws:ssm:%r:%a:parameter%p"}]"#;
const FUNCTION: &str =
    r#"[{"accountId":"%a","type":"AWS::Lambda::Function","ARN":"arn:aws:lambda:%r:%a:function:%f"}]"#;
const NO_KEY: &str = "The specified key does not exist.";
const ALL_INSTANCES: &str = r#"{"instancesSet":{},"filterSet":{}}"#;
const BY_VPC: &str = r#"{"filterSet":{"items":[{"name":"vpc-id","valueSet":{"items":[{"value":"%v"}]}}]}}"#;

pub static EC2_READ: Group = &[
    (
        30,
        read(
            &EC2,
            "DescribeInstances",
            r#"{"maxResults":1000,"instancesSet":{},"filterSet":{"items":[{"name":"instance-state-name","valueSet":{"items":[{"value":"running"},{"value":"pending"}]}}]}}"#,
        ),
    ),
    (
        14,
        read(&EC2, "DescribeInstances", r#"{"instancesSet":{"items":[{"instanceId":"%i"}]},"filterSet":{}}"#)
            .fails("Client.InvalidInstanceID.NotFound", "The instance ID '%i' does not exist", 15),
    ),
    (
        10,
        read(
            &EC2,
            "DescribeInstanceStatus",
            r#"{"instancesSet":{},"filterSet":{},"includeAllInstances":false}"#,
        ),
    ),
    (
        14,
        read(
            &EC2,
            "DescribeSecurityGroups",
            r#"{"securityGroupSet":{},"securityGroupIdSet":{"items":[{"groupId":"%g"}]},"filterSet":{}}"#,
        )
        .fails("Client.InvalidGroup.NotFound", "The security group '%g' does not exist", 20),
    ),
    (
        8,
        read(&EC2, "DescribeVolumes", r#"{"volumeSet":{"items":[{"volumeId":"%V"}]},"filterSet":{}}"#).fails(
            "Client.InvalidVolume.NotFound",
            "The volume '%V' does not exist.",
            20,
        ),
    ),
    (10, read(&EC2, "DescribeSubnets", r#"{"subnetSet":{"items":[{"subnetId":"%n"}]},"filterSet":{}}"#)),
    (8, read(&EC2, "DescribeVpcs", r#"{"vpcSet":{"items":[{"vpcId":"%v"}]},"filterSet":{}}"#)),
    (
        12,
        read(
            &EC2,
            "DescribeNetworkInterfaces",
            r#"{"networkInterfaceIdSet":{},"filterSet":{"items":[{"name":"attachment.instance-id","valueSet":{"items":[{"value":"%i"}]}}]}}"#,
        ),
    ),
    (
        9,
        read(
            &EC2,
            "DescribeTags",
            r#"{"filterSet":{"items":[{"name":"resource-id","valueSet":{"items":[{"value":"%i"}]}}]}}"#,
        ),
    ),
    (
        4,
        read(
            &EC2,
            "DescribeImages",
            r#"{"executableBySet":{},"imagesSet":{"items":[{"imageId":"%A"}]},"ownersSet":{},"filterSet":{}}"#,
        ),
    ),
    (
        3,
        read(
            &EC2,
            "DescribeSnapshots",
            r#"{"ownersSet":{"items":[{"owner":"self"}]},"snapshotSet":{},"sharedUsersSet":{},"filterSet":{}}"#,
        ),
    ),
    (
        6,
        read(
            &EC2,
            "DescribeRouteTables",
            r#"{"routeTableIdSet":{},"filterSet":{"items":[{"name":"association.subnet-id","valueSet":{"items":[{"value":"%n"}]}}]}}"#,
        ),
    ),
    (3, read(&EC2, "DescribeAddresses", r#"{"publicIpsSet":{},"filterSet":{},"allocationIdsSet":{}}"#)),
    (4, read(&EC2, "DescribeAvailabilityZones", r#"{"availabilityZoneSet":{},"availabilityZoneIdSet":{}}"#)),
    (3, read(&EC2, "DescribeRegions", r#"{"regionSet":{}}"#)),
    (
        2,
        read(
            &EC2,
            "DescribeLaunchTemplateVersions",
            r#"{"DescribeLaunchTemplateVersionsRequest":{"LaunchTemplateVersion":{"content":"$Latest","tag":1},"LaunchTemplateId":"lt-0%j"}}"#,
        ),
    ),
    (
        2,
        read(
            &EC2,
            "DescribeInstanceTypes",
            r#"{"DescribeInstanceTypesRequest":{"InstanceType":{"content":"m7g.large","tag":1}}}"#,
        ),
    ),
    (
        2,
        read(
            &EC2,
            "DescribeNatGateways",
            r#"{"DescribeNatGatewaysRequest":{"Filter":{"Value":{"content":"%v","tag":1},"tag":1,"Name":"vpc-id"}}}"#,
        ),
    ),
    (2, read(&EC2, "DescribeInternetGateways", BY_VPC)),
    (2, read(&EC2, "DescribeVpcEndpoints", r#"{"DescribeVpcEndpointsRequest":{"MaxResults":100}}"#)),
    (3, read(&EC2, "DescribeVpcAttribute", r#"{"vpcId":"%v","attribute":"enableDnsHostnames"}"#)),
    (2, read(&EC2, "DescribeNetworkAcls", BY_VPC)),
    (1, read(&EC2, "DescribeKeyPairs", r#"{"filterSet":{},"keySet":{},"keyPairIdSet":{}}"#)),
    (
        1,
        read(
            &EC2,
            "DescribeFlowLogs",
            r#"{"DescribeFlowLogsRequest":{"Filter":{"Value":{"content":"%v","tag":1},"tag":1,"Name":"resource-id"}}}"#,
        ),
    ),
    (
        2,
        read(
            &EC2,
            "DescribeAccountAttributes",
            r#"{"accountAttributeNameSet":{"items":[{"attributeName":"supported-platforms"}]},"filterSet":{}}"#,
        ),
    ),
    (1, read(&EC2, "DescribeVpcPeeringConnections", r#"{"filterSet":{},"vpcPeeringConnectionIdSet":{}}"#)),
    (
        1,
        read(
            &EC2,
            "DescribeTransitGatewayAttachments",
            r#"{"DescribeTransitGatewayAttachmentsRequest":{"MaxResults":50}}"#,
        ),
    ),
    (1, read(&EC2, "DescribeDhcpOptions", r#"{"dhcpOptionsSet":{},"filterSet":{}}"#)),
    (1, read(&EC2, "GetEbsEncryptionByDefault", r#"{"GetEbsEncryptionByDefaultRequest":""}"#)),
    (
        1,
        read(
            &EC2,
            "DescribeInstanceCreditSpecifications",
            r#"{"DescribeInstanceCreditSpecificationsRequest":{"InstanceId":{"content":"%i","tag":1}}}"#,
        ),
    ),
    (
        1,
        read(
            &EC2,
            "DescribeManagedPrefixLists",
            r#"{"DescribeManagedPrefixListsRequest":{"MaxResults":100}}"#,
        ),
    ),
    (
        1,
        read(
            &EC2,
            "DescribeSpotPriceHistory",
            r#"{"instanceTypeSet":{"items":[{"instanceType":"m7g.xlarge"}]},"productDescriptionSet":{"items":[{"productDescription":"Linux/UNIX"}]},"filterSet":{},"startTime":"%D"}"#,
        ),
    ),
];

pub static EC2_SCAN: Group = &[
    (8, read(&EC2, "DescribeInstances", ALL_INSTANCES)),
    (
        6,
        read(
            &EC2,
            "DescribeSecurityGroups",
            r#"{"securityGroupSet":{},"securityGroupIdSet":{},"filterSet":{}}"#,
        ),
    ),
    (4, read(&EC2, "DescribeVolumes", r#"{"volumeSet":{},"filterSet":{}}"#)),
    (4, read(&EC2, "DescribeNetworkInterfaces", r#"{"networkInterfaceIdSet":{},"filterSet":{}}"#)),
    (3, read(&EC2, "DescribeVpcs", r#"{"vpcSet":{},"filterSet":{}}"#)),
    (3, read(&EC2, "DescribeSubnets", r#"{"subnetSet":{},"filterSet":{}}"#)),
    (2, read(&EC2, "DescribeRouteTables", r#"{"routeTableIdSet":{},"filterSet":{}}"#)),
    (2, read(&EC2, "DescribeNetworkAcls", r#"{"networkAclIdSet":{},"filterSet":{}}"#)),
    (1, read(&EC2, "DescribeFlowLogs", r#"{"DescribeFlowLogsRequest":""}"#)),
];

pub static EC2_CHANGE: Group = &[
    (6, write(&EC2, "CreateTags", r#"{"resourcesSet":{"items":[{"resourceId":"%i"}]},"tagSet":{"items":[{"key":"Name","value":"%S-%d"},{"key":"Environment","value":"%y"},{"key":"CostCenter","value":"cc-%d"}]}}"#, r#"{"requestId":"%G","_return":true}"#)),
    (3, write(&EC2, "RunInstances", r#"{"instancesSet":{"items":[{"imageId":"%A","minCount":1,"maxCount":1}]},"instanceType":"m7g.large","blockDeviceMapping":{},"monitoring":{"enabled":false},"disableApiTermination":false,"disableApiStop":false,"clientToken":"%U","networkInterfaceSet":{"items":[{"deviceIndex":0,"subnetId":"%n","groupSet":{"items":[{"groupId":"%g"}]}}]},"iamInstanceProfile":{"name":"app-server-instance-role"},"ebsOptimized":true,"tagSpecificationSet":{"items":[{"resourceType":"instance","tags":[{"key":"Name","value":"%S"}]}]}}"#, r#"{"requestId":"%G","reservationId":"r-0%j","ownerId":"%a","groupSet":{},"instancesSet":{"items":[{"instanceId":"i-0%j","imageId":"%A","instanceState":{"code":0,"name":"pending"},"privateDnsName":"ip-10-20-1-%d.ec2.internal","instanceType":"m7g.large","launchTime":%m000,"placement":{"availabilityZone":"%ra","tenancy":"default"},"monitoring":{"state":"disabled"},"subnetId":"%n","vpcId":"%v","privateIpAddress":"10.20.1.77","architecture":"arm64","rootDeviceType":"ebs","rootDeviceName":"/dev/xvda","virtualizationType":"hvm","hypervisor":"xen","ebsOptimized":true,"enaSupport":true}]}}"#).fails("Server.InsufficientInstanceCapacity", "We currently do not have sufficient m7g.large capacity in the Availability Zone you requested (%ra).", 60)),
    (2, write(&EC2, "TerminateInstances", r#"{"instancesSet":{"items":[{"instanceId":"%i"}]}}"#, r#"{"requestId":"%G","instancesSet":{"items":[{"instanceId":"%i","currentState":{"code":32,"name":"shutting-down"},"previousState":{"code":16,"name":"running"}}]}}"#)),
    (2, write(&EC2, "CreateSnapshot", r#"{"volumeId":"%V","description":"nightly copy of %V","tagSpecificationSet":{"items":[{"resourceType":"snapshot","tags":[{"key":"backup","value":"daily"}]}]}}"#, r#"{"requestId":"%G","snapshotId":"snap-0%j","volumeId":"%V","status":"pending","startTime":%m000,"progress":"","ownerId":"%a","volumeSize":"100","description":"nightly copy of %V","encrypted":true}"#)),
    (2, write(&EC2, "CreateNetworkInterface", r#"{"subnetId":"%n","groupSet":{"items":[{"groupId":"%g"}]},"privateIpAddressesSet":{},"description":"aws-K8S-%i","clientToken":"%U"}"#, r#"{"requestId":"%G","networkInterface":{"networkInterfaceId":"eni-0%j","subnetId":"%n","vpcId":"%v","availabilityZone":"%ra","description":"aws-K8S-%i","ownerId":"%a","requesterManaged":false,"status":"pending","macAddress":"0e:5b:2c:11:9a:77","privateIpAddress":"10.20.3.41","sourceDestCheck":true,"interfaceType":"interface","groupSet":{"items":[{"groupId":"%g","groupName":"app"}]},"privateIpAddressesSet":{"item":[{"privateIpAddress":"10.20.3.41","primary":true}]},"ipv6AddressesSet":{},"tagSet":{}}}"#)),
];

pub static EC2_NODE: Group = &[
    (
        8,
        read(&EC2, "DescribeInstances", r#"{"instancesSet":{"items":[{"instanceId":"%i"}]},"filterSet":{}}"#),
    ),
    (
        4,
        read(
            &EC2,
            "DescribeNetworkInterfaces",
            r#"{"networkInterfaceIdSet":{"items":[{"networkInterfaceId":"%e"}]},"filterSet":{}}"#,
        )
        .fails(
            "Client.InvalidNetworkInterfaceID.NotFound",
            "The networkInterface ID '%e' does not exist",
            25,
        ),
    ),
    (
        2,
        write(
            &EC2,
            "AssignPrivateIpAddresses",
            r#"{"networkInterfaceId":"%e","privateIpAddressesSet":{},"secondaryPrivateIpAddressCount":1}"#,
            r#"{"requestId":"%G","_return":true,"networkInterfaceId":"%e","assignedPrivateIpAddressesSet":{"assignedPrivateIpAddressSetType":[{"privateIpAddress":"10.20.3.%d"}]}}"#,
        ),
    ),
    (
        1,
        write(
            &EC2,
            "UnassignPrivateIpAddresses",
            r#"{"networkInterfaceId":"%e","privateIpAddressesSet":{"items":[{"privateIpAddress":"10.20.3.%d"}]}}"#,
            r#"{"requestId":"%G","_return":true}"#,
        ),
    ),
    (
        1,
        read(
            &EC2,
            "DescribeInstanceTypes",
            r#"{"DescribeInstanceTypesRequest":{"InstanceType":{"content":"m7g.xlarge","tag":1}}}"#,
        ),
    ),
];

pub static SSM_AGENT: Group = &[
    (
        30,
        write(
            &SSM,
            "UpdateInstanceInformation",
            r#"{"instanceId":"%i","agentVersion":"3.3.987.0","agentStatus":"Active","platformType":"Linux","platformName":"Amazon Linux","platformVersion":"2023","iPAddress":"10.20.1.%d","computerName":"ip-10-20-1-%d.ec2.internal","agentName":"amazon-ssm-agent","availabilityZone":"%ra","availabilityZoneId":"use1-az1"}"#,
            "",
        ),
    ),
    (4, read(&SSM, "ListInstanceAssociations", r#"{"instanceId":"%i","maxResults":20}"#)),
    (
        2,
        write(
            &SSM,
            "PutInventory",
            r#"{"instanceId":"%i","items":[{"typeName":"AWS:InstanceInformation","schemaVersion":"1.0","captureTime":"%I","contentHash":"%H","content":[]}]}"#,
            "",
        ),
    ),
    (
        1,
        write(
            &SSM,
            "UpdateInstanceAssociationStatus",
            r#"{"associationId":"%G","instanceId":"%i","executionResult":{"executionDate":"%D","status":"Success","executionSummary":"1 out of 1 plugin processed, 1 success, 0 failed, 0 timedout, 0 skipped."}}"#,
            "",
        ),
    ),
];

pub static SSM_READ: Group = &[
    (
        12,
        read(&SSM, "GetParameter", r#"{"name":"%p","withDecryption":true}"#).on(PARAMETER).fails(
            "ParameterNotFound",
            "",
            30,
        ),
    ),
    (6, read(&SSM, "GetParameters", r#"{"names":["%p"],"withDecryption":true}"#).on(PARAMETER)),
    (4, read(&SSM, "GetParametersByPath", r#"{"path":"/%y/shared/","recursive":true,"withDecryption":true}"#)),
    (1, read(&SSM, "DescribeParameters", r#"{"maxResults":50}"#)),
];

pub static S3_READ: Group = &[
    (
        8,
        read(
            &S3,
            "GetBucketLocation",
            r#"{"bucketName":"%b","location":"","Host":"%b.s3.%r.amazonaws.com"}"#,
        )
        .on(BUCKET),
    ),
    (
        6,
        read(&S3, "GetBucketAcl", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","acl":""}"#)
            .on(BUCKET),
    ),
    (
        4,
        read(
            &S3,
            "GetBucketPublicAccessBlock",
            r#"{"publicAccessBlock":"","bucketName":"%b","Host":"%b.s3.%r.amazonaws.com"}"#,
        )
        .on(BUCKET),
    ),
    (
        4,
        read(&S3, "GetBucketPolicy", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","policy":""}"#)
            .on(BUCKET)
            .fails("NoSuchBucketPolicy", "The bucket policy does not exist", 300),
    ),
    (
        4,
        read(
            &S3,
            "GetBucketPolicyStatus",
            r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","policyStatus":""}"#,
        )
        .on(BUCKET),
    ),
    (
        4,
        read(
            &S3,
            "GetBucketVersioning",
            r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","versioning":""}"#,
        )
        .on(BUCKET),
    ),
    (
        3,
        read(
            &S3,
            "GetBucketEncryption",
            r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","encryption":""}"#,
        )
        .on(BUCKET),
    ),
    (
        3,
        read(&S3, "GetBucketTagging", r#"{"tagging":"","bucketName":"%b","Host":"%b.s3.%r.amazonaws.com"}"#)
            .on(BUCKET)
            .fails("NoSuchTagSet", "The TagSet does not exist", 200),
    ),
    (
        2,
        read(
            &S3,
            "GetBucketLifecycle",
            r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","lifecycle":""}"#,
        )
        .on(BUCKET)
        .fails("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", 400),
    ),
    (
        2,
        read(&S3, "GetBucketLogging", r#"{"logging":"","bucketName":"%b","Host":"%b.s3.%r.amazonaws.com"}"#)
            .on(BUCKET),
    ),
    (
        1,
        read(&S3, "GetBucketCors", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","cors":""}"#)
            .on(BUCKET)
            .fails("NoSuchCORSConfiguration", "The CORS configuration does not exist", 600),
    ),
    (
        1,
        read(
            &S3,
            "GetBucketReplication",
            r#"{"replication":"","bucketName":"%b","Host":"%b.s3.%r.amazonaws.com"}"#,
        )
        .on(BUCKET)
        .fails(
            "ReplicationConfigurationNotFoundError",
            "The replication configuration was not found",
            700,
        ),
    ),
    (
        1,
        read(&S3, "GetBucketWebsite", r#"{"bucketName":"%b","website":"","Host":"%b.s3.%r.amazonaws.com"}"#)
            .on(BUCKET)
            .fails(
                "NoSuchWebsiteConfiguration",
                "The specified bucket does not have a website configuration",
                800,
            ),
    ),
    (
        1,
        read(
            &S3,
            "GetBucketObjectLockConfiguration",
            r#"{"bucketName":"%b","object-lock":"","Host":"%b.s3.%r.amazonaws.com"}"#,
        )
        .on(BUCKET)
        .fails(
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
            700,
        ),
    ),
];

pub static S3_LIST: Group = &[(5, read(&S3_REGION, "ListBuckets", r#"{"Host":"s3.%r.amazonaws.com"}"#))];

pub static S3_GET: Group = &[
    (30, read(&S3, "GetObject", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","key":"%k"}"#).on(OBJECT).data(0, 6_000_000).fails("NoSuchKey", NO_KEY, 50)),
    (8, read(&S3, "HeadObject", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","key":"%k"}"#).on(OBJECT).data(0, 0).fails("NoSuchKey", NO_KEY, 170)),
    (5, read(&S3, "ListObjects", r#"{"list-type":"2","bucketName":"%b","prefix":"raw/orders/dt=%Y","Host":"%b.s3.%r.amazonaws.com","encoding-type":"url"}"#).on(r#"[{"accountId":"%a","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::%b"},{"type":"AWS::S3::Object","ARNPrefix":"arn:aws:s3:::%b/raw/orders/"}]"#).data(0, 60_000)),
];

pub static S3_PUT: Group = &[
    (20, write(&S3, "PutObject", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","key":"%k","x-amz-server-side-encryption":"aws:kms"}"#, r#"{"x-amz-server-side-encryption":"aws:kms","x-amz-server-side-encryption-aws-kms-key-id":"arn:aws:kms:%r:%a:key/%K","x-amz-server-side-encryption-bucket-key-enabled":"true"}"#).on(OBJECT).data(4_000_000, 0)),
    (2, write(&S3, "DeleteObject", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","key":"%k"}"#, r#"{"x-amz-delete-marker":"true","x-amz-version-id":"%Z"}"#).on(OBJECT).data(0, 0)),
    (2, write(&S3, "CopyObject", r#"{"x-amz-copy-source":"%b/%k","bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","key":"archive/%k"}"#, r#"{"x-amz-copy-source-version-id":"%Z"}"#).on(OBJECT).data(0, 300)),
];

pub static S3_DELIVERY: Group = &[
    (12, write(&S3, "PutObject", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","key":"AWSLogs/o-exampleorgid/%a/CloudTrail/%r/%O/%a_CloudTrail_%r_%Z.json.gz","x-amz-acl":"bucket-owner-full-control","x-amz-server-side-encryption":"AES256"}"#, r#"{"x-amz-server-side-encryption":"AES256"}"#).on(BUCKET).data(90_000, 0)),
    (3, read(&S3, "GetBucketAcl", r#"{"bucketName":"%b","Host":"%b.s3.%r.amazonaws.com","acl":""}"#).on(BUCKET)),
];

pub static KMS_BY_S3: Group = &[
    (12, read(&KMS, "Decrypt", r#"{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"aws:s3:arn":"arn:aws:s3:::%b"}}"#).on(KEY).via("AWS Internal")),
    (6, read(&KMS, "GenerateDataKey", r#"{"keyId":"arn:aws:kms:%r:%a:key/%K","encryptionContext":{"aws:s3:arn":"arn:aws:s3:::%b"},"keySpec":"AES_256"}"#).on(KEY).via("AWS Internal")),
];

pub static KMS_BY_LAMBDA: Group = &[(
    1,
    read(&KMS, "Decrypt", r#"{"encryptionContext":{"aws:lambda:FunctionArn":"arn:aws:lambda:%r:%a:function:%f"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#)
        .on(KEY)
        .via("lambda.amazonaws.com"),
)];

pub static KMS_TRAIL: Group = &[
    (10, read(&KMS, "GenerateDataKey", r#"{"keySpec":"AES_256","encryptionContext":{"aws:cloudtrail:arn":"arn:aws:cloudtrail:us-east-1:111122223333:trail/org-trail","aws:s3:arn":"arn:aws:s3:::%b/AWSLogs/o-exampleorgid/%a/CloudTrail/%r/%O"},"keyId":"arn:aws:kms:%r:%a:key/%K"}"#).on(KEY)),
    (2, read(&KMS, "DescribeKey", r#"{"keyId":"arn:aws:kms:%r:%a:key/%K"}"#).on(KEY)),
];

pub static KMS_LOGS: Group = &[
    (8, read(&KMS, "Decrypt", r#"{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"aws:logs:arn":"arn:aws:logs:%r:%a:log-group:%L"}}"#).on(KEY)),
    (5, read(&KMS, "GenerateDataKey", r#"{"keySpec":"AES_256","encryptionContext":{"aws:logs:arn":"arn:aws:logs:%r:%a:log-group:%L"},"keyId":"arn:aws:kms:%r:%a:key/%K"}"#).on(KEY)),
];

pub static KMS_TABLES: Group = &[
    (30, read(&KMS, "Decrypt", r#"{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"arn:aws:kms:%r:%a:key/%K","encryptionContext":{"aws:dynamodb:tableName":"%t","aws:dynamodb:subscriberId":"%a"}}"#).on(KEY)),
    (1, write(&KMS, "CreateGrant", r#"{"keyId":"arn:aws:kms:%r:%a:key/%K","granteePrincipal":"dynamodb.%r.amazonaws.com","operations":["Encrypt","Decrypt","ReEncryptFrom","ReEncryptTo","GenerateDataKey","DescribeKey","CreateGrant","RetireGrant"],"retiringPrincipal":"dynamodb.%r.amazonaws.com","constraints":{"encryptionContextSubset":{"aws:dynamodb:tableName":"%t","aws:dynamodb:subscriberId":"%a"}}}"#, r#"{"grantId":"%H","keyId":"arn:aws:kms:%r:%a:key/%K"}"#).on(KEY)),
];

pub static ASSUME: Group = &[(
    1,
    read(&STS, "AssumeRole", r#"{"roleArn":"arn:aws:iam::%a:role/%R","roleSessionName":"%z"}"#)
        .answers(r#"{"credentials":{"accessKeyId":"%s","sessionToken":"%X","expiration":"%E"},"assumedRoleUser":{"assumedRoleId":"%P:%z","arn":"arn:aws:sts::%a:assumed-role/%R/%z"}}"#)
        .on(ROLE),
)];

pub static ASSUME_CROSS: Group = &[(
    1,
    read(&STS, "AssumeRole", r#"{"roleArn":"arn:aws:iam::%a:role/%R","roleSessionName":"posture-scan","externalId":"%G","durationSeconds":3600}"#)
        .answers(r#"{"credentials":{"accessKeyId":"%s","sessionToken":"%X","expiration":"%E"},"assumedRoleUser":{"assumedRoleId":"%P:posture-scan","arn":"arn:aws:sts::%a:assumed-role/%R/posture-scan"}}"#)
        .on(ROLE),
)];

pub static ASSUME_WEB: Group = &[(
    1,
    read(&STS, "AssumeRoleWithWebIdentity", r#"{"roleArn":"arn:aws:iam::%a:role/%R","roleSessionName":"%z","durationSeconds":3600}"#)
        .answers(r#"{"credentials":{"accessKeyId":"%s","sessionToken":"%X","expiration":"%E"},"subjectFromWebIdentityToken":"%o","assumedRoleUser":{"assumedRoleId":"%P:%z","arn":"arn:aws:sts::%a:assumed-role/%R/%z"},"provider":"arn:aws:iam::%a:oidc-provider/token.actions.githubusercontent.com","audience":"sts.amazonaws.com"}"#)
        .on(ROLE),
)];

pub static STS_SELF: Group = &[(1, read(&STS, "GetCallerIdentity", ""))];

pub static IAM_READ: Group = &[
    (
        14,
        read(&IAM, "GetRole", r#"{"roleName":"%R"}"#).fails(
            "NoSuchEntityException",
            "The role with name %R cannot be found.",
            30,
        ),
    ),
    (10, read(&IAM, "ListAttachedRolePolicies", r#"{"roleName":"%R"}"#)),
    (8, read(&IAM, "ListRolePolicies", r#"{"roleName":"%R"}"#)),
    (
        7,
        read(
            &IAM,
            "GetPolicyVersion",
            r#"{"policyArn":"arn:aws:iam::%a:policy/%S-policy","versionId":"v%d"}"#,
        ),
    ),
    (6, read(&IAM, "GetPolicy", r#"{"policyArn":"arn:aws:iam::%a:policy/%S-policy"}"#)),
    (
        4,
        read(&IAM, "GetRolePolicy", r#"{"roleName":"%R","policyName":"%S-inline"}"#).fails(
            "NoSuchEntityException",
            "The role policy with name %S-inline cannot be found.",
            60,
        ),
    ),
    (4, read(&IAM, "ListInstanceProfilesForRole", r#"{"roleName":"%R"}"#)),
    (3, read(&IAM, "GetInstanceProfile", r#"{"instanceProfileName":"app-server-instance-role"}"#)),
    (3, read(&IAM, "ListRoles", "")),
    (2, read(&IAM, "ListAccountAliases", "")),
    (2, read(&IAM, "GetAccountSummary", "")),
    (2, read(&IAM, "ListPolicies", r#"{"scope":"Local","onlyAttached":false}"#)),
    (
        2,
        read(
            &IAM,
            "GetOpenIDConnectProvider",
            r#"{"openIDConnectProviderArn":"arn:aws:iam::%a:oidc-provider/token.actions.githubusercontent.com"}"#,
        ),
    ),
    (1, read(&IAM, "ListMFADevices", r#"{"userName":"tomasz.kowalski"}"#)),
    (
        1,
        read(&IAM, "GetAccountPasswordPolicy", "").fails(
            "NoSuchEntityException",
            "The Password Policy with domain name %a cannot be found.",
            200,
        ),
    ),
    (1, read(&IAM, "ListServerCertificates", "")),
];

pub static IAM_CHANGE: Group = &[
    (
        3,
        write(
            &IAM,
            "TagRole",
            r#"{"roleName":"%R","tags":[{"key":"owner","value":"%S"},{"key":"managed-by","value":"terraform"}]}"#,
            "",
        ),
    ),
    (
        2,
        write(
            &IAM,
            "PutRolePolicy",
            r#"{"roleName":"%R","policyName":"%S-inline","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"ReadConfig\",\"Effect\":\"Allow\",\"Action\":[\"s3:GetObject\",\"s3:ListBucket\"],\"Resource\":[\"arn:aws:s3:::%b\",\"arn:aws:s3:::%b/*\"]},{\"Sid\":\"UseKey\",\"Effect\":\"Allow\",\"Action\":[\"kms:Decrypt\",\"kms:GenerateDataKey\"],\"Resource\":\"arn:aws:kms:%r:%a:key/%K\",\"Condition\":{\"StringEquals\":{\"kms:ViaService\":\"s3.%r.amazonaws.com\"}}},{\"Sid\":\"Queue\",\"Effect\":\"Allow\",\"Action\":[\"sqs:ReceiveMessage\",\"sqs:DeleteMessage\",\"sqs:GetQueueAttributes\"],\"Resource\":\"arn:aws:sqs:%r:%a:%S-events\"}]}"}"#,
            "",
        ),
    ),
    (
        1,
        write(
            &IAM,
            "CreatePolicyVersion",
            r#"{"policyArn":"arn:aws:iam::%a:policy/%S-policy","policyDocument":"{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\n      \"Effect\": \"Allow\",\n      \"Action\": [\n        \"dynamodb:GetItem\",\n        \"dynamodb:PutItem\",\n        \"dynamodb:Query\"\n      ],\n      \"Resource\": \"arn:aws:dynamodb:%r:%a:table/%t\"\n    }\n  ]\n}","setAsDefault":true}"#,
            r#"{"policyVersion":{"versionId":"v%d","isDefaultVersion":true,"createDate":"%D"}}"#,
        ),
    ),
    (
        1,
        write(
            &IAM,
            "UpdateAssumeRolePolicy",
            r#"{"roleName":"%R","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ecs-tasks.amazonaws.com\"},\"Action\":\"sts:AssumeRole\",\"Condition\":{\"StringEquals\":{\"aws:SourceAccount\":\"%a\"}}}]}"}"#,
            "",
        ),
    ),
];

pub static LOGS_WRITE: Group = &[
    (
        20,
        write(&LOGS, "CreateLogStream", r#"{"logGroupName":"%L","logStreamName":"%l"}"#, "").fails(
            "ResourceAlreadyExistsException",
            "The specified log stream already exists",
            80,
        ),
    ),
    (
        1,
        write(&LOGS, "CreateLogGroup", r#"{"logGroupName":"%L"}"#, "").fails(
            "ResourceAlreadyExistsException",
            "The specified log group already exists",
            800,
        ),
    ),
];

pub static LOGS_READ: Group = &[
    (12, read(&LOGS, "DescribeLogGroups", r#"{"logGroupNamePrefix":"/aws/lambda/","limit":50}"#)),
    (8, read(&LOGS, "DescribeLogStreams", r#"{"logGroupName":"%L","orderBy":"LastEventTime","descending":true,"limit":50}"#).fails("ResourceNotFoundException", "The specified log group does not exist.", 40)),
    (8, read(&LOGS, "FilterLogEvents", r#"{"logGroupName":"%L","interleaved":true,"limit":100,"filterPattern":"ERROR","startTime":%m000}"#)),
    (6, read(&LOGS, "StartQuery", r#"{"logGroupNames":["%L"],"startTime":%m,"endTime":%m,"queryString":"fields @timestamp, @message\n| filter @message like /ERROR/\n| stats count(*) by bin(5m)\n| sort @timestamp desc\n| limit 200"}"#).answers(r#"{"queryId":"%G"}"#)),
    (8, read(&LOGS, "GetQueryResults", r#"{"queryId":"%G"}"#)),
    (6, read(&LOGS, "GetLogEvents", r#"{"logGroupName":"%L","logStreamName":"%l","startFromHead":true,"limit":1000}"#)),
];

pub static METRICS: Group = &[
    (10, read(&CLOUDWATCH, "DescribeAlarms", r#"{"maxRecords":100,"stateValue":"ALARM"}"#)),
    (
        6,
        read(
            &CLOUDWATCH,
            "ListMetrics",
            r#"{"namespace":"AWS/ApplicationELB","metricName":"TargetResponseTime"}"#,
        ),
    ),
    (
        3,
        read(
            &CLOUDWATCH,
            "DescribeAlarmHistory",
            r#"{"alarmName":"%S-5xx","maxRecords":100,"historyItemType":"StateUpdate"}"#,
        ),
    ),
    (2, read(&CLOUDWATCH, "GetDashboard", r#"{"dashboardName":"%S-overview"}"#)),
];

pub static LAMBDA_READ: Group = &[
    (
        8,
        read(&LAMBDA, "GetFunction20150331v2", r#"{"functionName":"%f"}"#).fails(
            "ResourceNotFoundException",
            "Function not found: arn:aws:lambda:%r:%a:function:%f",
            30,
        ),
    ),
    (6, read(&LAMBDA, "ListFunctions20150331", r#"{"maxItems":50}"#)),
    (5, read(&LAMBDA, "GetFunctionConfiguration20150331v2", r#"{"functionName":"%f"}"#)),
    (3, read(&LAMBDA, "ListEventSourceMappings20150331", r#"{"functionName":"%f"}"#)),
    (
        3,
        read(&LAMBDA, "GetPolicy20150331v2", r#"{"functionName":"%f"}"#).fails(
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
            250,
        ),
    ),
    (2, read(&LAMBDA, "ListTags20170331", r#"{"resource":"arn:aws:lambda:%r:%a:function:%f"}"#)),
];

pub static LAMBDA_DEPLOY: Group = &[
    (3, write(&LAMBDA, "UpdateFunctionCode20150331v2", r#"{"functionName":"%f","publish":false,"dryRun":false,"s3Bucket":"%b","s3Key":"releases/%f/%Z.zip"}"#, r#"{"functionName":"%f","functionArn":"arn:aws:lambda:%r:%a:function:%f","runtime":"python3.12","role":"arn:aws:iam::%a:role/%R","handler":"app.handler","codeSize":1804%d,"description":"","timeout":30,"memorySize":512,"lastModified":"%I","codeSha256":"%Z%Z=","version":"$LATEST","tracingConfig":{"mode":"Active"},"revisionId":"%G","state":"Active","lastUpdateStatus":"InProgress","packageType":"Zip","architectures":["arm64"],"ephemeralStorage":{"size":512}}"#).fails("ResourceConflictException", "The operation cannot be performed at this time. An update is in progress for resource: arn:aws:lambda:%r:%a:function:%f", 60)),
    (2, write(&LAMBDA, "PublishVersion20150331", r#"{"functionName":"%f"}"#, r#"{"functionName":"%f","functionArn":"arn:aws:lambda:%r:%a:function:%f:%d","runtime":"python3.12","version":"%d","revisionId":"%G","state":"Active","lastUpdateStatus":"Successful"}"#)),
    (2, write(&LAMBDA, "UpdateAlias20150331", r#"{"functionName":"%f","name":"live","functionVersion":"%d"}"#, r#"{"aliasArn":"arn:aws:lambda:%r:%a:function:%f:live","name":"live","functionVersion":"%d","description":"","revisionId":"%G"}"#)),
];

pub static LAMBDA_INVOKE: Group = &[(
    1,
    write(
        &LAMBDA,
        "Invoke",
        r#"{"functionName":"arn:aws:lambda:%r:%a:function:%f","invocationType":"Event","logType":"None"}"#,
        "",
    )
    .on(FUNCTION)
    .extra(r#"{"customerEniId":"","functionVersion":"arn:aws:lambda:%r:%a:function:%f:$LATEST"}"#)
    .data(0, 0)
    .fails("TooManyRequestsException", "Rate Exceeded.", 20),
)];

pub static DYNAMO_READ: Group = &[
    (
        6,
        read(&DYNAMODB, "DescribeTable", r#"{"tableName":"%t"}"#).on(TABLE).fails(
            "ResourceNotFoundException",
            "Requested resource not found: Table: %t not found",
            25,
        ),
    ),
    (2, read(&DYNAMODB, "DescribeTimeToLive", r#"{"tableName":"%t"}"#).on(TABLE)),
    (2, read(&DYNAMODB, "DescribeContinuousBackups", r#"{"tableName":"%t"}"#).on(TABLE)),
    (1, read(&DYNAMODB, "ListTables", r#"{"limit":100}"#)),
];

pub static DYNAMO_DATA: Group = &[
    (10, read(&DYNAMODB, "GetItem", r#"{"tableName":"%t","key":{"pk":"HIDDEN_DUE_TO_SECURITY_REASONS"},"consistentRead":false}"#).on(TABLE).data(0, 0)),
    (5, read(&DYNAMODB, "Query", r#"{"tableName":"%t","indexName":"by-customer","keyConditionExpression":"HIDDEN_DUE_TO_SECURITY_REASONS","limit":50}"#).on(TABLE).data(0, 0)),
    (4, write(&DYNAMODB, "PutItem", r#"{"tableName":"%t","key":{"pk":"HIDDEN_DUE_TO_SECURITY_REASONS"},"items":["pk","sk","updatedAt"],"conditionExpression":"attribute_not_exists(pk)"}"#, "").on(TABLE).data(0, 0).fails("ConditionalCheckFailedException", "The conditional request failed", 90)),
    (3, write(&DYNAMODB, "UpdateItem", r#"{"tableName":"%t","key":{"pk":"HIDDEN_DUE_TO_SECURITY_REASONS"},"updateExpression":"SET #s = :s"}"#, "").on(TABLE).data(0, 0)),
];

pub static SECRET_OWN: Group =
    &[(1, read(&SECRETS, "GetSecretValue", r#"{"secretId":"arn:aws:secretsmanager:%r:%a:secret:%q"}"#))];

pub static ECR_PULL: Group = &[
    (6, read(&ECR, "BatchGetImage", r#"{"registryId":"%a","repositoryName":"%w","imageIds":[{"imageTag":"release-%d"}],"acceptedMediaTypes":["application/vnd.docker.distribution.manifest.v2+json","application/vnd.docker.distribution.manifest.list.v2+json","application/vnd.oci.image.manifest.v1+json"]}"#).on(REPOSITORY)),
    (6, read(&ECR, "GetDownloadUrlForLayer", r#"{"registryId":"%a","repositoryName":"%w","layerDigest":"sha256:%H"}"#).on(REPOSITORY)),
    (3, read(&ECR, "GetAuthorizationToken", "")),
];

pub static ECR_PUSH: Group = &[
    (4, read(&ECR, "BatchCheckLayerAvailability", r#"{"registryId":"%a","repositoryName":"%w","layerDigests":["sha256:%H","sha256:%H","sha256:%H"]}"#).on(REPOSITORY)),
    (2, write(&ECR, "InitiateLayerUpload", r#"{"registryId":"%a","repositoryName":"%w"}"#, r#"{"uploadId":"%G","partSize":10485760}"#).on(REPOSITORY)),
    (2, write(&ECR, "UploadLayerPart", r#"{"registryId":"%a","repositoryName":"%w","uploadId":"%G","partFirstByte":0,"partLastByte":524%d}"#, r#"{"registryId":"%a","repositoryName":"%w","uploadId":"%G","lastByteReceived":524%d}"#).on(REPOSITORY)),
    (1, write(&ECR, "PutImage", r#"{"registryId":"%a","repositoryName":"%w","imageTag":"release-%d","imageManifestMediaType":"application/vnd.oci.image.manifest.v1+json","imageManifest":"{\n  \"schemaVersion\": 2,\n  \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\",\n  \"config\": {\n    \"mediaType\": \"application/vnd.oci.image.config.v1+json\",\n    \"digest\": \"sha256:%H\",\n    \"size\": 7621\n  }\n}"}"#, r#"{"image":{"registryId":"%a","repositoryName":"%w","imageId":{"imageDigest":"sha256:%H","imageTag":"release-%d"}}}"#).on(REPOSITORY)),
];

pub static ECS_READ: Group = &[
    (8, read(&ECS, "DescribeServices", r#"{"cluster":"%c","services":["%S"],"include":["TAGS"]}"#)),
    (
        6,
        read(
            &ECS,
            "DescribeTasks",
            r#"{"cluster":"arn:aws:ecs:%r:%a:cluster/%c","tasks":["arn:aws:ecs:%r:%a:task/%c/%T"]}"#,
        ),
    ),
    (5, read(&ECS, "ListTasks", r#"{"cluster":"%c","serviceName":"%S","desiredStatus":"RUNNING"}"#)),
    (3, read(&ECS, "DescribeTaskDefinition", r#"{"taskDefinition":"%S:%d"}"#)),
    (2, read(&ECS, "DescribeClusters", r#"{"clusters":["%c"],"include":["STATISTICS"]}"#)),
    (1, read(&ECS, "ListServices", r#"{"cluster":"%c","maxResults":100}"#)),
];

pub static ECS_DEPLOY: Group = &[
    (
        2,
        write(
            &ECS,
            "UpdateService",
            r#"{"cluster":"%c","service":"%S","taskDefinition":"arn:aws:ecs:%r:%a:task-definition/%S:%d","forceNewDeployment":false}"#,
            r#"{"service":{"serviceArn":"arn:aws:ecs:%r:%a:service/%c/%S","serviceName":"%S","clusterArn":"arn:aws:ecs:%r:%a:cluster/%c","status":"ACTIVE","desiredCount":3,"runningCount":3,"pendingCount":0,"launchType":"FARGATE","platformVersion":"LATEST","taskDefinition":"arn:aws:ecs:%r:%a:task-definition/%S:%d","deploymentConfiguration":{"maximumPercent":200,"minimumHealthyPercent":100},"roleArn":"arn:aws:iam::%a:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS","createdAt":"%D","schedulingStrategy":"REPLICA","enableECSManagedTags":true,"propagateTags":"SERVICE"}}"#,
        ),
    ),
    (
        2,
        write(
            &ECS,
            "RegisterTaskDefinition",
            r#"{"family":"%S","taskRoleArn":"arn:aws:iam::%a:role/%R","executionRoleArn":"arn:aws:iam::%a:role/ecs-execution-role","networkMode":"awsvpc","containerDefinitions":[{"name":"%S","image":"%a.dkr.ecr.%r.amazonaws.com/%w:release-%d","cpu":512,"memory":1024,"essential":true,"portMappings":[{"containerPort":8080,"hostPort":8080,"protocol":"tcp"}],"environment":[],"logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"/ecs/%S","awslogs-region":"%r","awslogs-stream-prefix":"ecs"}}}],"requiresCompatibilities":["FARGATE"],"cpu":"512","memory":"1024"}"#,
            r#"{"taskDefinition":{"taskDefinitionArn":"arn:aws:ecs:%r:%a:task-definition/%S:%d","family":"%S","revision":%d,"status":"ACTIVE","networkMode":"awsvpc","cpu":"512","memory":"1024","registeredAt":"%D"}}"#,
        ),
    ),
];

pub static ECS_TASKS: Group = &[
    (
        4,
        write(
            &ELB,
            "RegisterTargets",
            r#"{"targetGroupArn":"arn:aws:elasticloadbalancing:%r:%a:targetgroup/%S/%h","targets":[{"id":"10.20.3.%d","port":8080,"availabilityZone":"%ra"}]}"#,
            "",
        ),
    ),
    (
        4,
        write(
            &ELB,
            "DeregisterTargets",
            r#"{"targetGroupArn":"arn:aws:elasticloadbalancing:%r:%a:targetgroup/%S/%h","targets":[{"id":"10.20.3.%d","port":8080}]}"#,
            "",
        ),
    ),
    (
        6,
        read(
            &ELB,
            "DescribeTargetHealth",
            r#"{"targetGroupArn":"arn:aws:elasticloadbalancing:%r:%a:targetgroup/%S/%h"}"#,
        ),
    ),
];

pub static ELB_READ: Group = &[
    (
        8,
        read(
            &ELB,
            "DescribeTargetHealth",
            r#"{"targetGroupArn":"arn:aws:elasticloadbalancing:%r:%a:targetgroup/%S/%h"}"#,
        ),
    ),
    (5, read(&ELB, "DescribeLoadBalancers", r#"{"pageSize":400}"#)),
    (
        4,
        read(
            &ELB,
            "DescribeTargetGroups",
            r#"{"loadBalancerArn":"arn:aws:elasticloadbalancing:%r:%a:loadbalancer/app/%S/%h"}"#,
        ),
    ),
    (
        2,
        read(
            &ELB,
            "DescribeListeners",
            r#"{"loadBalancerArn":"arn:aws:elasticloadbalancing:%r:%a:loadbalancer/app/%S/%h"}"#,
        ),
    ),
    (
        2,
        read(
            &ELB,
            "DescribeRules",
            r#"{"listenerArn":"arn:aws:elasticloadbalancing:%r:%a:listener/app/%S/%h/%h"}"#,
        ),
    ),
    (
        1,
        read(
            &ELB,
            "DescribeTags",
            r#"{"resourceArns":["arn:aws:elasticloadbalancing:%r:%a:loadbalancer/app/%S/%h"]}"#,
        ),
    ),
];

pub static SCALING_READ: Group = &[
    (
        8,
        read(
            &AUTOSCALING,
            "DescribeAutoScalingGroups",
            r#"{"autoScalingGroupNames":["eks-%c-nodes-%h"],"maxRecords":100}"#,
        ),
    ),
    (4, read(&AUTOSCALING, "DescribeAutoScalingInstances", r#"{"instanceIds":["%i"]}"#)),
    (
        2,
        read(
            &AUTOSCALING,
            "DescribeScalingActivities",
            r#"{"autoScalingGroupName":"eks-%c-nodes-%h","maxRecords":20}"#,
        ),
    ),
    (
        1,
        read(
            &AUTOSCALING,
            "DescribeTags",
            r#"{"filters":[{"name":"auto-scaling-group","values":["eks-%c-nodes-%h"]}]}"#,
        ),
    ),
];

pub static EKS_READ: Group = &[
    (6, read(&EKS, "DescribeCluster", r#"{"name":"%c"}"#)),
    (3, read(&EKS, "DescribeNodegroup", r#"{"name":"%c","nodegroupName":"nodes"}"#)),
    (2, read(&EKS, "ListNodegroups", r#"{"name":"%c"}"#)),
    (1, read(&EKS, "DescribeAddon", r#"{"name":"%c","addonName":"vpc-cni"}"#)),
    (1, read(&EKS, "ListClusters", r#"{"maxResults":100}"#)),
];

pub static RDS_READ: Group = &[
    (
        8,
        read(&RDS, "DescribeDBInstances", r#"{"dBInstanceIdentifier":"%S-db"}"#).fails(
            "DBInstanceNotFoundFault",
            "DBInstance %S-db not found.",
            30,
        ),
    ),
    (4, read(&RDS, "DescribeDBClusters", r#"{"maxRecords":100,"includeShared":false}"#)),
    (2, read(&RDS, "ListTagsForResource", r#"{"resourceName":"arn:aws:rds:%r:%a:db:%S-db"}"#)),
    (
        1,
        read(
            &RDS,
            "DescribeDBSnapshots",
            r#"{"dBInstanceIdentifier":"%S-db","includeShared":false,"includePublic":false}"#,
        ),
    ),
    (1, read(&RDS, "DescribeDBParameters", r#"{"dBParameterGroupName":"postgres16","source":"user"}"#)),
];

pub static CONFIG_WRITE: Group = &[
    (
        10,
        write(
            &CONFIG,
            "PutEvaluations",
            r#"{"evaluations":[{"complianceResourceType":"AWS::EC2::Instance","complianceResourceId":"%i","complianceType":"COMPLIANT","orderingTimestamp":"%D"},{"complianceResourceType":"AWS::EC2::SecurityGroup","complianceResourceId":"%g","complianceType":"COMPLIANT","orderingTimestamp":"%D"}],"resultToken":"%X","testMode":false}"#,
            r#"{"failedEvaluations":[]}"#,
        ),
    ),
    (2, read(&CONFIG, "DescribeConfigurationRecorderStatus", "")),
];

pub static CONFIG_READ: Group = &[
    (6, read(&CONFIG, "DescribeComplianceByConfigRule", r#"{"complianceTypes":["NON_COMPLIANT"]}"#)),
    (4, read(&CONFIG, "DescribeConfigRules", "")),
    (
        3,
        read(
            &CONFIG,
            "GetComplianceDetailsByConfigRule",
            r#"{"configRuleName":"restricted-ssh","complianceTypes":["NON_COMPLIANT"],"limit":100}"#,
        ),
    ),
    (2, read(&CONFIG, "DescribeConfigurationRecorders", "")),
    (
        2,
        read(
            &CONFIG,
            "SelectResourceConfig",
            r#"{"expression":"SELECT resourceId, resourceType WHERE resourceType = 'AWS::EC2::SecurityGroup'","limit":100}"#,
        ),
    ),
];

pub static TRAIL_READ: Group = &[
    (8, read(&CLOUDTRAIL, "LookupEvents", r#"{"maxResults":50,"lookupAttributes":[{"attributeKey":"EventName","attributeValue":"ConsoleLogin"}]}"#).fails("ThrottlingException", "Rate exceeded", 90)),
    (4, read(&CLOUDTRAIL, "DescribeTrails", r#"{"trailNameList":[],"includeShadowTrails":true}"#)),
    (3, read(&CLOUDTRAIL, "GetTrailStatus", r#"{"name":"arn:aws:cloudtrail:us-east-1:111122223333:trail/org-trail"}"#)),
    (2, read(&CLOUDTRAIL, "GetEventSelectors", r#"{"trailName":"arn:aws:cloudtrail:us-east-1:111122223333:trail/org-trail"}"#)),
];

pub static FINDINGS_READ: Group = &[
    (
        6,
        read(
            &GUARDDUTY,
            "ListFindings",
            r#"{"detectorId":"%T","findingCriteria":{"criterion":{"service.archived":{"equals":["false"]}}},"maxResults":50}"#,
        ),
    ),
    (4, read(&GUARDDUTY, "GetFindings", r#"{"detectorId":"%T","findingIds":["%T"]}"#)),
    (3, read(&GUARDDUTY, "ListDetectors", r#"{"maxResults":50}"#)),
    (2, read(&GUARDDUTY, "GetDetector", r#"{"detectorId":"%T"}"#)),
];

pub static HUB_READ: Group = &[
    (
        6,
        read(
            &SECURITYHUB,
            "GetFindings",
            r#"{"Filters":{"SeverityLabel":[{"Value":"CRITICAL","Comparison":"EQUALS"},{"Value":"HIGH","Comparison":"EQUALS"}],"WorkflowStatus":[{"Value":"NEW","Comparison":"EQUALS"}],"RecordState":[{"Value":"ACTIVE","Comparison":"EQUALS"}]},"MaxResults":100}"#,
        ),
    ),
    (2, read(&SECURITYHUB, "GetEnabledStandards", "")),
    (2, read(&SECURITYHUB, "DescribeHub", "")),
];

pub static STACKS: Group = &[
    (
        10,
        read(&CLOUDFORMATION, "DescribeStacks", r#"{"stackName":"%S-%y"}"#).fails(
            "ValidationException",
            "Stack with id %S-%y does not exist",
            60,
        ),
    ),
    (
        6,
        read(
            &CLOUDFORMATION,
            "DescribeStackEvents",
            r#"{"stackName":"arn:aws:cloudformation:%r:%a:stack/%S-%y/%G"}"#,
        ),
    ),
    (5, read(&CLOUDFORMATION, "ListStackResources", r#"{"stackName":"%S-%y"}"#)),
    (4, read(&CLOUDFORMATION, "GetTemplate", r#"{"stackName":"%S-%y","templateStage":"Original"}"#)),
    (
        4,
        read(
            &CLOUDFORMATION,
            "ListStacks",
            r#"{"stackStatusFilter":["CREATE_COMPLETE","UPDATE_COMPLETE","UPDATE_ROLLBACK_COMPLETE"]}"#,
        ),
    ),
];

pub static STACK_CHANGE: Group = &[
    (
        1,
        write(
            &CLOUDFORMATION,
            "CreateChangeSet",
            r#"{"stackName":"%S-%y","changeSetName":"cdk-deploy-change-set","changeSetType":"UPDATE","templateURL":"https://%b.s3.%r.amazonaws.com/%H.json","capabilities":["CAPABILITY_IAM","CAPABILITY_NAMED_IAM","CAPABILITY_AUTO_EXPAND"],"parameters":[{"parameterKey":"Environment","parameterValue":"%y"}],"tags":[{"key":"team","value":"%S"}]}"#,
            r#"{"id":"arn:aws:cloudformation:%r:%a:changeSet/cdk-deploy-change-set/%G","stackId":"arn:aws:cloudformation:%r:%a:stack/%S-%y/%G"}"#,
        ),
    ),
    (
        1,
        write(
            &CLOUDFORMATION,
            "ExecuteChangeSet",
            r#"{"changeSetName":"cdk-deploy-change-set","stackName":"%S-%y","clientRequestToken":"%G"}"#,
            "",
        ),
    ),
];

pub static QUERIES: Group = &[
    (6, read(&ATHENA, "GetQueryExecution", r#"{"queryExecutionId":"%G"}"#)),
    (
        4,
        write(
            &ATHENA,
            "StartQueryExecution",
            r#"{"queryString":"HIDDEN_DUE_TO_SECURITY_REASONS","clientRequestToken":"%G","queryExecutionContext":{"database":"lake_curated","catalog":"AwsDataCatalog"},"resultConfiguration":{"outputLocation":"s3://%b/athena/"},"workGroup":"analysts"}"#,
            r#"{"queryExecutionId":"%G"}"#,
        ),
    ),
    (
        4,
        read(&ATHENA, "GetQueryResults", r#"{"queryExecutionId":"%G","maxResults":1000}"#).fails(
            "InvalidRequestException",
            "Query has not yet finished. Current state: RUNNING",
            120,
        ),
    ),
    (1, read(&ATHENA, "ListWorkGroups", r#"{"maxResults":50}"#)),
];

pub static CATALOG: Group = &[
    (
        6,
        read(&GLUE, "GetTable", r#"{"databaseName":"lake_curated","name":"%t"}"#).fails(
            "EntityNotFoundException",
            "Entity Not Found",
            50,
        ),
    ),
    (
        4,
        read(
            &GLUE,
            "GetPartitions",
            r#"{"databaseName":"lake_curated","tableName":"%t","expression":"(dt = '%y')","maxResults":1000}"#,
        ),
    ),
    (3, read(&GLUE, "GetTables", r#"{"databaseName":"lake_curated","maxResults":100}"#)),
    (2, read(&GLUE, "GetDatabases", r#"{"maxResults":100}"#)),
];

pub static QUEUES: Group = &[
    (
        5,
        read(
            &SQS,
            "GetQueueAttributes",
            r#"{"queueUrl":"https://sqs.%r.amazonaws.com/%a/%S-events","attributeNames":["ApproximateNumberOfMessages","ApproximateNumberOfMessagesNotVisible"]}"#,
        ),
    ),
    (
        3,
        read(&SQS, "GetQueueUrl", r#"{"queueName":"%S-events"}"#).fails(
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist.",
            30,
        ),
    ),
    (1, read(&SQS, "ListQueues", r#"{"queueNamePrefix":"%S"}"#)),
];

pub static TOPICS: Group = &[
    (3, read(&SNS, "GetTopicAttributes", r#"{"topicArn":"arn:aws:sns:%r:%a:%S-alerts"}"#)),
    (2, read(&SNS, "ListSubscriptionsByTopic", r#"{"topicArn":"arn:aws:sns:%r:%a:%S-alerts"}"#)),
];

pub static MONEY: Group = &[
    (
        6,
        read(
            &COST,
            "GetCostAndUsage",
            r#"{"TimePeriod":{"Start":"2025-01-01","End":"%Y"},"Granularity":"DAILY","Metrics":["UnblendedCost"],"GroupBy":[{"Type":"DIMENSION","Key":"SERVICE"}]}"#,
        ),
    ),
    (
        2,
        read(
            &COST,
            "GetCostForecast",
            r#"{"TimePeriod":{"Start":"%Y","End":"%Y"},"Metric":"UNBLENDED_COST","Granularity":"MONTHLY"}"#,
        ),
    ),
    (
        1,
        read(
            &COST,
            "GetDimensionValues",
            r#"{"TimePeriod":{"Start":"2025-01-01","End":"%Y"},"Dimension":"LINKED_ACCOUNT"}"#,
        ),
    ),
];

pub static ORGANIZATION: Group = &[
    (4, read(&ORGANIZATIONS, "ListAccounts", "")),
    (3, read(&ORGANIZATIONS, "DescribeOrganization", "")),
    (2, read(&ORGANIZATIONS, "DescribeAccount", r#"{"accountId":"%a"}"#)),
    (1, read(&ORGANIZATIONS, "ListPolicies", r#"{"filter":"SERVICE_CONTROL_POLICY"}"#)),
];

pub static DNS: Group = &[
    (4, read(&ROUTE53, "ListResourceRecordSets", r#"{"hostedZoneId":"Z0%h","maxItems":"300"}"#)),
    (2, read(&ROUTE53, "GetHostedZone", r#"{"id":"Z0%h"}"#)),
    (1, read(&ROUTE53, "ListHostedZonesByName", r#"{"dnsName":"example.com"}"#)),
];

pub static BACKUP_JOBS: Group = &[
    (3, write(&BACKUP, "BackupJobStarted", "", "").details(r#"{"backupVaultName":"daily","backupJobId":"%G","state":"RUNNING","percentDone":"0.0","resourceType":"EBS"}"#)),
    (3, write(&BACKUP, "BackupJobCompleted", "", "").details(r#"{"backupVaultName":"daily","backupJobId":"%G","completionDate":{"seconds":%m},"state":"COMPLETED","percentDone":"100.0","resourceType":"EBS"}"#)),
];

pub static STATE_CHANGES: Group = &[
    (
        3,
        write(&SECRETS, "RotationStarted", "", "")
            .details(r#"{"SecretId":"arn:aws:secretsmanager:%r:%a:secret:%S-rotated"}"#)
            .extra(r#"{"SecretId":"arn:aws:secretsmanager:%r:%a:secret:%S-rotated"}"#),
    ),
    (
        2,
        write(&KMS, "RotateKey", "", "")
            .details(r#"{"keyId":"%K","rotationType":"AUTOMATIC","keyOrigin":"AWS_KMS"}"#)
            .on(KEY),
    ),
    (
        2,
        write(&ECS, "StartTask", "", "")
            .details(r#"{"cluster":"%c","taskArn":"arn:aws:ecs:%r:%a:task/%c/%T"}"#),
    ),
];

pub static SCHEDULES: Group = &[
    (3, read(&EVENTS, "ListRules", r#"{"namePrefix":"%S"}"#)),
    (
        2,
        read(&EVENTS, "DescribeRule", r#"{"name":"%S-schedule"}"#).fails(
            "ResourceNotFoundException",
            "Rule %S-schedule does not exist on EventBus default.",
            40,
        ),
    ),
];
