/*
id: aws-instance-credentials-from-two-addresses
title: An instance's credentials were used from two public addresses
description: >
  The temporary credentials of one EC2 instance (a session named `i-...`, one access key) signed calls from at least two
  different public addresses within six hours. An instance has one way out, so a second address is likely somebody who
  took the credentials along. Calls through VPC endpoints, which come from private addresses, do not count, nor do calls
  of services; a thief who is the only one with a public address is not seen.
severity: medium
mitre:
  tactics: [TA0006]
  techniques: [T1552.005]
data_source: cloudtrail
kind: aggregate
window: 6h
entity: [recipient_account_id, identity_principal_id, access_key_id]
summary: "credentials of instance session {identity_principal_id} ({actor_arn}) were used from {addresses} public addresses: {source_addresses}"
false_positives:
  - An instance behind a NAT with several addresses, or whose Elastic IP address was moved.
  - An instance with both IPv4 and IPv6 ways out.
next_steps: >
  See who used the key, from where, with `trailhound query access-key -p key=<access_key_id>`. If one address is not
  yours: revoke the role's sessions, isolate the instance, and require IMDSv2.
references:
  - https://stratus-red-team.cloud/attack-techniques/AWS/aws.credential-access.ec2-steal-instance-credentials/
*/
select
    recipient_account_id,
    identity_principal_id,
    date_bin(interval '6 hours', event_time) as window_start,
    min(event_time) as first_time,
    max(event_time) as last_time,
    count(*) as event_count,
    array_agg(event_id) as event_ids,
    min(actor_arn) as actor_arn,
    access_key_id,
    count(distinct source_ip_address) as addresses,
    string_agg(distinct source_ip_address, ', ') as source_addresses
from cloudtrail
where identity_type = 'AssumedRole'
  and access_key_id like 'ASIA%'
  and coalesce(invoked_by, 'signin.amazonaws.com') = 'signin.amazonaws.com'
  and vpc_endpoint_id is null
  and regexp_like(identity_principal_id, ':i-[0-9a-f]{8,17}$')
  -- An address, and a public one: not a service's name.
  and regexp_like(source_ip_address, '^[0-9]+(\.[0-9]+){3}$|^[0-9a-fA-F:]*:[0-9a-fA-F:.]+$')
  and not regexp_like(
      source_ip_address,
      '(?i)^(0\.|10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|f[cd]|fe[89ab]|::1$)'
  )
group by recipient_account_id, identity_principal_id, access_key_id, date_bin(interval '6 hours', event_time)
having count(distinct source_ip_address) >= 2
