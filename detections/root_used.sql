/*
id: aws-root-used
title: The root user was used
description: >
  The root user signed in or called an API. It can do everything, cannot be limited by IAM policies and has no
  owner by name, so outside a handful of account tasks nobody should use it. Failed attempts count: somebody holds,
  or tries, the credentials. Calls that an AWS service makes in the root user's name are left out, but not those of the
  console, which CloudTrail marks as invoked by `signin.amazonaws.com`.
severity: high
mitre:
  tactics: [TA0001, TA0004]
  techniques: [T1078.004]
data_source: cloudtrail
entity: [recipient_account_id, source_ip_address]
summary: "root user of account {recipient_account_id} used from {source_ip_address}: {event_name} ({result})"
false_positives:
  - The few tasks that need root, such as closing an account or changing its support plan, done by the person in charge.
next_steps: >
  Ask the account's owner whether they did it. See where root signs in from with `trailhound query root-logins`, and
  what else came from the address with `trailhound query source-address -p address=<source_ip_address>`. If nobody
  knows: reset the root password, delete root access keys, check the second factor and the account's e-mail address.
references:
  - https://docs.aws.amazon.com/IAM/latest/UserGuide/root-user-best-practices.html
*/
select
    event_id,
    event_time,
    recipient_account_id,
    actor_arn,
    source_ip_address,
    event_source,
    event_name,
    aws_region,
    coalesce(error_code, error_message, 'succeeded') as result,
    access_key_id,
    mfa_authenticated,
    user_agent
from cloudtrail
where identity_type = 'Root'
  and coalesce(invoked_by, 'signin.amazonaws.com') = 'signin.amazonaws.com'
  and coalesce(event_type, '') <> 'AwsServiceEvent'
