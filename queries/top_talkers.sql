/*
name: top-talkers
title: Pairs of addresses that exchanged most
description: >
  Bytes and packets from source to destination, largest first, accepted traffic only. Traffic seen at several
  interfaces on its way is counted at each.
parameters:
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 50, doc: "at most so many rows"}
example: trailhound query top-talkers -p limit=20
*/
select
    srcaddr,
    dstaddr,
    sum(bytes) as bytes,
    sum(packets) as packets,
    count(*) as flows,
    count(distinct dstport) as ports,
    count(distinct interface_id) as interfaces,
    min(start_time) as first_time,
    max(end_time) as last_time
from vpc_flow
where action = 'ACCEPT'
  and ($since is null or start_time >= $since)
  and ($until is null or start_time < $until)
group by srcaddr, dstaddr
order by bytes desc, srcaddr, dstaddr
limit $limit
