import type { ClusterReply, MoveRequest, NodeView, ShardsReply, ShardView } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { deedOf, type Processes } from '../drill/deed.ts';
import type { Operators } from '../operators.ts';
import { memoryClient, testCli } from '../testing.ts';
import { cluster, drain, move, shards } from './cluster.ts';
import { drill } from './drill.ts';

const node = (name: string, more: Partial<NodeView> = {}): NodeView => ({
  node: name,
  roles: ['scheduler', 'supervisor'],
  version: '1',
  cores: 2,
  host: 'h1',
  machine: 'm1',
  pid: 41,
  startedAt: 0,
  clock: { state: 'calm', skewMs: 3 },
  scheduler: { shards: 1, tasks: 7, backlog: 0, underWay: 1, unread: 2, waitingRows: 0 },
  leads: false,
  silentMs: 10,
  takes: 'yes',
  placed: 1,
  ...more,
});
const view = (shard: number, name: string, more: Partial<ShardView> = {}): ShardView => ({
  shard,
  node: name,
  epoch: 4,
  tasks: 7,
  backlog: 0,
  underWay: 1,
  waiting: 0,
  seq: 90,
  checkpointSeq: 80,
  leaving: false,
  ...more,
});

/** Two schedulers with a shard each, and a third shard that nobody owns at present. */
function twoNodes(more: Partial<ClusterReply> = {}) {
  const orders: MoveRequest[] = [];
  const owned: Record<string, ShardView[]> = { n1: [view(0, 'n1')], n2: [view(1, 'n2', { epoch: 6, tasks: 9 })] };
  const reply: ClusterReply = {
    leader: 'n1',
    term: 5,
    version: 12,
    shards: 3,
    level: 1,
    nodes: [node('n1', { leads: true, level: 2 }), node('n2', { takes: 'drained', clock: { state: 'unfit' } })],
    drained: ['n2'],
    pins: [{ shard: 0, node: 'n1' }],
    assignment: ['n1', 'n2', 'n2'],
    workers: { count: 2, slots: 8, running: 1 },
    ...more,
  };
  const operators: Operators = {
    cluster: async () => reply,
    shards: async (name): Promise<ShardsReply | undefined> => {
      const items = owned[name];
      return items === undefined ? undefined : { node: name, unread: 0, items };
    },
    move: async (request) => {
      orders.push(request);
      const from = reply.assignment[request.shard] ?? null;
      const to = request.unpin ? from : (request.to ?? 'n2');
      owned['n1'] = [];
      owned[to ?? ''] = [view(request.shard, to ?? '', { epoch: 7 })];
      return { shard: request.shard, from, to, version: 13 };
    },
    drain: async ({ node: name, undo }) => {
      owned[name] = [];
      return { node: name, drained: undo !== true, version: 13 };
    },
    close: async () => undefined,
  };
  return { operators, orders };
}

describe('belfry cluster', () => {
  it('shows who leads, and each process with what is out of the ordinary', async () => {
    const { cli, stdout } = testCli(memoryClient(), twoNodes());
    await cluster(cli);
    expect(stdout()).toMatchInlineSnapshot(`
      "leader   n1 (term 5, placement 12)
      shards   3
      level    1, held by n2
      workers  2, 1 of 8 slots in use
      drained  n2
      pinned   0 on n1
      NODE  ROLES                 CORES  SHARDS  EPOCH  TASKS  BACKLOG  INBOX LAG  CLOCK  STATE
      n1    scheduler,supervisor      2       1      4      7        0          2   3 ms  leads
      n2    scheduler,supervisor      2       1      6      7        0          2         drained, clock unfit
      "
    `);
  });

  it('is one document with --json', async () => {
    const { cli, documents } = testCli(memoryClient(), { ...twoNodes(), json: true });
    await cluster(cli);
    expect(documents()).toMatchObject([
      {
        leader: 'n1',
        term: 5,
        nodes: [
          { node: 'n1', highestEpoch: 4 },
          { node: 'n2', highestEpoch: 6 },
        ],
      },
    ]);
  });
});

describe('belfry shards', () => {
  it('shows each shard with its owner, and those that have none', async () => {
    const { cli, stdout } = testCli(memoryClient(), twoNodes());
    await shards(cli, {});
    expect(stdout()).toMatchInlineSnapshot(`
      "SHARD  NODE  EPOCH  TASKS  BACKLOG  RUNNING  INBOX LAG  STATE
          0  n1        4      7        0        1          0  pinned
          1  n2        6      9        0        1          0  ok
          2  n2                                               no owner yet
      "
    `);
  });

  it('shows one node alone, and refuses one that is not there', async () => {
    const { cli, documents } = testCli(memoryClient(), { ...twoNodes(), json: true });
    await shards(cli, { node: 'n1' });
    expect(documents()).toMatchObject([{ items: [{ shard: 0 }], unowned: [], silent: [] }]);
    await expect(shards(cli, { node: 'n9' })).rejects.toMatchObject({ code: 'not_found', exit: 4 });
  });
});

describe('belfry move and drain', () => {
  it('wait until the new owner has the shard, and the drained node has none', async () => {
    const world = twoNodes();
    const { cli, documents } = testCli(memoryClient(), { ...world, json: true });
    await move(cli, 0, { to: 'n2', wait: true });
    await move(cli, 1, { unpin: true, wait: false });
    await drain(cli, 'n2', { wait: true });
    await drain(cli, 'n2', { undo: true, wait: true });
    expect(world.orders).toEqual([
      { shard: 0, to: 'n2' },
      { shard: 1, unpin: true },
    ]);
    expect(documents()).toMatchObject([
      { shard: 0, from: 'n1', to: 'n2', epoch: 7 },
      { shard: 1, from: 'n2', to: 'n2' },
      { node: 'n2', drained: true },
      { node: 'n2', drained: false },
    ]);
  });
});

describe('belfry drill', () => {
  const processes: Processes = { machine: 'm1', signal: () => undefined };
  const options = (more: { readonly machine?: string; readonly takes?: NodeView['takes'] } = {}) => {
    const { machine = 'm1', takes = 'yes' } = more;
    const { operators } = twoNodes();
    const nodes = [node('n1', { machine }), node('n2', { takes })];
    const cluster = { nodes, pins: [] } as unknown as ClusterReply;
    return { owner: nodes[0] as NodeView, more: { cluster, operators, processes, to: undefined, pauseMs: 60_000 } };
  };

  it.each(['kill', 'pause'] as const)('wants --yes to %s, and does nothing without', async (deed) => {
    const { cli } = testCli(memoryClient());
    await expect(drill(cli, deed, {})).rejects.toMatchObject({ code: 'usage', exit: 2 });
  });

  it('does not kill or pause what runs elsewhere, while a move works from anywhere', async () => {
    const { owner, more } = options({ machine: 'm2' });
    for (const deed of ['kill', 'pause'] as const)
      expect(() => deedOf(deed, 0, owner, more)).toThrow(expect.objectContaining({ code: 'not_local', exit: 1 }));
    const moved = deedOf('move', 0, owner, more);
    await moved.do();
    expect(moved.owner).toBe('n1');
  });

  it.each(['kill', 'pause', 'move'] as const)('does not %s where nobody would take the shards', (deed) => {
    const { owner, more } = options({ takes: 'drained' });
    expect(() => deedOf(deed, 0, owner, more)).toThrow(expect.objectContaining({ code: 'conflict', exit: 1 }));
  });

  it('lets a paused process go on, also when it ends before its time', async () => {
    const signals: string[] = [];
    const { owner, more } = options();
    const signal: Processes['signal'] = (pid, name) => void signals.push(`${name} ${pid}`);
    const paused = deedOf('pause', 0, owner, { ...more, processes: { machine: 'm1', signal } });
    await paused.undo();
    expect(signals).toEqual([]);
    await paused.do();
    await paused.undo();
    expect(signals).toEqual(['SIGSTOP 41', 'SIGCONT 41']);
  });
});
