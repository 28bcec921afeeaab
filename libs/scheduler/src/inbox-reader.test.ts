import { SYSTEM_TIMERS } from '@belfry/actor-runtime';
import { LIMITS } from '@belfry/protocol';
import { NO_FIRES, type InboxMessage } from '@belfry/ports';
import { Interned, Shard } from '@belfry/shard';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HostedShard } from './hosted-shard.ts';
import { InboxReader, type InboxReaderNode } from './inbox-reader.ts';
import type { InboxGap } from './takeover.ts';
import { T0, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

/** A node that takes whatever comes. */
function nodeOf(
  hosted: ReadonlyMap<number, HostedShard>,
  onGap: InboxReaderNode['onGap'] = () => undefined,
): InboxReaderNode {
  return { hosted, pressure: () => undefined, now: () => T0, onGap };
}

/** The next reading ends when it is broken. */
function breakable(): { broken: () => void } {
  const gate = Promise.withResolvers<void>();
  const { read } = cluster.inbox;
  let armed = true;
  vi.spyOn(cluster.inbox, 'read').mockImplementation(async (...args) => {
    const reading = await read.apply(cluster.inbox, args);
    if (!armed || args[0].length < 4) return reading;
    // The replay of the takeover is whole: the reading after it is the one that breaks.
    const isReplay = args[1] === 1 && vi.mocked(cluster.inbox.read).mock.calls.length === 1;
    if (isReplay) return reading;
    armed = false;
    const done = gate.promise.then(async () => {
      await reading.stop();
      throw new Error('the consumer is gone');
    });
    done.catch(() => undefined); // whoever cares awaits it
    return { done, stop: () => reading.stop() };
  });
  return { broken: gate.resolve };
}

describe('reading the inbox', () => {
  it('goes on where it was when it breaks off: each message is applied, and once', async () => {
    const { broken } = breakable();
    const owner = await cluster.startOwner();
    await cluster.create(0, 'before', 600_000);
    broken();
    await cluster.until(() => cluster.logged('the inbox cannot be read').length === 1, 'reading breaks off');
    const correlations = [
      ...(await cluster.append(0, cluster.createRecord(0, 'meanwhile', 600_000))),
      ...(await cluster.append(1, cluster.createRecord(1, 'meanwhile', 600_000))),
    ];
    await cluster.until(() => correlations.every((one) => cluster.answers.has(one)), 'answers');
    const created = { ok: true, status: 'created', next: [expect.any(Number)] };
    expect(correlations.map((one) => cluster.answers.get(one))).toEqual([created, created]);
    expect([owner.owned.length, owner.scheduler.status().tasks]).toEqual([4, 3]);
  });

  it('is tried until it begins, and begins where it had to', async () => {
    const [a, b] = [await cluster.start('a'), await cluster.start('b')];
    await cluster.place([a, b, b, b]);
    const { read } = cluster.inbox;
    let faults = 3;
    vi.spyOn(cluster.inbox, 'read').mockImplementation(async (shards, ...rest) => {
      if (shards.length === 2 && faults-- > 0) throw new Error('no connection');
      return await read.call(cluster.inbox, shards, ...rest);
    });
    await cluster.place([a, a, b, b]);
    const [correlation] = (await cluster.append(1, cluster.createRecord(1, 'one', 600_000))) as [number];
    await cluster.until(() => cluster.answers.has(correlation), 'an answer');
    expect(faults).toBeLessThan(0);
    expect((await cluster.create(0, 'one', 600_000)).length).toBeGreaterThan(0);
  });

  it('begins where a shard that has joined has to, whoever asks for it', async () => {
    const hosted = new Map<number, HostedShard>();
    const applied = new Set<string>();
    const join = (shard: number, seq: number): void => {
      const head = {
        shard,
        epoch: 1,
        seq,
        watermark: 0,
        counters: NO_FIRES,
        gaps: [],
      };
      const core = new Shard({ shard, interned: new Interned(), head, nowMs: T0, rememberMs: LIMITS.rememberMs });
      const fence = { shard, epoch: 1, seq: 1, incarnation: 1 };
      const none = (): void => undefined;
      const host = new HostedShard(core, fence, () => applied.add(`${shard}: ${core.seq}`), none, none);
      hosted.set(shard, host);
    };
    const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
    const reader = new InboxReader(cluster.inbox, log, SYSTEM_TIMERS, nodeOf(hosted));
    for (const shard of [0, 1, 0, 1, 0]) await cluster.appendRaw(shard, JSON.stringify({ v: 1, g: '', r: [] }));
    join(0, 2);
    await reader.read();
    await cluster.until(() => reader.seq === 5, 'all is read');
    join(1, 1);
    await reader.read();
    await cluster.until(() => applied.size === 4, 'the one that has joined has its messages');
    expect([...applied]).toEqual(['0: 3', '0: 5', '1: 2', '1: 4']);
    // Without shards nothing is read, and what was read before says nothing of those that come.
    hosted.clear();
    await reader.read();
    expect(reader.seq).toBe(0);
    join(1, 3);
    applied.clear();
    await reader.read();
    await cluster.until(() => reader.seq === 4, 'it begins anew');
    expect([...applied]).toEqual(['1: 4']);
    await reader.stop();
  });

  it('counts a sequence as read when every shard has its message of it', async () => {
    const hosts = [0, 1].map((shard) => {
      const head = {
        shard,
        epoch: 1,
        seq: 0,
        watermark: 0,
        counters: NO_FIRES,
        gaps: [],
      };
      const core = new Shard({ shard, interned: new Interned(), head, nowMs: T0, rememberMs: LIMITS.rememberMs });
      const none = (): void => undefined;
      return new HostedShard(core, { shard, epoch: 1, seq: 1, incarnation: 1 }, none, none, none);
    });
    const [, second] = hosts as [HostedShard, HostedShard];
    const gate = Promise.withResolvers<void>();
    const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
    const hosted = new Map(hosts.map((host) => [host.core.shard, host]));
    const reader = new InboxReader(cluster.inbox, log, SYSTEM_TIMERS, nodeOf(hosted));
    const [first] = hosts as [HostedShard];
    const tell = vi.spyOn(first.cell, 'tell').mockImplementation(() => gate.promise); // its mailbox is full
    const body = JSON.stringify({ v: 1, g: '', r: [] });
    await cluster.inbox.append([
      { shard: 0, body },
      { shard: 1, body },
    ]);
    await reader.read();
    await cluster.until(() => tell.mock.calls.length === 1, 'the first has its message');
    expect([reader.seq, second.core.seq]).toEqual([0, 0]);
    gate.resolve();
    await cluster.until(() => second.core.seq === 1, 'the other has it too');
    expect(reader.seq).toBe(1);
    await reader.stop();
  });

  it('goes on in an inbox that was made anew, and tells what was lost between', async () => {
    const FIRST = 1_000;
    const head = { shard: 3, epoch: 1, seq: 5, watermark: 0, counters: NO_FIRES, gaps: [] };
    const core = new Shard({ shard: 3, interned: new Interned(), head, nowMs: T0, rememberMs: LIMITS.rememberMs });
    const none = (): void => undefined;
    const host = new HostedShard(core, { shard: 3, epoch: 1, seq: 1, incarnation: 1 }, none, none, none);
    const gone = Promise.withResolvers<void>();
    gone.promise.catch(none);
    let firstSeq = 1;
    const read = vi.fn(
      async (_shards: readonly number[], fromSeq: number, onMessage: (message: InboxMessage) => unknown) => {
        const body = new TextEncoder().encode(JSON.stringify({ v: 1, g: '', r: [] }));
        for (const seq of [6, FIRST])
          if (seq >= Math.max(fromSeq, firstSeq) && seq <= firstSeq + 5)
            await onMessage({ shard: 3, seq, timestamp: T0 + seq, body });
        return {
          done: read.mock.calls.length === 1 ? gone.promise : new Promise<void>(none),
          stop: () => Promise.resolve(),
        };
      },
    );
    const usage = vi.fn(() => Promise.resolve({ bytes: 0, maxBytes: 1, firstSeq, lastSeq: firstSeq }));
    const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
    const gaps: InboxGap[] = [];
    const inbox = { read, usage } as unknown as TestCluster['inbox'];
    const reader = new InboxReader(
      inbox,
      log,
      SYSTEM_TIMERS,
      nodeOf(new Map([[3, host]]), (gap) => void gaps.push(gap)),
    );
    await reader.read();
    await cluster.until(() => usage.mock.calls.length === 1, 'it has looked');
    expect([gaps, reader.seq]).toEqual([[], 6]);
    usage.mockRejectedValueOnce(new Error('no stream yet'));
    firstSeq = FIRST;
    gone.reject(new Error('the stream is gone'));
    await cluster.until(() => gaps.length === 1, 'the gap is found');
    expect(gaps).toEqual([{ shards: [3], fromSeq: 7, untilSeq: FIRST, sinceMs: T0 + 6, foundMs: T0 }]);
    expect([reader.seq, core.seq]).toEqual([FIRST, FIRST]);
    await reader.read();
    await cluster.until(() => usage.mock.calls.length === 4, 'it has looked again');
    expect(gaps).toHaveLength(1);
    await reader.stop();
  });

  it('does not go on after a stop that came while it was beginning', async () => {
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const ended = vi.fn(() => Promise.resolve());
    const inbox = {
      ...cluster.inbox,
      read: async () => {
        asked.resolve();
        await gate.promise;
        return { done: new Promise<void>(() => undefined), stop: ended };
      },
    } as unknown as TestCluster['inbox'];
    const head = {
      shard: 0,
      epoch: 1,
      seq: 0,
      watermark: 0,
      counters: NO_FIRES,
      gaps: [],
    };
    const core = new Shard({ shard: 0, interned: new Interned(), head, nowMs: T0, rememberMs: LIMITS.rememberMs });
    const none = (): void => undefined;
    const host = new HostedShard(core, { shard: 0, epoch: 1, seq: 1, incarnation: 1 }, none, none, none);
    const log = { info: none, warn: none, error: none };
    const reader = new InboxReader(inbox, log, SYSTEM_TIMERS, nodeOf(new Map([[0, host]])));
    const beginning = reader.read();
    await asked.promise;
    await reader.stop();
    gate.resolve();
    await beginning;
    expect(ended).toHaveBeenCalledOnce();
  });
});
