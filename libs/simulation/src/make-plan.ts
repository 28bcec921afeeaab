import { SERVICES, type Direction, type Service } from './machine.ts';
import type { Plan, PlanStep, SimSchedule, SimTask } from './plan.ts';
import { Random } from './random.ts';

const MINUTE_MS = 60_000;

export interface Scale {
  /** How long faults go on, ms. */
  readonly faultsMs: number;
  /** Roughly how many executions a second. */
  readonly rate: number;
}

export const DEFAULT_SCALE: Scale = { faultsMs: 10 * MINUTE_MS, rate: 5 };

/** In one of so many clusters workers of the version before stand beside those of this one. */
const MIXED_EVERY = 4;

/** A change is asked about within this time. */
const AFTER_CHANGE_MS = 20_000;
/** For so long a node that is connected again may not have heard what happened meanwhile; and so much is asked for then. */
const BACK_MS = 200;
const MOST_QUESTIONS = 10;

type Distribute<T> = T extends unknown ? Omit<T, 'atMs'> : never;
type Fault = Distribute<PlanStep>;

/** The run that follows from a seed: a cluster of some size, a workload, and a mix of some of the faults. */
export function makePlan(seed: number, scale: Scale = DEFAULT_SCALE): Plan {
  const random = new Random(seed);
  const size = {
    shards: random.pick([2, 4, 8]),
    nodes: random.pick([1, 2, 2, 3]),
    supervisors: random.pick([1, 2]),
    gateways: random.pick([1, 2]),
    workers: random.pick([2, 3, 4]),
    capacity: random.pick([8, 16, 32]),
    queues: random.pick([1, 1, 2]),
    tickMs: random.pick([50, 100]),
    mixed: seed % MIXED_EVERY === 0,
  };
  const asked = workload(random, scale, size.queues);
  const troubles = faults(random, scale, size);
  const steps = [...asked, ...troubles, ...questions(random, asked, troubles)];
  steps.sort((a, b) => a.atMs - b.atMs);
  return { seed, ...size, calmAtMs: scale.faultsMs, steps };
}

// — Workload

/**
 * 30 % one-time, 50 % of an interval, 20 % cron; created in all sizes of batches, some due all at once, some updated, some cancelled: at any
 * time, or in a race with the create or with the first fire. Some are asked about, and all that change.
 */
function workload(random: Random, { faultsMs, rate }: Scale, queues: number): PlanStep[] {
  const steps: PlanStep[] = [];
  let fires = 0;
  for (let number = 0; fires < (rate * faultsMs) / 1_000;) {
    const atMs = random.below(Math.max(1, faultsMs - MINUTE_MS));
    const count = random.chance(0.05) ? random.between(20, 100) : random.between(1, 5);
    const burst = count >= 20 && random.chance(0.5) ? makeTask(random, atMs, queues).schedule : undefined;
    const tasks = [];
    for (let item = 0; item < count; item++) {
      const made = makeTask(random, atMs, queues);
      const task = burst === undefined ? made : { ...made, schedule: burst, takesMs: Math.min(made.takesMs, 3_000) };
      const { schedule } = task;
      fires += schedule.kind === 'at' ? 1 : schedule.fires;
      tasks.push({ number: number++, task });
      const asked: number[] = random.chance(0.1) ? [changeAt(random, atMs, schedule)] : [];
      if (random.chance(0.08)) {
        const cancelAtMs = changeAt(random, atMs, schedule);
        steps.push({ kind: 'cancel', number: number - 1, atMs: cancelAtMs });
        asked.push(cancelAtMs + random.below(AFTER_CHANGE_MS));
      }
      if (random.chance(0.1)) {
        const updateAtMs = changeAt(random, atMs, schedule);
        const changed = random.chance(0.5) ? makeSchedule(random, updateAtMs, schedule.kind) : undefined;
        const takesMs = random.below(2_000);
        steps.push({ kind: 'update', number: number - 1, atMs: updateAtMs, schedule: changed, takesMs });
        asked.push(updateAtMs + random.below(AFTER_CHANGE_MS));
      }
      for (const askedAtMs of asked) steps.push({ kind: 'get', number: number - 1, atMs: askedAtMs });
    }
    steps.push({ kind: 'create', atMs, tasks });
  }
  return steps;
}

/** Whoever was cut off, and has lost its shards meanwhile, is asked about what was changed then as soon as it can be. */
function questions(random: Random, asked: readonly PlanStep[], troubles: readonly PlanStep[]): PlanStep[] {
  const changes = asked.flatMap((step) =>
    step.kind === 'create'
      ? step.tasks.map(({ number }) => ({ number, atMs: step.atMs }))
      : step.kind === 'update' || step.kind === 'cancel'
        ? [step]
        : [],
  );
  changes.sort((a, b) => a.atMs - b.atMs);
  return troubles.flatMap((fault) => {
    if (fault.kind !== 'cut node') return [];
    const endMs = fault.atMs + fault.forMs;
    const meanwhile = changes.filter(({ atMs }) => atMs > fault.atMs && atMs < endMs);
    return meanwhile
      .slice(-MOST_QUESTIONS)
      .map(({ number }) => ({ kind: 'get' as const, number, atMs: endMs + random.below(BACK_MS) }));
  });
}

/** When a task that is created at `atMs` is updated or cancelled. */
function changeAt(random: Random, atMs: number, schedule: SimSchedule): number {
  const firstMs = schedule.kind === 'at' ? schedule.atMs : schedule.startMs;
  const share = random.next();
  if (share < 0.2) return atMs + random.below(50);
  if (share < 0.4) return Math.max(atMs, firstMs - 50 + random.below(100));
  return atMs + random.below(2 * MINUTE_MS);
}

function makeTask(random: Random, nowMs: number, queues: number): SimTask {
  const share = random.next();
  const kind = share < 0.3 ? 'at' : share < 0.8 ? 'every' : 'cron';
  // What takes long comes once: workers must be able to do all that is asked for.
  const takesLong = kind === 'at' && random.chance(0.06);
  return {
    schedule: makeSchedule(random, nowMs, kind),
    takesMs: takesLong ? random.between(10_000, 80_000) : random.chance(0.3) ? 0 : random.below(3_000),
    failures: random.chance(0.1) ? random.between(1, 4) : 0,
    timeoutMs: random.pick([5_000, 60_000, 300_000]),
    priority: random.pick(['high', 'medium', 'medium', 'low']),
    precision: random.pick(['high', 'normal', 'normal', 'low']),
    keyed: random.chance(0.5),
    queue: random.below(queues),
    catchUp: random.pick(['all', 'all', 'all', 'skip', 'latest']),
  };
}

function makeSchedule(random: Random, nowMs: number, kind: SimSchedule['kind']): SimSchedule {
  if (kind === 'at') return { kind, atMs: nowMs + random.below(random.pick([1_000, MINUTE_MS, 5 * MINUTE_MS])) };
  const startMs = nowMs + random.below(MINUTE_MS);
  if (kind === 'cron') return { kind, minutes: random.pick([1, 2]), startMs, fires: random.between(1, 6) };
  return { kind, everyMs: random.pick([1_000, 2_500, 10_000, 30_000]), startMs, fires: random.between(2, 30) };
}

// — Faults

/** How long something lasts: mostly short, sometimes longer than every lease. */
function duration(random: Random): number {
  return random.pick([500, 2_000, 5_000, 12_000, 40_000, 90_000]) + random.below(2_000);
}

function someServices(random: Random): readonly Service[] {
  const share = random.next();
  if (share < 0.3) return ['inbox', 'work', 'messages', 'leases']; // the broker
  if (share < 0.45) return ['store'];
  if (share < 0.75) return SERVICES;
  return [random.pick(SERVICES)];
}

/** Of those that a machine's processes ask. */
function allOrOneOf(random: Random, services: readonly Service[]): readonly Service[] {
  return random.chance(0.5) ? services : [random.pick(services)];
}

function someDirection(random: Random): Direction {
  return random.pick(['both', 'both', 'out', 'in']);
}

function faults(
  random: Random,
  { faultsMs }: Scale,
  size: Pick<Plan, 'nodes' | 'workers' | 'gateways' | 'supervisors'>,
): PlanStep[] {
  const kinds = Object.values(FAULTS).filter(() => random.chance(0.6));
  if (kinds.length === 0) return [];
  const steps: PlanStep[] = [];
  const meanMs = random.pick([3_000, 8_000, 20_000]);
  for (let atMs = random.below(meanMs * 2); atMs < faultsMs; atMs += 1 + random.below(meanMs * 2))
    steps.push({ ...random.pick(kinds)(random, size), atMs });
  return steps;
}

type Size = Pick<Plan, 'nodes' | 'workers' | 'gateways' | 'supervisors'>;

const FAULTS: Readonly<Record<string, (random: Random, size: Size) => Fault>> = {
  crashNode: (random, { nodes }) => ({
    kind: 'crash node',
    node: random.below(nodes),
    downMs: random.pick([100, 3_000, 15_000]),
    newName: random.chance(0.5),
  }),
  pauseNode: (random, { nodes }) => ({ kind: 'pause node', node: random.below(nodes), forMs: duration(random) }),
  redeployNode: (random, { nodes }) => ({
    kind: 'redeploy node',
    node: random.below(nodes),
    downMs: random.below(5_000),
  }),
  cutNode: (random, { nodes }) => ({
    kind: 'cut node',
    node: random.below(nodes),
    services: someServices(random),
    direction: someDirection(random),
    forMs: duration(random),
  }),
  stepClock: (random, { nodes }) => ({
    kind: 'step clock',
    node: random.below(nodes),
    byMs: random.pick([-3_600_000, -4_000, -900, -60, 60, 900, 4_000]),
    forMs: duration(random),
  }),
  crashWorker: (random, { workers }) => ({
    kind: 'crash worker',
    worker: random.below(workers),
    downMs: random.pick([100, 5_000]),
  }),
  stopWorker: (random, { workers }) => ({ kind: 'stop worker', worker: random.below(workers), downMs: 1_000 }),
  pauseWorker: (random, { workers }) => ({
    kind: 'pause worker',
    worker: random.below(workers),
    forMs: duration(random),
  }),
  cutWorker: (random, { workers }) => ({
    kind: 'cut worker',
    worker: random.below(workers),
    services: allOrOneOf(random, ['work', 'messages']),
    direction: someDirection(random),
    forMs: duration(random),
  }),
  crashGateway: (random, { gateways }) => ({
    kind: 'crash gateway',
    gateway: random.below(gateways),
    downMs: random.pick([100, 5_000]),
  }),
  pauseGateway: (random, { gateways }) => ({
    kind: 'pause gateway',
    gateway: random.below(gateways),
    forMs: duration(random),
  }),
  cutGateway: (random, { gateways }) => ({
    kind: 'cut gateway',
    gateway: random.below(gateways),
    services: allOrOneOf(random, ['inbox', 'work', 'messages']),
    direction: someDirection(random),
    forMs: duration(random),
  }),
  crashSupervisor: (random, { supervisors }) => ({
    kind: 'crash supervisor',
    supervisor: random.below(supervisors),
    downMs: random.pick([100, 8_000]),
  }),
  pauseSupervisor: (random, { supervisors }) => ({
    kind: 'pause supervisor',
    supervisor: random.below(supervisors),
    forMs: duration(random),
  }),
  cutSupervisor: (random, { supervisors }) => ({
    kind: 'cut supervisor',
    supervisor: random.below(supervisors),
    services: allOrOneOf(random, ['leases', 'messages', 'work']),
    direction: someDirection(random),
    forMs: duration(random),
  }),
  slowStore: (random) => ({ kind: 'slow store', byMs: random.pick([50, 500, 3_000]), forMs: duration(random) }),
  failingStore: (random) => ({ kind: 'failing store', share: random.pick([0.2, 0.5, 1]), forMs: duration(random) }),
  loseWorkStream: () => ({ kind: 'lose work stream' }),
  restartBroker: (random) => ({ kind: 'restart broker', downMs: random.pick([20, 500, 3_000, 15_000]) }),
  badWeather: (random) => ({
    kind: 'bad weather',
    loss: random.pick([0, 0.02, 0.2]),
    duplication: random.pick([0, 0.05, 0.3]),
    delay: random.pick([0, 0.1, 0.5]),
    delayMs: random.pick([50, 500, 5_000]),
    forMs: duration(random),
  }),
};
