// Drives kafkajs through the compatibility matrix.
//
//   node driver.js run BOOTSTRAP PREFIX FEATURE,FEATURE...
//   node driver.js member BOOTSTRAP GROUP TOPIC   (a group member that runs until it is killed)
//   node driver.js live BOOTSTRAP PREFIX          (prints READY, goes on after a line on standard input)
'use strict';

const path = require('path');
const { spawn } = require('child_process');
const readline = require('readline');
const root = process.env.COMPAT_NODE_MODULES || path.join(__dirname, '../../../../.clients/node/node_modules');
const load = (name) => require(path.join(root, name));
const { Kafka, CompressionTypes, CompressionCodecs, logLevel, AssignerProtocol, ConfigResourceTypes } = load('kafkajs');

CompressionCodecs[CompressionTypes.Snappy] = load('kafkajs-snappy');
const lz4 = load('lz4-napi');
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
// The streaming form also reads frames that do not tell their content's size, as most clients' do not.
const zstd = new Promise((resolve) => { load('zstd-codec').ZstdCodec.run((z) => resolve(new z.Streaming())); });
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from((await zstd).compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from((await zstd).decompress(buffer)),
});

const T0 = 1700000000000;
const [command, bootstrap, ...args] = process.argv.slice(2);
let serial = Math.floor(Math.random() * 2 ** 30).toString(16);
const kafka = new Kafka({
  clientId: 'compat', brokers: [bootstrap], logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 12, maxRetryTime: 2000 },
});
const admin = kafka.admin();

class NotOffered extends Error {}

const expect = (ok, message) => { if (!ok) throw new Error(typeof message === 'function' ? message() : message); };
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// Polls for the thing itself; the message tells what was there instead.
async function until(seconds, message, ok) {
  const end = Date.now() + seconds * 1000;
  while (!await ok()) {
    expect(Date.now() < end, message);
    await pause(20);
  }
}

const name = (what) => `${args[0]}-${what}-${serial}`;
const span = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

async function topic(what, partitions = 1, configs = {}) {
  const t = name(what);
  const configEntries = Object.entries(configs).map(([n, value]) => ({ name: n, value }));
  await admin.createTopics({ topics: [{ topic: t, numPartitions: partitions, replicationFactor: 1, configEntries }] });
  await until(10, 'the new topic has no leaders', async () => (await leaders(t)) === partitions);
  return t;
}

async function leaders(t) {
  const { topics } = await admin.fetchTopicMetadata({ topics: [t] });
  return topics[0].partitions.filter((p) => p.leader >= 0).length;
}

async function withProducer(options, use) {
  const p = kafka.producer({ allowAutoTopicCreation: true, createPartitioner: () => ({ message }) => message.partition || 0, ...options });
  await p.connect();
  try {
    return await use(p);
  } finally {
    await p.disconnect();
  }
}

const produce = (t, values, options = {}, send = {}) => withProducer(options, (p) => p.send({ topic: t, messages: values.map((value) => ({ value })), ...send }));

// A consumer: kafkajs calls back for every record. It has no way to read without a group.
class Reader {
  constructor(group, t, options = {}) {
    const session = options.session || 6000;
    this.records = [];
    this.partitions = [];
    this.history = [];
    this.topic = t;
    this.from = options.latest ? false : true;
    this.consumer = kafka.consumer({
      groupId: group, sessionTimeout: session, heartbeatInterval: Math.min(500, session / 6), rebalanceTimeout: 15000,
      maxWaitTimeInMs: options.wait || 500, maxBytesPerPartition: 4 << 20, allowAutoTopicCreation: false, metadataMaxAge: 300000,
    });
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      this.partitions = [...(payload.memberAssignment[t] || [])].sort();
      this.history.push(this.partitions);
    });
    this.consumer.on(this.consumer.events.REBALANCING, () => { this.partitions = []; });
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => { this.crash = payload.error; });
  }

  async start(seek = {}) {
    await this.consumer.connect();
    await this.consumer.subscribe({ topics: [this.topic], fromBeginning: this.from });
    await this.consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: true,
      eachBatch: async ({ batch }) => {
        for (const m of batch.messages) this.records.push({ ...m, partition: batch.partition, at: Date.now() });
      },
    });
    for (const [partition, offset] of Object.entries(seek)) this.consumer.seek({ topic: this.topic, partition: Number(partition), offset: String(offset) });
    return this;
  }

  async take(count) {
    await until(30, () => `${this.records.length} records of ${count} came, ${this.crash || 'no error'}`, () => this.records.length >= count);
    return this.records;
  }

  stop() { return this.consumer.disconnect(); }
}

const offsets = (records) => records.map((m) => Number(m.offset));

function expectOffsets(records, from, to) {
  expect(same(offsets(records), span(from, to)), `offsets are ${offsets(records)}, not ${from}..${to - 1}`);
}

async function read(t, count, group, options = {}, seek = {}) {
  const r = await new Reader(group, t, options).start(seek);
  try {
    return await r.take(count);
  } finally {
    await r.stop();
  }
}

async function readAll(t, count) {
  const got = await read(t, count, name('g-all-' + t));
  expectOffsets(got, 0, count);
  return got;
}

async function roundTrip(what, values, options = {}, send = {}) {
  const t = await topic(what);
  await withProducer(options, async (p) => {
    await p.send({ topic: t, messages: values.map((value) => ({ value })), ...send });
    const got = await readAll(t, values.length);
    got.forEach((m, i) => expect(m.value.equals(Buffer.from(values[i])), `record ${i} differs`));
  });
}

const values = (n) => span(0, n).map((i) => `v${i}`);

async function timed(what) {
  const t = await topic(what);
  await withProducer({}, (p) => p.send({ topic: t, messages: span(0, 20).map((i) => ({ key: `k${i}`, value: `v${i}`, timestamp: String(T0 + i * 1000) })) }));
  return t;
}

async function shared(count, seconds, ...readers) {
  await until(seconds, () => `assignments are ${JSON.stringify(readers.map((r) => r.partitions))}`, () => {
    const owned = readers.flatMap((r) => r.partitions);
    const fair = readers.every((r) => r.partitions.length) || count < readers.length;
    return owned.length === count && new Set(owned).size === count && fair;
  });
}

// Runs with members that are always stopped again.
async function withReaders(make, use) {
  const readers = [];
  try {
    await use(async (...a) => { const r = new Reader(...a); readers.push(r); return r.start(); });
  } finally {
    for (const r of readers) await r.stop();
  }
}

async function groupJoin(what) {
  const t = await topic(what, 4);
  await withReaders(null, async (join) => {
    const a = await join(name('g-' + what), t);
    await shared(4, 30, a);
    const b = await join(name('g-' + what), t);
    await shared(4, 30, a, b);
    expect(a.partitions.length === 2, `the shares are ${a.partitions} and ${b.partitions}`);
  });
}

async function committed(group, t) {
  const [found] = await admin.fetchOffsets({ groupId: group, topics: [t] });
  return Number(found.partitions[0].offset);
}

async function part(t, group, count, at, sync = true) {
  const r = await new Reader(group, t).start();
  try {
    expectOffsets(await r.take(count), 0, count);
    const done = r.consumer.commitOffsets([{ topic: t, partition: 0, offset: String(at), metadata: 'note' }]);
    if (sync) await done;
    await until(10, `the commit of ${at} does not show`, async () => (await committed(group, t)) === at);
    await done;
  } finally {
    await r.stop();
  }
}

async function config(type, resource) {
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type, name: resource }] });
  return Object.fromEntries(resources[0].configEntries.map((e) => [e.configName, e.configValue]));
}

const noise = (size) => require('crypto').randomBytes(size);

async function refusal(what) {
  try {
    await what();
  } catch (e) {
    return `${e.type || ''} ${e.message} ${(e.errors || []).map((x) => x.type).join(' ')}`;
  }
  return 'nothing';
}

async function codec(which, type) {
  await roundTrip('codec-' + which, values(100).map((v) => v.repeat(50)), {}, { compression: type });
  await produce('compat-codecs', span(0, 20).map((i) => `${args[0]}|${which}|${i}`), {}, { compression: type });
}

async function groupState(group) {
  const { groups } = await admin.describeGroups([group]);
  return groups[0];
}

const cells = {
  'topic.create': async () => {
    const t = await topic('create', 3, { 'retention.ms': '123456000' });
    expect((await config(ConfigResourceTypes.TOPIC, t))['retention.ms'] === '123456000', 'retention.ms was not kept');
  },
  'topic.list': async () => {
    const t = await topic('list');
    await until(10, 'the new topic is not listed', async () => (await admin.listTopics()).includes(t));
  },
  'topic.describe': () => topic('describe', 2),
  'topic.partitions': async () => {
    const t = await topic('grow', 2);
    await admin.createPartitions({ topicPartitions: [{ topic: t, count: 5 }] });
    await until(10, 'there are not five leaders', async () => (await leaders(t)) === 5);
  },
  'topic.delete': async () => {
    const t = await topic('delete');
    await admin.deleteTopics({ topics: [t] });
    await until(10, 'the deleted topic is still listed', async () => !(await admin.listTopics()).includes(t));
  },
  'topic.autocreate': async () => {
    const t = name('auto');
    await produce(t, ['one']);
    expect((await readAll(t, 1))[0].value.toString() === 'one', 'another value came back');
  },
  'topic.invalid': async () => {
    const said = await refusal(() => admin.createTopics({ topics: [{ topic: 'bad/name', numPartitions: 1 }] }));
    expect(/invalid/i.test(said), `creating 'bad/name' said: ${said}`);
  },
  'produce.basic': async () => {
    const t = await topic('basic');
    const sent = [
      { key: 'key', value: 'value', timestamp: String(T0) },
      { key: null, value: 'no key', timestamp: String(T0 + 5) },
      { key: 'tombstone', value: null, timestamp: String(T0 + 3) },
      { key: 'h', value: 'v', timestamp: String(T0 + 9), headers: { one: ['1', 'ü'], empty: '' } },
    ];
    await withProducer({}, (p) => p.send({ topic: t, messages: sent }));
    const text = (b) => (b === null || b === undefined ? null : b.toString());
    const show = (m) => JSON.stringify([text(m.key), text(m.value), m.timestamp,
      Object.entries(m.headers || {}).map(([k, v]) => [k, Array.isArray(v) ? v.map(text) : text(v)])]);
    (await readAll(t, 4)).forEach((m, i) => expect(show(m) === show(sent[i]), `sent ${show(sent[i])}, got ${show(m)}`));
  },
  'produce.logappend': async () => {
    const t = await topic('append', 1, { 'message.timestamp.type': 'LogAppendTime' });
    const [answer] = await withProducer({}, (p) => p.send({ topic: t, messages: [{ value: 'x', timestamp: String(T0) }] }));
    const got = Number((await readAll(t, 1))[0].timestamp);
    expect(Math.abs(Date.now() - got) < 60000, `the timestamp is ${got}`);
    expect(Number(answer.logAppendTime) === got, `acknowledged with ${answer.logAppendTime}, read with ${got}`);
  },
  'acks.0': () => roundTrip('acks0', values(10), {}, { acks: 0 }),
  'acks.1': () => roundTrip('acks1', values(10), {}, { acks: 1 }),
  'acks.all': () => roundTrip('acksall', values(10), {}, { acks: -1 }),
  'codec.none': () => codec('none', CompressionTypes.None),
  'codec.gzip': () => codec('gzip', CompressionTypes.GZIP),
  'codec.snappy': () => codec('snappy', CompressionTypes.Snappy),
  'codec.lz4': () => codec('lz4', CompressionTypes.LZ4),
  'codec.zstd': () => codec('zstd', CompressionTypes.ZSTD),
  'produce.batch': () => roundTrip('batch', values(3000).map((v) => v + 'x'.repeat(100))),
  'produce.single': async () => {
    const t = await topic('single');
    await withProducer({}, async (p) => {
      for (const i of span(0, 20)) {
        const [answer] = await p.send({ topic: t, messages: [{ value: `v${i}` }] });
        expect(Number(answer.baseOffset) === i, `record ${i} was acknowledged at offset ${answer.baseOffset}`);
      }
    });
    await readAll(t, 20);
  },
  'produce.idempotent': () => roundTrip('idem', values(500), { idempotent: true, maxInFlightRequests: 1 }),
  'consume.earliest': async () => expectOffsets(await read(await timed('earliest'), 20, name('g-earliest')), 0, 20),
  'consume.latest': async () => {
    const t = await timed('latest');
    const r = await new Reader(name('g-latest'), t, { latest: true }).start();
    try {
      await until(20, 'no assignment', () => r.partitions.length > 0);
      // kafkajs does not tell when it has found the end, so records are sent until one comes.
      for (let sent = 0; !r.records.length && sent < 60; sent++) {
        await produce(t, ['new']);
        await pause(250);
      }
      expect(r.records.length && Number(r.records[0].offset) >= 20, `got offsets ${offsets(r.records)}`);
    } finally {
      await r.stop();
    }
  },
  'consume.offset': async () => expectOffsets(await read(await timed('offset'), 13, name('g-offset'), {}, { 0: 7 }), 7, 20),
  'consume.timestamp': async () => {
    const t = await timed('time');
    for (const [at, want] of [[-1, 0], [9500, 10], [19000, 19]]) {
      const [found] = await admin.fetchTopicOffsetsByTimestamp(t, T0 + at);
      expect(Number(found.offset) === want, `the offset at +${at} is ${found.offset}`);
    }
    const [after] = await admin.fetchTopicOffsetsByTimestamp(t, T0 + 19001);
    expect(['-1', '20'].includes(after.offset), `a time after the last record gave ${after.offset}`);
  },
  'consume.assign': () => { throw new NotOffered('kafkajs consumes in groups only'); },
  'group.join': () => groupJoin('join'),
  'group.leave': async () => {
    const t = await topic('leave', 4);
    await withReaders(null, async (join) => {
      const a = await join(name('g-leave'), t, { session: 30000 });
      const b = await join(name('g-leave'), t, { session: 30000 });
      await shared(4, 30, a, b);
      await b.stop();
      b.partitions = [];
      await shared(4, 15, a);
    });
  },
  'group.crash': async () => {
    const t = await topic('crash', 4);
    await withReaders(null, async (join) => {
      const a = await join(name('g-crash'), t, { session: 3000 });
      await shared(4, 30, a);
      const child = spawn(process.execPath, [__filename, 'member', bootstrap, name('g-crash'), t], { stdio: ['ignore', 'ignore', 'inherit'] });
      try {
        await until(30, 'the second process got no share', () => a.partitions.length > 0 && a.partitions.length < 4);
        child.kill('SIGKILL');
        await shared(4, 20, a);
      } finally {
        child.kill('SIGKILL');
      }
    });
  },
  'group.static': () => { throw new NotOffered('kafkajs has no static membership'); },
  'group.more': async () => {
    const t = await topic('more', 2);
    await withReaders(null, async (join) => {
      const all = [];
      for (let i = 0; i < 3; i++) all.push(await join(name('g-more'), t));
      await shared(2, 30, ...all);
    });
  },
  'group.eager': () => groupJoin('eager'),
  'group.cooperative': () => { throw new NotOffered('kafkajs has an eager assignor only'); },
  'group.resume': async () => {
    const t = await timed('resume');
    await part(t, name('g-resume'), 20, 10);
    expectOffsets(await read(t, 10, name('g-resume')), 10, 20);
  },
  'group.independent': async () => {
    const t = await timed('two');
    expectOffsets(await read(t, 20, name('g-two-a')), 0, 20);
    expectOffsets(await read(t, 20, name('g-two-b')), 0, 20);
  },
  'commit.sync': async () => part(await timed('commit-sync'), name('g-commit-sync'), 20, 6, true),
  'commit.async': async () => part(await timed('commit-async'), name('g-commit-async'), 20, 6, false),
  'poll.wakes': async () => {
    const t = await topic('wake');
    const r = await new Reader(name('g-wake'), t, { wait: 3000 }).start();
    try {
      await withProducer({}, async (p) => {
        await p.send({ topic: t, messages: [{ value: 'first' }] });
        await r.take(1);
        const late = [];
        for (let i = 0; i < 4; i++) {
          await pause(400); // the consumer must be parked in its long poll; there is no event for that
          const sent = Date.now();
          await p.send({ topic: t, messages: [{ value: 'wake' }] });
          await r.take(i + 2);
          late.push(r.records[i + 1].at - sent);
        }
        late.sort((x, y) => x - y);
        expect(late[2] < 500, `latencies in ms: ${late}`);
      });
    } finally {
      await r.stop();
    }
  },
  'big.ok': () => roundTrip('big', [noise(1000000)]),
  'big.toolarge': async () => {
    const t = await topic('large');
    const said = await refusal(() => produce(t, [noise(2000000)]));
    expect(/too.?large/i.test(said), `the broker said: ${said}`);
  },
  'admin.configs.describe': async () => {
    const got = await config(ConfigResourceTypes.TOPIC, await topic('configs'));
    for (const [k, v] of [['cleanup.policy', 'delete'], ['segment.bytes', '1073741824'], ['compression.type', 'producer']]) expect(got[k] === v, `${k} is ${got[k]}`);
    const { brokers } = await admin.describeCluster();
    const broker = await config(ConfigResourceTypes.BROKER, String(brokers[0].nodeId));
    expect(broker['num.partitions'] === '1', `the broker's num.partitions is ${broker['num.partitions']}`);
  },
  'admin.configs.alter': async () => {
    const t = await topic('alter');
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: t, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] });
    await until(10, 'retention.ms was not altered', async () => (await config(ConfigResourceTypes.TOPIC, t))['retention.ms'] === '7200000');
  },
  'admin.records.delete': async () => {
    const t = await timed('records');
    await admin.deleteTopicRecords({ topic: t, partitions: [{ partition: 0, offset: '5' }] });
    expectOffsets(await read(t, 15, name('g-records')), 5, 20);
  },
  'admin.offsets': async () => {
    const [got] = await admin.fetchTopicOffsets(await timed('offsets'));
    expect(got.low === '0' && got.high === '20', `earliest and latest are ${got.low} and ${got.high}`);
  },
  'admin.groups.list': async () => {
    const group = name('g-list');
    await part(await timed('list-groups'), group, 20, 20);
    await until(10, 'the group is not listed', async () => (await admin.listGroups()).groups.some((g) => g.groupId === group));
  },
  'admin.groups.describe': async () => {
    const t = await topic('describe-group', 2);
    await withReaders(null, async (join) => {
      const a = await join(name('g-describe'), t);
      await shared(2, 30, a);
      await until(10, 'the group is not stable with one member', async () => {
        const g = await groupState(name('g-describe'));
        return g.state === 'Stable' && g.members.length === 1;
      });
    });
  },
  'admin.groups.delete': async () => {
    const group = name('g-delete');
    await part(await timed('delete-group'), group, 20, 20);
    await until(10, 'the group is not empty', async () => (await groupState(group)).members.length === 0);
    await admin.deleteGroups([group]);
    await until(10, 'the deleted group is still listed', async () => !(await admin.listGroups()).groups.some((g) => g.groupId === group));
  },
  'admin.cluster': async () => {
    const { brokers, clusterId, controller } = await admin.describeCluster();
    expect(brokers.length === 1 && clusterId && controller !== null, `${brokers.length} nodes, id ${clusterId}, controller ${controller}`);
  },
  // Across a restart of the node names must be found again, so they carry no serial.
  'restart.prepare': async () => {
    serial = '0';
    const t = await topic('restart');
    await produce(t, values(10));
    await part(t, name('g-restart'), 10, 5);
  },
  'restart.resume': async () => {
    serial = '0';
    await produce(name('restart'), ['after']);
    const got = await read(name('restart'), 6, name('g-restart'));
    expectOffsets(got, 5, 11);
    expect(got[5].value.toString() === 'after', 'the last record is another');
  },
  'codec.foreign': async () => {
    const [{ high }] = await admin.fetchTopicOffsets('compat-codecs');
    const got = await read('compat-codecs', Number(high), name('g-foreign'));
    expectOffsets(got, 0, Number(high));
    const next = {};
    for (const m of got) {
      const [who, which, i] = m.value.toString().split('|');
      const key = who + which;
      next[key] = next[key] || 0;
      expect(Number(i) === next[key] % 20, `${key}: ${i} instead of ${next[key] % 20}`);
      next[key]++;
    }
  },
  'restart.live': async () => {
    const t = await topic('live');
    const r = await new Reader(name('g-live'), t).start();
    await withProducer({}, async (p) => {
      const send = (numbers) => p.send({ topic: t, messages: numbers.map((i) => ({ value: `v${i}` })) });
      await send(span(0, 10));
      await r.take(10);
      console.log('READY');
      await new Promise((done) => { readline.createInterface({ input: process.stdin }).once('line', done); });
      await send(span(10, 20));
      await until(60, () => `${r.records.length} records came`, () => new Set(offsets(r.records)).size >= 20);
    });
    await r.stop();
    expect(same([...new Set(r.records.map((m) => m.value.toString()))].sort(), values(20).sort()), 'the values differ');
  },
};

async function answer(feature) {
  const start = Date.now();
  let [verdict, reason] = ['PASS', ''];
  try {
    expect(cells[feature], 'no such feature in this driver');
    await cells[feature]();
  } catch (e) {
    verdict = e instanceof NotOffered ? 'NA' : 'FAIL';
    if (verdict === 'FAIL') console.error(e);
    reason = `${e.name === 'Error' ? '' : e.name + ': '}${e.message}`.replace(/\s+/g, ' ');
  }
  console.log(['RESULT', feature, verdict, Date.now() - start, reason].join('\t'));
}

(async () => {
  await admin.connect();
  if (command === 'member') {
    await new Reader(args[0], args[1], { session: 3000 }).start();
    return;
  }
  const features = command === 'live' ? ['restart.live'] : args[1].split(',');
  for (const feature of features) await answer(feature);
  await admin.disconnect();
  process.exit(0);
})().catch((e) => { console.error(e); process.exit(1); });
