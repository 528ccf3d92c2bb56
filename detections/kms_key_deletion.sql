/*
id: aws-kms-key-deletion
title: KMS key scheduled for deletion or disabled
description: >
  A KMS key was scheduled for deletion, disabled, or lost its imported key material. What it encrypted cannot be read
  from then on, and after the waiting period never again: a way to destroy data or to hold it to ransom. Only calls
  that succeeded count.
severity: high
mitre:
  tactics: [TA0040]
  techniques: [T1485, T1486]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn, key]
summary: "{actor_arn} called {event_name} on KMS key {key} from {source_ip_address}"
false_positives:
  - Infrastructure as code that tears down a stack with its key.
next_steps: >
  Cancel the deletion (`aws kms cancel-key-deletion`) or enable the key again, then ask the principal's owner. See who
  used the key with `trailhound query resource -p resource=<key>`.
references:
  - https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    coalesce(json_get_str(request_parameters, 'keyId'), 'unknown') as key,
    json_get_int(request_parameters, 'pendingWindowInDays') as waiting_days,
    json_get_str(response_elements, 'deletionDate') as deletion_date,
    source_ip_address,
    aws_region,
    user_agent
from cloudtrail
where event_source = 'kms.amazonaws.com'
  and event_name in ('ScheduleKeyDeletion', 'DisableKey', 'DeleteImportedKeyMaterial')
  and error_code is null
  and coalesce(identity_type, '') <> 'AWSService'
