/*
id: vpc-port-scan
title: Port or host scan
description: >
  One source tried at least 25 ports or 25 hosts within ten minutes, and at least four of five of its flows were
  rejected. From an address inside it means a compromised host that looks around; from the internet it is everyday
  noise unless something answered.
severity: low
mitre:
  tactics: [TA0043, TA0007]
  techniques: [T1595.001, T1046]
data_source: vpc_flow
kind: aggregate
window: 10m
entity: [account_id, srcaddr]
summary: "{srcaddr} tried {ports} ports on {hosts} hosts in account {account_id}, {rejected} of {event_count} flows rejected"
false_positives:
  - The company's own vulnerability scanner.
  - A service whose peer went away and is now refused on many ephemeral ports.
next_steps: >
  See what got through: `trailhound query flows-of-address -p address=<srcaddr>` and
  `trailhound query ports-touched -p address=<srcaddr>`. A source inside: find the instance behind the interface and
  isolate it.
references:
  - https://attack.mitre.org/techniques/T1046/
*/
with tries as (
    select
        account_id,
        srcaddr,
        date_bin(interval '10 minutes', start_time) as window_start,
        start_time,
        dstaddr,
        dstport,
        case when action = 'REJECT' then 1 else 0 end as rejected
    from vpc_flow
    where srcaddr is not null
      and start_time is not null
      -- An answer comes from a service port to an ephemeral one: not a try.
      and not (srcport < 1024 and dstport >= 1024)
),
-- Few sources try as much: only theirs are worth telling ports and hosts apart.
busy as (
    select account_id, srcaddr, window_start
    from tries
    group by account_id, srcaddr, window_start
    having count(*) >= 25 and sum(rejected) * 5 >= count(*) * 4
)
select
    tries.account_id,
    tries.srcaddr,
    tries.window_start,
    min(start_time) as first_time,
    max(start_time) as last_time,
    count(*) as event_count,
    count(distinct dstport) as ports,
    count(distinct dstaddr) as hosts,
    sum(rejected) as rejected
from tries
inner join busy
    on tries.srcaddr = busy.srcaddr
    and tries.window_start = busy.window_start
    and tries.account_id is not distinct from busy.account_id
group by tries.account_id, tries.srcaddr, tries.window_start
having count(distinct dstport) >= 25 or count(distinct dstaddr) >= 25
