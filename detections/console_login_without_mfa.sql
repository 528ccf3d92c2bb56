/*
id: aws-console-login-without-mfa
title: Console sign-in without a second factor
description: >
  An IAM user or the root user signed in to the console with a password alone. Federated and Identity Center sign-ins
  are left out: there CloudTrail always says `MFAUsed: No`, as the second factor is the identity provider's business.
severity: medium
mitre:
  tactics: [TA0001]
  techniques: [T1078.004]
data_source: cloudtrail
entity: [recipient_account_id, actor_arn]
summary: "{actor_arn} signed in to the console without MFA from {source_ip_address}"
false_positives:
  - A new user's first sign-in, before a device is registered.
next_steps: >
  Check the address with `trailhound query console-logins -p account=<recipient_account_id>` and what was done in the
  session with `trailhound query principal-timeline -p principal=<actor_arn>`. Require MFA by policy
  (`aws:MultiFactorAuthPresent`) and register a device for the user.
references:
  - https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-aws-console-sign-in-events.html
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    identity_type,
    source_ip_address,
    event_name,
    aws_region,
    json_get_str(additional_event_data, 'LoginTo') as login_to,
    user_agent
from cloudtrail
where event_source = 'signin.amazonaws.com'
  and event_name = 'ConsoleLogin'
  and identity_type in ('IAMUser', 'Root')
  and json_get_str(response_elements, 'ConsoleLogin') = 'Success'
  and lower(coalesce(json_get_str(additional_event_data, 'MFAUsed'), 'no')) <> 'yes'
  and json_get_str(additional_event_data, 'SamlProviderArn') is null
