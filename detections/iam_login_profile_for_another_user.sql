/*
id: aws-iam-login-profile-for-another-user
title: Console password set for another user
description: >
  A principal gave another user a console password, or changed it. It opens the console to whoever sets it, often on
  a user that was meant for programs only. Only calls that succeeded count.
severity: medium
mitre:
  tactics: [TA0003, TA0004]
  techniques: [T1098]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn, target_user]
summary: "{actor_arn} set the console password of user {target_user} ({event_name}) from {source_ip_address}"
false_positives:
  - The help desk resetting a forgotten password.
next_steps: >
  See whether the user signed in since with `trailhound query console-logins -p account=<recipient_account_id>`, and
  what the principal did besides with `trailhound query principal-timeline -p principal=<actor_arn>`. If nobody asked
  for it, delete the login profile.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.persistence.iam-create-user-login-profile/
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    event_name,
    json_get_str(request_parameters, 'userName') as target_user,
    source_ip_address,
    user_agent
from cloudtrail
where event_source = 'iam.amazonaws.com'
  and event_name in ('CreateLoginProfile', 'UpdateLoginProfile')
  and error_code is null
  and coalesce(identity_type, '') <> 'AWSService'
  and json_get_str(request_parameters, 'userName') is not null
  and lower(json_get_str(request_parameters, 'userName')) <> lower(coalesce(identity_user_name, ''))
