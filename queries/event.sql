/*
name: event
title: One event, whole
description: >
  All columns of an event by its id. An event delivered by two trails comes twice until its day is compacted.
parameters:
  - {name: id, type: text, doc: "the event id, a GUID"}
example: trailhound query event -p id=9f2c1d6e-0000-4000-8000-000000000001
*/
select *
from cloudtrail
where event_id = $id
