import { startTestServers } from '@belfry/adapter-embedded/testing';
import { Belfry } from '@belfry/sdk';
import { shardOf, taskIdOfKey, type ClusterReply, type MoveReply, type ShardView } from '@belfry/protocol';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { openOperators } from '../../cli/open-operators.ts';
import { healthOf, runCommand, startServerProcess, type RunningServer } from '../../testing/program.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
const PATIENCE = { timeout: 30_000, interval: 100 };

let servers: Awaited<ReturnType<typeof startTestServers>>;
let first: RunningServer;
let second: RunningServer;

beforeAll(async () => {
  servers = await startTestServers();
  first = await startServerProcess(servers, '--node-id', 'first', '--shards', '16');
  second = await startServerProcess(servers, '--node-id', 'second');
  await vi.waitFor(async () => expect(await ownedBy(second)).toBe(8), PATIENCE);
});

afterAll(async () => {
  await second?.[Symbol.asyncDispose]();
  await first?.[Symbol.asyncDispose]();
  await servers?.stop();
});

async function ownedBy({ http }: RunningServer): Promise<number> {
  return (await healthOf(http)).parts.scheduler?.owned.length ?? 0;
}

/** Runs a command with --json; its one document, and its exit code. */
async function belfry(...args: string[]): Promise<Record<string, unknown> & { readonly exit: number | null }> {
  const { code, stdout, stderr } = await runCommand([...args, '--json'], { BELFRY_NATS_URL: servers.natsUrl });
  const text = stdout === '' ? stderr : stdout;
  return { ...(JSON.parse(text) as Record<string, unknown>), exit: code };
}

const shardsOf = async (node: string): Promise<readonly ShardView[]> =>
  (await belfry('shards', '--node', node))['items'] as ShardView[];

describe("operators' commands", () => {
  it('tell the cluster and its shards', async () => {
    const cluster = (await belfry('cluster')) as unknown as ClusterReply & { exit: number };
    expect(cluster).toMatchObject({ exit: 0, leader: 'first', shards: 16 });
    expect(cluster.nodes).toMatchObject([
      { node: 'first', leads: true, takes: 'yes', placed: 8, pid: first.pid, clock: { state: 'calm' } },
      { node: 'second', leads: false, takes: 'yes', placed: 8, pid: second.pid },
    ]);
    const items = await shardsOf('second');
    expect(items).toHaveLength(8);
    expect(items[0]).toMatchObject({ node: 'second', tasks: 0, leaving: false });
  });

  it('move a shard, drain a node, and the next leader keeps to it', async () => {
    const [shard] = await shardsOf('first');
    const moved = await belfry('move', String(shard?.shard), '--to', 'second');
    expect(moved).toMatchObject({ exit: 0, from: 'first', to: 'second' });
    expect(moved['epoch']).toBeGreaterThan(shard?.epoch ?? 0);
    expect(await belfry('drain', 'second')).toMatchObject({ exit: 0, drained: true });
    expect(await ownedBy(second)).toBe(0);
    expect(await belfry('drain', 'first')).toMatchObject({ exit: 1, error: { code: 'conflict' } });
    expect(await belfry('move', '3', '--to', 'nobody')).toMatchObject({ exit: 4, error: { code: 'not_found' } });
    // A stand-by leads when the leader ends; what was ordered stands in the placement.
    await first.kill('SIGTERM');
    first = await startServerProcess(servers, '--node-id', 'first');
    expect(await belfry('cluster')).toMatchObject({ leader: 'second', drained: ['second'] });
    expect(await belfry('drain', 'second', '--undo')).toMatchObject({ exit: 0, drained: false });
    await vi.waitFor(async () => expect(await ownedBy(second)).toBe(8), PATIENCE);
  });

  it('are not noticed by clients: what meets a shard on its way is answered', async () => {
    await using client = new Belfry({ url: servers.natsUrl, namespace: 'moved' });
    const key = (at: number): string => `k${at}`;
    const shard = 3;
    const keys = Array.from({ length: 400 }, (_, at) => key(at)).filter(
      (candidate) => shardOf(taskIdOfKey('moved', candidate), 16) === shard,
    );
    const operators = await openOperators(servers.natsUrl);
    let moving = true;
    const ask = async (mine: readonly string[]): Promise<number> => {
      let rounds = 0;
      for (; moving; rounds++) {
        const [task] = [mine[rounds % mine.length] as string];
        const [created] = await client.scheduleMany([{ key: task, in: '1h', queue: 'q', handler: 'h' }]);
        expect(created).toMatchObject({ id: taskIdOfKey('moved', task) });
        expect(await client.get({ key: task })).toMatchObject({ state: 'waiting', shard });
        expect(await client.cancel({ key: task })).toMatchObject({ status: 'cancelled' });
      }
      return rounds;
    };
    const clients = Array.from({ length: 4 }, (_, at) => ask(keys.filter((_key, index) => index % 4 === at)));
    for (const to of ['second', 'first', 'second', 'first']) {
      const moved: MoveReply = await operators.move({ shard, to });
      expect(moved.to).toBe(to);
      await vi.waitFor(async () => {
        expect((await operators.shards(to))?.items.map((item) => item.shard)).toContain(shard);
      }, PATIENCE);
    }
    moving = false;
    for (const rounds of await Promise.all(clients)) expect(rounds).toBeGreaterThan(0);
    await operators.move({ shard, unpin: true });
    await operators.close();
  });

  it('drill a move: nothing is lost, nothing runs twice', async () => {
    const drill = await belfry('drill', 'move', '--watch', '1s');
    expect(drill).toMatchObject({ exit: 0, kind: 'move', lost: 0, doubled: 0, ok: true });
    expect(drill['canaries']).toBeGreaterThan(100);
    expect((await belfry('cluster'))['pins']).toEqual([]);
  });

  it('drill a kill: the other node takes over, nothing is lost, nothing runs twice', async () => {
    const [shard] = await shardsOf('first');
    const drill = await belfry('drill', 'kill', '--shard', String(shard?.shard), '--watch', '5s', '--yes');
    expect(drill).toMatchObject({ exit: 0, kind: 'kill', from: 'first', to: 'second', lost: 0, doubled: 0, ok: true });
  });
});
