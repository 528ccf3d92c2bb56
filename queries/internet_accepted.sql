/*
name: internet-accepted
title: What was let in from the internet
description: >
  Ports inside that accepted flows from public addresses, with how many sources and how many bytes. The
  answers of servers outside (from a port below 1024 to one above) are left out, and so are public IPv6
  addresses inside, which cannot be told from those outside.
parameters:
  - {name: since, type: timestamp, default: any, doc: "from this time on, UTC"}
  - {name: until, type: timestamp, default: any, doc: "before this time, UTC"}
  - {name: limit, type: integer, default: 200, doc: "at most so many rows"}
example: trailhound query internet-accepted -p since=2024-05-01
*/
select
    account_id,
    interface_id,
    dstaddr,
    dstport,
    protocol,
    count(distinct srcaddr) as sources,
    count(*) as flows,
    sum(bytes) as bytes,
    min(start_time) as first_time,
    max(start_time) as last_time
from vpc_flow
where action = 'ACCEPT'
  and not regexp_like(
      srcaddr,
      '(?i)^(0\.|10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|22[4-9]\.|2[3-5][0-9]\.|f[cdf]|fe[89ab]|::1?$)'
  )
  and regexp_like(dstaddr, '(?i)^(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.|100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.|f[cd])')
  and not (srcport < 1024 and dstport >= 1024)
  and ($since is null or start_time >= $since)
  and ($until is null or start_time < $until)
group by account_id, interface_id, dstaddr, dstport, protocol
order by sources desc, flows desc, dstaddr, dstport
limit $limit
