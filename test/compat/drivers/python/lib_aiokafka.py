"""aiokafka: its event loop runs in a thread of its own, so that the features can be written in the plain way."""

import asyncio
import threading

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata

from lib import Base, NotOffered, Rec

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def run(coroutine, limit=60):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(limit)


async def made(what, *args, **options):
    """The constructors look for the running loop."""
    return what(*args, **options)


def check(code, message=""):
    if code:
        raise for_code(code)(message)


class Producer:
    def __init__(self, lib, acks, codec, idempotent, linger_ms, max_size, timeout_ms):
        self.p = run(made(AIOKafkaProducer, bootstrap_servers=lib.bootstrap, acks=acks, compression_type=codec, linger_ms=linger_ms,
                          max_request_size=max_size or 1048576, enable_idempotence=idempotent, request_timeout_ms=timeout_ms))
        self.sent = []

    def __enter__(self):
        run(self.p.start())
        return self

    def __exit__(self, *_):
        run(self.p.stop())

    def send(self, topic, value, key=None, headers=None, ts=None, partition=None):
        ack = Ack(run(self.p.send(topic, value=value, key=key, headers=headers, timestamp_ms=ts, partition=partition)))
        self.sent.append(ack)
        return ack

    def flush(self):
        run(self.p.flush())
        sent, self.sent = self.sent, []
        return [a.get(60) for a in sent]


class Ack:
    def __init__(self, future):
        self.future = future

    def get(self, limit):
        async def wait():
            return await asyncio.wait_for(asyncio.shield(self.future), limit)

        m = run(wait(), limit + 1)
        return (m.partition, m.offset) if m else (None, -1)  # None: acks=0


class Consumer:
    def __init__(self, lib, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek):
        if assignor == "cooperative":
            raise NotOffered("aiokafka has eager assignors only")
        options = dict(bootstrap_servers=lib.bootstrap, group_id=group, auto_offset_reset=reset, enable_auto_commit=False,
                       fetch_max_wait_ms=fetch_wait_ms, session_timeout_ms=session_ms, heartbeat_interval_ms=min(500, session_ms // 6),
                       group_instance_id=instance, max_partition_fetch_bytes=4 << 20)
        if assignor == "eager":
            options["partition_assignment_strategy"] = [RangePartitionAssignor]
        self.c = run(made(AIOKafkaConsumer, *(topics or []), **options))
        if assign:
            run(made(self.c.assign, [TopicPartition(*tp) for tp in assign]))
        run(self.c.start())
        if seek is not None:
            for tp in assign:
                self.c.seek(TopicPartition(*tp), seek)

    def poll(self, seconds):
        found = run(self.c.getmany(timeout_ms=int(seconds * 1000)))
        return [Rec(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers)) for rs in found.values() for r in rs]

    def assignment(self):
        return {(tp.topic, tp.partition) for tp in self.c.assignment()}

    def positioned(self, topic, partition, offset):
        return (topic, partition) in self.assignment() and run(self.c.position(TopicPartition(topic, partition))) == offset

    def offset_for_time(self, topic, partition, ts):
        tp = TopicPartition(topic, partition)
        found = run(self.c.offsets_for_times({tp: ts}))[tp]
        return found.offset if found else None

    def commit(self, topic, partition, offset, metadata, sync):
        done = asyncio.run_coroutine_threadsafe(self.c.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, metadata)}), loop)
        if sync:
            done.result(20)

    def committed(self, topic, partition):
        return run(self.c.committed(TopicPartition(topic, partition)))

    def close(self):
        run(self.c.stop())


class Lib(Base):
    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.started = None

    @property
    def admin(self):
        if self.started is None:
            self.started = run(made(AIOKafkaAdminClient, bootstrap_servers=self.bootstrap))
            run(self.started.start())
        return self.started

    def producer(self, acks="all", codec=None, idempotent=None, linger_ms=0, max_size=None, timeout_ms=30000):
        return Producer(self, acks, codec, acks == "all" if idempotent is None else idempotent, linger_ms, max_size, timeout_ms)

    def consumer(self, group=None, topics=None, assign=None, reset="earliest", instance=None, assignor=None, session_ms=6000,
                 fetch_wait_ms=500, seek=None):
        return Consumer(self, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek)

    def create_topic(self, name, partitions, configs):
        answer = run(self.admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)]))
        for error in answer.topic_errors:
            check(error[1], error[2] if len(error) > 2 else "")

    def topics(self):
        return run(self.admin.list_topics())

    def described(self, topic):
        (found,) = run(self.admin.describe_topics([topic]))
        if found["error_code"] == 3:
            return []  # not known yet, or no longer
        check(found["error_code"])
        return found["partitions"]

    def partitions(self, topic):
        return len(self.described(topic))

    def leaders(self, topic):
        return sum(1 for p in self.described(topic) if p["leader"] >= 0)

    def add_partitions(self, topic, total):
        answer = run(self.admin.create_partitions({topic: NewPartitions(total)}))
        for error in answer.topic_errors:
            check(error[1], error[2])

    def delete_topic(self, topic):
        for error in run(self.admin.delete_topics([topic])).topic_error_codes:
            check(error[1])

    def config(self, kind, name):
        (answer,) = run(self.admin.describe_configs([ConfigResource(kind, name)]))
        (resource,) = answer.resources
        check(resource[0], resource[1])
        return {e[0]: e[1] for e in resource[4]}

    def topic_config(self, topic):
        return self.config(ConfigResourceType.TOPIC, topic)

    def broker_config(self):
        return self.config(ConfigResourceType.BROKER, str(run(self.admin.describe_cluster())["brokers"][0]["node_id"]))

    def alter_topic(self, topic, configs):
        run(self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)]))

    def delete_records(self, topic, partition, before):
        run(self.admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)}))

    def offsets(self, topic, partition):
        c, tp = run(made(AIOKafkaConsumer, bootstrap_servers=self.bootstrap)), TopicPartition(topic, partition)
        run(c.start())
        try:
            return run(c.beginning_offsets([tp]))[tp], run(c.end_offsets([tp]))[tp]
        finally:
            run(c.stop())

    def groups(self):
        return [g[0] for g in run(self.admin.list_consumer_groups())]

    def group_state(self, group):
        (answer,) = run(self.admin.describe_consumer_groups([group]))
        g = answer.groups[0]
        check(g[0])
        return g[2], len(g[5])

    def delete_group(self, group):
        raise NotOffered("aiokafka's admin client cannot delete groups")

    def cluster(self):
        found = run(self.admin.describe_cluster())
        return len(found["brokers"]), found["cluster_id"]
