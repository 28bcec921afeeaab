/**
 * How long all schedulers take to be back: two processes with all roles are killed (SIGKILL) with tasks in all shards, and started again at
 * once under other names. Prints, from the kill on, when the processes were there, when one led, when shards were placed, and when all were owned.
 *
 *   node tools/bench/restart.ts [--tasks 1000000] [--processes 2] [--same]
 *
 * `--same` starts them under the names that they had.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { startTestServers } from '@belfry/adapter-embedded/testing';
import { Belfry, defineTask } from '@belfry/sdk';

const MAIN = fileURLToPath(new URL('../../apps/belfry/src/main.ts', import.meta.url));
const SHARDS = 256;
const TOLD = ['this supervisor leads', 'placing shards', 'shards taken over', 'silent', 'is gone', 'not yet'];

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '1000000' },
    processes: { type: 'string', default: '2' },
    same: { type: 'boolean', default: false },
  },
});
const [tasks, processes] = [Number(values.tasks), Number(values.processes)];

const servers = await startTestServers();
const env = { ...process.env, BELFRY_NATS_URL: servers.natsUrl, BELFRY_POSTGRES_URL: servers.postgresUrl };
let zero = performance.now();

function say(line: string): void {
  console.log(`${((performance.now() - zero) / 1_000).toFixed(2).padStart(7)} s  ${line}`);
}

/** Resolves when it says that it is ready. */
async function startNode(name: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [MAIN, 'server', '--json', '--http-port', '0', '--node-id', name], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  });
  createInterface({ input: child.stderr as NodeJS.ReadableStream }).on('line', (line) => {
    if (TOLD.some((told) => line.includes(told))) say(`${name}: ${line}`);
  });
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream }))
    if (line.startsWith('{')) break;
  say(`${name} is ready`);
  return child;
}

async function startAll(run: number): Promise<ChildProcess[]> {
  const names = Array.from({ length: processes }, (_, at) => `node${at + 1}${values.same ? '' : `-${run}`}`);
  return await Promise.all(names.map((name) => startNode(name)));
}

let nodes = await startAll(1);
const client = new Belfry({ url: servers.natsUrl });
try {
  const fill = defineTask<number>({ name: 'fill', queue: 'nobody' });
  for (let from = 0; from < tasks; from += 10_000) {
    const part = Math.min(10_000, tasks - from);
    await client.scheduleMany(Array.from({ length: part }, (_, at) => fill.spec({ in: '7d', payload: from + at })));
  }
  await new Promise((resolve) => setTimeout(resolve, 3_000)); // checkpoints
  say(`${tasks} tasks in ${SHARDS} shards`);
  zero = performance.now();
  for (const node of nodes) node.kill('SIGKILL');
  nodes = await startAll(2);
  say('all shards are owned');
} finally {
  await client.close();
  for (const child of nodes) if (child.exitCode === null && child.kill('SIGTERM')) await once(child, 'exit');
  await servers.stop();
}
