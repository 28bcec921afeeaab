import { LEVELS, type ClusterReply, type NodeView, type ShardView } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { CliError, EXIT } from '../exit.ts';
import type { Operators } from '../operators.ts';
import { fields, table } from '../table.ts';
import { duration } from '../time.ts';

/** How long a move or a drain is waited for. */
const WAIT_MS = 60_000;
const LOOK_MS = 50;

export async function cluster(cli: Cli): CommandResult {
  const operators = await cli.operators();
  const reply = await operators.cluster();
  const epochs = await highestEpochs(operators, reply);
  const nodes = reply.nodes.map((node) => ({
    ...node,
    ...(epochs.has(node.node) ? { highestEpoch: epochs.get(node.node) } : {}),
  }));
  if (cli.json) return cli.out.json({ ...reply, nodes });
  const { count, slots, running } = reply.workers;
  const lines = fields(
    [
      ['leader', `${reply.leader} (term ${reply.term}, placement ${reply.version})`],
      ['shards', String(reply.shards)],
      ['level', levelLine(reply)],
      ['workers', `${count}, ${running} of ${slots} slots in use`],
      ['drained', reply.drained.length === 0 ? undefined : reply.drained.join(', ')],
      [
        'pinned',
        reply.pins.length === 0 ? undefined : reply.pins.map((pin) => `${pin.shard} on ${pin.node}`).join(', '),
      ],
    ],
    cli.paint,
  );
  for (const line of lines) cli.out.line(line);
  const columns = [
    { title: 'NODE' },
    { title: 'ROLES', shrink: true },
    { title: 'CORES', align: 'right' as const },
    { title: 'SHARDS', align: 'right' as const },
    { title: 'EPOCH', align: 'right' as const },
    { title: 'TASKS', align: 'right' as const },
    { title: 'BACKLOG', align: 'right' as const },
    { title: 'INBOX LAG', align: 'right' as const },
    { title: 'CLOCK', align: 'right' as const },
    { title: 'STATE' },
  ];
  const rows = nodes.map((node) => nodeRow(node, epochs.get(node.node)));
  for (const line of table(columns, rows, cli.out.columns, cli.paint)) cli.out.line(line);
}

/** The level, and who keeps it from rising. */
function levelLine({ level, nodes }: ClusterReply): string {
  const reads = nodes.map((node) => node.level ?? LEVELS.oldest);
  if (Math.max(level, ...reads) === level) return String(level);
  const holding = nodes.filter((_node, at) => reads[at] === level).map(({ node }) => node);
  return holding.length === 0 ? `${level}, rising` : `${level}, held by ${holding.join(', ')}`;
}

function nodeRow(node: NodeView, epoch: number | undefined): string[] {
  const { scheduler, clock, placed = 0 } = node;
  const of = (value: number | undefined): string => (value === undefined ? '' : String(value));
  const shards =
    scheduler === undefined ? '' : `${scheduler.shards}${scheduler.shards === placed ? '' : ` → ${placed}`}`;
  return [
    node.node,
    node.roles.join(','),
    String(node.cores),
    shards,
    of(epoch),
    of(scheduler?.tasks),
    of(scheduler?.backlog),
    of(scheduler?.unread),
    clock.skewMs === undefined ? '' : `${clock.skewMs} ms`,
    stateOf(node),
  ];
}

function stateOf({ leads, takes, clock, silentMs }: NodeView): string {
  const words = [
    ...(leads ? ['leads'] : []),
    ...(takes === undefined || takes === 'yes' ? [] : [takes]),
    ...(clock.state === 'calm' ? [] : [`clock ${clock.state}`]),
    ...(silentMs > 3_000 ? [`silent for ${duration(silentMs)}`] : []),
  ];
  return words.length === 0 ? 'ok' : words.join(', ');
}

async function highestEpochs(operators: Operators, reply: ClusterReply): Promise<Map<string, number>> {
  const epochs = new Map<string, number>();
  for (const { node, items } of (await allShards(operators, reply)).replies)
    if (items.length > 0)
      epochs.set(
        node,
        items.reduce((highest, { epoch }) => Math.max(highest, epoch), 0),
      );
  return epochs;
}

interface AllShards {
  readonly replies: readonly { readonly node: string; readonly unread: number; readonly items: readonly ShardView[] }[];
  readonly items: readonly ShardView[];
  /** Schedulers that did not answer. */
  readonly silent: readonly string[];
}

export async function allShards(operators: Operators, { nodes }: Pick<ClusterReply, 'nodes'>): Promise<AllShards> {
  const names = nodes.filter(({ roles }) => roles.includes('scheduler')).map(({ node }) => node);
  const answers = await Promise.all(names.map(async (node) => ({ node, reply: await operators.shards(node) })));
  const replies = answers.flatMap(({ reply }) => (reply === undefined ? [] : [reply]));
  const items = replies.flatMap((reply) => reply.items).toSorted((a, b) => a.shard - b.shard || b.epoch - a.epoch);
  return { replies, items, silent: answers.filter(({ reply }) => reply === undefined).map(({ node }) => node) };
}

export async function shards(cli: Cli, options: { readonly node?: string }): CommandResult {
  const operators = await cli.operators();
  const reply = await operators.cluster();
  const { node } = options;
  if (node !== undefined && !reply.nodes.some((known) => known.node === node)) throw noSuchNode(node);
  const { items, silent } = await allShards(operators, reply);
  const owned = new Set(items.map(({ shard }) => shard));
  const unowned = reply.assignment.flatMap((owner, shard) =>
    owned.has(shard) || (node !== undefined && owner !== node) ? [] : [{ shard, placedOn: owner }],
  );
  const shown = items.filter((item) => node === undefined || item.node === node);
  if (cli.json) return cli.out.json({ items: shown, unowned, silent });
  const pinned = new Set(reply.pins.map(({ shard }) => shard));
  const columns = [
    { title: 'SHARD', align: 'right' as const },
    { title: 'NODE' },
    { title: 'EPOCH', align: 'right' as const },
    { title: 'TASKS', align: 'right' as const },
    { title: 'BACKLOG', align: 'right' as const },
    { title: 'RUNNING', align: 'right' as const },
    { title: 'INBOX LAG', align: 'right' as const },
    { title: 'STATE' },
  ];
  const rows = [
    ...shown.map((item) => ({
      shard: item.shard,
      cells: [
        item.node,
        ...[item.epoch, item.tasks, item.backlog, item.underWay, item.waiting].map(String),
        shardState(item),
      ],
    })),
    ...unowned.map(({ shard, placedOn }) => ({
      shard,
      cells: [placedOn ?? '', '', '', '', '', '', placedOn === null ? 'no node' : 'no owner yet'],
    })),
  ].toSorted((a, b) => a.shard - b.shard);
  const lines = table(
    columns,
    rows.map(({ shard, cells }) => [String(shard), ...cells]),
    cli.out.columns,
    cli.paint,
  );
  for (const line of lines) cli.out.line(line);
  for (const name of silent) cli.out.note(`${name} did not answer`);

  function shardState({ shard, leaving }: ShardView): string {
    if (leaving) return 'is handed over';
    return pinned.has(shard) ? 'pinned' : 'ok';
  }
}

export interface MoveOptions {
  readonly to?: string;
  readonly unpin?: boolean;
  readonly wait: boolean;
}

export async function move(cli: Cli, shard: number, options: MoveOptions): CommandResult {
  const operators = await cli.operators();
  const startedAt = performance.now();
  const { to, unpin } = options;
  const reply = await operators.move({ shard, ...(to === undefined ? {} : { to }), ...(unpin ? { unpin: true } : {}) });
  const owner = options.wait && reply.to !== null ? await untilOwned(cli, operators, shard, reply.to) : undefined;
  const tookMs = Math.round(performance.now() - startedAt);
  if (cli.json) return cli.out.json({ ...reply, ...(owner === undefined ? {} : { epoch: owner.epoch, tookMs }) });
  const way =
    reply.from === reply.to ? `stays on ${String(reply.to)}` : `${reply.from ?? 'nobody'} → ${reply.to ?? 'nobody'}`;
  cli.out.line(
    `shard ${shard}  ${unpin ? 'not pinned; ' : ''}${way}${owner === undefined ? '' : `, epoch ${owner.epoch}, after ${duration(tookMs)}`}`,
  );
}

async function untilOwned(cli: Cli, operators: Operators, shard: number, node: string): Promise<ShardView> {
  const found = await until(cli, async () => {
    const item = (await operators.shards(node))?.items.find((owned) => owned.shard === shard);
    return item?.leaving === false ? item : undefined;
  });
  if (found !== undefined) return found;
  throw new CliError(
    EXIT.refused,
    'unavailable',
    `${node} does not own shard ${shard} yet, after ${duration(WAIT_MS)}`,
    {
      hint: 'The order stands: look with `belfry shards`.',
    },
  );
}

export interface DrainOptions {
  readonly undo?: boolean;
  readonly wait: boolean;
}

export async function drain(cli: Cli, node: string, options: DrainOptions): CommandResult {
  const operators = await cli.operators();
  const startedAt = performance.now();
  const reply = await operators.drain({ node, ...(options.undo ? { undo: true } : {}) });
  if (options.undo !== true && options.wait) await untilEmpty(cli, operators, node);
  const tookMs = Math.round(performance.now() - startedAt);
  if (cli.json) return cli.out.json({ ...reply, ...(reply.drained && options.wait ? { tookMs } : {}) });
  if (!reply.drained) return cli.out.line(`${node} takes shards again`);
  cli.out.line(options.wait ? `${node} is drained, after ${duration(tookMs)}` : `${node} is being drained`);
}

async function untilEmpty(cli: Cli, operators: Operators, node: string): Promise<void> {
  const empty = await until(cli, async () => {
    const reply = await operators.shards(node);
    if (reply !== undefined) cli.out.progress(`${node}: ${reply.items.length} shards left`);
    return reply?.items.length === 0 || reply === undefined ? true : undefined; // one that ended has none
  });
  cli.out.progress('');
  if (empty === true) return;
  throw new CliError(EXIT.refused, 'unavailable', `${node} still has shards, after ${duration(WAIT_MS)}`, {
    hint: 'The order stands: look with `belfry cluster`.',
  });
}

/** Looks again and again until there is something to see, or it took too long. */
async function until<T>(cli: Cli, look: () => Promise<T | undefined>): Promise<T | undefined> {
  for (const deadline = performance.now() + WAIT_MS; performance.now() < deadline && !cli.signal.aborted;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return undefined;
}

export function noSuchNode(node: string): CliError {
  return new CliError(EXIT.notFound, 'not_found', `no process of the name ${node} is there`, {
    hint: '`belfry cluster` lists them.',
  });
}
