import type { Messenger } from '@belfry/actor-runtime';
import { retry, type Placement } from '@belfry/ports';
import { MemoryLeaseStore, MemoryPlacementStore } from '@belfry/ports/testing';
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

let stop: () => Promise<void>;
afterEach(() => stop());

function start(placements: ShakyPlacements) {
  const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  let hear: (body: Uint8Array, subject: string) => void = () => undefined;
  const messenger = {
    listen: (_subject: string, handler: typeof hear) => {
      hear = handler;
      return () => undefined;
    },
  } as Messenger;
  const role = new SupervisorRole({
    node: 'one',
    shards: 16,
    leases: new MemoryLeaseStore({ now: clock.monotonic, ttlMs: 20_000 }),
    placements,
    messenger,
    clock,
    log,
    housekeeping: () => Promise.resolve(),
  });
  role.start();
  stop = () => role.stop();
  return { role, log, beat: (node: string) => hear(new TextEncoder().encode(nodeHeartbeat(node, [], false)), '') };
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
});
