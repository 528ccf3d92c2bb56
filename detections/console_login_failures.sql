/*
id: aws-console-login-failures
title: Burst of failed console sign-ins
description: >
  At least five failed console sign-ins from one address within ten minutes: somebody guesses passwords, for one user
  or for many. Guessing of names counts too: CloudTrail hides the names of users that do not exist.
severity: medium
mitre:
  tactics: [TA0006]
  techniques: [T1110.001, T1110.003]
data_source: cloudtrail
kind: aggregate
window: 10m
entity: [recipient_account_id, source_ip_address]
summary: "{event_count} failed console sign-ins from {source_ip_address} to account {recipient_account_id}, for {users}"
false_positives:
  - Somebody who forgot their password and tries all they have.
next_steps: >
  See whether one of them succeeded: `trailhound query console-logins -p account=<recipient_account_id>`, and what else
  came from there: `trailhound query source-address -p address=<source_ip_address>`.
references:
  - https://attack.mitre.org/techniques/T1110/
*/
select
    recipient_account_id,
    source_ip_address,
    date_bin(interval '10 minutes', event_time) as window_start,
    min(event_time) as first_time,
    max(event_time) as last_time,
    count(*) as event_count,
    array_agg(event_id) as event_ids,
    string_agg(distinct coalesce(identity_user_name, identity_arn, 'an unknown user'), ', ') as users
from cloudtrail
where event_source = 'signin.amazonaws.com'
  and event_name = 'ConsoleLogin'
  and json_get_str(response_elements, 'ConsoleLogin') = 'Failure'
group by recipient_account_id, source_ip_address, date_bin(interval '10 minutes', event_time)
having count(*) >= 5
