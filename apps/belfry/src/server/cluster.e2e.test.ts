import { startTestServers } from '@belfry/adapter-embedded/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { healthOf, startServerProcess, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 60_000 });
const PATIENCE = { timeout: 30_000, interval: 100 };

let servers: Awaited<ReturnType<typeof startTestServers>>;
let first: RunningServer;

beforeAll(async () => {
  servers = await startTestServers();
  first = await startServerProcess(servers, '--node-id', 'first');
});

afterAll(async () => {
  await first?.[Symbol.asyncDispose]();
  await servers?.stop();
});

async function ownedBy({ http }: RunningServer): Promise<readonly number[]> {
  return (await healthOf(http)).parts.scheduler?.owned ?? [];
}

/** Waits until each node has half of the shards, none is owned twice, and none is left out. */
async function halvesAre(a: RunningServer, b: RunningServer): Promise<void> {
  await vi.waitFor(async () => {
    const [ofA, ofB] = await Promise.all([ownedBy(a), ownedBy(b)]);
    expect([ofA.length, ofB.length]).toEqual([128, 128]);
    expect(new Set([...ofA, ...ofB]).size).toBe(256);
  }, PATIENCE);
}

describe('two scheduler processes', () => {
  it('share the shards, and a graceful stop hands them back', async () => {
    expect((await ownedBy(first)).length).toBe(256);
    const second = await startServerProcess(servers, '--roles', 'scheduler', '--node-id', 'second');
    await halvesAre(first, second);
    expect(await second.kill('SIGTERM')).toBe(0);
    await vi.waitFor(async () => expect((await ownedBy(first)).length).toBe(256), PATIENCE);
  });

  it('move the shards of one that is killed', async () => {
    const second = await startServerProcess(servers, '--roles', 'scheduler', '--node-id', 'third');
    await halvesAre(first, second);
    await second.kill('SIGKILL');
    await vi.waitFor(async () => expect((await ownedBy(first)).length).toBe(256), PATIENCE);
  });

  it('go on when the one that leads and owns is killed: the other does not wait for its lease', async () => {
    await using heir = await startServerProcess(servers, '--node-id', 'heir');
    await halvesAre(first, heir);
    expect((await healthOf(first.http)).parts.supervisor?.leads).toBe(true);
    await first.kill('SIGKILL');
    await vi.waitFor(async () => expect((await ownedBy(heir)).length).toBe(256), PATIENCE);
    expect((await healthOf(heir.http)).parts.supervisor?.leads).toBe(true);
    expect(heir.stderr()).toContain('the leading supervisor is silent: its lease is taken over');
  });
});
