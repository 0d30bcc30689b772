"""A generator process that drives librdkafka as the harness's own generator does: the job comes as a line of JSON, "ready" goes out when it is warm, a line comes back, the
result goes out as JSON. The library is the one that confluent-kafka brings. Records are handed over and taken by the thousand, in C: Python only counts."""

import ctypes
import glob
import json
import os
import sys
import time

import confluent_kafka

home = os.path.dirname(os.path.dirname(confluent_kafka.__file__))
rd = ctypes.CDLL(glob.glob(os.path.join(home, "confluent_kafka.libs", "librdkafka-*"))[0])
pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
for name, returns, takes in (
    ("rd_kafka_conf_new", pointer, ()),
    ("rd_kafka_conf_set", ctypes.c_int, (pointer, text, text, text, size)),
    ("rd_kafka_conf_set_dr_msg_cb", None, (pointer, pointer)),
    ("rd_kafka_new", pointer, (ctypes.c_int, pointer, text, size)),
    ("rd_kafka_topic_new", pointer, (pointer, text, pointer)),
    ("rd_kafka_produce_batch", ctypes.c_int, (pointer, ctypes.c_int32, ctypes.c_int, pointer, ctypes.c_int)),
    ("rd_kafka_poll", ctypes.c_int, (pointer, ctypes.c_int)),
    ("rd_kafka_outq_len", ctypes.c_int, (pointer,)),
    ("rd_kafka_flush", ctypes.c_int, (pointer, ctypes.c_int)),
    ("rd_kafka_queue_new", pointer, (pointer,)),
    ("rd_kafka_consume_start_queue", ctypes.c_int, (pointer, ctypes.c_int32, ctypes.c_int64, pointer)),
    ("rd_kafka_consume_stop", ctypes.c_int, (pointer, ctypes.c_int32)),
    ("rd_kafka_consume_callback_queue", ctypes.c_int, (pointer, ctypes.c_int, pointer, pointer)),
    ("rd_kafka_fatal_error", ctypes.c_int, (pointer, text, size)),
):
    f = getattr(rd, name)
    f.restype, f.argtypes = returns, takes


class Message(ctypes.Structure):
    _fields_ = [("err", ctypes.c_int), ("rkt", pointer), ("partition", ctypes.c_int32), ("payload", pointer), ("len", size),
                ("key", pointer), ("key_len", size), ("offset", ctypes.c_int64), ("private", pointer)]


def client(kind, settings):
    problem = ctypes.create_string_buffer(512)
    conf = rd.rd_kafka_conf_new()
    for key, value in settings.items():
        if rd.rd_kafka_conf_set(conf, key.encode(), value.encode(), problem, 512) != 0:
            raise RuntimeError(problem.value.decode())
    made = rd.rd_kafka_new(kind, conf, problem, 512)
    if not made:
        raise RuntimeError(problem.value.decode())
    return made


def produce(job, run):
    """Without a report for each record: what is not in the queue any more was acknowledged, or has failed, which the broker's log end tells at the end."""
    rk = client(0, {"bootstrap.servers": job["Address"], "acks": "all", "batch.size": str(job["BatchBytes"]), "batch.num.messages": "100000", "linger.ms": "5",
                    "message.max.bytes": str(job["BatchBytes"] + 1000), "queue.buffering.max.messages": "200000"})
    topic = rd.rd_kafka_topic_new(rk, job["Topic"]["Name"].encode(), None)
    value = ctypes.create_string_buffer(os.urandom(job["ValueBytes"]), job["ValueBytes"])
    batch = (Message * 1000)()
    for m in batch:
        m.payload, m.len = ctypes.addressof(value), job["ValueBytes"]
    sent = 0

    def step():
        nonlocal sent
        if rd.rd_kafka_outq_len(rk) > 50000:
            rd.rd_kafka_poll(rk, 1)
            return
        for partition in range(job["Topic"]["Partitions"]):
            sent += rd.rd_kafka_produce_batch(topic, partition, 2, batch, 1000)  # 2: librdkafka copies
        rd.rd_kafka_poll(rk, 0)

    began, ended, first, last = run(step, lambda: sent - rd.rd_kafka_outq_len(rk))
    if rd.rd_kafka_flush(rk, 60000) != 0:
        raise RuntimeError("the last records were not acknowledged within a minute")
    held = end_offsets(job)
    if held < sent:
        raise RuntimeError(f"{sent} records were sent, the topic holds {held}")
    n = job["ValueBytes"]
    return {"Elapsed": int((ended - began) * 1e9), "ProducedBytes": (last - first) * n, "AllProduced": sent * n, "Produces": last - first}


def end_offsets(job):
    c = confluent_kafka.Consumer({"bootstrap.servers": job["Address"], "group.id": "bench"})
    name, n = job["Topic"]["Name"], job["Topic"]["Partitions"]
    held = sum(high - low for low, high in (c.get_watermark_offsets(confluent_kafka.TopicPartition(name, p), timeout=30) for p in range(n)))
    c.close()
    return held


def consume(job, run):
    """Reads all partitions from the start, again and again. The callback is a function of the library itself that looks at the record's time and nothing else."""
    rk = client(1, {"bootstrap.servers": job["Address"], "group.id": "bench", "fetch.message.max.bytes": "1048576", "queued.min.messages": "200000"})
    topic = rd.rd_kafka_topic_new(rk, job["Topic"]["Name"].encode(), None)
    queue = rd.rd_kafka_queue_new(rk)
    look = ctypes.cast(rd.rd_kafka_message_timestamp, pointer)
    kind = ctypes.c_int()
    total = end_offsets(job)
    seen, left = 0, 0

    def step():
        nonlocal seen, left
        if left <= 0:
            for partition in range(job["Topic"]["Partitions"]):
                if seen:
                    rd.rd_kafka_consume_stop(topic, partition)
                if rd.rd_kafka_consume_start_queue(topic, partition, -2, queue) != 0:  # -2: from the beginning
                    raise RuntimeError(f"partition {partition} cannot be consumed")
            left = total
        n = rd.rd_kafka_consume_callback_queue(queue, 100, look, ctypes.byref(kind))
        if n < 0:
            raise RuntimeError("the queue cannot be read")
        seen, left = seen + n, left - n

    began, ended, first, last = run(step, lambda: seen)
    if rd.rd_kafka_fatal_error(rk, None, 0) != 0:
        raise RuntimeError("librdkafka reports a fatal error")
    return {"Elapsed": int((ended - began) * 1e9), "FetchedBytes": (last - first) * job["ValueBytes"], "Fetches": last - first}


def main():
    job = json.loads(sys.stdin.readline())

    def run(step, count):
        def until(end, most):
            while time.monotonic() < end and count() < most:
                step()

        until(time.monotonic() + job["Warm"] / 1e9, 1 << 62)
        print("ready", flush=True)
        sys.stdin.readline()
        began, first = time.monotonic(), count()
        until(began + job["Measure"] / 1e9, first + job["MaxBytes"] // job["ValueBytes"])
        return began, time.monotonic(), first, count()

    try:
        result = (produce if job["Producers"] else consume)(job, run)
    except Exception as problem:
        result = {"Error": f"librdkafka: {problem}"}
    print(json.dumps(result), flush=True)
    sys.stdin.readline()
    os._exit(0)  # its clients have nothing left to say


main()
