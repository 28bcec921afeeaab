import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Belfry, type ScheduleSpec } from '@belfry/sdk';
import pg from 'pg';
import { expect, it, vi } from 'vitest';

import { startDev, temporaryFolder, type RunningDev } from '../testing/program.ts';

vi.setConfig({ testTimeout: 240_000 });

const WORKER = fileURLToPath(new URL('../testing/recording-worker.ts', import.meta.url));
const TASKS = 20_000;
/** From the first due instant to the last that is accounted for. */
const WINDOW_MS = 24_000;
const KILL_AFTER_MS = 9_000;

interface Planned {
  readonly spec: ScheduleSpec & { readonly key: string };
  /** Every instant from `from` on at which the schedule is due, up to `to`. */
  due(from: number, to: number): number[];
}

/** The mix of the scale page: 30 % one-time, 50 % recurring, 20 % cron, all due within the window. */
function plan(index: number, startMs: number): Planned {
  // Every fire is to be accounted for, also when a busy machine takes more than a minute to start again.
  const catchUp = { policy: 'all', window: '1h' } as const;
  const common = { queue: 'recorded', handler: 'record', key: `task-${index}`, catchUp };
  const offset = (index * 7_919) % WINDOW_MS;
  if (index % 10 < 3) {
    const at = startMs + offset;
    return { spec: { ...common, at }, due: (from, to) => (at >= from && at <= to ? [at] : []) };
  }
  if (index % 10 < 8) {
    const every = 10_000 + 1_000 * (index % 11);
    const anchor = startMs + (offset % every);
    return { spec: { ...common, every, anchor }, due: (from, to) => grid(anchor, every, from, to) };
  }
  const second = index % 30;
  const cron = `${second},${second + 30} * * * * *`;
  return { spec: { ...common, cron }, due: (from, to) => grid(second * 1_000, 30_000, from, to) };
}

function grid(anchor: number, every: number, from: number, to: number): number[] {
  const due: number[] = [];
  for (let at = anchor + Math.max(0, Math.ceil((from - anchor) / every)) * every; at <= to; at += every) due.push(at);
  return due;
}

async function startWorker(dev: RunningDev, log: string, name: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [WORKER, log, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, BELFRY_NATS_URL: dev.natsUrl },
  });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

/** Runs by execution id, from a worker's log. */
function runsIn(log: string): Map<string, number> {
  const runs = new Map<string, number>();
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : [];
  for (const line of lines) {
    const [execution, attempt, due] = line.split(' ');
    if (execution === undefined || attempt === undefined) continue;
    expect(due, `${execution} ran early`).toBe('due');
    runs.set(execution, (runs.get(execution) ?? 0) + 1);
  }
  return runs;
}

interface Over {
  readonly task: string;
  readonly scheduledAt: number;
  readonly state: string;
  /** Whose result was accepted. */
  readonly worker: string;
}

async function overUntil(postgres: pg.Client, untilMs: number): Promise<Over[]> {
  const { rows } = await postgres.query<{ task: string; at: string; state: string; worker: string }>(
    `SELECT replace(task::text, '-', '') AS task, scheduled_at AS at, state, worker FROM belfry.execution WHERE scheduled_at <= $1`,
    [untilMs],
  );
  return rows.map(({ task, at, state, worker }) => ({ task, scheduledAt: Number(at), state, worker }));
}

const nameOf = (task: string, at: number): string => `${task}-${at.toString(36)}`;

it('accounts for every fire of 20,000 tasks of all kinds when everything is killed mid-way', async () => {
  using folder = temporaryFolder();
  const dataDir = path.join(folder.path, 'data');
  const logs = [path.join(folder.path, 'killed.log'), path.join(folder.path, 'second.log')] as const;

  let dev = await startDev(dataDir, '--no-worker');
  const killedWorker = await startWorker(dev, logs[0], 'killed');
  const client = new Belfry({ url: dev.natsUrl });
  const startMs = Math.ceil(Date.now() / 1_000) * 1_000 + 10_000;
  const endMs = startMs + WINDOW_MS;
  const planned = Array.from({ length: TASKS }, (_, index) => plan(index, startMs));
  const created = await client.scheduleMany(planned.map(({ spec }) => spec));
  /** What is due, as the acknowledgement of each creation promised it: every instant from its first fire on. */
  const expected = new Map<string, string>();
  for (const [index, result] of created.entries()) {
    if ('error' in result) throw new Error(`task ${index}: ${JSON.stringify(result.error)}`);
    const { due, spec } = planned[index] as Planned;
    const firstMs = Date.parse(result.next[0] as string);
    // The first instant is the schedule's own, not whatever the answer says.
    expect(due(Math.min(firstMs, startMs - 10_000), firstMs).at(-1), spec.key).toBe(firstMs);
    for (const at of due(firstMs, endMs)) expected.set(nameOf(result.id, at), spec.key);
  }
  expect(Date.now(), 'creation took longer than the time before the first fire').toBeLessThan(startMs);

  // Creations go on until everything is killed: what was acknowledged counts.
  let late = 0;
  let going = true;
  const trickle = (async () => {
    for (; going; late++) {
      const at = endMs - (late % 1_000);
      const spec = { at, queue: 'recorded', handler: 'record', key: `late-${late}` };
      const one = await client.schedule(spec).catch(() => undefined);
      if (one !== undefined) expected.set(nameOf(one.id, at), spec.key);
    }
  })();
  await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(startMs + KILL_AFTER_MS), {
    timeout: 60_000,
    interval: 50,
  });
  killedWorker.kill('SIGKILL');
  await dev.killAll();
  going = false;
  await client.close();
  await trickle;

  dev = await startDev(dataDir, '--no-worker');
  const secondWorker = await startWorker(dev, logs[1], 'second');
  const postgres = new pg.Client({ connectionString: dev.postgresUrl });
  try {
    await postgres.connect();
    let over: Over[] = [];
    let names: string[] = [];
    const missing = (): string[] => {
      const found = new Set(names);
      return [...expected.keys()].filter((name) => !found.has(name));
    };
    const allOver = vi.waitFor(
      async () => {
        over = await overUntil(postgres, endMs);
        names = over.map(({ task, scheduledAt }) => nameOf(task, scheduledAt));
        expect(missing(), 'missing fires').toEqual([]);
      },
      { timeout: 100_000, interval: 500 },
    );
    await allOver.catch(async (error: unknown) => {
      for (const name of missing().slice(0, 3)) {
        const ran = [runsIn(logs[0]).get(name), runsIn(logs[1]).get(name)];
        console.log('missing', name, expected.get(name), 'ran', ran, await whatIsKnownOf(dev, postgres, name));
      }
      throw error;
    });
    expect(new Set(names).size, 'an execution stands twice in the history').toBe(names.length);
    // A creation whose answer was lost in the kill may have been accepted; nothing else may be there.
    for (const name of names) if (!expected.has(name)) expect(await keyOf(postgres, name)).toBe(`late-${late - 1}`);
    expect(new Set(over.map(({ state }) => state))).toEqual(new Set(['s']));

    const [killed, second] = [runsIn(logs[0]), runsIn(logs[1])];
    const ran = new Set([...killed.keys(), ...second.keys()]);
    expect(
      [...expected.keys()].filter((name) => !ran.has(name)),
      'over, but no handler ran',
    ).toEqual([]);
    for (const runs of [killed, second]) {
      expect(
        [...runs].filter(([, times]) => times > 1),
        'run twice by one worker',
      ).toEqual([]);
    }
    const again = [...second.keys()].filter((name) => killed.has(name));
    console.log(
      `${expected.size} fires, ${killed.size} before the kill, ${second.size} after, ${again.length} again (were in the killed worker's hands)`,
    );
    // What ran again had not been accepted from the killed worker: it was in its hands. (Fires after the window are not accounted for.)
    const acceptedFrom = new Map(over.map(({ task, scheduledAt, worker }) => [nameOf(task, scheduledAt), worker]));
    for (const name of second.keys()) {
      if (acceptedFrom.has(name)) expect(acceptedFrom.get(name), name).toMatch(/^second-/);
    }
    for (const name of again) expect(acceptedFrom.get(name), name).toMatch(/^second-/);
  } finally {
    await postgres.end();
    secondWorker.kill('SIGTERM');
    await once(secondWorker, 'exit');
    await dev.stop();
  }
});

async function keyOf(postgres: pg.Client, execution: string): Promise<string | null> {
  const { rows } = await postgres.query<{ key: string | null }>('SELECT key FROM belfry.task WHERE id = $1', [
    execution.slice(0, 32),
  ]);
  return rows[0]?.key ?? null;
}

/** What there is of an execution that should be over: for the message of a failing test. */
async function whatIsKnownOf(dev: RunningDev, postgres: pg.Client, execution: string): Promise<unknown> {
  const task = execution.slice(0, 32);
  const rows = async (table: string): Promise<unknown[]> => {
    const text = `SELECT * FROM belfry.${table} WHERE ${table === 'task' ? 'id' : 'task'} = $1`;
    return (await postgres.query<object>(text, [task])).rows;
  };
  await using client = new Belfry({ url: dev.natsUrl });
  const get = await client.get({ id: task }).catch(String);
  const tables = ['task', 'pointer', 'active', 'execution'].map(async (table) => [table, await rows(table)] as const);
  const stored = Object.fromEntries(await Promise.all(tables));
  return JSON.stringify({ get, ...stored }, undefined, 1);
}
