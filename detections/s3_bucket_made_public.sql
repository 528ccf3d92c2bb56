/*
id: aws-s3-bucket-made-public
title: A bucket was opened to the public
description: >
  A bucket policy that allows everybody, an ACL for all users or all AWS accounts, or Block Public Access taken away
  from a bucket or the account. Policies are read statement by statement: a `Deny` for everybody, and a
  statement limited by a condition on who calls or from where (`aws:PrincipalOrgID`, `aws:SourceIp`, `aws:SourceVpce`,
  ...), are left out. Only calls that succeeded count.
severity: high
mitre:
  tactics: [TA0010, TA0005]
  techniques: [T1537, T1530]
data_source: cloudtrail
entity: [recipient_account_id, bucket]
summary: "{actor_arn} opened bucket {bucket} to the public: {event_name} from {source_ip_address}"
false_positives:
  - A bucket that serves a web site.
  - Block Public Access removed on the way to a policy that allows one other account.
next_steps: >
  Turn Block Public Access on again unless the bucket is meant to be public. See who changed it with
  `trailhound query resource -p resource=<bucket>`; whether objects were read from outside is visible only where data
  events or access logs are on.
references:
  - https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.exfiltration.s3-backdoor-bucket-policy/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(json_get_str(request_parameters, 'bucketName'), 'the whole account') as bucket,
    source_ip_address,
    aws_region,
    user_agent,
    request_parameters
from cloudtrail
where event_source in ('s3.amazonaws.com', 's3-control.amazonaws.com')
  and event_name in (
      'PutBucketPolicy', 'PutBucketAcl', 'CreateBucket', 'DeleteBucketPublicAccessBlock', 'PutBucketPublicAccessBlock',
      'DeleteAccountPublicAccessBlock', 'PutAccountPublicAccessBlock', 'DeletePublicAccessBlock',
      'PutPublicAccessBlock'
  )
  and error_code is null
  and coalesce(identity_type, '') <> 'AWSService'
  and case
      when event_name = 'PutBucketPolicy' then
          -- One statement per line; denials and limited statements dropped; then anybody as the principal.
          regexp_like(
              regexp_replace(
                  coalesce(
                      array_to_string(
                          json_get_array(
                              regexp_replace(
                                  coalesce(
                                      json_get_str(request_parameters, 'bucketPolicy'),
                                      json_get_json(request_parameters, 'bucketPolicy')
                                  ),
                                  '\s+', '', 'g'
                              ),
                              'Statement'
                          ),
                          chr(10)
                      ),
                      json_get_json(
                          regexp_replace(
                              coalesce(
                                  json_get_str(request_parameters, 'bucketPolicy'),
                                  json_get_json(request_parameters, 'bucketPolicy')
                              ),
                              '\s+', '', 'g'
                          ),
                          'Statement'
                      )
                  ),
                  '(?im)^.*("effect":"deny"|"condition":.*"(aws:(principal|source|userid|viaawsservice|calledvia|vpcsourceip|referer)|s3:dataaccesspoint)).*$',
                  '', 'g'
              ),
              '(?im)"principal":("(\*|\\u002a)"|\{"aws":(\[[^\]]*)?"(\*|\\u002a)")'
          )
      when event_name in ('PutBucketAcl', 'CreateBucket') then
          regexp_like(request_parameters, 'global\\?/(AllUsers|AuthenticatedUsers)')
          or regexp_like(
              request_parameters,
              '"x-amz-acl"\s*:\s*\[?\s*"(public-read|public-read-write|authenticated-read)"'
          )
      when event_name in ('PutBucketPublicAccessBlock', 'PutAccountPublicAccessBlock', 'PutPublicAccessBlock') then
          regexp_like(
              request_parameters,
              '"(BlockPublicAcls|IgnorePublicAcls|BlockPublicPolicy|RestrictPublicBuckets)"\s*:\s*"?false'
          )
      else true
  end
