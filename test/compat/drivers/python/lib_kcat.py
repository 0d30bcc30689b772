"""kcat: every producer and consumer is a process. Topics it cannot make itself are made with confluent-kafka beforehand."""

import json
import queue
import re
import subprocess
import threading
import time

import lib_confluent
from lib import Base, NotOffered, Rec, expect, until

NO_ADMIN = "kcat has no admin commands"


class Producer:
    """Records with the same options go to one process, which is started at flush."""

    def __init__(self, lib, options):
        self.lib, self.options, self.waiting = lib, options, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def send(self, topic, value, key=None, headers=None, ts=None, partition=None):
        self.waiting.append((topic, value, key, tuple(headers or ()), partition))
        return self

    def get(self, _limit):
        self.flush()
        return None, None

    def flush(self):
        waiting, self.waiting = self.waiting, []
        while waiting:
            topic, _, key, headers, partition = waiting[0]
            same = [w for w in waiting if w[0] == topic and w[2:] == (key, headers, partition)]
            waiting = [w for w in waiting if w not in same]
            self.produce(topic, [w[1] for w in same], key, headers, partition)

    def produce(self, topic, values, key, headers, partition):
        args = ["-P", "-t", topic] + self.options
        if partition is not None:
            args += ["-p", str(partition)]
        if key and None not in values:
            args += ["-k", key.decode()]
        for k, v in headers:
            args += ["-H", "%s=%s" % (k, v.decode())]
        lines = b"".join(v + b"\n" for v in values if v is not None)
        if None in values:  # an empty line is no message to kcat, unless a key stands in it
            args, lines = args + ["-Z", "-K:"], key + b":\n"
        done = subprocess.run(self.lib.kcat(args), input=lines, capture_output=True, timeout=60)
        expect(done.returncode == 0 and b"ERROR" not in done.stderr, done.stderr.decode())


class Consumer:
    def __init__(self, lib, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek):
        options = ["-u", "-J", "-X", "fetch.wait.max.ms=%d" % fetch_wait_ms, "-X", "enable.partition.eof=false"]
        if topics:
            options += ["-X", "auto.offset.reset=" + reset, "-X", "session.timeout.ms=%d" % session_ms,
                        "-X", "heartbeat.interval.ms=%d" % min(500, session_ms // 6)]
            if instance:
                options += ["-X", "group.instance.id=" + instance]
            if assignor:
                options += ["-X", "partition.assignment.strategy=" + {"eager": "range", "cooperative": "cooperative-sticky"}[assignor]]
            runs = [options + ["-G", group] + topics]
        else:
            start = str(seek) if seek is not None else {"earliest": "beginning", "latest": "end"}[reset]
            runs = [options + ["-C", "-t", t, "-p", str(p), "-o", start] for t, p in assign]
        self.records, self.owned, self.errors = queue.Queue(), set(assign or []), []
        self.processes = [subprocess.Popen(lib.kcat(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for args in runs]
        for p in self.processes:
            threading.Thread(target=self.read, args=(p,), daemon=True).start()
            threading.Thread(target=self.watch, args=(p,), daemon=True).start()

    def read(self, process):
        for line in process.stdout:
            r = json.loads(line)
            flat = r.get("headers") or []
            headers = [(flat[i], flat[i + 1].encode()) for i in range(0, len(flat), 2)]
            encode = lambda text: None if text is None else text.encode()
            self.records.put(Rec(r["topic"], r["partition"], r["offset"], r["ts"], encode(r["key"]), encode(r["payload"]), headers))

    def watch(self, process):
        for line in process.stderr:
            if "rebalanced" in line and ("assign" in line or "revoke" in line):
                listed = {(t, int(p)) for t, p in re.findall(r"([\w.-]+) \[(\d+)\]", line.rsplit("):", 1)[1])}
                incremental = "incremental" in line
                if "assign" in line:
                    self.owned = self.owned | listed if incremental else listed
                else:
                    self.owned = self.owned - listed if incremental else set()
            elif "ERROR" in line:
                self.errors.append(line.strip())

    def poll(self, seconds):
        got = []
        try:
            got.append(self.records.get(timeout=seconds))
            while True:
                got.append(self.records.get_nowait())
        except queue.Empty:
            pass
        fatal = [e for e in self.errors if "Local:" not in e]
        expect(not fatal, lambda: "; ".join(fatal))
        return got

    def assignment(self):
        return self.owned

    def close(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(20)


class Lib(Base):
    knows_offsets = False

    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.other = lib_confluent.Lib(bootstrap)

    def kcat(self, args):
        return ["kcat", "-b", self.bootstrap, "-X", "broker.address.family=v4"] + args

    def own(self, features, feature):
        absent = {"topic.create": NO_ADMIN, "topic.partitions": NO_ADMIN, "topic.delete": NO_ADMIN,
                  "commit.sync": "kcat commits by itself only", "commit.async": "kcat commits by itself only",
                  "restart.live": "kcat ends when all brokers are down"}
        if feature in absent or feature.startswith("admin.") and feature != "admin.offsets":
            raise NotOffered(absent.get(feature, NO_ADMIN))
        return getattr(self, feature.replace(".", "_"), None) and (lambda: getattr(self, feature.replace(".", "_"))(features))

    def producer(self, acks="all", codec=None, idempotent=None, linger_ms=0, max_size=None, timeout_ms=30000):
        options = ["-X", "acks=%s" % acks, "-z", codec or "none", "-X", "linger.ms=%d" % linger_ms]
        if acks == "all" if idempotent is None else idempotent:
            options += ["-X", "enable.idempotence=true"]
        if max_size:
            options += ["-X", "message.max.bytes=%d" % max_size]
        return Producer(self, options)

    def consumer(self, group=None, topics=None, assign=None, reset="earliest", instance=None, assignor=None, session_ms=6000,
                 fetch_wait_ms=500, seek=None):
        return Consumer(self, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek)

    def create_topic(self, name, partitions, configs):
        self.other.create_topic(name, partitions, configs)
        # kcat ends at once when its subscription names a topic that the broker does not show yet.
        until(lambda: self.leaders(name) == partitions, 10, "the new topic has no leaders")

    def metadata(self, *args):
        done = subprocess.run(self.kcat(["-L", "-J", *args]), capture_output=True, timeout=30)
        expect(done.returncode == 0, done.stderr.decode())
        return json.loads(done.stdout)

    def topics(self):
        return [t["topic"] for t in self.metadata()["topics"]]

    def leaders(self, topic):
        (found,) = self.metadata("-t", topic)["topics"]
        return sum(1 for p in found["partitions"] if p["leader"] >= 0)

    def end(self, topic, partition):
        return self.query(topic, partition, -1)

    def query(self, topic, partition, ts):
        done = subprocess.run(self.kcat(["-Q", "-t", "%s:%d:%d" % (topic, partition, ts)]), capture_output=True, timeout=30)
        expect(done.returncode == 0, done.stderr.decode())
        return int(re.search(rb"offset (-?\d+)", done.stdout).group(1))

    def offsets(self, topic, partition):
        return self.query(topic, partition, -2), self.query(topic, partition, -1)

    # What kcat must be driven through in its own way.

    def topic_invalid(self, features):
        found = self.metadata("-t", "bad/name")["topics"]
        expect("invalid" in json.dumps(found).lower(), "metadata of 'bad/name' says %s" % found)

    def produce_basic(self, features):
        topic = features.topic("basic")
        with self.producer() as p:
            p.send(topic, b"value", key=b"key", partition=0)
            p.flush()
            p.send(topic, b"no key", partition=0)
            p.flush()
            p.send(topic, None, key=b"tombstone", partition=0)
            p.flush()
            p.send(topic, b"v", key=b"h", headers=[("one", b"1"), ("two", "ü".encode())], partition=0)
            p.flush()
        got = [(r.key, r.value, r.headers) for r in features.read_all(topic, 4)]
        expect(got == [(b"key", b"value", []), (None, b"no key", []), (b"tombstone", None, []),
                       (b"h", b"v", [("one", b"1"), ("two", "ü".encode())])], "got %s" % got)

    def produce_logappend(self, features):
        topic = features.topic("append", 1, message_timestamp_type="LogAppendTime")
        features.produce(topic, [b"x"])
        done = subprocess.run(self.kcat(["-C", "-t", topic, "-p", "0", "-o", "beginning", "-c", "1", "-J"]), capture_output=True, timeout=30)
        r = json.loads(done.stdout)
        expect(r["tstype"] == "logappend" and abs(r["ts"] - time.time() * 1000) < 60000, "got %s %s" % (r["tstype"], r["ts"]))

    def consume_latest(self, features):
        topic = features.timed("latest")
        c = self.consumer(group=features.name("g-latest"), topics=[topic], reset="latest")
        try:
            until(lambda: c.assignment(), 20, "no assignment")
            # kcat does not tell when it has found the end, so records are sent until one comes.
            got, sent = [], 0
            while not got and sent < 40:
                features.produce(topic, [b"new"])
                sent += 1
                got = c.poll(0.5)
            expect(got and got[0].offset >= 20, "got %s" % got)
        finally:
            c.close()

    def consume_timestamp(self, features):
        topic = features.topic("time")
        features.produce(topic, [b"old"] * 10)
        between = features.read_all(topic, 10)[-1].timestamp + 1
        until(lambda: time.time() * 1000 > between + 1, 5, "the clock stands still")
        features.produce(topic, [b"new"] * 10)
        expect(self.query(topic, 0, between) == 10, "offset by time is %d" % self.query(topic, 0, between))
        got = features.read(10, assign=[(topic, 0)], seek="s@%d" % between)
        expect([r.offset for r in got] == list(range(10, 20)), "offsets %s" % [r.offset for r in got])

    def part(self, features, topic, group, count):
        """Reads `count` records as a group member; kcat commits what it has read when it ends."""
        done = subprocess.run(self.kcat(["-G", group, "-J", "-c", str(count), "-X", "auto.offset.reset=earliest", topic]),
                              capture_output=True, timeout=60)
        return [json.loads(line)["offset"] for line in done.stdout.splitlines()]

    def group_resume(self, features):
        topic, group = features.timed("resume"), features.name("g-resume")
        got = [self.part(features, topic, group, 10), self.part(features, topic, group, 10)]
        expect(got == [list(range(10)), list(range(10, 20))], "read %s" % got)

    def big_ok(self, features):
        features.round_trip("big", [b"0123456789" * 100000], max_size=3000000)

    def big_toolarge(self, features):
        topic = features.topic("large")
        said = self.refusal(lambda: features.produce(topic, [b"0123456789" * 200000], max_size=3000000))
        expect(said and "large" in said.lower(), "the broker said: %s" % said)

    def restart_prepare(self, features):
        features.serial = 0
        topic, group = features.topic("restart"), features.name("g-restart")
        features.produce(topic, [b"v%d" % i for i in range(10)])
        expect(self.part(features, topic, group, 5) == list(range(5)), "did not read the first five")
