/*
id: aws-snapshot-shared-outside
title: A snapshot or image was shared outside the account
description: >
  An EBS snapshot, an AMI or a database snapshot was shared with another account or with everybody. Whoever
  it is shared with copies the disk at leisure. Only calls that succeeded count; taking a share back does not.
severity: high
mitre:
  tactics: [TA0010]
  techniques: [T1537]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn, shared]
summary: "{actor_arn} shared {shared} outside the account by {event_name} from {source_ip_address}"
false_positives:
  - Images built in one account for the others of the company.
  - Backup copies to a vault account.
next_steps: >
  See with whom in `request_parameters`. Take the share back unless the account is yours, and treat what was on the disk
  as lost. See what else was touched with `trailhound query principal-timeline -p principal=<actor_arn>`.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.exfiltration.ec2-share-ebs-snapshot/
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.exfiltration.rds-share-snapshot/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(
        json_get_str(request_parameters, 'snapshotId'),
        json_get_str(request_parameters, 'imageId'),
        json_get_str(request_parameters, 'dBSnapshotIdentifier'),
        json_get_str(request_parameters, 'dBClusterSnapshotIdentifier'),
        'unknown'
    ) as shared,
    source_ip_address,
    aws_region,
    user_agent,
    request_parameters
from cloudtrail
where (
      (event_source = 'ec2.amazonaws.com' and event_name in ('ModifySnapshotAttribute', 'ModifyImageAttribute'))
      or (
          event_source = 'rds.amazonaws.com'
          and event_name in ('ModifyDBSnapshotAttribute', 'ModifyDBClusterSnapshotAttribute')
      )
  )
  and error_code is null
  and coalesce(identity_type, '') <> 'AWSService'
  -- What was added, without the account's own id: `all`, or the id of another account, or an organization.
  and regexp_like(
      replace(
          coalesce(
              json_get_json(request_parameters, 'createVolumePermission', 'add'),
              json_get_json(request_parameters, 'launchPermission', 'add'),
              json_get_json(request_parameters, 'valuesToAdd')
          ),
          coalesce(recipient_account_id, 'none'),
          'own'
      ),
      '"all"|"[0-9]{12}"|"arn:[a-z-]+:organizations:'
  )
