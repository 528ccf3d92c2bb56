/*
name: principal
title: What a principal did, by API action
description: >
  One row for each API action the principal called: how often, how often it failed, from how many addresses,
  and when first and last. Rare actions come first: they tell more than the routine.
parameters:
  - {name: principal, type: text, doc: "an ARN, a user name, a role name, a principal id or the id of a user of IAM Identity Center"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
example: trailhound query principal -p principal=arn:aws:iam::111122223333:role/deploy
*/
select
    event_source,
    event_name,
    count(*) as calls,
    count(error_code) as failed,
    string_agg(distinct error_code, ', ') as errors,
    count(distinct source_ip_address) as addresses,
    string_agg(distinct aws_region, ', ') as regions,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where (
      actor_arn = $principal
      or identity_arn = $principal
      or identity_user_name = $principal
      or session_issuer_user_name = $principal
      or identity_principal_id = $principal
      or on_behalf_of_user_id = $principal
  )
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by event_source, event_name
order by calls, event_source, event_name
