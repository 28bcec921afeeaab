/**
 * What a graceful hand-over costs: two processes with all roles, tasks in all shards, and canaries (one-time tasks of precision `high`)
 * in some of them, one every 20 ms in each. Once one shard is moved, several times; once a node is drained, and once it is stopped by
 * SIGTERM, with half of the shards each; once a new one joins. Prints the gaps of the shards' canaries: median, longest, all of them; and
 * what was lost or doubled.
 *
 *   node tools/bench/hand-over.ts [--tasks 50000] [--watched 16] [--moves 5] [--shards 256]
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { startTestServers } from '@belfry/adapter-embedded/testing';
import { Belfry, defineTask, Worker } from '@belfry/sdk';

import { figuresOf, planCanaries, type Canary } from '@belfry/program/src/cli/drill/canaries.ts';
import { openOperators } from '@belfry/program/src/cli/open-operators.ts';

const MAIN = fileURLToPath(new URL('../../apps/belfry/src/main.ts', import.meta.url));
const SPACING_MS = 20;
const LEAD_MS = 1_500;
const NAMESPACE = 'default';

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '50000' },
    watched: { type: 'string', default: '16' },
    moves: { type: 'string', default: '5' },
    shards: { type: 'string', default: '256' },
  },
});
const [tasks, watched, moves] = [Number(values.tasks), Number(values.watched), Number(values.moves)];
const shards = Number(values.shards);

const servers = await startTestServers();
const env = { ...process.env, BELFRY_NATS_URL: servers.natsUrl, BELFRY_POSTGRES_URL: servers.postgresUrl };

async function startNode(name: string): Promise<ChildProcess> {
  const options = ['--json', '--http-port', '0', '--node-id', name, '--shards', String(shards)];
  const child = spawn(process.execPath, [MAIN, 'server', ...options], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env,
  });
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream }))
    if (line.startsWith('{')) break;
  return child;
}

const starts = new Map<string, number[]>();
const canaryTask = defineTask<{ readonly key: string }>({
  name: 'canary',
  queue: 'canaries',
  precision: 'high',
  retry: { attempts: 1 },
});
const fillTask = defineTask<number>({ name: 'fill', queue: 'nobody' });
const connection = { url: servers.natsUrl, namespace: NAMESPACE };
const client = new Belfry(connection);
const worker = new Worker({
  ...connection,
  concurrency: 1_000,
  handlers: [
    canaryTask.handler(({ payload: { key } }) => {
      starts.set(key, [...(starts.get(key) ?? []), Date.now()]);
    }),
  ],
});
const operators = await openOperators(servers.natsUrl);
const first = await startNode('first');
let second = await startNode('second');
try {
  await worker.start();
  await balanced(shards / 2);
  for (let from = 0; from < tasks; from += 1_000) {
    const part = Math.min(1_000, tasks - from);
    await client.scheduleMany(Array.from({ length: part }, (_, at) => fillTask.spec({ in: '7d', payload: from + at })));
  }
  console.log(`${tasks} tasks in ${shards} shards on two processes`);
  const both = [...(await sample('first')), ...(await sample('second'))];
  const calm = both.filter((_, at) => at % 2 === 0);
  report('nothing is moved', await measure(calm, 15_000, () => Promise.resolve()));
  const one: Gap[] = [];
  for (let move = 0; move < moves; move++) {
    const shard = (await owned('second'))[move] as number;
    one.push(...(await measure([shard], 3_000, async () => void (await operators.move({ shard, to: 'first' })))));
    await operators.move({ shard, unpin: true });
  }
  report('one shard is moved', one);
  report(
    'a node is drained',
    await measure(await sample('second'), 15_000, async () => void (await operators.drain({ node: 'second' }))),
  );
  await operators.drain({ node: 'second', undo: true });
  await balanced(shards / 2);
  report(
    'a node is stopped',
    await measure(await sample('second'), 15_000, async () => {
      second.kill('SIGTERM');
      await once(second, 'exit');
    }),
  );
  const joins = measure(await sample('first'), 20_000, async () => {
    second = await startNode('third');
  });
  report('a node joins', await joins);
} finally {
  await worker.stop();
  await client.close();
  await operators.close();
  for (const child of [second, first]) {
    if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit');
  }
  await servers.stop();
}

interface Gap {
  readonly gapMs: number;
  readonly usualMs: number;
  readonly lost: number;
  readonly doubled: number;
}

async function owned(node: string): Promise<number[]> {
  return ((await operators.shards(node))?.items ?? []).map(({ shard }) => shard);
}

/** Shards of a node to watch, spread over those that it has. */
async function sample(node: string): Promise<number[]> {
  const all = await owned(node);
  return all.filter((_, at) => at % Math.max(1, Math.floor(all.length / watched)) === 0).slice(0, watched);
}

/** Waits until both have their share. */
async function balanced(share: number): Promise<void> {
  while ((await owned('first')).length !== share || (await owned('second')).length !== share)
    await new Promise((resolve) => setTimeout(resolve, 100));
}

async function measure(of: readonly number[], watchMs: number, deed: () => Promise<void>): Promise<Gap[]> {
  const run = Math.random().toString(36).slice(2, 8);
  const count = Math.ceil((LEAD_MS + watchMs) / SPACING_MS);
  const planned = of.map((shard) =>
    planCanaries({ run, namespace: NAMESPACE, shard, shards, firstAt: () => 0, spacingMs: SPACING_MS, count }),
  );
  // Now that their keys are found: creating them takes some time, too.
  const firstAt = Date.now() + LEAD_MS + 250 * of.length;
  const plans = planned.map((canaries) => canaries.map(({ key, at }) => ({ key, at: firstAt + at })));
  for (const canaries of plans)
    await client.scheduleMany(canaries.map(({ key, at }) => canaryTask.spec({ key, at, payload: { key } })));
  await new Promise((resolve) => setTimeout(resolve, firstAt + LEAD_MS - Date.now()));
  const deedAt = Date.now();
  await deed();
  const last = (plans[0]?.at(-1) as Canary).at;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, last + 3_000 - Date.now())));
  return plans.map((canaries) => figuresOf(canaries, starts, deedAt, SPACING_MS));
}

function report(what: string, gaps: readonly Gap[]): void {
  const sorted = gaps.map(({ gapMs }) => gapMs).toSorted((a, b) => a - b);
  const sum = (of: (gap: Gap) => number): number => gaps.reduce((total, gap) => total + of(gap), 0);
  const median = sorted[Math.floor(sorted.length / 2)];
  const usual = Math.round(sum(({ usualMs }) => usualMs) / gaps.length);
  console.log(
    `${what}: gaps of ${gaps.length} shards: median ${median} ms, longest ${sorted.at(-1)} ms; usually ${usual} ms late; ` +
      `lost ${sum(({ lost }) => lost)}, doubled ${sum(({ doubled }) => doubled)}; all: ${sorted.join(' ')}`,
  );
}
