// Writes java-CODEC.batch, one batch as Apache Kafka's Java client makes it, for each codec, which TestReadsWhatJavaWrites reads:
//
//	javac -cp 'JARS/*' Batches.java && java -cp 'JARS/*:.' Batches DIRECTORY
//
// JARS has org.apache.kafka:kafka-clients:4.4.0 and what it depends on.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;

public class Batches {
  public static void main(String[] args) throws Exception {
    for (CompressionType type : CompressionType.values()) {
      MemoryRecordsBuilder b = new MemoryRecordsBuilder(ByteBuffer.allocate(1 << 20), (byte) 2, Compression.of(type).build(), TimestampType.CREATE_TIME,
          0, -1, 42, (short) 3, 77, true, false, -1, 1 << 20);
      for (int i = 0; i < 600; i++) {
        byte[] key = ("key-" + i).getBytes(StandardCharsets.UTF_8);
        byte[] value = i % 10 == 9 ? null : ("value-" + i + " ").repeat(20).getBytes(StandardCharsets.UTF_8);
        Header[] headers = i % 2 == 0 ? new Header[] {new RecordHeader("h", new byte[] {(byte) i}), new RecordHeader("null", (byte[]) null)} : new Header[0];
        b.append(1_700_000_000_000L + i * 7, key, value, headers);
      }
      ByteBuffer built = b.build().buffer();
      byte[] raw = new byte[built.remaining()];
      built.get(raw);
      Files.write(Path.of(args[0], "java-" + type.name + ".batch"), raw);
    }
  }
}
