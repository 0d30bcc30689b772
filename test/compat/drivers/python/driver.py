"""Drives one Python client through the compatibility matrix.

usage: driver.py LIBRARY run BOOTSTRAP PREFIX FEATURE,FEATURE...
       driver.py LIBRARY member BOOTSTRAP GROUP TOPIC      (a group member that runs until it is killed)
       driver.py LIBRARY live BOOTSTRAP PREFIX             (prints READY, goes on after a line on standard input)

Answers one line for each feature: RESULT <tab> feature <tab> PASS|FAIL|NA <tab> milliseconds <tab> reason.
The features are written once against the small interface of lib.py, which each library's file implements.
"""

import importlib
import random
import subprocess
import sys
import threading
import time
import traceback

from lib import NotOffered, Rec, expect, until

T0 = 1700000000000  # the create time of the first record of every timed topic


class Member(threading.Thread):
    """A consumer polled by its own thread, as an application polls it."""

    def __init__(self, lib, group, topic, **options):
        super().__init__(daemon=True)
        self.lib, self.group, self.topic, self.options = lib, group, topic, options
        self.records, self.partitions, self.error = [], frozenset(), None
        self.history = []
        self.stopping = threading.Event()
        self.start()

    def run(self):
        try:
            consumer = self.lib.consumer(group=self.group, topics=[self.topic], reset="earliest", **self.options)
            try:
                while not self.stopping.is_set():
                    self.records.extend(consumer.poll(0.1))
                    now = frozenset(p for _, p in consumer.assignment())
                    if now != self.partitions:
                        self.history.append(now)
                    self.partitions = now
            finally:
                consumer.close()
        except Exception as e:  # handed to whoever waits for this member
            traceback.print_exc()
            self.error = e

    def stop(self):
        self.stopping.set()
        self.join(30)
        expect(not self.is_alive(), "the member did not close within 30 s")
        if self.error:
            raise self.error


def check_members(members):
    for m in members:
        if m.error:
            raise m.error


def shared(members, count, limit=30):
    """Waits until the members own all `count` partitions, disjoint, each of them at least one if there are enough."""

    def ok():
        check_members(members)
        owned = [p for m in members for p in m.partitions]
        fair = all(m.partitions for m in members) or count < len(members)
        return len(owned) == count and set(owned) == set(range(count)) and fair

    until(ok, limit, lambda: "assignments are " + str([sorted(m.partitions) for m in members]))


class Features:
    def __init__(self, lib, bootstrap, prefix):
        self.lib, self.bootstrap, self.prefix = lib, bootstrap, prefix
        self.serial = random.randrange(1 << 30)

    def ready(self):
        """Tells the runner to restart the node and waits until that is done."""
        print("READY", flush=True)
        sys.stdin.readline()

    def name(self, what):
        return "%s-%s-%x" % (self.prefix, what, self.serial)

    def topic(self, what, partitions=1, **configs):
        name = self.name(what)
        self.lib.create_topic(name, partitions, {k.replace("_", "."): v for k, v in configs.items()})
        # The answer comes from the controller; the broker shows the topic a moment later.
        until(lambda: self.lib.leaders(name) == partitions, 20, "the new topic has no leaders")
        return name

    def produce(self, topic, values, **options):
        with self.lib.producer(**options) as p:
            for v in values:
                p.send(topic, v)
            return p.flush()

    def read(self, count, limit=30, **options):
        c = self.lib.consumer(**options)
        try:
            records, end = [], time.time() + limit
            while len(records) < count and time.time() < end:
                records.extend(c.poll(0.2))
            return records
        finally:
            c.close()

    def read_all(self, topic, count):
        records = self.read(count, assign=[(topic, 0)], reset="earliest")
        expect(len(records) == count, "read %d records of %d" % (len(records), count))
        expect([r.offset for r in records] == list(range(count)), "offsets are not 0..%d" % (count - 1))
        return records

    def round_trip(self, what, values, **options):
        topic = self.topic(what)
        self.produce(topic, values, **options)
        got = [r.value for r in self.read_all(topic, len(values))]
        expect(got == values, "values differ from what was produced")

    def timed(self, what, count=20):
        topic = self.topic(what)
        with self.lib.producer() as p:
            for i in range(count):
                p.send(topic, b"v%d" % i, key=b"k%d" % i, ts=T0 + i * 1000, partition=0)
            p.flush()
        return topic

    # topics

    def topic_create(self):
        topic = self.topic("create", 3, retention_ms="123456000")
        until(lambda: self.lib.partitions(topic) == 3, 10, lambda: "%s partitions" % self.lib.partitions(topic))
        expect(self.lib.topic_config(topic).get("retention.ms") == "123456000", "retention.ms was not kept")

    def topic_list(self):
        topic = self.topic("list")
        until(lambda: topic in self.lib.topics(), 10, "the new topic is not listed")

    def topic_describe(self):
        topic = self.topic("describe", 2)
        expect(self.lib.leaders(topic) == 2, "not every partition has a leader")

    def topic_partitions(self):
        topic = self.topic("grow", 2)
        self.lib.add_partitions(topic, 5)
        until(lambda: self.lib.partitions(topic) == 5, 10, lambda: "%s partitions" % self.lib.partitions(topic))

    def topic_delete(self):
        topic = self.topic("delete")
        until(lambda: topic in self.lib.topics(), 10, "the new topic is not listed")
        self.lib.delete_topic(topic)
        until(lambda: topic not in self.lib.topics(), 10, "the deleted topic is still listed")

    def topic_autocreate(self):
        topic = self.name("auto")
        self.produce(topic, [b"one"])
        expect(self.read_all(topic, 1)[0].value == b"one", "another value came back")

    def topic_invalid(self):
        said = self.lib.refusal(lambda: self.lib.create_topic("bad/name", 1, {}))
        expect(said and "invalid" in said.lower(), "creating 'bad/name' said: %s" % said)

    # produce

    def produce_basic(self):
        topic = self.topic("basic")
        sent = [
            Rec(topic, 0, 0, T0, b"key", b"value", []),
            Rec(topic, 0, 1, T0 + 5, None, b"no key", []),
            Rec(topic, 0, 2, T0 + 3, b"tombstone", None, []),
            Rec(topic, 0, 3, T0 + 9, b"h", b"v", [("one", b"1"), ("empty", b""), ("one", "ü".encode())]),
            Rec(topic, 0, 4, T0 + 10, b"", b"", []),
        ]
        with self.lib.producer() as p:
            for r in sent:
                p.send(topic, r.value, key=r.key, headers=r.headers or None, ts=r.timestamp, partition=0)
            p.flush()
        got = self.read_all(topic, len(sent))
        for s, g in zip(sent, got):
            expect(self.lib.same(s, g), "sent %s, got %s" % (s, g))

    def produce_logappend(self):
        topic = self.topic("append", 1, message_timestamp_type="LogAppendTime")
        before = time.time() * 1000
        with self.lib.producer() as p:
            p.send(topic, b"x", ts=T0, partition=0)
            p.flush()
        got = self.read_all(topic, 1)[0].timestamp
        expect(before - 1000 <= got <= time.time() * 1000 + 1000, "timestamp %s is not the time of the append" % got)

    def acks(self, acks):
        # The producer stays open meanwhile: with acks=0 "flushed" may only mean handed to the socket's buffer.
        topic = self.topic("acks%s" % acks)
        with self.lib.producer(acks=acks) as p:
            for i in range(10):
                p.send(topic, b"v%d" % i, partition=0)
            p.flush()
            got = [r.value for r in self.read_all(topic, 10)]
        expect(got == [b"v%d" % i for i in range(10)], "values differ from what was produced")

    def acks_0(self):
        self.acks(0)

    def acks_1(self):
        self.acks(1)

    def acks_all(self):
        self.acks("all")

    def codec(self, codec):
        values = [(b"%d-" % i) * 50 for i in range(100)]
        self.round_trip("codec-" + (codec or "none"), values, codec=codec, linger_ms=20)
        foreign = [("%s|%s|%d" % (self.prefix, codec or "none", i)).encode() for i in range(20)]
        self.produce("compat-codecs", foreign, codec=codec, linger_ms=20)

    def codec_none(self):
        self.codec(None)

    def codec_gzip(self):
        self.codec("gzip")

    def codec_snappy(self):
        self.codec("snappy")

    def codec_lz4(self):
        self.codec("lz4")

    def codec_zstd(self):
        self.codec("zstd")

    def produce_batch(self):
        self.round_trip("batch", [b"%06d" % i + b"x" * 100 for i in range(3000)], linger_ms=20)

    def produce_single(self):
        topic = self.topic("single")
        with self.lib.producer() as p:
            offsets = [p.send(topic, b"v%d" % i, partition=0).get(20) for i in range(20)]
        if self.lib.knows_offsets:
            expect(offsets == [(0, i) for i in range(20)], "acknowledged %s" % offsets)
        self.read_all(topic, 20)

    def produce_idempotent(self):
        self.round_trip("idem", [b"v%d" % i for i in range(500)], idempotent=True, linger_ms=5)

    # consume

    def consume_earliest(self):
        topic = self.timed("earliest")
        got = self.read(20, group=self.name("g-earliest"), topics=[topic], reset="earliest")
        expect([r.offset for r in got] == list(range(20)), "offsets %s" % [r.offset for r in got])

    def consume_latest(self):
        topic = self.timed("latest")
        c = self.lib.consumer(group=self.name("g-latest"), topics=[topic], reset="latest")
        try:
            until(lambda: c.poll(0.1) is not None and c.positioned(topic, 0, 20), 20, "no assignment at the end")
            self.produce(topic, [b"new"])
            got = []
            until(lambda: got.extend(c.poll(0.1)) or got, 20, "the new record did not come")
            expect([r.offset for r in got] == [20], "offsets %s" % [r.offset for r in got])
        finally:
            c.close()

    def consume_offset(self):
        topic = self.timed("offset")
        got = self.read(13, assign=[(topic, 0)], seek=7)
        expect([r.offset for r in got] == list(range(7, 20)), "offsets %s" % [r.offset for r in got])

    def consume_timestamp(self):
        topic = self.timed("time")
        c = self.lib.consumer(assign=[(topic, 0)])
        try:
            found = [c.offset_for_time(topic, 0, ts) for ts in (T0 - 1, T0 + 9500, T0 + 19000, T0 + 19001)]
        finally:
            c.close()
        expect(found[:3] == [0, 10, 19], "offsets by time are %s" % found)
        expect(found[3] in (None, -1, 20), "a time after the last record gave %s" % found[3])

    def consume_assign(self):
        topic = self.topic("assign", 3)
        with self.lib.producer() as p:
            for i in range(9):
                p.send(topic, b"v%d" % i, partition=i % 3)
            p.flush()
        got = self.read(6, assign=[(topic, 0), (topic, 2)], reset="earliest")
        expect(sorted((r.partition, r.offset) for r in got) == [(p, o) for p in (0, 2) for o in range(3)], "got %s" % got)

    # groups

    def group_join(self, **options):
        what = "-".join(["join", *options.values()])
        topic, group = self.topic(what, 4), self.name("g-" + what)
        a = Member(self.lib, group, topic, **options)
        try:
            shared([a], 4)
            b = Member(self.lib, group, topic, **options)
            try:
                shared([a, b], 4)
                expect(len(a.partitions) == 2, "the shares are %s and %s" % (a.partitions, b.partitions))
            finally:
                b.stop()
            return a
        finally:
            a.stop()

    def group_leave(self):
        topic, group = self.topic("leave", 4), self.name("g-leave")
        a = Member(self.lib, group, topic, session_ms=30000)
        try:
            b = Member(self.lib, group, topic, session_ms=30000)
            try:
                shared([a, b], 4)
            finally:
                b.stop()
            shared([a], 4, 15)  # far below the session timeout: it must have said good-bye
        finally:
            a.stop()

    def group_crash(self):
        topic, group = self.topic("crash", 4), self.name("g-crash")
        a = Member(self.lib, group, topic, session_ms=3000)
        child = None
        try:
            shared([a], 4)
            child = subprocess.Popen([sys.executable, __file__, sys.argv[1], "member", self.bootstrap, group, topic])
            until(lambda: check_members([a]) or 0 < len(a.partitions) < 4, 30, "the second process got no share")
            child.kill()
            shared([a], 4, 20)
        finally:
            if child:
                child.kill()
                child.wait()
            a.stop()

    def group_static(self):
        topic, group = self.topic("static", 4), self.name("g-static")
        a = Member(self.lib, group, topic, instance="a", session_ms=20000)
        try:
            b = Member(self.lib, group, topic, instance="b", session_ms=20000)
            shared([a, b], 4)
            mine, others, changes = a.partitions, b.partitions, len(a.history)
            b.stop()
            b = Member(self.lib, group, topic, instance="b", session_ms=20000)
            try:
                shared([a, b], 4)
                expect(b.partitions == others and a.partitions == mine, "the static member got other partitions")
                expect(len(a.history) == changes, "the other member saw a rebalance: %s" % a.history)
            finally:
                b.stop()
        finally:
            a.stop()

    def group_more(self):
        topic, group = self.topic("more", 2), self.name("g-more")
        members = [Member(self.lib, group, topic) for _ in range(3)]
        try:
            shared(members, 2)
        finally:
            for m in members:
                m.stop()

    def group_eager(self):
        self.group_join(assignor="eager")

    def group_cooperative(self):
        a = self.group_join(assignor="cooperative")
        kept = [h for h in a.history if len(h) in (0, 2, 4)]
        expect(frozenset() not in a.history[1:-1], "everything was revoked on the way: %s" % kept)

    def group_resume(self):
        topic, group = self.timed("resume"), self.name("g-resume")
        c = self.lib.consumer(group=group, topics=[topic], reset="earliest")
        try:
            got = []
            until(lambda: got.extend(c.poll(0.2)) or len(got) >= 20, 20, "not all records came")
            c.commit(topic, 0, 10, "", True)
        finally:
            c.close()
        got = self.read(10, group=group, topics=[topic], reset="earliest")
        expect([r.offset for r in got] == list(range(10, 20)), "resumed with offsets %s" % [r.offset for r in got])

    def group_independent(self):
        topic = self.timed("two")
        for g in ("g-two-a", "g-two-b"):
            got = self.read(20, group=self.name(g), topics=[topic], reset="earliest")
            expect(len(got) == 20, "group %s read %d of 20" % (g, len(got)))

    def committed(self, sync):
        topic, group = self.timed("commit-%s" % sync), self.name("g-commit-%s" % sync)
        c = self.lib.consumer(group=group, topics=[topic], reset="earliest")
        try:
            got = []
            until(lambda: got.extend(c.poll(0.2)) or len(got) >= 20, 20, "not all records came")
            c.commit(topic, 0, 6, "note", sync)
            until(lambda: c.poll(0.05) is not None and c.committed(topic, 0) == 6, 10, lambda: "committed is %s" % c.committed(topic, 0))
        finally:
            c.close()

    def commit_sync(self):
        self.committed(True)

    def commit_async(self):
        self.committed(False)

    def poll_wakes(self):
        topic = self.topic("wake")
        c = self.lib.consumer(assign=[(topic, 0)], reset="earliest", fetch_wait_ms=10000)
        got, arrived, stop = [], threading.Semaphore(0), threading.Event()

        def poll():
            while not stop.is_set():
                for r in c.poll(0.5):
                    got.append((r, time.time()))
                    arrived.release()

        reader = threading.Thread(target=poll, daemon=True)
        with self.lib.producer() as p:
            p.send(topic, b"first", partition=0).get(20)
            reader.start()
            try:
                expect(arrived.acquire(timeout=20), "the first record did not come")
                late = []
                for i in range(4):
                    # The consumer must be parked in its long poll; there is no event for that.
                    stop.wait(0.4)
                    sent = time.time()
                    p.send(topic, b"wake", partition=0).get(20)
                    expect(arrived.acquire(timeout=20), "record %d did not come" % i)
                    late.append(int((got[-1][1] - sent) * 1000))
            finally:
                stop.set()
                reader.join(20)
                c.close()
        expect(sorted(late)[-2] < 500, "latencies in ms: %s" % late)

    # sizes

    def big_ok(self):
        value = random.Random(1).randbytes(1000000)
        self.round_trip("big", [value], max_size=3000000)

    def big_toolarge(self):
        topic, value = self.topic("large"), random.Random(2).randbytes(2000000)
        said = self.lib.refusal(lambda: self.produce(topic, [value], max_size=3000000))
        expect(said and "too" in said.lower() and "large" in said.lower(), "the broker said: %s" % said)

    # admin

    def admin_configs_describe(self):
        configs = self.lib.topic_config(self.topic("configs"))
        for key, value in {"cleanup.policy": "delete", "segment.bytes": "1073741824", "compression.type": "producer"}.items():
            expect(configs.get(key) == value, "%s is %s" % (key, configs.get(key)))
        expect(self.lib.broker_config().get("num.partitions") == "1", "the broker's num.partitions is not 1")

    def admin_configs_alter(self):
        topic = self.topic("alter")
        self.lib.alter_topic(topic, {"retention.ms": "7200000"})
        until(lambda: self.lib.topic_config(topic).get("retention.ms") == "7200000", 10, "retention.ms was not altered")

    def admin_records_delete(self):
        topic = self.timed("records")
        self.lib.delete_records(topic, 0, 5)
        got = self.read(15, assign=[(topic, 0)], reset="earliest")
        expect([r.offset for r in got] == list(range(5, 20)), "offsets %s" % [r.offset for r in got])

    def admin_offsets(self):
        got = self.lib.offsets(self.timed("offsets"), 0)
        expect(got == (0, 20), "earliest and latest are %s" % (got,))

    def group_of(self, what):
        topic, group = self.timed(what), self.name("g-" + what)
        c = self.lib.consumer(group=group, topics=[topic], reset="earliest")
        try:
            got = []
            until(lambda: got.extend(c.poll(0.2)) or len(got) >= 20, 20, "not all records came")
            c.commit(topic, 0, 20, "", True)
        finally:
            c.close()
        return group

    def admin_groups_list(self):
        group = self.group_of("list-groups")
        until(lambda: group in self.lib.groups(), 10, "the group is not listed")

    def admin_groups_describe(self):
        topic, group = self.topic("describe-group", 2), self.name("g-describe")
        m = Member(self.lib, group, topic)
        try:
            shared([m], 2)
            until(lambda: self.lib.group_state(group) == ("Stable", 1), 10, lambda: "the group is %s" % (self.lib.group_state(group),))
        finally:
            m.stop()

    def admin_groups_delete(self):
        group = self.group_of("delete-group")
        until(lambda: self.lib.group_state(group)[1] == 0, 10, "the member is still there")
        self.lib.delete_group(group)
        until(lambda: group not in self.lib.groups(), 10, "the deleted group is still listed")

    def admin_cluster(self):
        nodes, cluster = self.lib.cluster()
        expect(nodes == 1 and cluster, "nodes %s, cluster id %s" % (nodes, cluster))

    # across a restart of the node: names must be found again, so they carry no serial

    def restart_prepare(self):
        self.serial = 0
        topic, group = self.topic("restart"), self.name("g-restart")
        self.produce(topic, [b"v%d" % i for i in range(10)])
        c = self.lib.consumer(group=group, topics=[topic], reset="earliest")
        try:
            got = []
            until(lambda: got.extend(c.poll(0.2)) or len(got) >= 10, 20, "not all records came")
            c.commit(topic, 0, 5, "", True)
        finally:
            c.close()

    def restart_resume(self):
        self.serial = 0
        topic, group = self.name("restart"), self.name("g-restart")
        self.produce(topic, [b"after"])
        got = self.read(6, group=group, topics=[topic], reset="earliest")
        expect([r.offset for r in got] == list(range(5, 11)), "resumed with offsets %s" % [r.offset for r in got])
        expect(got[-1].value == b"after", "the last record is not the one produced after the restart")

    def codec_foreign(self):
        topic = "compat-codecs"
        end = self.lib.offsets(topic, 0)[1] if self.lib.knows_offsets else self.lib.end(topic, 0)
        seen = {}
        for r in self.read(end, assign=[(topic, 0)], reset="earliest"):
            who, codec, i = r.value.decode().split("|")
            seen.setdefault((who, codec), []).append(int(i))
        expect(sum(len(v) for v in seen.values()) == end, "read %d records of %d" % (sum(len(v) for v in seen.values()), end))
        for pair, numbers in seen.items():
            expect(numbers == list(range(20)) * (len(numbers) // 20), "%s's records are %s" % (pair, numbers))


def live(features):
    """A producer and a group member, kept from before a restart of the node until after it."""
    topic, group = features.topic("live"), features.name("g-live")
    m = Member(features.lib, group, topic)
    with features.lib.producer(timeout_ms=60000) as p:
        for i in range(10):
            p.send(topic, b"v%d" % i, partition=0)
        p.flush()
        until(lambda: check_members([m]) or len(m.records) == 10, 30, "not all records came before the restart")
        features.ready()
        for i in range(10, 20):
            p.send(topic, b"v%d" % i, partition=0)
        p.flush()
    until(lambda: check_members([m]) or len({r.offset for r in m.records}) >= 20, 60, lambda: "%d records came" % len(m.records))
    values = {r.value for r in m.records}
    m.stop()
    expect(values == {b"v%d" % i for i in range(20)}, "values differ")


def answer(feature, do):
    start = time.time()
    try:
        do()
        verdict, reason = "PASS", ""
    except NotOffered as e:
        verdict, reason = "NA", str(e)
    except BaseException as e:
        traceback.print_exc()
        verdict, reason = "FAIL", "%s: %s" % (type(e).__name__, e)
    reason = " ".join(reason.split())[:300]
    print("RESULT\t%s\t%s\t%d\t%s" % (feature, verdict, (time.time() - start) * 1000, reason), flush=True)


def main():
    library, command, bootstrap = sys.argv[1:4]
    lib = importlib.import_module("lib_" + library).Lib(bootstrap)
    if command == "member":
        Member(lib, sys.argv[4], sys.argv[5], session_ms=3000).join()
        return
    features = Features(lib, bootstrap, sys.argv[4])
    if command == "live":
        answer("restart.live", lambda: (lib.own(features, "restart.live") or (lambda: live(features)))())
        return
    for feature in sys.argv[5].split(","):
        answer(feature, lambda: (lib.own(features, feature) or getattr(features, feature.replace(".", "_")))())


if __name__ == "__main__":
    main()
    sys.stdout.flush()
