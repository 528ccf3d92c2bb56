#!/usr/bin/env python3
"""Measures Trailhound against ClickHouse (chdb) and DuckDB: gzipped log objects on disk in, one zstd Parquet table out.

Must never write into the repository, and must never print a figure of a run whose output was not checked.
Every run is a process of its own, bound to as many CPUs as it has threads; systems alternate; the best run counts.
Only the Python imports of the peers are left out of their time; Trailhound's time is that of its whole process.
"""

import argparse
import gzip
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
MEGABYTE = 1_000_000
MEBIBYTE = 1 << 20

CORPORA = ("large", "small", "flows")
SYSTEMS = ("trailhound", "clickhouse", "duckdb", "clickhouse-plain", "duckdb-plain")
TITLES = {
    "trailhound": "Trailhound",
    "clickhouse": "ClickHouse",
    "duckdb": "DuckDB",
    "clickhouse-plain": "ClickHouse, one query",
    "duckdb-plain": "DuckDB, `read_json`",
}
# The plain formulations are slow by design of the comparison, so they run once, and only where they differ from the
# fast ones.
PLAIN_CORPORA = {"clickhouse-plain": ("small",), "duckdb-plain": ("large", "small")}

RECORDS = 500_000
OBJECTS = 100
FLOWS = 10_000_000
BIG_OBJECT_BYTES = 50 * MEGABYTE
# Above this load before the first run, the wall times tell of the machine's other work.
BUSY = 0.7


class Failure(Exception):
    """What failed, on which thing, why; printed as `error:` and `hint:`."""

    def __init__(self, message, hint=None):
        super().__init__(message)
        self.hint = hint


# ---------------------------------------------------------------------------------------------------------------------
# The work of the peers, in a process of its own, under the Python of the virtual environment
# ---------------------------------------------------------------------------------------------------------------------

TEXT_FIELDS = (
    "eventName eventSource awsRegion sourceIPAddress userAgent errorCode errorMessage eventID eventType "
    "recipientAccountId sharedEventID vpcEndpointId requestID apiVersion eventCategory"
).split()
BOOLEAN_FIELDS = ["readOnly", "managementEvent"]
JSON_FIELDS = ["userIdentity", "requestParameters", "responseElements", "additionalEventData", "resources"]
IDENTITY_FIELDS = ["type", "arn", "accountId", "accessKeyId", "principalId", "userName", "invokedBy"]

FLOW_FIELDS = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log-status"
).split()
FLOW_TIMES = ("start", "end")


def clickhouse_record_type():
    """One record: objects and arrays are kept as the text they are, `null` becomes NULL."""
    fields = [("eventTime", "String")]
    fields += [(name, "Nullable(String)") for name in TEXT_FIELDS + JSON_FIELDS]
    fields += [(name, "Nullable(Bool)") for name in BOOLEAN_FIELDS]
    return "Tuple(" + ", ".join(f"{name} {kind}" for name, kind in fields) + ")"


def clickhouse_cloudtrail(records):
    """The columns of the table out of `records`, a query that gives one tuple `r` per record.

    A key can be read only once into a tuple, so the identity's own columns come from a second look at its text.
    """
    identity = ", ".join(f"{name} Nullable(String)" for name in IDENTITY_FIELDS)
    identity = f"Tuple({identity}, sessionContext Tuple(sessionIssuer Tuple(arn Nullable(String))))"
    columns = ["parseDateTimeBestEffort(r.eventTime, 'UTC') AS eventTime"]
    columns += [f"r.{name} AS {name}" for name in TEXT_FIELDS + BOOLEAN_FIELDS + JSON_FIELDS]
    columns += [f"u.{name} AS identity_{name}" for name in IDENTITY_FIELDS]
    columns += ["u.sessionContext.sessionIssuer.arn AS identity_issuer_arn"]
    return (
        f"SELECT {', '.join(columns)} FROM "
        f"(SELECT r, JSONExtract(assumeNotNull(r.userIdentity), '{identity}') AS u FROM ({records}))"
    )


def clickhouse_queries(corpus, logs, plain):
    """The queries that come first, and the one that gives the rows of the table.

    Tried for the large objects, best first: `JSONEachRow` with typed records, without the parallel parsing that looks
    for line ends first; `RawBLOB` and `JSONExtract` of the typed records (even); `JSONAsString` (a fifth slower);
    records as text first, each taken apart then (a fifth to a half slower). Dictionary types changed nothing.

    With small objects every object becomes a block of its own, and a block costs over two milliseconds however small it
    is. Gathering the objects in memory first, in blocks of 32 MiB, is five times as fast.

    For flow lines: splitting whole objects into lines and lines at blanks is the fastest by a little over
    `CustomSeparated` (typed, or as text) and `LineAsString`.
    """
    if corpus == "flows":
        return [], clickhouse_flows(logs)
    record = clickhouse_record_type()
    files = f"{logs}/**/*.json.gz"
    if corpus == "large" or plain:
        source = f"file('{files}', 'JSONEachRow', 'Records Array({record})')"
        return [], clickhouse_cloudtrail(f"SELECT arrayJoin(Records) AS r FROM {source}")
    gather = (
        f"CREATE TABLE gathered ENGINE = Memory AS SELECT blob FROM file('{files}', 'RawBLOB', 'blob String') "
        "SETTINGS min_insert_block_size_rows = 1000, min_insert_block_size_bytes = 33554432"
    )
    records = f"SELECT arrayJoin(JSONExtract(blob, 'Records', 'Array({record})')) AS r FROM gathered"
    return [gather], clickhouse_cloudtrail(records)


def clickhouse_flows(logs):
    columns = []
    for at, name in enumerate(FLOW_FIELDS, start=1):
        column = name.replace("-", "_")
        if name in FLOW_TIMES:
            value = f"toDateTime(toUInt32(p[{at}]), 'UTC')"
        elif name in ("packets", "bytes"):
            value = f"toInt64OrNull(p[{at}])"
        elif name in ("version", "srcport", "dstport", "protocol"):
            value = f"toInt32OrNull(p[{at}])"
        else:
            value = f"nullIf(p[{at}], '-')"
        columns.append(f'{value} AS "{column}"')
    lines = (
        "SELECT arrayJoin(splitByChar('\\n', blob)) AS line "
        f"FROM file('{logs}/**/*.log.gz', 'RawBLOB', 'blob String')"
    )
    # The header is the one line that begins with a letter.
    return (
        f"SELECT {', '.join(columns)} FROM (SELECT splitByChar(' ', line) AS p FROM ({lines}) "
        "WHERE line != '' AND NOT startsWith(line, 'v'))"
    )


def run_clickhouse(job):
    started = time.monotonic()
    from chdb import session

    imported, cpu = time.monotonic(), time.process_time()
    settings = {
        "max_threads": job["threads"],
        "max_insert_threads": job["threads"],
        # Pages of mapped files would count as memory.
        "storage_file_read_method": "'pread'",
        "input_format_parallel_parsing": 0,
        "output_format_parquet_compression_method": "'zstd'",
        "output_format_compression_level": 1,
        "output_format_parquet_write_bloom_filter": int(job["bloom_filters"]),
    }
    first, rows = clickhouse_queries(job["corpus"], job["logs"], job["plain"])
    engine = session.Session(job["scratch"])
    for name, value in settings.items():
        engine.query(f"SET {name} = {value}")
    for query in first:
        engine.query(query)
    engine.query(f"INSERT INTO FUNCTION file('{job['output']}', 'Parquet') {rows}")
    return {
        "import_seconds": imported - started,
        "seconds": time.monotonic() - imported,
        "cpu_seconds": time.process_time() - cpu,
    }


def duckdb_text(value):
    return "'" + str(value).replace("'", "''") + "'"


def duckdb_cloudtrail(job):
    """Tried, best first: the one below; `json_transform` of whole objects and `unnest` of that (even on large objects,
    a tenth slower on small ones); `json_extract` with a list of paths (even, but JSON's `null` comes out as text);
    `->>` per column (three times slower); `read_json` with the structure as `columns`, the way its documentation shows
    (four to five times slower, with large and with small objects).
    """
    source = f"{duckdb_text(job['logs'] + '/**/*.json.gz')}, compression = 'gzip', maximum_object_size = {{}}"
    # Each thread holds buffers of twice this size, and they cost time with many files, so no larger than is needed.
    source = source.format(max(job["largest_object"] + 1024, MEBIBYTE))
    kinds = {"eventTime": "TIMESTAMP"}
    kinds.update({name: "VARCHAR" for name in TEXT_FIELDS})
    kinds.update({name: "BOOLEAN" for name in BOOLEAN_FIELDS})
    kinds.update({name: "JSON" for name in JSON_FIELDS})
    if job["plain"]:
        record = "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in kinds.items()) + ")"
        columns = "{Records: " + duckdb_text(record + "[]") + "}"
        records = f"SELECT unnest(Records) AS r FROM read_json({source}, columns = {columns}, format = 'unstructured')"
    else:
        records = (
            f"SELECT json_transform(j, {duckdb_text(json.dumps(kinds))}) AS r FROM "
            "(SELECT unnest(json_extract(json, '$.Records[*]')) AS j "
            f"FROM read_json_objects({source}, format = 'newline_delimited'))"
        )
    identity = {name: "VARCHAR" for name in IDENTITY_FIELDS}
    identity["sessionContext"] = {"sessionIssuer": {"arn": "VARCHAR"}}
    columns = [f'r."{name}"' for name in kinds if name not in JSON_FIELDS]
    columns += [f'r."{name}"::VARCHAR AS "{name}"' for name in JSON_FIELDS]
    columns += [f'u."{name}" AS "identity_{name}"' for name in IDENTITY_FIELDS]
    columns += ["u.sessionContext.sessionIssuer.arn AS identity_issuer_arn"]
    return (
        f"SELECT {', '.join(columns)} FROM "
        f"(SELECT r, json_transform(r.userIdentity, {duckdb_text(json.dumps(identity))}) AS u FROM ({records}))"
    )


def duckdb_flows(job):
    kinds = {name.replace("-", "_"): "VARCHAR" for name in FLOW_FIELDS}
    kinds.update({name: "INTEGER" for name in ("version", "srcport", "dstport", "protocol")})
    kinds.update({name: "BIGINT" for name in ("packets", "bytes", *FLOW_TIMES)})
    columns = ", ".join(
        f'make_timestamp("{name}" * 1000000) AS "{name}"' if name in FLOW_TIMES else f'"{name}"' for name in kinds
    )
    types = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in kinds.items()) + "}"
    return (
        f"SELECT {columns} FROM read_csv({duckdb_text(job['logs'] + '/**/*.log.gz')}, delim = ' ', header = true, "
        f"columns = {types}, auto_detect = false, nullstr = '-', quote = '', escape = '', compression = 'gzip', "
        "strict_mode = false)"
    )


def run_duckdb(job):
    started = time.monotonic()
    import duckdb

    imported, cpu = time.monotonic(), time.process_time()
    connection = duckdb.connect()
    connection.execute(f"SET threads = {job['threads']}")
    connection.execute(f"SET temp_directory = {duckdb_text(job['scratch'])}")
    # The order of the rows is not asked for, and keeping it costs memory and time.
    connection.execute("SET preserve_insertion_order = false")
    rows = duckdb_flows(job) if job["corpus"] == "flows" else duckdb_cloudtrail(job)
    options = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    if not job["bloom_filters"]:
        options += ", WRITE_BLOOM_FILTER false"
    connection.execute(f"COPY ({rows}) TO {duckdb_text(job['output'])} ({options})")
    return {
        "import_seconds": imported - started,
        "seconds": time.monotonic() - imported,
        "cpu_seconds": time.process_time() - cpu,
    }


def run_check(job):
    """Counts over the Parquet files of a table; all but `informative` must be the same for every system."""
    import duckdb

    ours = job["system"] == "trailhound"
    files = "[" + ", ".join(duckdb_text(file) for file in job["files"]) + "]"
    if job["corpus"] == "flows":
        start, end = ("start_time", "end_time") if ours else ("start", "end")
        values = {
            "rows": "count(*)",
            "distinct source addresses": "count(DISTINCT srcaddr)",
            "source addresses": "count(srcaddr)",
            "first time": f'epoch(min("{start}"))::BIGINT',
            "last time": f'epoch(max("{end}"))::BIGINT',
            "sum of bytes": "sum(bytes)::BIGINT",
            "sum of ports": "(sum(srcport) + sum(dstport))::BIGINT",
            "rejected": "count(*) FILTER (action = 'REJECT')",
        }
    else:
        names = "eventID eventTime identity_accessKeyId identity_issuer_arn errorCode readOnly requestParameters"
        if ours:
            names = "event_id event_time access_key_id session_issuer_arn error_code read_only request_parameters"
        event, at, key, issuer, error, read, parameters = names.split()
        values = {
            "rows": "count(*)",
            "distinct event ids": f"count(DISTINCT {event})",
            "first time": f"epoch(min({at}))::BIGINT",
            "last time": f"epoch(max({at}))::BIGINT",
            "access keys": f"count({key})",
            "session issuers": f"count({issuer})",
            "error codes": f"count({error})",
            "read only": f"count(*) FILTER ({read})",
            "request parameters": f"count({parameters})",
            # White space may differ where a system writes JSON anew.
            "informative: characters of request parameters": f"sum(length({parameters}))::BIGINT",
        }
    row = duckdb.connect().execute(f"SELECT {', '.join(values.values())} FROM read_parquet({files})").fetchone()
    return dict(zip(values, row))


# ---------------------------------------------------------------------------------------------------------------------
# The making of corpora, in a process of its own as well: the peak memory of a child is never below its parent's
# ---------------------------------------------------------------------------------------------------------------------


def write_object(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, 1, mtime=0))


def build_small(job):
    """The records of the large corpus as they are, byte for byte, in objects of 5 to 45 of one account and region."""
    source, target = pathlib.Path(job["source"]), pathlib.Path(job["target"])
    chance, decoder, made = random.Random(1), json.JSONDecoder(), 0
    days = {}
    for path in sorted(source.rglob("*.json.gz")):
        days.setdefault((path.parent, *path.name.split("_")[:3]), []).append(path)
    for (folder, account, kind, region), paths in sorted(days.items()):
        pending, wanted = [], chance.randint(5, 45)
        for path in paths:
            text = gzip.decompress(path.read_bytes()).decode()
            at = text.index("[") + 1
            last = path == paths[-1]
            while text[at] != "]":
                end = decoder.raw_decode(text, at)[1]
                pending.append(text[at:end])
                at = end + 1 if text[end] == "," else end
                if len(pending) == wanted or (last and text[at] == "]"):
                    mark = hashlib.sha256(str(made).encode()).hexdigest()[:16]
                    name = f"{account}_{kind}_{region}_{path.name.split('_')[3]}_{mark}.json.gz"
                    content = '{"Records":[' + ",".join(pending) + "]}"
                    write_object(target / folder.relative_to(source) / name, content.encode())
                    pending, wanted, made = [], chance.randint(5, 45), made + 1
    return describe(target)


def build_flows(job):
    """The generated lines cut to the fields of version 2, in the default order, in the objects they came in."""
    source, target = pathlib.Path(job["source"]), pathlib.Path(job["target"])
    default = " ".join(FLOW_FIELDS)
    longer = re.compile(r"(?m)^\d+((?: \S+){13}) .*$")
    for path in sorted(source.rglob("*.log.gz")):
        header, lines = gzip.decompress(path.read_bytes()).decode().split("\n", 1)
        if header != default:
            if not header.startswith(default):
                raise Failure(f"`{path}` does not begin with the default fields")
            lines = longer.sub(r"2\1", lines)
        write_object(target / path.relative_to(source), f"{default}\n{lines}".encode())
    return describe(target)


def build_big_object(job):
    """One object of as many records as come to the size asked for, gzipped."""
    key = "AWSLogs/111122223333/CloudTrail/us-east-1/2025/10/14"
    name = "111122223333_CloudTrail_us-east-1_20251014T0000Z_AbCdEfGhIjKlMnOp.json.gz"
    path = pathlib.Path(job["target"]) / key / name
    path.parent.mkdir(parents=True)
    separator = b'{"Records":['
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as out:
        for source in sorted(pathlib.Path(job["source"]).rglob("*.json.gz")):
            content = gzip.decompress(source.read_bytes())
            decoder, text = json.JSONDecoder(), content.decode()
            at = text.index("[") + 1
            while text[at] != "]" and file.tell() < job["gzipped_bytes"]:
                end = decoder.raw_decode(text, at)[1]
                out.write(separator + text[at:end].encode())
                separator, at = b",", end + 1 if text[end] == "," else end
        out.write(b"]}")
    return describe(pathlib.Path(job["target"]))


def build_describe(job):
    return describe(pathlib.Path(job["target"]))


def describe(target):
    """What is in a folder of gzipped objects."""
    found = {"objects": 0, "gzipped_bytes": 0, "content_bytes": 0, "largest_object": 0, "records": 0}
    for path in target.rglob("*.gz"):
        body = path.read_bytes()
        content = gzip.decompress(body)
        found["objects"] += 1
        found["gzipped_bytes"] += len(body)
        found["content_bytes"] += len(content)
        found["largest_object"] = max(found["largest_object"], len(content))
        if path.name.endswith(".log.gz"):
            found["records"] += content.count(b"\n") - 1
        else:
            # Generated records have this key once, and no text of theirs holds it with bare quotes.
            found["records"] += content.count(b'"eventVersion":')
    return found


JOBS = {
    "clickhouse": run_clickhouse,
    "duckdb": run_duckdb,
    "check": run_check,
    "small": build_small,
    "flows": build_flows,
    "big-object": build_big_object,
    "describe": build_describe,
}


def child_main(text):
    """The hidden way in: one job as JSON, its answer as the last line of stdout."""
    job = json.loads(text)
    print(json.dumps(JOBS[job["job"]](job)))


# ---------------------------------------------------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------------------------------------------------


def say(text):
    print(text, file=sys.stderr, flush=True)


def threads_text(threads):
    return f"{threads} thread" if threads == 1 else f"{threads} threads"


def cache_folder():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "trailhound-peers"


def ensure_environment(folder):
    """The Python of a virtual environment with the pinned peers, made if it is not there."""
    wanted = (HERE / "requirements.txt").read_text()
    mark = hashlib.sha256((wanted + sys.version).encode()).hexdigest()[:12]
    environment = folder / f"venv-{mark}"
    python, ready = environment / "bin" / "python", environment / "ready"
    if ready.exists():
        return python
    say(f"installing the peers into {environment}")
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", environment], capture_output=True, text=True)
    if made.returncode != 0:
        raise Failure(
            f"cannot make a virtual environment in `{environment}`: {(made.stdout + made.stderr).strip()}",
            "install the `venv` module of this Python (`apt install python3-venv`)",
        )
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "-q", "-r", HERE / "requirements.txt"]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode != 0:
        raise Failure(
            f"cannot install the peers from PyPI: {installed.stderr.strip()[-600:]}",
            "PyPI must be reachable once; only 64-bit Linux with Python 3.9 or later has the packages",
        )
    ready.write_text("")
    return python


def ensure_program(path):
    """The program to measure, built with the release profile unless it was given."""
    if path:
        program = pathlib.Path(path).resolve()
        if not os.access(program, os.X_OK):
            raise Failure(f"`{program}` cannot be run")
        return program
    say("building the program: cargo build --release --locked")
    try:
        command = ["cargo", "build", "--release", "--locked", "--message-format", "json-render-diagnostics"]
        built = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise Failure("`cargo` was not found", "give the program with `--program PATH`") from None
    if built.returncode != 0:
        raise Failure("the program was not built")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "trailhound":
            return pathlib.Path(message["executable"])
    raise Failure("cargo named no program")


def run_child(command, cpus, limit_seconds, folder, environment=None):
    """Runs to the end on these CPUs: (stdout, wall seconds, CPU seconds, peak bytes); None when it took too long."""
    allowed = os.sched_getaffinity(0)
    with tempfile.TemporaryFile("w+", dir=folder) as out, tempfile.TemporaryFile("w+", dir=folder) as err:
        # A child begins with the CPUs of its parent.
        os.sched_setaffinity(0, cpus)
        try:
            started = time.monotonic()
            child = subprocess.Popen(command, stdout=out, stderr=err, cwd=folder, env=environment)
        finally:
            os.sched_setaffinity(0, allowed)
        late = threading.Event()
        timer = threading.Timer(limit_seconds, lambda: (late.set(), child.kill()))
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - started
            child.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
        if late.is_set():
            return None
        out.seek(0), err.seek(0)
        if child.returncode != 0:
            tail = (out.read() + err.read()).strip()[-1500:]
            raise Failure(f"`{' '.join(map(str, command))[:200]}` ended with {child.returncode}: {tail}")
        return out.read(), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def run_job(python, job, cpus, limit_seconds, folder):
    done = run_child([python, __file__, "--child", json.dumps(job)], cpus, limit_seconds, folder)
    if done is None:
        return None
    return (json.loads(done[0].strip().splitlines()[-1]), *done[1:])


class Bench:
    """Where things are and how they are run."""

    def __init__(self, options):
        self.options = options
        self.work = pathlib.Path(options.work_dir).expanduser().resolve()
        if self.work == REPOSITORY or REPOSITORY in self.work.parents:
            raise Failure(f"`{self.work}` is inside the repository", "give another folder with `--work-dir`")
        self.load = os.getloadavg()[0]
        self.cpus = sorted(os.sched_getaffinity(0))
        if len(self.cpus) < max(options.threads):
            raise Failure(f"{max(options.threads)} threads were asked for, and there are {len(self.cpus)} CPUs")
        self.work.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.work).free
        if free < 3_000 * MEGABYTE:
            raise Failure(f"`{self.work}` has {free // MEGABYTE} MB free, 3000 are needed", "give `--work-dir`")
        self.program = ensure_program(options.program)
        self.python = None

    def build(self, job):
        """Runs a job that makes or describes a corpus; needs no peer, so any Python will do."""
        return run_job(sys.executable, job, self.cpus, 3_600, self.work)[0]

    def generate(self, target, events, objects, flows):
        command = [self.program, "generate", target, "--seed", str(self.options.seed), "--events", str(events)]
        command += ["--flows", str(flows)]
        if objects:
            command += ["--objects", str(objects)]
        run_child(command, self.cpus, 3_600, self.work)

    def corpus(self, name, records, objects=None, gzipped_bytes=None):
        """A corpus by its name and size, made if it is not there from an earlier run: its folder and what is in it."""
        folder = self.work / "corpora" / f"{name}-{gzipped_bytes or records}-{self.options.seed}"
        manifest, logs, source = folder / "manifest.json", folder / "logs", folder / "source"
        if manifest.exists():
            return logs, json.loads(manifest.read_text())
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        say(f"making the corpus `{folder.name}`")
        if name == "large":
            self.generate(logs, records, objects, 0)
            found = self.build({"job": "describe", "target": str(logs)})
        elif name == "flows":
            self.generate(source, 0, None, records)
            found = self.build({"job": "flows", "source": str(source), "target": str(logs)})
            shutil.rmtree(source)
        else:
            large = self.corpus("large", records, objects)[0]
            job = {"job": name, "source": str(large), "target": str(logs), "gzipped_bytes": gzipped_bytes}
            found = self.build(job)
        if name != "big-object" and found["records"] != records:
            raise Failure(f"the corpus `{folder.name}` has {found['records']} records, not {records}")
        manifest.write_text(json.dumps(found))
        return logs, found

    def measure(self, system, corpus, logs, about, threads):
        """One run: a dictionary of its figures, or None when it took longer than allowed."""
        folder = self.work / "run"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "scratch").mkdir(parents=True)
        # What the run before wrote must not be written out on this one's time.
        os.sync()
        cpus = self.cpus[:threads]
        if system == "trailhound":
            run = self.run_trailhound(corpus, logs, threads, cpus, folder)
        else:
            run = self.run_peer(system, corpus, logs, about, threads, cpus, folder)
        if run is not None:
            self.check(run, system, corpus, about)
        shutil.rmtree(folder, ignore_errors=True)
        return run

    def run_trailhound(self, corpus, logs, threads, cpus, folder):
        lake = folder / "lake"
        # The program takes as many threads as it has CPUs; the variable is for the pools that would ask for more.
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "AWS_EC2_METADATA_DISABLED": "true"}
        command = [self.program, "ingest", logs, "--lake", lake, "--quiet"]
        done = run_child(command, cpus, self.options.run_limit, folder, environment)
        if done is None:
            return None
        files, rows = table_files(lake / ("vpc_flow" if corpus == "flows" else "cloudtrail"))
        everything = sum(path.stat().st_size for path in lake.rglob("*") if path.is_file())
        return {
            "seconds": done[1],
            "process_seconds": done[1],
            "cpu_seconds": done[2],
            "peak_bytes": done[3],
            "output_bytes": sum(file.stat().st_size for file in files),
            "lake_bytes": everything,
            "counts": {"rows": rows},
            "files": [str(file) for file in files],
        }

    def run_peer(self, system, corpus, logs, about, threads, cpus, folder):
        output = folder / "table.parquet"
        job = {
            "job": system.removesuffix("-plain"),
            "plain": system.endswith("-plain"),
            "corpus": corpus,
            "logs": str(logs),
            "largest_object": about["largest_object"],
            "threads": threads,
            "bloom_filters": self.options.bloom_filters,
            "output": str(output),
            "scratch": str(folder / "scratch"),
        }
        done = run_job(self.python, job, cpus, self.options.run_limit, folder)
        if done is None:
            return None
        return {
            "seconds": done[0]["seconds"],
            "process_seconds": done[1],
            "cpu_seconds": done[0]["cpu_seconds"],
            "peak_bytes": done[3],
            "output_bytes": output.stat().st_size,
            "files": [str(output)],
        }

    def check(self, run, system, corpus, about):
        """Counts what was written, and fails unless every record is there.

        Without the peers (the modes of Trailhound alone) the rows are those that the table's own log tells.
        """
        if self.python:
            job = {"job": "check", "system": system, "corpus": corpus, "files": run["files"]}
            run["counts"] = run_job(self.python, job, self.cpus, 600, self.work)[0]
        if run["counts"]["rows"] != about["records"]:
            raise Failure(f"{system} wrote {run['counts']['rows']} rows of {about['records']} of `{corpus}`")


def table_files(table):
    """The data files of a Delta table as of its last version, and how many rows its log says they have."""
    live = {}
    for entry in sorted((table / "_delta_log").glob("*.json")):
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                live[action["add"]["path"]] = json.loads(action["add"]["stats"])["numRecords"]
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
    return [table / path for path in live], sum(live.values())


# ---------------------------------------------------------------------------------------------------------------------
# The modes
# ---------------------------------------------------------------------------------------------------------------------


def compare(bench):
    """Every system on every corpus, checked against each other; the tables go to stdout."""
    options = bench.options
    part = 10 if options.quick else 1
    bench.python = ensure_environment(cache_folder())
    results, abouts, notes = {}, {}, []
    for corpus in options.corpus:
        records = FLOWS // part if corpus == "flows" else RECORDS // part
        logs, about = bench.corpus(corpus, records, OBJECTS // part)
        abouts[corpus] = about
        systems = [system for system in options.systems if corpus in PLAIN_CORPORA.get(system, CORPORA)]
        compare_corpus(bench, corpus, logs, about, systems, results, notes)
        check_against_each_other(corpus, results)
    report(bench, abouts, results, notes)


def compare_corpus(bench, corpus, logs, about, systems, results, notes):
    for threads in bench.options.threads:
        left = list(systems)
        for _ in range(bench.options.repeat):
            for system in list(left):
                run = bench.measure(system, corpus, logs, about, threads)
                if run is None:
                    where = f"{TITLES[system]} on `{corpus}` with {threads_text(threads)}"
                    notes.append(f"{where}: given up after {bench.options.run_limit} s.")
                    left.remove(system)
                    continue
                say(
                    f"{corpus}, {threads_text(threads)}, {system}: {run['seconds']:.2f} s "
                    f"(process {run['process_seconds']:.2f} s, CPU {run['cpu_seconds']:.2f} s), "
                    f"{run['output_bytes'] / MEGABYTE:.1f} MB, "
                    f"peak {run['peak_bytes'] / MEBIBYTE:.0f} MiB"
                )
                results.setdefault((corpus, threads, system), []).append(run)
                if system in PLAIN_CORPORA:
                    left.remove(system)


def check_against_each_other(corpus, results):
    first, of_whom = None, None
    for (of, threads, system), runs in results.items():
        for run in runs if of == corpus else []:
            counts = {name: value for name, value in run["counts"].items() if not name.startswith("informative")}
            whom = f"{system}, {threads_text(threads)}"
            if first is None:
                first, of_whom = counts, whom
            for name, value in counts.items():
                if value != first[name]:
                    raise Failure(f"`{corpus}`: {name}: {value} with {whom}, {first[name]} with {of_whom}")


def best(runs):
    """The fastest run, with the highest peak of all of them."""
    fastest = dict(min(runs, key=lambda run: run["seconds"]))
    fastest["peak_bytes"] = max(run["peak_bytes"] for run in runs)
    return fastest


def report(bench, abouts, results, notes):
    options = bench.options
    figures = {key: best(runs) for key, runs in results.items()}
    print_machine(bench.load)
    for corpus, about in abouts.items():
        print(
            f"- `{corpus}`: {about['records']:,} {'lines' if corpus == 'flows' else 'records'} "
            f"in {about['objects']:,} objects, {about['content_bytes'] / MEGABYTE:,.0f} MB, "
            f"{about['gzipped_bytes'] / MEGABYTE:,.0f} MB gzipped, "
            f"largest object {about['largest_object'] / MEGABYTE:.1f} MB"
        )
    written = "with" if options.bloom_filters else "without"
    print(
        f"\nBest of {options.repeat}, systems alternating; MB are 10^6 bytes, decompressed.\n"
        "Trailhound's part includes its syncs, sort, Bloom filters and ledger of objects;\n"
        f"the peers write one Parquet file, unsorted, unsynced, {written} Bloom filters."
    )
    if any(system in PLAIN_CORPORA for _, _, system in figures):
        print("The plain formulations ran once.")
    for note in notes:
        print(note)
    if not figures:
        raise Failure("no run came to its end")
    print_figures(abouts, figures)
    print_counts(results)
    print_scaling(figures)
    print_marks(abouts, figures)


def print_machine(load):
    model = "unknown CPU"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    peers = " ".join(line for line in (HERE / "requirements.txt").read_text().split() if "==" in line)
    print(f"{model}, {os.cpu_count()} CPUs, load {load:.1f} before; {peers}\n")
    if load > BUSY:
        print("Others were at work on this machine: the wall times and the scaling are not to be relied on.\n")


def print_figures(abouts, figures):
    times = "seconds | CPU s | MB/s | records/s | Trailhound is"
    print(f"\n| corpus | threads | system | {times} | table MB | lake MB | peak MiB |\n{'|---' * 11}|")
    for (corpus, threads, system), run in figures.items():
        about = abouts[corpus]
        faster = ratio(figures, corpus, threads, system)
        lake = f"{run['lake_bytes'] / MEGABYTE:.1f}" if "lake_bytes" in run else ""
        print(
            f"| {corpus} | {threads} | {TITLES[system]} | {run['seconds']:.2f} | {run['cpu_seconds']:.2f} "
            f"| {about['content_bytes'] / MEGABYTE / run['seconds']:,.0f} | {about['records'] / run['seconds']:,.0f} "
            f"| {'' if faster is None or system == 'trailhound' else f'{faster:.2f} x'} "
            f"| {run['output_bytes'] / MEGABYTE:.1f} | {lake} | {run['peak_bytes'] / MEBIBYTE:.0f} |"
        )


def print_counts(results):
    """What may differ without being wrong; the rest was equal, or nothing would be printed."""
    lengths = {}
    for (corpus, _, system), runs in results.items():
        for name, value in runs[0]["counts"].items():
            if name.startswith("informative: "):
                lengths.setdefault((corpus, name.removeprefix("informative: ")), {})[TITLES[system]] = value
    print("\nAll tables have the same counts, times and sums.")
    for (corpus, name), values in lengths.items():
        print(f"{corpus}, {name}: " + ", ".join(f"{title} {value:,}" for title, value in values.items()) + ".")


def print_scaling(figures):
    lines = []
    for corpus, threads, system in figures:
        if threads != 1 and (corpus, 1, system) in figures:
            faster = figures[corpus, 1, system]["seconds"] / figures[corpus, threads, system]["seconds"]
            lines.append(f"| {corpus} | {TITLES[system]} | {threads} | {faster:.2f} x |")
    if lines:
        print("\n| corpus | system | threads | faster than with 1 |\n|---|---|---|---|")
        print("\n".join(lines))


def ratio(figures, corpus, threads, system):
    """How many times as fast Trailhound is; None when one of the two was not measured."""
    ours, theirs = figures.get((corpus, threads, "trailhound")), figures.get((corpus, threads, system))
    return theirs["seconds"] / ours["seconds"] if ours and theirs else None


def print_marks(abouts, figures):
    marks = []
    for corpus, threads, system in figures:
        run, title = figures[corpus, threads, system], f"{corpus}, {threads_text(threads)}"
        wanted = {"large": {"clickhouse": 2, "duckdb": 15}, "small": {"clickhouse": 6}, "flows": {"clickhouse": 2}}
        times = wanted[corpus].get(system.removesuffix("-plain"))
        faster = ratio(figures, corpus, threads, system)
        if times and faster is not None:
            marks.append((f"{title}: at least {times} x {TITLES[system]}", f"{faster:.2f} x", faster >= times))
        if system == "clickhouse" and (corpus, threads, "trailhound") in figures:
            ours = figures[corpus, threads, "trailhound"]["output_bytes"]
            sizes = f"{ours / MEGABYTE:.1f} to {run['output_bytes'] / MEGABYTE:.1f} MB"
            marks.append((f"{title}: table no larger than ClickHouse's", sizes, ours <= run["output_bytes"]))
        if system != "trailhound":
            continue
        peak = run["peak_bytes"] / MEBIBYTE
        marks.append((f"{title}: peak below 512 MiB", f"{peak:.0f} MiB", peak < 512))
        if corpus == "flows":
            rate = abouts[corpus]["records"] / run["seconds"] / threads / 1e6
            marks.append((f"{title}: at least 3 million lines/s a core", f"{rate:.2f} million", rate >= 3))
        if threads == 2 and (corpus, 1, system) in figures:
            scaling = figures[corpus, 1, system]["seconds"] / run["seconds"]
            marks.append((f"{corpus}: 2 threads at least 1.8 x 1 thread", f"{scaling:.2f} x", scaling >= 1.8))
    if marks:
        print("\n| mark | measured | |\n|---|---|---|")
        for mark, measured, reached in marks:
            print(f"| {mark} | {measured} | {'reached' if reached else 'not reached'} |")


def scale(bench):
    """Trailhound alone on 1, 10 and 100 times the work: the speed should not fall."""
    print_machine(bench.load)
    print("| records | objects | MB | threads | seconds | MB/s | peak MiB |\n|---|---|---|---|---|---|---|")
    most = RECORDS // (10 if bench.options.quick else 1)
    for records in (most // 100, most // 10, most):
        logs, about = bench.corpus("large", records, max(records * OBJECTS // RECORDS, 1))
        for threads in bench.options.threads:
            print_own(bench, logs, about, threads)


def big_object(bench):
    """Trailhound alone on one large object, for its peak memory."""
    part = 10 if bench.options.quick else 1
    size = BIG_OBJECT_BYTES // part
    logs, about = bench.corpus("big-object", RECORDS // part, OBJECTS // part, size)
    print_machine(bench.load)
    print(f"One object of {about['gzipped_bytes'] / MEGABYTE:.1f} MB gzipped.\n")
    print("| records | objects | MB | threads | seconds | MB/s | peak MiB |\n|---|---|---|---|---|---|---|")
    print_own(bench, logs, about, max(bench.options.threads))


def print_own(bench, logs, about, threads):
    runs = []
    for _ in range(bench.options.repeat):
        run = bench.measure("trailhound", "large", logs, about, threads)
        if run is None:
            raise Failure(f"the program took longer than {bench.options.run_limit} s")
        runs.append(run)
    run = best(runs)
    print(
        f"| {about['records']:,} | {about['objects']:,} | {about['content_bytes'] / MEGABYTE:,.1f} | {threads} "
        f"| {run['seconds']:.2f} | {about['content_bytes'] / MEGABYTE / run['seconds']:,.0f} "
        f"| {run['peak_bytes'] / MEBIBYTE:.0f} |",
        flush=True,
    )


def names(known, text, everything):
    chosen = everything if text == "all" else text.split(",")
    for name in chosen:
        if name not in known:
            raise Failure(f"`{name}` is none of {', '.join(known)}")
    return [name for name in known if name in chosen]


def numbers(text):
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is no list of numbers of threads")
    return found


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--corpus", default="all", help=f"{', '.join(CORPORA)}, more with commas, or all [all]")
    parser.add_argument(
        "--systems", default="trailhound,clickhouse,duckdb", help=f"{', '.join(SYSTEMS)}, or all [the first three]"
    )
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="threads and CPUs of each run [1,2]")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each, of which the best counts [3]")
    parser.add_argument("--program", help="the program [made with cargo build --release]")
    work = cache_folder() / "work"
    parser.add_argument("--work-dir", default=str(work), help="corpora and outputs [%(default)s]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the corpora [1]")
    parser.add_argument("--run-limit", type=int, default=900, help="seconds after which a run is given up [900]")
    parser.add_argument("--bloom-filters", action="store_true", help="let the peers write Bloom filters too")
    parser.add_argument("--quick", action="store_true", help="a tenth of the records")
    parser.add_argument("--scale", action="store_true", help="only Trailhound, on 1, 10 and 100 times the work")
    parser.add_argument("--big-object", action="store_true", help="only Trailhound, on one large object")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error("--repeat takes a number from 1 on")
    options.corpus = names(CORPORA, options.corpus, CORPORA)
    options.systems = names(SYSTEMS, options.systems, SYSTEMS)
    return options


def main():
    if sys.version_info < (3, 9) or not hasattr(os, "sched_setaffinity"):
        raise Failure("this takes Linux and Python 3.9 or later")
    if len(sys.argv) == 3 and sys.argv[1] == "--child":
        return child_main(sys.argv[2])
    options = read_options()
    bench = Bench(options)
    if options.scale:
        scale(bench)
    if options.big_object:
        big_object(bench)
    if not options.scale and not options.big_object:
        compare(bench)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        say(f"error: {failure}")
        if failure.hint:
            say(f"hint: {failure.hint}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
