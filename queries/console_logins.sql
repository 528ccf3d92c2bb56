/*
name: console-logins
title: Sign-ins to the console
description: >
  Every sign-in, failed ones too, newest first, with the second factor as CloudTrail tells it: for federated
  users it always says `No`, whatever the identity provider asked for.
parameters:
  - {name: account, type: text, default: "%", doc: "an account id; `%` for all"}
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 500, doc: "at most so many rows"}
example: trailhound query console-logins -p account=111122223333
*/
select
    event_time,
    recipient_account_id,
    identity_type,
    coalesce(identity_arn, identity_user_name, identity_principal_id) as principal,
    json_get_str(response_elements, 'ConsoleLogin') as result,
    error_message,
    json_get_str(additional_event_data, 'MFAUsed') as mfa_used,
    source_ip_address,
    user_agent,
    event_id
from cloudtrail
where event_source = 'signin.amazonaws.com'
  and event_name = 'ConsoleLogin'
  and ($account = '%' or recipient_account_id like $account)
  and ($since is null or event_time >= $since)
  and ($until is null or event_time < $until)
order by event_time desc, event_id
limit $limit
