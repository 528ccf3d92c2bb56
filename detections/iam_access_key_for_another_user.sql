/*
id: aws-iam-access-key-for-another-user
title: Access key created for another user
description: >
  A principal created an access key for a user that is not itself: a quiet way to stay, since the key outlives the
  session and carries the other user's rights. Only calls that succeeded count.
severity: medium
mitre:
  tactics: [TA0003, TA0004]
  techniques: [T1098.001]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn, target_user]
summary: "{actor_arn} created access key {new_access_key_id} for user {target_user} from {source_ip_address}"
false_positives:
  - Administrators and infrastructure as code that hand out keys.
next_steps: >
  See what the new key did with `trailhound query access-key -p key=<new_access_key_id>`. If nobody asked for it,
  deactivate it, and look at the principal with `trailhound query principal-timeline -p principal=<actor_arn>`.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.persistence.iam-backdoor-user/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    json_get_str(request_parameters, 'userName') as target_user,
    coalesce(json_get_str(response_elements, 'accessKey', 'accessKeyId'), 'unknown') as new_access_key_id,
    source_ip_address,
    user_agent
from cloudtrail
where event_source = 'iam.amazonaws.com'
  and event_name = 'CreateAccessKey'
  and error_code is null
  and coalesce(identity_type, '') <> 'AWSService'
  and json_get_str(request_parameters, 'userName') is not null
  and lower(json_get_str(request_parameters, 'userName')) <> lower(coalesce(identity_user_name, ''))
