/*
name: top-talkers
title: Pairs of addresses that exchanged most
description: >
  Bytes and packets from source to destination, largest first, accepted traffic only. Traffic seen at several
  interfaces on its way is counted at each.
parameters:
  - {name: since, type: timestamp, default: "1970-01-01", doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: "9999-12-31", doc: "before this time, UTC"}
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
  and start_time >= $since
  and start_time < $until
group by srcaddr, dstaddr
order by bytes desc, srcaddr, dstaddr
limit $limit
