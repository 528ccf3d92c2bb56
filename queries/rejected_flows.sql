/*
name: rejected-flows
title: Rejected flows by source
description: >
  Which addresses were turned away most, and how many hosts and ports they tried.
parameters:
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 100, doc: "at most so many rows"}
example: trailhound query rejected-flows -p since=2024-05-01
*/
select
    srcaddr,
    count(*) as flows,
    count(distinct dstaddr) as hosts,
    count(distinct dstport) as ports,
    sum(packets) as packets,
    string_agg(distinct account_id, ', ') as accounts,
    min(start_time) as first_time,
    max(start_time) as last_time
from vpc_flow
where action = 'REJECT'
  and ($since is null or start_time >= $since)
  and ($until is null or start_time < $until)
group by srcaddr
order by flows desc, srcaddr
limit $limit
