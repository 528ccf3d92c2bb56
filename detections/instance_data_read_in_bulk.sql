/*
id: aws-instance-data-read-in-bulk
title: Passwords or user data of many instances were read
description: >
  One principal asked for the Windows password or the user data of at least ten different instances within an hour.
  Start-up scripts hold secrets more often than they should. Refused calls count too: the usual tools try every instance.
severity: medium
mitre:
  tactics: [TA0006, TA0007]
  techniques: [T1552.005, T1552]
data_source: cloudtrail
kind: aggregate
window: 1h
entity: [recipient_account_id, actor_arn]
summary: "{actor_arn} asked for passwords or user data of {instances} instances, {denied} of {event_count} calls denied"
false_positives:
  - Inventory and posture tools that read user data of every instance.
next_steps: >
  See what was asked with `trailhound query principal-timeline -p principal=<actor_arn>`. If calls succeeded, change
  the passwords and the secrets in those user data.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.credential-access.ec2-get-password-data/
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.discovery.ec2-download-user-data/
*/
select
    recipient_account_id,
    actor_arn,
    date_bin(interval '1 hour', event_time) as window_start,
    min(event_time) as first_time,
    max(event_time) as last_time,
    count(*) as event_count,
    array_agg(event_id) as event_ids,
    count(distinct json_get_str(request_parameters, 'instanceId')) as instances,
    count(error_code) as denied,
    string_agg(distinct source_ip_address, ', ') as source_addresses
from cloudtrail
where event_source = 'ec2.amazonaws.com'
  and (
      event_name = 'GetPasswordData'
      or (
          event_name = 'DescribeInstanceAttribute'
          and json_get_str(request_parameters, 'attribute') = 'userData'
      )
  )
  and actor_arn is not null
  and coalesce(identity_type, '') <> 'AWSService'
group by recipient_account_id, actor_arn, date_bin(interval '1 hour', event_time)
having count(distinct json_get_str(request_parameters, 'instanceId')) >= 10
