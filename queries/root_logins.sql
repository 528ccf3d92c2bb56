/*
name: root-logins
title: Where the root user signs in from and what it does
description: >
  One row for each account, address and action of the root user, sign-ins and API calls alike, without the
  calls AWS services make in its name.
parameters:
  - {name: account, type: text, default: "%", doc: "an account id; `%` for all"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
example: trailhound query root-logins
*/
select
    recipient_account_id,
    source_ip_address,
    event_name,
    count(*) as events,
    count(*) filter (where error_code is not null or error_message is not null) as failed,
    string_agg(distinct json_get_str(additional_event_data, 'MFAUsed'), ', ') as mfa_used,
    min(event_time) as first_time,
    max(event_time) as last_time
from cloudtrail
where identity_type = 'Root'
  and coalesce(invoked_by, 'signin.amazonaws.com') = 'signin.amazonaws.com'
  and ($account = '%' or recipient_account_id like $account)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
group by recipient_account_id, source_ip_address, event_name
order by last_time desc, event_name
