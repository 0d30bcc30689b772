"""confluent-kafka: librdkafka as its Python wheel carries it."""

import time

from confluent_kafka import Consumer as C
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Producer as P
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
                                   ResourceType)

from lib import Base, Rec, expect


class Producer:
    def __init__(self, lib, acks, codec, idempotent, linger_ms, max_size, timeout_ms):
        self.p = P({"bootstrap.servers": lib.bootstrap, "acks": acks, "compression.type": codec or "none", "linger.ms": linger_ms,
                    "message.max.bytes": max_size or 1000000, "enable.idempotence": idempotent, "message.timeout.ms": timeout_ms,
                    "broker.address.family": "v4"})
        self.acks = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.flush(20)

    def send(self, topic, value, key=None, headers=None, ts=None, partition=None):
        ack = Ack(self.p)
        self.acks.append(ack)
        options = {k: v for k, v in (("headers", headers), ("timestamp", ts), ("partition", partition)) if v is not None}
        self.p.produce(topic, value=value, key=key, on_delivery=ack.delivered, **options)
        return ack

    def flush(self):
        left = self.p.flush(60)
        expect(left == 0, "%d records are still queued after 60 s" % left)
        acks, self.acks = self.acks, []
        return [a.get(1) for a in acks]


class Ack:
    def __init__(self, producer):
        self.p, self.error, self.message = producer, None, None

    def delivered(self, error, message):
        self.error, self.message = error, message

    def get(self, limit):
        end = time.time() + limit
        while self.message is None:  # a message with an empty value is false in Python
            expect(time.time() < end, "no delivery report")
            self.p.poll(0.1)
        if self.error:
            raise KafkaException(self.error)
        return self.message.partition(), self.message.offset()


class Consumer:
    def __init__(self, lib, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek):
        config = {"bootstrap.servers": lib.bootstrap, "group.id": group or "compat-none", "auto.offset.reset": reset,
                  "enable.auto.commit": False, "fetch.wait.max.ms": fetch_wait_ms, "session.timeout.ms": session_ms,
                  "heartbeat.interval.ms": min(500, session_ms // 6), "broker.address.family": "v4",
                  "max.partition.fetch.bytes": 4 << 20}
        if instance:
            config["group.instance.id"] = instance
        if assignor:
            config["partition.assignment.strategy"] = {"eager": "range", "cooperative": "cooperative-sticky"}[assignor]
        self.c = C(config)
        if assign:
            start = seek if seek is not None else {"earliest": -2, "latest": -1}[reset]
            self.c.assign([TopicPartition(t, p, start) for t, p in assign])
        else:
            self.c.subscribe(topics)

    def poll(self, seconds):
        records = []
        for m in self.c.consume(500, seconds) if seconds <= 0.1 else self.one(seconds):
            if m.error():
                if m.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # the subscription is older than the topic's metadata
                raise KafkaException(m.error())
            records.append(Rec(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers() or []))
        return records

    def one(self, seconds):
        """consume() waits for its whole batch; poll() returns with the first record."""
        first = self.c.poll(seconds)
        return [] if first is None else [first] + self.c.consume(500, 0)

    def assignment(self):
        return {(tp.topic, tp.partition) for tp in self.c.assignment()}

    def positioned(self, topic, partition, offset):
        # position() tells nothing before the first record: the end is known once the fetcher asked for it.
        if (topic, partition) not in self.assignment():
            return False
        return self.c.get_watermark_offsets(TopicPartition(topic, partition), cached=True)[1] == offset

    def offset_for_time(self, topic, partition, ts):
        return self.c.offsets_for_times([TopicPartition(topic, partition, ts)], timeout=10)[0].offset

    def commit(self, topic, partition, offset, metadata, sync):
        self.c.commit(offsets=[TopicPartition(topic, partition, offset, metadata=metadata)], asynchronous=not sync)

    def committed(self, topic, partition):
        return self.c.committed([TopicPartition(topic, partition)], timeout=10)[0].offset

    def close(self):
        self.c.close()


def only(futures):
    (future,) = futures.values()
    return future.result(20)


class Lib(Base):
    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "broker.address.family": "v4"})

    def producer(self, acks="all", codec=None, idempotent=None, linger_ms=0, max_size=None, timeout_ms=30000):
        return Producer(self, acks, codec, acks == "all" if idempotent is None else idempotent, linger_ms, max_size, timeout_ms)

    def consumer(self, group=None, topics=None, assign=None, reset="earliest", instance=None, assignor=None, session_ms=6000,
                 fetch_wait_ms=500, seek=None):
        return Consumer(self, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek)

    def same(self, sent, got):
        return sent == got._replace(headers=[(k, v) for k, v in got.headers])

    def create_topic(self, name, partitions, configs):
        only(self.admin.create_topics([NewTopic(name, partitions, 1, config=configs)]))

    def topics(self):
        return self.admin.list_topics(timeout=10).topics

    def described(self, topic):
        found = self.topics().get(topic)
        return found.partitions.values() if found else []

    def partitions(self, topic):
        return len(self.described(topic))

    def leaders(self, topic):
        return sum(1 for p in self.described(topic) if p.leader >= 0)

    def add_partitions(self, topic, total):
        only(self.admin.create_partitions([NewPartitions(topic, total)]))

    def delete_topic(self, topic):
        only(self.admin.delete_topics([topic]))

    def config(self, kind, name):
        return {k: e.value for k, e in only(self.admin.describe_configs([ConfigResource(kind, name)])).items()}

    def topic_config(self, topic):
        return self.config(ResourceType.TOPIC, topic)

    def broker_config(self):
        return self.config(ResourceType.BROKER, str(next(iter(self.admin.list_topics(timeout=10).brokers))))

    def alter_topic(self, topic, configs):
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in configs.items()]
        only(self.admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]))

    def delete_records(self, topic, partition, before):
        only(self.admin.delete_records([TopicPartition(topic, partition, before)]))

    def offsets(self, topic, partition):
        tp = TopicPartition(topic, partition)
        return tuple(only(self.admin.list_offsets({tp: spec})).offset for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))

    def groups(self):
        return [g.group_id for g in self.admin.list_consumer_groups().result(20).valid]

    def group_state(self, group):
        g = only(self.admin.describe_consumer_groups([group]))
        return g.state.name.capitalize(), len(g.members)

    def delete_group(self, group):
        only(self.admin.delete_consumer_groups([group]))

    def cluster(self):
        found = self.admin.describe_cluster().result(20)
        return len(found.nodes), found.cluster_id
