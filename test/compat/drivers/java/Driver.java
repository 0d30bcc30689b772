import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Drives the Java client through the compatibility matrix. One source for every generation of the client:
 * what was renamed between them is called by name at run time.
 *
 * <pre>
 * Driver run BOOTSTRAP PREFIX FEATURE,FEATURE...
 * Driver member BOOTSTRAP GROUP TOPIC   (a group member that runs until it is killed)
 * Driver live BOOTSTRAP PREFIX          (prints READY, goes on after a line on standard input)
 * </pre>
 */
public final class Driver {
    static final long FIRST_TIME = 1700000000000L;
    static final String RANGE = "org.apache.kafka.clients.consumer.RangeAssignor";
    static final String COOPERATIVE = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";

    final String bootstrap;
    final String prefix;
    final Admin admin;
    String serial = Integer.toHexString(new Random().nextInt() & 0x7fffffff);

    Driver(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("default.api.timeout.ms", "20000");
        p.put("request.timeout.ms", "10000");
        admin = Admin.create(p);
    }

    interface Cell {
        void run() throws Exception;
    }

    static void expect(boolean ok, String message) {
        if (!ok) throw new AssertionError(message);
    }

    /** Polls for the thing itself; saw tells what was there instead. */
    static void until(int seconds, Supplier<String> saw, BooleanSupplier ok) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        while (!ok.getAsBoolean()) {
            expect(System.nanoTime() < end, saw.get());
            TimeUnit.MILLISECONDS.sleep(20);
        }
    }

    static <T> T get(Future<T> f) {
        try {
            return f.get(30, TimeUnit.SECONDS);
        } catch (java.util.concurrent.ExecutionException e) {
            throw new RuntimeException(e.getCause());
        } catch (Exception e) {
            throw new RuntimeException(e);
        }
    }

    /** Calls the first method of these names that this generation of the client has. */
    static Object call(Object on, String... names) {
        for (String name : names) {
            try {
                return on.getClass().getMethod(name).invoke(on);
            } catch (NoSuchMethodException e) {
                continue;
            } catch (ReflectiveOperationException e) {
                throw new RuntimeException(e);
            }
        }
        throw new AssertionError(on.getClass() + " has none of " + Arrays.toString(names));
    }

    // producing and consuming

    KafkaProducer<byte[], byte[]> producer(String... settings) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.serializer", ByteArraySerializer.class.getName());
        p.put("value.serializer", ByteArraySerializer.class.getName());
        p.put("delivery.timeout.ms", "60000");
        p.put("request.timeout.ms", "10000");
        for (int i = 0; i < settings.length; i += 2) p.put(settings[i], settings[i + 1]);
        return new KafkaProducer<>(p);
    }

    static List<RecordMetadata> send(KafkaProducer<byte[], byte[]> p, String topic, List<String> values) {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (String v : values) sent.add(p.send(new ProducerRecord<>(topic, 0, null, v.getBytes())));
        p.flush();
        List<RecordMetadata> out = new ArrayList<>();
        for (Future<RecordMetadata> f : sent) out.add(get(f));
        return out;
    }

    void produce(String topic, List<String> values, String... settings) {
        try (KafkaProducer<byte[], byte[]> p = producer(settings)) {
            send(p, topic, values);
        }
    }

    KafkaConsumer<byte[], byte[]> consumer(String group, String... settings) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("key.deserializer", ByteArrayDeserializer.class.getName());
        p.put("value.deserializer", ByteArrayDeserializer.class.getName());
        p.put("enable.auto.commit", "false");
        p.put("auto.offset.reset", "earliest");
        p.put("max.partition.fetch.bytes", String.valueOf(4 << 20));
        if (group != null) p.put("group.id", group);
        for (int i = 0; i < settings.length; i += 2) p.put(settings[i], settings[i + 1]);
        long session = Long.parseLong(p.getProperty("session.timeout.ms", "6000"));
        p.put("session.timeout.ms", String.valueOf(session));
        p.put("heartbeat.interval.ms", String.valueOf(Math.min(500, session / 6)));
        return new KafkaConsumer<>(p);
    }

    static List<ConsumerRecord<byte[], byte[]>> take(KafkaConsumer<byte[], byte[]> c, int count) {
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (got.size() < count && System.nanoTime() < end) c.poll(Duration.ofMillis(200)).forEach(got::add);
        return got;
    }

    List<ConsumerRecord<byte[], byte[]>> assigned(String topic, int count, long from, int... partitions) {
        try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
            List<TopicPartition> tps = new ArrayList<>();
            for (int p : partitions) tps.add(new TopicPartition(topic, p));
            c.assign(tps);
            for (TopicPartition tp : tps) c.seek(tp, from);
            return take(c, count);
        }
    }

    List<ConsumerRecord<byte[], byte[]>> grouped(String topic, String group, int count) {
        try (KafkaConsumer<byte[], byte[]> c = consumer(group)) {
            c.subscribe(Collections.singletonList(topic));
            return take(c, count);
        }
    }

    static void expectOffsets(List<ConsumerRecord<byte[], byte[]>> got, long from, long to) {
        List<Long> offsets = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> r : got) offsets.add(r.offset());
        List<Long> want = new ArrayList<>();
        for (long o = from; o < to; o++) want.add(o);
        expect(offsets.equals(want), "offsets are " + offsets + ", not " + from + ".." + (to - 1));
    }

    List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int count) {
        List<ConsumerRecord<byte[], byte[]>> got = assigned(topic, count, 0, 0);
        expectOffsets(got, 0, count);
        return got;
    }

    void roundTrip(String what, List<String> values, String... settings) throws Exception {
        String topic = topic(what, 1);
        try (KafkaProducer<byte[], byte[]> p = producer(settings)) {
            send(p, topic, values);
            List<ConsumerRecord<byte[], byte[]>> got = readAll(topic, values.size());
            for (int i = 0; i < got.size(); i++) expect(new String(got.get(i).value()).equals(values.get(i)), "record " + i + " differs");
        }
    }

    static List<String> values(int n) {
        List<String> out = new ArrayList<>();
        for (int i = 0; i < n; i++) out.add("v" + i);
        return out;
    }

    // topics

    String name(String what) {
        return prefix + "-" + what + "-" + serial;
    }

    String topic(String what, int partitions, String... configs) throws Exception {
        String name = name(what);
        Map<String, String> values = new HashMap<>();
        for (int i = 0; i < configs.length; i += 2) values.put(configs[i], configs[i + 1]);
        get(admin.createTopics(Collections.singletonList(new NewTopic(name, partitions, (short) 1).configs(values))).all());
        until(10, () -> "the new topic has no leaders", () -> leaders(name) == partitions);
        return name;
    }

    @SuppressWarnings("unchecked")
    int leaders(String topic) {
        Object result = admin.describeTopics(Collections.singletonList(topic));
        try {
            Map<String, TopicDescription> found = get((Future<Map<String, TopicDescription>>) call(result, "allTopicNames", "all"));
            return (int) found.get(topic).partitions().stream().filter(p -> p.leader() != null && !p.leader().isEmpty()).count();
        } catch (RuntimeException e) {
            if (e.getCause() instanceof org.apache.kafka.common.errors.UnknownTopicOrPartitionException) return -1;
            throw e;
        }
    }

    String timed(String what) throws Exception {
        String topic = topic(what, 1);
        try (KafkaProducer<byte[], byte[]> p = producer()) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < 20; i++) sent.add(p.send(new ProducerRecord<>(topic, 0, FIRST_TIME + i * 1000, ("k" + i).getBytes(), ("v" + i).getBytes())));
            p.flush();
            for (Future<RecordMetadata> f : sent) get(f);
        }
        return topic;
    }

    Set<String> topics() {
        return get(admin.listTopics().names());
    }

    Map<String, String> config(ConfigResource.Type type, String name) {
        ConfigResource r = new ConfigResource(type, name);
        Config c = get(admin.describeConfigs(Collections.singletonList(r)).all()).get(r);
        Map<String, String> out = new HashMap<>();
        for (ConfigEntry e : c.entries()) out.put(e.name(), e.value());
        return out;
    }

    void topicCreate() throws Exception {
        String topic = topic("create", 3, "retention.ms", "123456000");
        expect("123456000".equals(config(ConfigResource.Type.TOPIC, topic).get("retention.ms")), "retention.ms was not kept");
    }

    void topicList() throws Exception {
        String topic = topic("list", 1);
        until(10, () -> "the new topic is not listed", () -> topics().contains(topic));
    }

    void topicPartitions() throws Exception {
        String topic = topic("grow", 2);
        get(admin.createPartitions(Collections.singletonMap(topic, NewPartitions.increaseTo(5))).all());
        until(10, () -> leaders(topic) + " leaders", () -> leaders(topic) == 5);
    }

    void topicDelete() throws Exception {
        String topic = topic("delete", 1);
        get(admin.deleteTopics(Collections.singletonList(topic)).all());
        until(10, () -> "the deleted topic is still listed", () -> !topics().contains(topic));
    }

    void topicAutocreate() {
        String topic = name("auto");
        produce(topic, Collections.singletonList("one"));
        expect(new String(readAll(topic, 1).get(0).value()).equals("one"), "another value came back");
    }

    void topicInvalid() {
        try {
            get(admin.createTopics(Collections.singletonList(new NewTopic("bad/name", 1, (short) 1))).all());
        } catch (RuntimeException e) {
            expect(e.getCause() instanceof org.apache.kafka.common.errors.InvalidTopicException, "creating 'bad/name' said: " + e.getCause());
            return;
        }
        throw new AssertionError("'bad/name' was created");
    }

    // producing

    static String show(byte[] b) {
        return b == null ? "null" : "'" + new String(b) + "'";
    }

    static String show(long timestamp, byte[] key, byte[] value, Iterable<Header> headers) {
        StringBuilder s = new StringBuilder(timestamp + " " + show(key) + " " + show(value));
        for (Header h : headers) s.append(' ').append(h.key()).append('=').append(show(h.value()));
        return s.toString();
    }

    void produceBasic() throws Exception {
        String topic = topic("basic", 1);
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        sent.add(new ProducerRecord<>(topic, 0, FIRST_TIME, "key".getBytes(), "value".getBytes()));
        sent.add(new ProducerRecord<>(topic, 0, FIRST_TIME + 5, null, "no key".getBytes()));
        sent.add(new ProducerRecord<>(topic, 0, FIRST_TIME + 3, "tombstone".getBytes(), (byte[]) null));
        ProducerRecord<byte[], byte[]> headed = new ProducerRecord<>(topic, 0, FIRST_TIME + 9, "h".getBytes(), "v".getBytes());
        headed.headers().add("one", "1".getBytes()).add("empty", new byte[0]).add("null", null).add("one", "ü".getBytes());
        sent.add(headed);
        sent.add(new ProducerRecord<>(topic, 0, FIRST_TIME + 10, new byte[0], new byte[0]));
        try (KafkaProducer<byte[], byte[]> p = producer()) {
            for (ProducerRecord<byte[], byte[]> r : sent) get(p.send(r));
        }
        List<ConsumerRecord<byte[], byte[]>> got = readAll(topic, sent.size());
        for (int i = 0; i < got.size(); i++) {
            String s = show(sent.get(i).timestamp(), sent.get(i).key(), sent.get(i).value(), sent.get(i).headers());
            String g = show(got.get(i).timestamp(), got.get(i).key(), got.get(i).value(), got.get(i).headers());
            expect(s.equals(g), "sent " + s + ", got " + g);
            expect(got.get(i).timestampType() == TimestampType.CREATE_TIME, "timestamp type " + got.get(i).timestampType());
        }
    }

    void produceLogAppend() throws Exception {
        String topic = topic("append", 1, "message.timestamp.type", "LogAppendTime");
        try (KafkaProducer<byte[], byte[]> p = producer()) {
            RecordMetadata m = get(p.send(new ProducerRecord<>(topic, 0, FIRST_TIME, null, "x".getBytes())));
            ConsumerRecord<byte[], byte[]> r = readAll(topic, 1).get(0);
            expect(Math.abs(r.timestamp() - System.currentTimeMillis()) < 60000, "the timestamp is " + r.timestamp());
            expect(r.timestampType() == TimestampType.LOG_APPEND_TIME, "the timestamp type is " + r.timestampType());
            expect(m.timestamp() == r.timestamp(), "acknowledged with " + m.timestamp() + ", read with " + r.timestamp());
        }
    }

    void codec(String codec) throws Exception {
        List<String> values = new ArrayList<>();
        for (String v : values(100)) values.add(String.join("-", Collections.nCopies(50, v)));
        roundTrip("codec-" + codec, values, "compression.type", codec, "linger.ms", "20");
        List<String> foreign = new ArrayList<>();
        for (int i = 0; i < 20; i++) foreign.add(prefix + "|" + codec + "|" + i);
        produce("compat-codecs", foreign, "compression.type", codec, "linger.ms", "20");
    }

    void produceBatch() throws Exception {
        List<String> values = new ArrayList<>();
        for (String v : values(3000)) values.add(v + String.join("", Collections.nCopies(100, "x")));
        roundTrip("batch", values, "linger.ms", "20");
    }

    void produceSingle() throws Exception {
        String topic = topic("single", 1);
        try (KafkaProducer<byte[], byte[]> p = producer()) {
            for (int i = 0; i < 20; i++) {
                long offset = send(p, topic, Collections.singletonList("v" + i)).get(0).offset();
                expect(offset == i, "record " + i + " was acknowledged at offset " + offset);
            }
        }
        readAll(topic, 20);
    }

    // consuming

    void consumeLatest() throws Exception {
        String topic = timed("latest");
        try (KafkaConsumer<byte[], byte[]> c = consumer(name("g-latest"), "auto.offset.reset", "latest")) {
            c.subscribe(Collections.singletonList(topic));
            TopicPartition tp = new TopicPartition(topic, 0);
            until(20, () -> "no assignment at the end", () -> {
                expect(c.poll(Duration.ofMillis(100)).isEmpty(), "an old record came");
                return c.assignment().contains(tp) && c.position(tp) == 20;
            });
            produce(topic, Collections.singletonList("new"));
            expectOffsets(take(c, 1), 20, 21);
        }
    }

    void consumeTimestamp() throws Exception {
        TopicPartition tp = new TopicPartition(timed("time"), 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
            long[][] cases = {{-1, 0}, {9500, 10}, {19000, 19}};
            for (long[] each : cases) {
                OffsetAndTimestamp found = c.offsetsForTimes(Collections.singletonMap(tp, FIRST_TIME + each[0])).get(tp);
                expect(found.offset() == each[1], "the offset at +" + each[0] + " is " + found);
                expect(found.timestamp() == FIRST_TIME + each[1] * 1000, "its timestamp is " + found.timestamp());
            }
            expect(c.offsetsForTimes(Collections.singletonMap(tp, FIRST_TIME + 19001)).get(tp) == null, "a time after the last record has an offset");
        }
    }

    void consumeAssign() throws Exception {
        String topic = topic("assign", 3);
        try (KafkaProducer<byte[], byte[]> p = producer()) {
            for (int i = 0; i < 9; i++) get(p.send(new ProducerRecord<>(topic, i % 3, null, ("v" + i).getBytes())));
        }
        Set<String> got = new TreeSet<>();
        for (ConsumerRecord<byte[], byte[]> r : assigned(topic, 6, 0, 0, 2)) got.add(r.partition() + "@" + r.offset());
        expect(got.equals(new TreeSet<>(Arrays.asList("0@0", "0@1", "0@2", "2@0", "2@1", "2@2"))), "got " + got);
    }

    // groups

    /** A consumer polled by its own thread, as an application polls it. */
    final class Member extends Thread implements AutoCloseable {
        final KafkaConsumer<byte[], byte[]> c;
        final Set<Long> offsets = Collections.synchronizedSet(new HashSet<>());
        final Set<String> values = Collections.synchronizedSet(new HashSet<>());
        final List<Set<Integer>> history = Collections.synchronizedList(new ArrayList<>());
        volatile Set<Integer> partitions = Collections.emptySet();
        volatile boolean stopping;
        volatile Throwable failed;

        Member(String group, String topic, String... settings) {
            c = consumer(group, settings);
            c.subscribe(Collections.singletonList(topic));
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try {
                while (!stopping) {
                    for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofMillis(100))) {
                        values.add(new String(r.value()));
                        offsets.add(r.offset());
                    }
                    Set<Integer> now = new TreeSet<>();
                    for (TopicPartition tp : c.assignment()) now.add(tp.partition());
                    if (!now.equals(partitions)) history.add(now);
                    partitions = now;
                }
            } catch (Throwable t) {
                failed = t;
            } finally {
                c.close(Duration.ofSeconds(10));
            }
        }

        @Override
        public void close() throws InterruptedException {
            stopping = true;
            join(20000);
            expect(failed == null, "a member failed: " + failed);
        }
    }

    static void shared(int count, int seconds, Member... members) throws InterruptedException {
        until(seconds, () -> {
            StringBuilder s = new StringBuilder("assignments are");
            for (Member m : members) s.append(' ').append(m.partitions);
            return s.toString();
        }, () -> {
            Set<Integer> owned = new HashSet<>();
            int total = 0;
            boolean fair = true;
            for (Member m : members) {
                expect(m.failed == null, "a member failed: " + m.failed);
                Set<Integer> now = m.partitions;
                owned.addAll(now);
                total += now.size();
                fair &= !now.isEmpty();
            }
            return total == count && owned.size() == count && (fair || count < members.length);
        });
    }

    List<Set<Integer>> groupJoin(String what, String... settings) throws Exception {
        String topic = topic(what, 4);
        try (Member a = new Member(name("g-" + what), topic, settings)) {
            shared(4, 30, a);
            try (Member b = new Member(name("g-" + what), topic, settings)) {
                shared(4, 30, a, b);
                expect(a.partitions.size() == 2, "the shares are " + a.partitions + " and " + b.partitions);
                return new ArrayList<>(a.history);
            }
        }
    }

    void groupCooperative() throws Exception {
        List<Set<Integer>> history = groupJoin("cooperative", "partition.assignment.strategy", COOPERATIVE);
        expect(!history.contains(Collections.emptySet()), "everything was revoked on the way: " + history);
    }

    void groupLeave() throws Exception {
        String topic = topic("leave", 4);
        try (Member a = new Member(name("g-leave"), topic, "session.timeout.ms", "30000")) {
            try (Member b = new Member(name("g-leave"), topic, "session.timeout.ms", "30000")) {
                shared(4, 30, a, b);
            }
            shared(4, 15, a);
        }
    }

    void groupCrash() throws Exception {
        String topic = topic("crash", 4);
        String group = name("g-crash");
        try (Member a = new Member(group, topic, "session.timeout.ms", "3000")) {
            shared(4, 30, a);
            Process child = new ProcessBuilder(System.getProperty("java.home") + "/bin/java", "-XX:TieredStopAtLevel=1", "-Xmx128m",
                "-cp", System.getProperty("java.class.path"), "Driver", "member", bootstrap, group, topic).inheritIO().start();
            try {
                until(30, () -> "the second process got no share", () -> !a.partitions.isEmpty() && a.partitions.size() < 4);
                child.destroyForcibly();
                shared(4, 20, a);
            } finally {
                child.destroyForcibly();
                child.waitFor();
            }
        }
    }

    void groupStatic() throws Exception {
        String topic = topic("static", 4);
        String group = name("g-static");
        String[] a1 = {"group.instance.id", "a", "session.timeout.ms", "20000"};
        String[] b1 = {"group.instance.id", "b", "session.timeout.ms", "20000"};
        try (Member a = new Member(group, topic, a1)) {
            Set<Integer> mine;
            Set<Integer> others;
            int changes;
            try (Member b = new Member(group, topic, b1)) {
                shared(4, 30, a, b);
                mine = a.partitions;
                others = b.partitions;
                changes = a.history.size();
            }
            try (Member b = new Member(group, topic, b1)) {
                shared(4, 30, a, b);
                expect(a.partitions.equals(mine) && b.partitions.equals(others), "the static member got other partitions");
                expect(a.history.size() == changes, "the other member saw a rebalance: " + a.history);
            }
        }
    }

    void groupMore() throws Exception {
        String topic = topic("more", 2);
        String group = name("g-more");
        try (Member a = new Member(group, topic); Member b = new Member(group, topic); Member c = new Member(group, topic)) {
            shared(2, 30, a, b, c);
        }
    }

    long committed(String group, TopicPartition tp) {
        OffsetAndMetadata m = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(tp);
        return m == null ? -1 : m.offset();
    }

    /** Reads all of a topic as a group member and commits `at`. */
    void part(String topic, String group, int count, long at, boolean sync) throws Exception {
        TopicPartition tp = new TopicPartition(topic, 0);
        try (KafkaConsumer<byte[], byte[]> c = consumer(group)) {
            c.subscribe(Collections.singletonList(topic));
            expectOffsets(take(c, count), 0, count);
            Map<TopicPartition, OffsetAndMetadata> offsets = Collections.singletonMap(tp, new OffsetAndMetadata(at, "note"));
            Throwable[] failed = new Throwable[1];
            if (sync) c.commitSync(offsets);
            else c.commitAsync(offsets, (done, e) -> failed[0] = e);
            until(10, () -> "committed is " + committed(group, tp), () -> {
                c.poll(Duration.ofMillis(10));
                expect(failed[0] == null, "the commit failed: " + failed[0]);
                return committed(group, tp) == at;
            });
            OffsetAndMetadata seen = c.committed(Collections.singleton(tp)).get(tp);
            expect(seen.offset() == at && seen.metadata().equals("note"), "the consumer sees " + seen);
        }
    }

    void groupResume() throws Exception {
        String topic = timed("resume");
        part(topic, name("g-resume"), 20, 10, true);
        expectOffsets(grouped(topic, name("g-resume"), 10), 10, 20);
    }

    void groupIndependent() throws Exception {
        String topic = timed("two");
        expectOffsets(grouped(topic, name("g-two-a"), 20), 0, 20);
        expectOffsets(grouped(topic, name("g-two-b"), 20), 0, 20);
    }

    void pollWakes() throws Exception {
        String topic = topic("wake", 1);
        try (KafkaProducer<byte[], byte[]> p = producer(); KafkaConsumer<byte[], byte[]> c = consumer(null, "fetch.max.wait.ms", "3000")) {
            c.assign(Collections.singletonList(new TopicPartition(topic, 0)));
            send(p, topic, Collections.singletonList("first"));
            expect(take(c, 1).size() == 1, "the first record did not come");
            List<Long> late = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                // The consumer must be parked in its long poll; there is no event for that.
                c.poll(Duration.ofMillis(400));
                long sent = System.nanoTime();
                send(p, topic, Collections.singletonList("wake"));
                expect(take(c, 1).size() == 1, "a record did not come");
                late.add(TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - sent));
            }
            Collections.sort(late);
            expect(late.get(2) < 500, "latencies in ms: " + late);
        }
    }

    // sizes

    static byte[] noise(int size) {
        byte[] b = new byte[size];
        new Random(7).nextBytes(b);
        return b;
    }

    void bigOK() throws Exception {
        String topic = topic("big", 1);
        byte[] value = noise(1000000);
        try (KafkaProducer<byte[], byte[]> p = producer("max.request.size", "3000000")) {
            get(p.send(new ProducerRecord<>(topic, value)));
        }
        expect(Arrays.equals(readAll(topic, 1).get(0).value(), value), "the value differs");
    }

    void bigTooLarge() throws Exception {
        String topic = topic("large", 1);
        try (KafkaProducer<byte[], byte[]> p = producer("max.request.size", "3000000")) {
            get(p.send(new ProducerRecord<>(topic, noise(2000000))));
        } catch (RuntimeException e) {
            expect(e.getCause() instanceof org.apache.kafka.common.errors.RecordTooLargeException, "the broker said: " + e.getCause());
            return;
        }
        throw new AssertionError("a record above the limit was taken");
    }

    // admin

    void configsDescribe() throws Exception {
        Map<String, String> got = config(ConfigResource.Type.TOPIC, topic("configs", 1));
        expect("delete".equals(got.get("cleanup.policy")), "cleanup.policy is " + got.get("cleanup.policy"));
        expect("1073741824".equals(got.get("segment.bytes")), "segment.bytes is " + got.get("segment.bytes"));
        Node node = get(admin.describeCluster().nodes()).iterator().next();
        String partitions = config(ConfigResource.Type.BROKER, node.idString()).get("num.partitions");
        expect("1".equals(partitions), "the broker's num.partitions is " + partitions);
    }

    void configsAlter() throws Exception {
        String topic = topic("alter", 1);
        ConfigResource r = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Collection<AlterConfigOp> ops = Arrays.asList(
            new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND));
        get(admin.incrementalAlterConfigs(Collections.singletonMap(r, ops)).all());
        until(10, () -> "the configs are " + config(ConfigResource.Type.TOPIC, topic), () -> {
            Map<String, String> got = config(ConfigResource.Type.TOPIC, topic);
            return "7200000".equals(got.get("retention.ms")) && "delete,compact".equals(got.get("cleanup.policy"));
        });
    }

    void recordsDelete() throws Exception {
        String topic = timed("records");
        TopicPartition tp = new TopicPartition(topic, 0);
        long low = get(admin.deleteRecords(Collections.singletonMap(tp, RecordsToDelete.beforeOffset(5))).lowWatermarks().get(tp)).lowWatermark();
        expect(low == 5, "the low watermark is " + low);
        try (KafkaConsumer<byte[], byte[]> c = consumer(null)) {
            c.assign(Collections.singletonList(tp));
            c.seekToBeginning(Collections.singletonList(tp));
            expectOffsets(take(c, 15), 5, 20);
        }
    }

    long offset(TopicPartition tp, OffsetSpec spec) {
        return get(admin.listOffsets(Collections.singletonMap(tp, spec)).partitionResult(tp)).offset();
    }

    void adminOffsets() throws Exception {
        TopicPartition tp = new TopicPartition(timed("offsets"), 0);
        long[] got = {offset(tp, OffsetSpec.earliest()), offset(tp, OffsetSpec.latest()), offset(tp, OffsetSpec.forTimestamp(FIRST_TIME + 9500))};
        expect(Arrays.equals(got, new long[] {0, 20, 10}), "earliest, latest and by time are " + Arrays.toString(got));
    }

    boolean listed(String group) {
        for (ConsumerGroupListing g : get(admin.listConsumerGroups().all())) if (g.groupId().equals(group)) return true;
        return false;
    }

    ConsumerGroupDescription group(String group) {
        return get(admin.describeConsumerGroups(Collections.singletonList(group)).describedGroups().get(group));
    }

    void groupsList() throws Exception {
        String group = name("g-list");
        part(timed("list-groups"), group, 20, 20, true);
        until(10, () -> "the group is not listed", () -> listed(group));
    }

    void groupsDescribe() throws Exception {
        String topic = topic("describe-group", 2);
        String group = name("g-describe");
        try (Member m = new Member(group, topic)) {
            shared(2, 30, m);
            until(10, () -> "the group is " + group(group), () -> {
                ConsumerGroupDescription d = group(group);
                return call(d, "groupState", "state").toString().equals("Stable") && d.members().size() == 1;
            });
            int assigned = group(group).members().iterator().next().assignment().topicPartitions().size();
            expect(assigned == 2, "the member's assignment shows " + assigned + " partitions");
        }
    }

    void groupsDelete() throws Exception {
        String group = name("g-delete");
        part(timed("delete-group"), group, 20, 20, true);
        until(10, () -> "the group is not empty", () -> group(group).members().isEmpty());
        get(admin.deleteConsumerGroups(Collections.singletonList(group)).all());
        until(10, () -> "the deleted group is still listed", () -> !listed(group));
    }

    void adminCluster() {
        int nodes = get(admin.describeCluster().nodes()).size();
        String id = get(admin.describeCluster().clusterId());
        Node controller = get(admin.describeCluster().controller());
        expect(nodes == 1 && id != null && !id.isEmpty() && controller != null, nodes + " nodes, id " + id + ", controller " + controller);
    }

    // across a restart of the node: names must be found again, so they carry no serial

    void restartPrepare() throws Exception {
        serial = "0";
        String topic = topic("restart", 1);
        produce(topic, values(10));
        part(topic, name("g-restart"), 10, 5, true);
    }

    void restartResume() {
        serial = "0";
        produce(name("restart"), Collections.singletonList("after"));
        List<ConsumerRecord<byte[], byte[]>> got = grouped(name("restart"), name("g-restart"), 6);
        expectOffsets(got, 5, 11);
        expect(new String(got.get(5).value()).equals("after"), "the last record is another");
    }

    void codecForeign() {
        TopicPartition tp = new TopicPartition("compat-codecs", 0);
        long end = offset(tp, OffsetSpec.latest());
        List<ConsumerRecord<byte[], byte[]>> got = assigned("compat-codecs", (int) end, 0, 0);
        expectOffsets(got, 0, end);
        Map<String, Integer> next = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> r : got) {
            String v = new String(r.value());
            int cut = v.lastIndexOf('|');
            int seen = next.merge(v.substring(0, cut), 1, Integer::sum) - 1;
            expect(Integer.parseInt(v.substring(cut + 1)) == seen % 20, "out of order: " + v);
        }
    }

    void live() throws Exception {
        String topic = topic("live", 1);
        try (Member m = new Member(name("g-live"), topic); KafkaProducer<byte[], byte[]> p = producer()) {
            send(p, topic, values(20).subList(0, 10));
            until(30, () -> m.offsets.size() + " records came before the restart", () -> m.offsets.size() == 10);
            System.out.println("READY");
            new BufferedReader(new InputStreamReader(System.in)).readLine();
            send(p, topic, values(20).subList(10, 20));
            until(60, () -> m.offsets.size() + " records came", () -> m.offsets.size() >= 20);
            expect(m.values.equals(new HashSet<>(values(20))), "the values are " + m.values);
        }
    }

    Map<String, Cell> cells() {
        Map<String, Cell> c = new LinkedHashMap<>();
        c.put("topic.create", this::topicCreate);
        c.put("topic.list", this::topicList);
        c.put("topic.describe", () -> topic("describe", 2));
        c.put("topic.partitions", this::topicPartitions);
        c.put("topic.delete", this::topicDelete);
        c.put("topic.autocreate", this::topicAutocreate);
        c.put("topic.invalid", this::topicInvalid);
        c.put("produce.basic", this::produceBasic);
        c.put("produce.logappend", this::produceLogAppend);
        for (String acks : new String[] {"0", "1", "all"}) {
            c.put("acks." + acks, () -> roundTrip("acks" + acks, values(10), "acks", acks, "enable.idempotence", String.valueOf(acks.equals("all"))));
        }
        for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) c.put("codec." + codec, () -> codec(codec));
        c.put("produce.batch", this::produceBatch);
        c.put("produce.single", this::produceSingle);
        c.put("produce.idempotent", () -> roundTrip("idem", values(500), "enable.idempotence", "true", "acks", "all"));
        c.put("consume.earliest", () -> expectOffsets(grouped(timed("earliest"), name("g-earliest"), 20), 0, 20));
        c.put("consume.latest", this::consumeLatest);
        c.put("consume.offset", () -> expectOffsets(assigned(timed("offset"), 13, 7, 0), 7, 20));
        c.put("consume.timestamp", this::consumeTimestamp);
        c.put("consume.assign", this::consumeAssign);
        c.put("group.join", () -> groupJoin("join"));
        c.put("group.leave", this::groupLeave);
        c.put("group.crash", this::groupCrash);
        c.put("group.static", this::groupStatic);
        c.put("group.more", this::groupMore);
        c.put("group.eager", () -> groupJoin("eager", "partition.assignment.strategy", RANGE));
        c.put("group.cooperative", this::groupCooperative);
        c.put("group.resume", this::groupResume);
        c.put("group.independent", this::groupIndependent);
        c.put("commit.sync", () -> part(timed("commit-sync"), name("g-commit-sync"), 20, 6, true));
        c.put("commit.async", () -> part(timed("commit-async"), name("g-commit-async"), 20, 6, false));
        c.put("poll.wakes", this::pollWakes);
        c.put("big.ok", this::bigOK);
        c.put("big.toolarge", this::bigTooLarge);
        c.put("admin.configs.describe", this::configsDescribe);
        c.put("admin.configs.alter", this::configsAlter);
        c.put("admin.records.delete", this::recordsDelete);
        c.put("admin.offsets", this::adminOffsets);
        c.put("admin.groups.list", this::groupsList);
        c.put("admin.groups.describe", this::groupsDescribe);
        c.put("admin.groups.delete", this::groupsDelete);
        c.put("admin.cluster", this::adminCluster);
        c.put("restart.prepare", this::restartPrepare);
        c.put("restart.resume", this::restartResume);
        c.put("codec.foreign", this::codecForeign);
        c.put("restart.live", this::live);
        return c;
    }

    void answer(String feature, Cell cell) {
        long start = System.nanoTime();
        String verdict = "PASS";
        String reason = "";
        try {
            if (cell == null) throw new AssertionError("no such feature in this driver");
            cell.run();
        } catch (Throwable t) {
            t.printStackTrace();
            verdict = "FAIL";
            reason = t.toString().replaceAll("\\s+", " ");
        }
        System.out.println("RESULT\t" + feature + "\t" + verdict + "\t" + TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start) + "\t" + reason);
    }

    public static void main(String[] args) throws Exception {
        Driver d = new Driver(args[1], args[2]);
        switch (args[0]) {
            case "run":
                Map<String, Cell> cells = d.cells();
                for (String feature : args[3].split(",")) d.answer(feature, cells.get(feature));
                break;
            case "member":
                d.new Member(args[2], args[3], "session.timeout.ms", "3000").join();
                break;
            case "live":
                d.answer("restart.live", d::live);
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
        d.admin.close(Duration.ofSeconds(5));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
