import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.Optional;
import org.apache.kafka.common.record.internal.FileRecords;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Runs Apache Kafka's cleaner over a log: DIR SEGMENT_BYTES DELETE_RETENTION_MS MAP_BYTES LOAD ROUND..., where a ROUND is
 * NOW:UNCLEANABLE, cleaned until nothing dirty is left below UNCLEANABLE. The log is recovered first. Prints for every cleaning the end and the processor time in nanoseconds, of the process
 * and of the thread.
 */
public class Clean {
    public static void main(String[] args) throws Exception {
        File dir = new File(args[0]);
        LogConfig config = new LogConfig(Map.of("internal.segment.bytes", args[1], "delete.retention.ms", args[2], "cleanup.policy", "compact",
            "file.delete.delay.ms", "0", "index.interval.bytes", "4096", "min.cleanable.dirty.ratio", "0"));
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        UnifiedLog log = UnifiedLog.create(dir, config, 0L, 0L, scheduler, new BrokerTopicStats(), Time.SYSTEM, 900_000,
            new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 600_000, new LogDirFailureChannel(1), false, Optional.empty());
        log.updateHighWatermark(log.logEndOffset());
        System.out.println("log " + log.logStartOffset() + " " + log.logEndOffset() + " " + log.lastStableOffset());
        Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(Integer.parseInt(args[3])), 256 * 1024, 64 * 1024 * 1024, Double.parseDouble(args[4]),
            new Throttler(Double.MAX_VALUE, 300, "throttler", "entries", Time.SYSTEM), Time.SYSTEM, tp -> { });
        long dirty = 0;
        for (int i = 5; i < args.length; i++) {
            String[] round = args[i].split(":");
            long now = Long.parseLong(round[0]);
            while (true) {
                LogToClean what = new LogToClean(log, dirty, Long.parseLong(round[1]), false);
                if (what.cleanableBytes() == 0)
                    break;
                long process = processTime(), thread = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
                long end = cleaner.doClean(what, now).getKey();
                System.out.println("cleaned " + dirty + " " + end + " " + (processTime() - process) + " " + (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - thread));
                if (end <= dirty)
                    throw new IllegalStateException("no progress at " + dirty);
                dirty = end;
            }
        }
        scheduler.shutdown(); // what is to be deleted is deleted
        log.close();
        for (File f : dir.listFiles((d, name) -> name.endsWith(".log")))
            System.out.println("sound " + f.getName() + " " + batches(f));
    }

    static long processTime() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    /** Reads every record of a segment as Kafka does. */
    static int batches(File file) throws IOException {
        int n = 0;
        try (FileRecords records = FileRecords.open(file, false)) {
            for (var batch : records.batches()) {
                batch.ensureValid();
                for (var record : batch)
                    record.ensureValid();
                n++;
            }
        }
        return n;
    }
}
