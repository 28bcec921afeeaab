import { Agent } from './agent-process.ts';
import type { Filled, WorkDone } from './agent-protocol.ts';
import { Cleanup } from './cleanup.ts';
import type { Plan } from './plan.ts';
import { spread, type Spread } from './stats.ts';
import type { RunningSystem, System } from './system.ts';

/** What every system is measured by, once a round. */
export interface Round {
  readonly createsPerSecond?: number;
  readonly drainsPerSecond?: number;
  readonly lateness?: Spread;
}

type Say = (line: string) => void;

const BATCH = 1_000;
/** Far enough that nothing of it comes due while the bench runs. */
const FAR_MS = 30 * 86_400_000;

/** One round of one system, on servers of its own that are started for it: nobody pays for what another has left behind. */
export async function measure(system: System, plan: Plan, say: Say): Promise<Round> {
  await using cleanup = new Cleanup();
  const running = await system.start(cleanup);
  const createsPerSecond = plan.figures.has('creates') ? await creates(running, system.inFlight, plan) : undefined;
  const drainsPerSecond = plan.figures.has('drain') ? await drains(running, system.inFlight, plan) : undefined;
  const late = plan.figures.has('lateness') ? await lateness(running, system.inFlight, plan) : undefined;
  const told = [
    createsPerSecond === undefined ? '' : `${Math.round(createsPerSecond)} creates/s`,
    drainsPerSecond === undefined ? '' : `${Math.round(drainsPerSecond)} executions/s`,
    late === undefined ? '' : `lateness ${late.p50} / ${late.p99} / ${late.max} ms`,
  ];
  say(`${system.name}: ${told.filter((part) => part !== '').join(', ')}`);
  return {
    ...(createsPerSecond !== undefined && { createsPerSecond }),
    ...(drainsPerSecond !== undefined && { drainsPerSecond }),
    ...(late !== undefined && { lateness: late }),
  };
}

/** Durable one-time tasks a month ahead, in bulk requests of 1,000, a few in flight; a tenth as many before, uncounted. */
async function creates(running: RunningSystem, inFlight: number, plan: Plan): Promise<number> {
  await using producer = await Agent.start(running.driver('creates'), plan.nodeFlags('producer'));
  const count = plan.creates;
  const warmup = Math.ceil(count / 10);
  const due = { firstMs: Date.now() + FAR_MS, lastMs: Date.now() + 2 * FAR_MS };
  await producer.call('fill', { from: 0, count: warmup, batch: BATCH, inFlight, due });
  const filled = await producer.call('fill', { from: warmup, count, batch: BATCH, inFlight, due });
  return perSecond(count, filled);
}

function perSecond(count: number, { elapsedMs }: Filled | WorkDone): number {
  return (count / elapsedMs) * 1_000;
}

/** Tasks that were due when they were created, run by a worker process that starts when all are stored. */
async function drains(running: RunningSystem, inFlight: number, plan: Plan): Promise<number> {
  const config = running.driver('drain');
  await using producer = await Agent.start(config);
  await producer.call('fill', { from: 0, count: plan.drains, batch: BATCH, inFlight });
  await using worker = await Agent.start(config, plan.nodeFlags('worker'));
  await worker.call('work', { jobs: plan.drains });
  const done = complete(await worker.call('finished', { timeoutMs: plan.patienceMs }), plan.drains, 'drain');
  return perSecond(plan.drains, done);
}

/** Tasks due one after the other at a steady rate, created before the first is due, run by a worker process that waits for them. */
async function lateness(running: RunningSystem, inFlight: number, plan: Plan): Promise<Spread> {
  const config = running.driver('lateness');
  const jobs = plan.firesPerSecond * plan.seconds;
  await using worker = await Agent.start(config, plan.nodeFlags('worker'));
  await worker.call('work', { jobs });
  await using producer = await Agent.start(config);
  const firstMs = Date.now() + plan.leadMs;
  const due = { firstMs, lastMs: firstMs + plan.seconds * 1_000 };
  const { doneAtMs } = await producer.call('fill', {
    from: 0,
    count: jobs,
    batch: Math.min(BATCH, jobs),
    inFlight,
    due,
  });
  if (doneAtMs > firstMs)
    throw new Error(`the tasks were not all created before the first was due (${doneAtMs - firstMs} ms late)`);
  await producer.close();
  const timeoutMs = plan.seconds * 1_000 + plan.leadMs + plan.patienceMs;
  return spread(complete(await worker.call('finished', { timeoutMs }), jobs, 'lateness').lateness);
}

/** @throws if a job did not run, or ran twice: such a figure would mean nothing */
function complete(done: WorkDone, jobs: number, what: string): WorkDone {
  if (done.ran !== jobs) throw new Error(`${what}: ${done.ran} of ${jobs} jobs ran`);
  if (done.repeated > 0) throw new Error(`${what}: ${done.repeated} of ${jobs} jobs ran more than once`);
  return done;
}
