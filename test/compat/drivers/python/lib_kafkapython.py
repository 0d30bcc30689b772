"""kafka-python, 2.3 and 3.0: one file, for the two differ in little but the admin client's answers."""

import logging

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.coordinator.assignors.range import RangePartitionAssignor

from lib import Base, NotOffered, Rec, expect

NEW = int(kafka.__version__.split(".")[0]) >= 3
logging.basicConfig(level=logging.ERROR)


class Producer:
    def __init__(self, bootstrap, acks, codec, idempotent, linger_ms, max_size, timeout_ms):
        options = dict(bootstrap_servers=bootstrap, acks=acks, compression_type=codec, linger_ms=linger_ms,
                       max_request_size=max_size or 1048576, enable_idempotence=idempotent, delivery_timeout_ms=timeout_ms,
                       request_timeout_ms=min(10000, timeout_ms))
        if not NEW and idempotent:
            options["max_in_flight_requests_per_connection"] = 1
        self.p, self.sent, self.stuck = KafkaProducer(**options), [], acks == 0 and not NEW

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.close(timeout=20)

    def send(self, topic, value, key=None, headers=None, ts=None, partition=None):
        future = self.p.send(topic, value=value, key=key, headers=headers, timestamp_ms=ts, partition=partition)
        self.sent.append(future)
        return Ack(future)

    def flush(self):
        self.p.flush(timeout=60)
        if self.stuck:
            # 2.3 hands bytes that expect no answer to the socket only with the connection's next
            # request; asking for a topic it does not know yet is one.
            self.p.partitions_for("compat-codecs")
        sent, self.sent = self.sent, []
        return [Ack(f).get(60) for f in sent]


class Ack:
    def __init__(self, future):
        self.future = future

    def get(self, limit):
        m = self.future.get(timeout=limit)
        return m.partition, m.offset


class Consumer:
    def __init__(self, bootstrap, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek):
        options = dict(bootstrap_servers=bootstrap, group_id=group, auto_offset_reset=reset, enable_auto_commit=False,
                       fetch_max_wait_ms=fetch_wait_ms, max_partition_fetch_bytes=4 << 20)
        if group:
            options.update(session_timeout_ms=session_ms, heartbeat_interval_ms=min(500, session_ms // 6), group_instance_id=instance)
        if fetch_wait_ms >= 10000:
            options["request_timeout_ms"] = 30000
        if assignor == "eager":
            options["partition_assignment_strategy"] = [RangePartitionAssignor]
        elif assignor == "cooperative":
            if not NEW:
                raise NotOffered("kafka-python 2.3 has no cooperative assignor")
            from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
            options["partition_assignment_strategy"] = [CooperativeStickyAssignor]
        self.c, self.grouped = KafkaConsumer(**options), group is not None
        if assign:
            self.c.assign([TopicPartition(*tp) for tp in assign])
            for tp in assign:
                if seek is not None:
                    self.c.seek(TopicPartition(*tp), seek)
        else:
            self.c.subscribe(topics)

    def poll(self, seconds):
        if NEW and self.grouped:
            # A poll of 3.0 that runs out between the answers to its JoinGroup and SyncGroup loses the
            # assignment for good: it neither takes the answer nor joins again. Records still end it at once.
            seconds = max(seconds, 1.5)
        return [Rec(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, list(r.headers))
                for rs in self.c.poll(timeout_ms=int(seconds * 1000)).values() for r in rs]

    def assignment(self):
        return {(tp.topic, tp.partition) for tp in self.c.assignment()}

    def positioned(self, topic, partition, offset):
        tp = TopicPartition(topic, partition)
        return tp in self.c.assignment() and self.c.position(tp) == offset

    def offset_for_time(self, topic, partition, ts):
        tp = TopicPartition(topic, partition)
        found = self.c.offsets_for_times({tp: ts})[tp]
        return found.offset if found else None

    def commit(self, topic, partition, offset, metadata, sync):
        offsets = {TopicPartition(topic, partition): OffsetAndMetadata(offset, metadata, -1)}
        if sync:
            self.c.commit(offsets)
        else:
            self.c.commit_async(offsets)

    def committed(self, topic, partition):
        return self.c.committed(TopicPartition(topic, partition))

    def close(self):
        self.c.close()


class Lib(Base):
    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.made = None

    @property
    def admin(self):
        if self.made is None:
            self.made = KafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=20000)
        return self.made

    def producer(self, acks="all", codec=None, idempotent=None, linger_ms=0, max_size=None, timeout_ms=30000):
        return Producer(self.bootstrap, acks, codec, acks == "all" if idempotent is None else idempotent, linger_ms, max_size, timeout_ms)

    def consumer(self, group=None, topics=None, assign=None, reset="earliest", instance=None, assignor=None, session_ms=6000,
                 fetch_wait_ms=500, seek=None):
        return Consumer(self.bootstrap, group, topics, assign, reset, instance, assignor, session_ms, fetch_wait_ms, seek)

    def create_topic(self, name, partitions, configs):
        self.admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])

    def topics(self):
        return self.admin.list_topics()

    def described(self, topic):
        found = self.admin.describe_topics([topic])[0]
        if found["error_code"] == 3:
            return []  # not known yet, or no longer
        expect(found["error_code"] == 0, "describe_topics answers error %s" % found["error_code"])
        return found["partitions"]

    def partitions(self, topic):
        return len(self.described(topic))

    def leaders(self, topic):
        return sum(1 for p in self.described(topic) if p.get("leader_id", p.get("leader")) >= 0)

    def add_partitions(self, topic, total):
        self.admin.create_partitions({topic: NewPartitions(total)})

    def delete_topic(self, topic):
        self.admin.delete_topics([topic])

    def config(self, kind, name):
        resource = ConfigResource(kind, name)
        if NEW:
            answer = self.admin.describe_configs([resource], config_filter="all")
            entries = answer[kind.name.lower()][name] if kind.name.lower() in answer else answer[kind][name]
            return {k: (v["value"] if isinstance(v, dict) else v) for k, v in entries.items()}
        for response in self.admin.describe_configs([resource]):
            for code, message, _, _, entries in response.resources:
                expect(code == 0, "describe_configs answers error %s %s" % (code, message))
                return {e[0]: e[1] for e in entries}

    def topic_config(self, topic):
        return self.config(ConfigResourceType.TOPIC, topic)

    def broker_config(self):
        return self.config(ConfigResourceType.BROKER, str(self.node()))

    def node(self):
        cluster = self.admin.describe_cluster()
        return cluster["brokers"][0].get("node_id", cluster["brokers"][0].get("broker_id"))

    def alter_topic(self, topic, configs):
        self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])

    def delete_records(self, topic, partition, before):
        self.admin.delete_records({TopicPartition(topic, partition): before})

    def offsets(self, topic, partition):
        c, tp = KafkaConsumer(bootstrap_servers=self.bootstrap), TopicPartition(topic, partition)
        try:
            return c.beginning_offsets([tp])[tp], c.end_offsets([tp])[tp]
        finally:
            c.close()

    def groups(self):
        if NEW:
            return [g["group_id"] for g in self.admin.list_groups()]
        return [g[0] for g in self.admin.list_consumer_groups()]

    def group_state(self, group):
        if NEW:
            answer = self.admin.describe_groups([group])
            g = answer[group] if isinstance(answer, dict) else answer[0]
            return g["group_state"], len(g["members"])
        g = self.admin.describe_consumer_groups([group])[0]
        return g.state, len(g.members)

    def delete_group(self, group):
        if NEW:
            self.admin.delete_groups([group])
            return
        for name, error in self.admin.delete_consumer_groups([group]):
            expect(error.errno == 0, "deleting group %s answers %s" % (name, error))

    def cluster(self):
        found = self.admin.describe_cluster()
        return len(found["brokers"]), found["cluster_id"]
