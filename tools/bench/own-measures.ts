import { setTimeout as delay } from 'node:timers/promises';

import { Agent } from './agent-process.ts';
import { Cleanup } from './cleanup.ts';
import type { Plan } from './plan.ts';
import { settledMemory, type Memory } from './process-memory.ts';
import { untilReady } from './programs.ts';
import { spread, type Spread } from './stats.ts';
import { BelfryGround, type BelfryServer, type ServerFlags } from './systems/belfry.ts';

type Say = (line: string) => void;

/** Memory of the scheduler process for its waiting tasks, in bytes a task. */
export interface MemoryFigures {
  readonly tasks: number;
  /** What the process holds alive more than before, after a full garbage collection: heap and buffers. */
  readonly liveBytes: number;
  /** What the process's resident set has grown by. */
  readonly residentBytes: number;
  /** What the shards say of their tables: `belfry_state_bytes`. */
  readonly stateBytes: number;
}

/** Milliseconds from the spawn of `belfry server` to the first handler start that is on time. */
export interface StartFigures {
  readonly tasks: number;
  readonly afterStopMs: number;
  readonly afterKillMs: number;
}

/** The scheduler's name through all restarts, as a service manager would give it: it takes its shards back at once. */
const NODE = 'bench';
const BATCH = 1_000;
const IN_FLIGHT = 4;
/** From a month ahead on, over a year. */
const WAITING_FROM_MS = 30 * 86_400_000;
const WAITING_OVER_MS = 365 * 86_400_000;

/** A task that starts later than this is not on time. */
export const ON_TIME_MS = 100;
const PROBES_PER_SECOND = 20;
/** For so long, probes come due; longer than two restarts may take. */
const PROBING_MS = 240_000;

/** Single creates at a steady rate over one connection, each answered when it is durable and applied. */
export async function requestLatency(plan: Plan): Promise<Spread> {
  await using cleanup = new Cleanup();
  const ground = await BelfryGround.start(cleanup);
  await ground.startServers({});
  await using producer = await Agent.start(ground.driver('latency'));
  const dueMs = Date.now() + WAITING_FROM_MS;
  await producer.call('latency', { perSecond: plan.requestsPerSecond, seconds: 1, dueMs });
  const { requestsPerSecond: perSecond, seconds } = plan;
  return spread((await producer.call('latency', { perSecond, seconds, dueMs })).latencies);
}

/** Memory and start share what takes longest: a million stored tasks. */
export async function memoryAndStart(
  plan: Plan,
  say: Say,
): Promise<{ memory: MemoryFigures | undefined; start: StartFigures | undefined }> {
  await using cleanup = new Cleanup();
  const ground = await BelfryGround.start(cleanup);
  // The scheduler in a process of its own: what the gateway uses is not the tasks'.
  const schedulerFlags: ServerFlags = {
    roles: 'scheduler',
    nodeId: NODE,
    nodeFlags: ['--inspect=127.0.0.1:0'],
  };
  const [scheduler, front] = await ground.startServers(schedulerFlags, {
    roles: 'gateway,supervisor',
    nodeId: 'bench-front',
  });
  if (scheduler === undefined || front === undefined) throw new Error('no server');

  await warmUp(ground);
  const before = await settledMemory(scheduler.logFile, scheduler.pid);
  await store(ground, plan.tasks, say);
  await untilCheckpointed(scheduler);
  say('all of it is in Postgres');
  const after = await settledMemory(scheduler.logFile, scheduler.pid);
  const memory = plan.figures.has('memory') ? await memoryFigures(plan.tasks, before, after, scheduler) : undefined;
  await scheduler.stop();
  await front.stop();

  const start = plan.figures.has('start') ? await startFigures(ground, plan, say) : undefined;
  return { memory, start };
}

/** So that what the first requests allocate is not counted as the tasks'. */
async function warmUp(ground: BelfryGround): Promise<void> {
  await using producer = await Agent.start(ground.driver('waiting'));
  const firstMs = Date.now() + WAITING_FROM_MS;
  const due = { firstMs, lastMs: firstMs + WAITING_OVER_MS };
  await producer.call('fill', { from: 0, count: BATCH, batch: BATCH, inFlight: IN_FLIGHT, due });
}

async function store(ground: BelfryGround, tasks: number, say: Say): Promise<void> {
  await using producer = await Agent.start(ground.driver('waiting'));
  const firstMs = Date.now() + WAITING_FROM_MS;
  const step = Math.max(1_000, Math.ceil(tasks / 10));
  for (let from = 0; from < tasks; from += step) {
    const count = Math.min(step, tasks - from);
    const at = (n: number): number => firstMs + (n / tasks) * WAITING_OVER_MS;
    const due = { firstMs: at(from), lastMs: at(from + count) };
    await producer.call('fill', { from, count, batch: BATCH, inFlight: IN_FLIGHT, due });
    say(`stored ${from + count} of ${tasks} tasks`);
  }
}

async function memoryFigures(
  tasks: number,
  before: Memory,
  after: Memory,
  server: BelfryServer,
): Promise<MemoryFigures> {
  return {
    tasks,
    liveBytes: (after.liveBytes - before.liveBytes) / tasks,
    residentBytes: (after.residentBytes - before.residentBytes) / tasks,
    stateBytes: (await metric(server, 'belfry_state_bytes')) / tasks,
  };
}

/** Stops the server cleanly, then kills it, and looks each time how soon a new one fires on time. */
async function startFigures(ground: BelfryGround, plan: Plan, say: Say): Promise<StartFigures> {
  const flags: ServerFlags = { nodeId: NODE };
  const [first] = await ground.startServers(flags);
  if (first === undefined) throw new Error('no server');
  const config = ground.driver('probes');
  const jobs = (PROBING_MS / 1_000) * PROBES_PER_SECOND;
  await using worker = await Agent.start(config);
  await worker.call('work', { jobs });
  await using producer = await Agent.start(config);
  const firstMs = Date.now() + 1_000;
  const due = { firstMs, lastMs: firstMs + PROBING_MS };
  await producer.call('fill', { from: 0, count: jobs, batch: BATCH, inFlight: IN_FLIGHT, due });
  await firstOnTime(worker, Date.now());
  say('tasks fire on time');

  await first.stop();
  const { server, elapsedMs: afterStopMs } = await timedStart(ground, flags, worker);
  say(`first on-time fire ${Math.round(afterStopMs)} ms after a start that follows a clean stop`);
  await untilReady(server, 'belfry server', () => isHealthy(server));
  server.signal('SIGKILL');
  await server.exited;
  const { elapsedMs: afterKillMs } = await timedStart(ground, flags, worker);
  say(`first on-time fire ${Math.round(afterKillMs)} ms after a start that follows kill -9`);
  return { tasks: plan.tasks, afterStopMs, afterKillMs };
}

async function timedStart(
  ground: BelfryGround,
  flags: ServerFlags,
  worker: Agent,
): Promise<{ server: BelfryServer; elapsedMs: number }> {
  const spawnedAt = Date.now();
  const server = await ground.spawnServer(flags);
  return { server, elapsedMs: (await firstOnTime(worker, spawnedAt)) - spawnedAt };
}

/** When the first task that was due after `afterMs` started on time. */
async function firstOnTime(worker: Agent, afterMs: number): Promise<number> {
  const onTime = await worker.call('onTime', { afterMs, withinMs: ON_TIME_MS, timeoutMs: PROBING_MS / 3 });
  if (onTime === undefined) throw new Error(`no task started on time for ${PROBING_MS / 3_000} s`);
  return onTime.startMs;
}

async function isHealthy({ httpPort }: BelfryServer): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/healthz`).catch(() => undefined);
  await response?.arrayBuffer();
  return response?.ok === true;
}

/** Until nothing that a checkpoint has yet to write is left in memory. */
async function untilCheckpointed(server: BelfryServer): Promise<void> {
  await untilReady(
    server,
    'the checkpoint',
    async () => (await metric(server, 'belfry_checkpoint_waiting_rows')) === 0,
    120_000,
  );
  await delay(1_000); // buffers of what was just written are let go of
}

async function metric({ httpPort }: BelfryServer, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
  const value = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`the server has no metric ${name}`);
  return Number(value);
}
