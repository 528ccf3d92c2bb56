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
select
    account_id,
    srcaddr,
    date_bin(interval '10 minutes', start_time) as window_start,
    min(start_time) as first_time,
    max(start_time) as last_time,
    count(*) as event_count,
    count(distinct dstport) as ports,
    count(distinct dstaddr) as hosts,
    count(*) filter (where action = 'REJECT') as rejected
from vpc_flow
where srcaddr is not null
  and start_time is not null
  -- An answer comes from a service port to an ephemeral one: not a try.
  and not (srcport < 1024 and dstport >= 1024)
group by account_id, srcaddr, date_bin(interval '10 minutes', start_time)
having (count(distinct dstport) >= 25 or count(distinct dstaddr) >= 25)
   and count(*) filter (where action = 'REJECT') * 5 >= count(*) * 4
