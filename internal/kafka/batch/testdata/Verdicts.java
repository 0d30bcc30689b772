// Asks the LogValidator of Apache Kafka 4.4 about the batches in verdicts-input.tsv and prints verdicts-kafka.tsv:
//
//	javac -cp 'JARS/*' Verdicts.java && java -cp 'JARS/*:.' Verdicts verdicts-input.tsv > verdicts-kafka.tsv
//
// JARS has org.apache.kafka:kafka_2.13:4.4.0 and what it depends on.
import java.nio.*; import java.nio.file.*; import java.util.HexFormat; import java.util.List;
import org.apache.kafka.common.*; import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.utils.internals.*;
import org.apache.kafka.common.utils.*;
import org.apache.kafka.storage.internals.log.*;
public class Verdicts {
  // input lines: name target(producer|none|gzip..) compacted(0/1) tstype(0/1) before after maxBody hex
  public static void main(String[] a) throws Exception {
    final long NOW = 1_700_000_000_000L;
    Time time = new Time() {
      public long milliseconds(){return NOW;} public long nanoseconds(){return NOW*1000000L;} public long hiResClockMs(){return NOW;}
      public void sleep(long ms){} public void waitObject(Object o, java.util.function.Supplier<Boolean> c, long d){}
      public org.apache.kafka.common.utils.Timer timer(long t){return null;} };
    LogValidator.MetricsRecorder mr = new LogValidator.MetricsRecorder(){ public void recordInvalidMagic(){} public void recordInvalidOffset(){} public void recordInvalidSequence(){} public void recordInvalidChecksums(){} public void recordNoKeyCompactedTopic(){} };
    for (String line : Files.readAllLines(Path.of(a[0]))) {
      String[] f = line.split("\t");
      byte[] raw = HexFormat.of().parseHex(f[7]);
      String out;
      try {
        MemoryRecords r = MemoryRecords.readableRecords(ByteBuffer.wrap(raw));
        int n=0; MutableRecordBatch first=null;
        for (MutableRecordBatch b : r.batches()) { if (first==null) first=b; n++; }
        if (first==null) throw new InvalidRecordException("none");
        if (first.magic()!=2) throw new InvalidRecordException("magic");
        if (n>1) throw new InvalidRecordException("several");
        if (first.baseOffset()!=0) throw new InvalidRecordException("baseOffset");
        if (!first.isValid()) throw new org.apache.kafka.common.errors.CorruptRecordException("crc");
        CompressionType src = CompressionType.forId(first.compressionType().id);
        Compression target = switch (f[1]) { case "producer" -> Compression.of(src).build(); default -> Compression.of(CompressionType.forName(f[1])).build(); };
        LogValidator v = new LogValidator(r, new TopicPartition("t",0), time, src, target, f[2].equals("1"), (byte)2,
           f[3].equals("1")?TimestampType.LOG_APPEND_TIME:TimestampType.CREATE_TIME, Long.parseLong(f[4]), Long.parseLong(f[5]), 7, AppendOrigin.CLIENT, Integer.parseInt(f[6]));
        LogValidator.ValidationResult res = v.validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(1000), mr, BufferSupplier.NO_CACHING);
        MutableRecordBatch b = res.validatedRecords().batches().iterator().next();
        StringBuilder sb = new StringBuilder();
        for (org.apache.kafka.common.record.internal.Record rec : b) sb.append(rec.offset()).append('@').append(rec.timestamp()).append(' ');
        out = "ok max=" + res.maxTimestampMs() + " type=" + b.timestampType().id + " codec=" + b.compressionType().id + " valid=" + b.isValid() + " batchmax=" + b.maxTimestamp() + " last=" + b.lastOffset() + " pid=" + b.producerId() + " seq=" + b.baseSequence() + " txn=" + b.isTransactional() + " " + sb.toString().trim();
      } catch (RecordValidationException e) {
        StringBuilder sb = new StringBuilder();
        for (var re : e.recordErrors()) sb.append(re.batchIndex).append(',');
        out = "err " + Errors.forException(e.invalidException()).name() + " " + sb + "\t# " + e.recordErrors().get(0).message;
      } catch (Throwable e) { out = "err " + Errors.forException(e).name() + "\t# " + e.getClass().getSimpleName() + ": " + e.getMessage() + (e.getCause()==null?"":" <- "+e.getCause()); }
      System.out.println(f[0] + "\t" + out.replace("\n"," "));
    }
  }
}
