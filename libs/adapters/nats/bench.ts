/* eslint-disable no-console -- it prints figures */
/**
 * What the adapter carries on this machine: `node libs/adapters/nats/bench.ts nats://127.0.0.1:4222` (a server with
 * `sync_interval: always`; streams under a name of their own are made and deleted). Bodies of 300 bytes.
 */
import { parseArgs } from 'node:util';

import type { Fence, InboxAppend, WorkItem } from '@belfry/ports';

import { ensureStreams, NatsInbox, NatsWorkQueue } from './src/index.ts';
import { testInstallation } from './src/testing.ts';
import type { TestInstallation } from './src/testing.ts';

const SHARDS = 256;
const BODY = 'b'.repeat(300);

const { positionals } = parseArgs({ allowPositionals: true });
const url = positionals[0] ?? process.env.BELFRY_TEST_NATS_URL ?? 'nats://127.0.0.1:4222';

/** Runs `work` with `inFlight` at once until `total` have been started; returns the seconds and this process's CPU share. */
async function pipelined(
  total: number,
  inFlight: number,
  work: (i: number) => Promise<void>,
): Promise<{ s: number; cpu: number }> {
  let next = 0;
  const began = performance.now();
  const cpuBefore = process.cpuUsage();
  const lane = async (): Promise<void> => {
    while (next < total) await work(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { s: ms / 1_000, cpu: (user + system) / 1_000 / ms };
}

function line(what: string, perSecond: { readonly [unit: string]: number }, more = ''): void {
  const figures = Object.entries(perSecond).map(([unit, n]) => `${Math.round(n).toLocaleString('en')} ${unit}/s`);
  console.log(`${what.padEnd(58)} ${figures.join(', ')}${more}`);
}

async function dispatch({ link, names }: TestInstallation): Promise<void> {
  const queue = new NatsWorkQueue(link, { names });
  await queue.ensure(() => Promise.resolve(1_000_000));
  const takes: Promise<Fence>[] = [];
  const began = performance.now();
  for (let shard = 0; shard < SHARDS; shard++) {
    takes.push(queue.takeFence(shard, 1).then((taken) => (taken as { value: Fence }).value));
  }
  const fences = await Promise.all(takes);
  line(`takeFence, ${SHARDS} shards at once`, { fences: SHARDS / ((performance.now() - began) / 1_000) });
  let execution = 0;
  const item = (): WorkItem => {
    const id = (execution++).toString(16).padStart(32, '0');
    return {
      namespace: 'acme',
      queue: `q${execution % 5}`,
      attempts: [{ execution: `${id}-kz12abc`, attempt: 1 }],
      body: BODY,
    };
  };
  for (const [size, inFlight, total] of [
    [1, 64, 60_000],
    [10, 64, 10_000],
    [50, 48, 3_000],
    [200, 32, 750],
  ] as const) {
    const { s, cpu } = await pipelined(total, inFlight, async (i) => {
      const fence = fences[i % SHARDS] as Fence;
      const outcome = await queue.publish(fence, `${size}/${i}`, Array.from({ length: size }, item));
      if (outcome.kind !== 'ok') throw new Error(JSON.stringify(outcome));
    });
    const rates = { batches: total / s, items: (total * size) / s };
    line(`fenced batches of ${size}, ${inFlight} in flight, ${SHARDS} shards`, rates, `, client CPU ${cpu.toFixed(2)}`);
  }
  const listing = performance.now();
  const refs = await Promise.all(fences.map(({ shard }) => queue.surviving(shard)));
  const listed = refs.reduce((sum, of) => sum + of.length, 0);
  const s = (performance.now() - listing) / 1_000;
  line(
    `surviving(), ${SHARDS} shards at once, ${listed.toLocaleString('en')} messages`,
    { messages: listed / s },
    `, ${s.toFixed(2)} s`,
  );
  const some = refs.flat().slice(0, 20_000);
  const lanes = await pipelined(200, 4, async (i) => void (await queue.remove(some.slice(i * 100, i * 100 + 100))));
  line('remove(), by 100, 4 in flight', { messages: some.length / lanes.s });
}

async function inbox({ link, names }: TestInstallation): Promise<void> {
  await ensureStreams(link, names, { inboxBytes: 4 * 1024 ** 3 });
  const shared = new NatsInbox(link, { names, shards: SHARDS });
  let appended = 0;
  for (const [size, inFlight, total] of [
    [1, 64, 5_000],
    [50, 4, 1_500],
    [256, 4, 1_000],
    [1_000, 4, 300],
  ] as const) {
    const messages: InboxAppend[] = Array.from({ length: size }, (_, i) => ({ shard: i % SHARDS, body: BODY }));
    const { s, cpu } = await pipelined(total, inFlight, async () => {
      const outcome = await shared.append(messages);
      if (outcome.kind !== 'ok') throw new Error(JSON.stringify(outcome));
      appended += size;
    });
    const rates = { appends: total / s, messages: (total * size) / s };
    line(`inbox append of ${size}, ${inFlight} in flight, fsync`, rates, `, client CPU ${cpu.toFixed(2)}`);
  }
  for (const [what, shards] of [
    ['all shards', SHARDS],
    ['half of the shards', SHARDS / 2],
    ['one shard', 1],
  ] as const) {
    const from = Array.from({ length: shards }, (_, i) => i * Math.floor(SHARDS / shards));
    let count = 0;
    let bytes = 0;
    const began = performance.now();
    const { lastSeq } = await shared.usage();
    await new Promise<void>((resolve, reject) => {
      let quiet: NodeJS.Timeout | undefined;
      void shared
        .read(from, 1, (message) => {
          count++;
          bytes += message.body.length;
          if (message.seq === lastSeq && message.more !== true) return resolve();
          clearTimeout(quiet);
          if (shards < SHARDS && message.seq > lastSeq - 2 * SHARDS) quiet = setTimeout(resolve, 50);
        })
        .then((reading) => reading.done.catch(reject));
    });
    const s = (performance.now() - began) / 1_000;
    line(
      `inbox read, ${what} of ${appended.toLocaleString('en')} messages`,
      { messages: count / s },
      `, ${Math.round(bytes / s / 1e6)} MB/s`,
    );
  }
}

for (const bench of [dispatch, inbox]) {
  const installation = await testInstallation(url);
  try {
    await bench(installation);
  } finally {
    await installation.dispose();
  }
}
