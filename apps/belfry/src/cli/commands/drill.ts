import { randomBytes } from 'node:crypto';

import { Belfry, defineTask, Worker } from '@belfry/sdk';
import type { ClusterReply, NodeView } from '@belfry/protocol';

import { machineId } from '../../server/operators/machine.ts';
import type { Cli, CommandResult } from '../cli.ts';
import { figuresOf, planCanaries, type Canary, type DrillFigures } from '../drill/canaries.ts';
import { deedOf, type Deed, type DeedKind } from '../drill/deed.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { fields } from '../table.ts';
import { duration } from '../time.ts';
import { allShards, noSuchNode } from './cluster.ts';

export interface DrillOptions {
  readonly shard?: number;
  /** Of a move. */
  readonly to?: string;
  /** Ms; of a pause. */
  readonly for?: number;
  /** Ms for which canaries are due after the deed. */
  readonly watch?: number;
  readonly yes?: boolean;
}

const QUEUE = 'belfry-drill';
const SPACING_MS = 20;
const BEFORE_MS = 1_500;
/** Time to create the canaries before the first is due. */
const SETUP_MS = 1_500;
const WATCH_MS: { readonly [kind in DeedKind]: number } = { kill: 10_000, pause: 10_000, move: 3_000 };
const PAUSE_MS = 5_000;
/** How long the last canaries are waited for. */
const GRACE_MS = 20_000;
const CONCURRENCY = 200;
const CANARY = defineTask<{ readonly key: string }>({
  name: 'canary',
  queue: QUEUE,
  precision: 'high',
  retry: { attempts: 1 },
});
const QUIET = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export async function drill(cli: Cli, kind: DeedKind, options: DrillOptions): CommandResult {
  if (kind !== 'move' && options.yes !== true)
    throw usageError(
      `this ${kind === 'kill' ? 'kills' : 'pauses'} a process of a live cluster`,
      'Say --yes if you mean it.',
    );
  const operators = await cli.operators();
  const cluster = await operators.cluster();
  const { shard, owner } = await choose(cluster, await allShards(operators, cluster), options.shard);
  const deed = deedOf(kind, shard, owner, {
    cluster,
    operators,
    processes: { machine: machineId(), signal: (pid, signal) => void process.kill(pid, signal) },
    to: options.to,
    pauseMs: options.for ?? PAUSE_MS,
  });
  if (options.to !== undefined && !cluster.nodes.some(({ node }) => node === options.to)) throw noSuchNode(options.to);
  cli.out.progress(`drill: ${kind} of ${owner.node}, which owns shard ${shard}`);
  const watchMs = (options.watch ?? WATCH_MS[kind]) + (kind === 'pause' ? (options.for ?? PAUSE_MS) : 0);
  const figures = await watched(cli, { shard, shards: cluster.shards, deed, watchMs });
  const after = await allShards(operators, await operators.cluster());
  const to = after.items.find((item) => item.shard === shard)?.node ?? null;
  const ok = figures.lost === 0 && figures.doubled === 0;
  cli.out.progress('');
  if (cli.json) cli.out.json({ kind, shard, from: owner.node, to, ...figures, ok });
  else tell(cli, `${kind} of ${owner.node}; shard ${shard} is now on ${to ?? 'no node'}`, figures);
  return ok ? EXIT.ok : EXIT.refused;
}

async function choose(
  { nodes, shards }: ClusterReply,
  { items }: Awaited<ReturnType<typeof allShards>>,
  wanted: number | undefined,
): Promise<{ readonly shard: number; readonly owner: NodeView }> {
  if (wanted !== undefined && wanted >= shards) throw usageError(`--shard: there are ${shards} shards, from 0`);
  // The fullest one: what a takeover costs is seen there.
  const item = items
    .filter(({ shard }) => wanted === undefined || shard === wanted)
    .toSorted((a, b) => b.tasks - a.tasks)[0];
  const owner = nodes.find(({ node }) => node === item?.node);
  if (item === undefined || owner === undefined)
    throw new CliError(
      EXIT.refused,
      'unavailable',
      wanted === undefined ? 'no shard has an owner' : `shard ${wanted} has no owner at present`,
    );
  return { shard: item.shard, owner };
}

interface Watch {
  readonly shard: number;
  readonly shards: number;
  readonly deed: Deed;
  readonly watchMs: number;
}

/** Creates the canaries, does the deed in their midst, and waits for them. What did not run is cancelled in the end. */
async function watched(cli: Cli, { shard, shards, deed, watchMs }: Watch): Promise<DrillFigures> {
  const run = randomBytes(4).toString('hex');
  const connection = { url: cli.natsUrl(), namespace: cli.namespace, log: QUIET, connectTimeoutMs: 3_000 };
  const starts = new Map<string, number[]>();
  const wanted = new Set<string>();
  let onStart: () => void = () => undefined;
  const canary = CANARY.handler(({ payload: { key } }) => {
    starts.set(key, [...(starts.get(key) ?? []), Date.now()]);
    if (wanted.delete(key) && wanted.size === 0) onStart();
  });
  const worker = new Worker({
    ...connection,
    handlers: [canary],
    concurrency: CONCURRENCY,
    name: 'drill',
    stopTimeoutMs: 1_000,
  });
  const client = new Belfry(connection);
  let canaries: Canary[] = [];
  try {
    await worker.start();
    const firstAt = (): number => Date.now() + SETUP_MS;
    const count = Math.ceil((BEFORE_MS + watchMs) / SPACING_MS);
    canaries = planCanaries({ run, namespace: cli.namespace, shard, shards, firstAt, spacingMs: SPACING_MS, count });
    for (const { key } of canaries) wanted.add(key);
    const all = new Promise<void>((resolve) => (onStart = resolve));
    await create(client, canaries, run);
    await until((canaries[0]?.at ?? 0) + BEFORE_MS, cli.signal);
    const deedAt = Date.now();
    await deed.do();
    const end = (canaries.at(-1)?.at ?? deedAt) + GRACE_MS;
    await Promise.race([all, until(end, cli.signal)]);
    // A second run of the last would come within a moment.
    await until(Math.max(Date.now(), canaries.at(-1)?.at ?? 0) + 500, cli.signal);
    return figuresOf(canaries, starts, deedAt, SPACING_MS);
  } finally {
    await deed.undo();
    await Promise.allSettled([...wanted].map((key) => client.cancel({ key })));
    await worker.stop();
    await client.close();
  }
}

async function create(client: Belfry, canaries: readonly Canary[], run: string): Promise<void> {
  const specs = canaries.map(({ key, at }) => CANARY.spec({ key, at, metadata: { drill: run }, payload: { key } }));
  for (const result of await client.scheduleMany(specs))
    if ('error' in result)
      throw new CliError(EXIT.refused, result.error.code, `a canary was refused: ${result.error.message}`);
}

/** Resolves at the instant (ms since 1970), or when the user interrupts. */
function until(at: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, Math.max(0, at - Date.now()));
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function tell(cli: Cli, what: string, { canaries, gapMs, latestMs, usualMs, lost, doubled }: DrillFigures): void {
  const lines = fields(
    [
      ['drill', what],
      ['canaries', `${canaries}, one every ${SPACING_MS} ms`],
      ['gap', duration(gapMs)],
      ['latest', `${duration(latestMs)} late (usually ${duration(usualMs)})`],
      ['lost', String(lost)],
      ['doubled', String(doubled)],
    ],
    cli.paint,
  );
  for (const line of lines) cli.out.line(line);
}
