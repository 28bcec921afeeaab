import type { Messenger } from '@belfry/actor-runtime';
import { retry, type Placement } from '@belfry/ports';
import { MemoryLeaseStore, MemoryPlacementStore, MemoryWorkQueue } from '@belfry/ports/testing';
import { subjects } from '@belfry/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';

import { nodeHeartbeat, SupervisorRole } from './supervisor-role.ts';

const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const PATIENCE = { timeout: 10_000 };

/** Placements that cannot be read or written as often as they are told. */
class ShakyPlacements extends MemoryPlacementStore {
  readonly written: Placement[] = [];
  failReads = 0;
  failWrites = 0;
  writing = 0;
  most = 0;

  override read(): Promise<Placement | undefined> {
    return this.failReads-- > 0 ? Promise.reject(new Error('no answer')) : super.read();
  }

  override async write(placement: Placement): ReturnType<MemoryPlacementStore['write']> {
    this.most = Math.max(this.most, ++this.writing);
    await new Promise((resolve) => setImmediate(resolve));
    this.writing--;
    if (this.failWrites-- > 0) return retry(new Error('no answer'));
    this.written.push(placement);
    return await super.write(placement);
  }
}

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function start(
  placements: ShakyPlacements,
  leases = new MemoryLeaseStore({ now: clock.monotonic, ttlMs: 20_000 }),
  node = 'one',
  tell: Messenger['tell'] = () => undefined,
  isDeaf = false,
  code = 'timeout',
) {
  const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const listeners = new Map<string, (body: Uint8Array, subject: string) => void>();
  const messenger = {
    tell,
    serve: () => () => undefined,
    ask: () => Promise.reject(Object.assign(new Error('silent'), { code })),
    listen: (subject, handler) => {
      listeners.set(subject, handler);
      return () => undefined;
    },
  } as Messenger;
  const hear = (subject: string, text: string): void =>
    listeners.get(subject)?.(new TextEncoder().encode(text), subject);
  const role = new SupervisorRole({
    node,
    shards: 16,
    leases,
    placements,
    work: new MemoryWorkQueue(),
    messenger,
    clock,
    log,
    isDeaf: () => isDeaf,
    raiseLevel: () => Promise.resolve(),
    housekeeping: () => Promise.resolve(),
  });
  role.start();
  stops.push(() => role.stop());
  return { role, log, hear, beat: (of: string) => hear(subjects.nodeHeartbeat, nodeHeartbeat(of, [], false, 0)) };
}

describe('the supervisor', () => {
  it('leads in the end, though the last placement could not be read at first', async () => {
    const placements = new ShakyPlacements();
    placements.failReads = 2;
    const { role, beat } = start(placements);
    await vi.waitFor(() => expect(role.leads).toBe(true), PATIENCE);
    beat('a');
    await vi.waitFor(() => expect(placements.written).toMatchObject([{ nodes: ['a'] }]), PATIENCE);
  });

  it('writes a placement until it is written, one at a time and the latest', async () => {
    const placements = new ShakyPlacements();
    const { role, beat } = start(placements);
    await vi.waitFor(() => expect(role.leads).toBe(true), PATIENCE);
    placements.failWrites = 7;
    for (const node of ['a', 'b', 'c', 'd']) beat(node);
    await vi.waitFor(() => expect(placements.written.at(-1)?.nodes.length).toBe(4), PATIENCE);
    expect(placements.most).toBe(1);
    expect(role.leads).toBe(true);
  });

  it('does not tell that it leads while it hears nothing: a stand-by that hears others leads', async () => {
    const placements = new ShakyPlacements();
    const leases = new MemoryLeaseStore({ now: clock.monotonic, ttlMs: 600_000 });
    let deliver: (subject: string, text: string) => void = () => undefined;
    const deaf = start(placements, leases, 'one', (subject, body) => deliver(subject, String(body)), true);
    await vi.waitFor(() => expect(deaf.role.leads).toBe(true), PATIENCE);
    const second = start(placements, leases, 'two');
    deliver = second.hear;
    const others = setInterval(() => second.beat('a'), 100);
    try {
      await vi.waitFor(() => expect(second.role.leads).toBe(true), PATIENCE);
    } finally {
      clearInterval(others);
    }
  });

  it('does not wait for a leader that has ended, and places nothing on nodes that have', async () => {
    const placements = new ShakyPlacements();
    const leases = new MemoryLeaseStore({ now: clock.monotonic, ttlMs: 600_000 });
    const term = ((await leases.acquire('supervisor', 'ended')) as { readonly value: { readonly term: number } }).value
      .term;
    const assignment = Array.from({ length: 16 }, (_, shard) => shard % 2);
    await placements.write({ term, version: 1, nodes: ['dead1', 'dead2'], assignment });
    const started = start(placements, leases, 'one', undefined, false, 'no_owner');
    const others = setInterval(() => started.beat('a'), 100);
    try {
      await vi.waitFor(() => expect(placements.written).toHaveLength(2), PATIENCE);
      expect(placements.written[1]?.nodes).toEqual(['a']);
      expect(started.log.info).toHaveBeenCalledWith('this supervisor leads', {
        term: term + 1,
        gone: ['dead1', 'dead2'],
      });
    } finally {
      clearInterval(others);
    }
  });

  it('tells while it leads, and a stand-by that hears it leaves its lease alone; once it is silent, the stand-by leads', async () => {
    const placements = new ShakyPlacements();
    const leases = new MemoryLeaseStore({ now: clock.monotonic, ttlMs: 600_000 });
    let deliver: (subject: string, text: string) => void = () => undefined;
    let told = 0;
    const first = start(placements, leases, 'one', (subject, body) => {
      told++;
      deliver(subject, String(body));
    });
    await vi.waitFor(() => expect(first.role.leads).toBe(true), PATIENCE);
    const second = start(placements, leases, 'two');
    deliver = second.hear;
    const others = setInterval(() => second.beat('a'), 100);
    try {
      const before = told;
      await vi.waitFor(() => expect(told - before).toBeGreaterThan(8), PATIENCE); // longer than a silence
      expect(second.role.leads).toBe(false);
      deliver = () => undefined;
      await vi.waitFor(() => expect(second.role.leads).toBe(true), PATIENCE);
      await vi.waitFor(() => expect(first.role.leads).toBe(false), PATIENCE);
      expect(first.log.warn).toHaveBeenCalledWith('this supervisor leads no longer', {
        why: 'somebody else holds its lease',
      });
    } finally {
      clearInterval(others);
    }
  });
});
