# Writes python-CODEC.batch and, with the import of aiokafka instead, aiokafka-CODEC.batch: one batch as kafka-python 2.3 and aiokafka 0.14 make it.
import sys, os, time
out=sys.argv[1]
from kafka.record.default_records import DefaultRecordBatchBuilder, DefaultRecordBatch
names={0:'none',1:'gzip',2:'snappy',3:'lz4',4:'zstd'}
for codec in range(5):
    b = DefaultRecordBatchBuilder(magic=2, compression_type=codec, is_transactional=0, producer_id=42, producer_epoch=3, base_sequence=77, batch_size=10_000_000)
    for i in range(600):
        v = None if i%10==9 else (("value-%d "%i)*20).encode()
        h = [("h", bytes([i&255])),("null",None)] if i%2==0 else []
        r = b.append(i, 1_700_000_000_000+i*7, ("key-%d"%i).encode(), v, h)
        assert r is not None, (codec,i)
    data = bytes(b.build())
    open(os.path.join(out,"python-%s.batch"%names[codec]),"wb").write(data)
    print(codec, len(data), data[61:61+20].hex())
