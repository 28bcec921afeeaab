import { createRequire } from 'node:module';
import path from 'node:path';

import { TimerTable } from '@belfry/timing';

import { installPackages } from '../systems/peer-packages.ts';
import { Random, START_MS, timed, YEAR_MS } from './fleet.ts';
import { HARD, hardNext } from './next-fire.ts';
import { figure, type Figure, type Say } from './report.ts';

const CRON_PACKAGES = { croner: '11.0.1', 'cron-parser': '5.10.6' } as const;

interface Croner {
  Cron: new (cron: string, options: { timezone: string; paused: boolean }) => { nextRun(after: Date): Date | null };
}

interface CronParser {
  CronExpressionParser: {
    parse(cron: string, options: { currentDate: Date; tz: string }): { next(): { getTime(): number } };
  };
}

/** The same work by what one would use otherwise, as ratios: others' time by ours. */
export async function otherFigures(tasks: number, quick: boolean, say: Say): Promise<Figure[]> {
  return [
    ...(await cronFigures(quick, say)),
    ...heapFigures(Math.min(tasks, 10_000_000)),
    ...timeoutFigures(Math.min(tasks, 1_000_000)),
  ];
}

async function cronFigures(quick: boolean, say: Say): Promise<Figure[]> {
  let folder: string;
  try {
    folder = await installPackages('bench-cron', CRON_PACKAGES, say);
  } catch (error) {
    say(`croner and cron-parser are skipped: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
  const load = createRequire(path.join(folder, 'package.json'));
  const { Cron } = load('croner') as Croner;
  const { CronExpressionParser } = load('cron-parser') as CronParser;
  const asks = quick ? 5 : 200;
  const engines: readonly (readonly [string, (cron: string, timezone: string) => (afterMs: number) => unknown])[] = [
    ['Belfry', hardNext],
    [
      'croner',
      (cron, timezone) => {
        const job = new Cron(cron, { timezone, paused: true });
        return (after) => job.nextRun(new Date(after));
      },
    ],
    [
      'cron-parser',
      (cron, tz) => (after) => CronExpressionParser.parse(cron, { currentDate: new Date(after), tz }).next(),
    ],
  ];
  const micros = engines.map(([name, engine]) => {
    const each: number[] = [];
    let refused = 0;
    for (const [cron, timezone] of HARD) {
      const random = new Random(5);
      try {
        const next = engine(cron, timezone);
        next(START_MS);
        const run = timed(() => {
          for (let ask = 0; ask < asks; ask++) next(START_MS + random.next() * 7);
        });
        each.push((run.cpuMs / asks) * 1_000);
      } catch {
        refused++;
      }
    }
    say(`${name}: ${each.map((time) => time.toFixed(1)).join(' ')} µs; refused or gave up: ${refused}`);
    return { mean: each.reduce((sum, time) => sum + time, 0) / each.length, refused };
  });
  const [ours, ...others] = micros as [{ mean: number; refused: number }, ...{ mean: number; refused: number }[]];
  return others.map(({ mean, refused }, at) => {
    const name = (engines[at + 1] as (typeof engines)[number])[0];
    const gaveUp = refused === 0 ? '' : `, without ${refused} of ${HARD.length} that it does not answer`;
    return figure(`next fire uncached by ${name} (${mean.toFixed(1)} µs${gaveUp}) / ours`, mean / ours.mean, '×');
  });
}

/** A binary heap of due time and slot in typed arrays: no cancel, no ids. */
class Heap {
  readonly due: Float64Array;
  readonly slots: Int32Array;
  size = 0;

  constructor(capacity: number) {
    this.due = new Float64Array(capacity);
    this.slots = new Int32Array(capacity);
  }

  push(slot: number, due: number): void {
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((this.due[parent] as number) <= due) break;
      this.due[at] = this.due[parent] as number;
      this.slots[at] = this.slots[parent] as number;
      at = parent;
    }
    this.due[at] = due;
    this.slots[at] = slot;
  }

  /** Puts another due time in place of the first's. */
  replaceFirst(due: number): void {
    const slot = this.slots[0] as number;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.size) break;
      if (child + 1 < this.size && (this.due[child + 1] as number) < (this.due[child] as number)) child++;
      if ((this.due[child] as number) >= due) break;
      this.due[at] = this.due[child] as number;
      this.slots[at] = this.slots[child] as number;
      at = child;
    }
    this.due[at] = due;
    this.slots[at] = slot;
  }
}

function heapFigures(timers: number): Figure[] {
  const random = new Random(11);
  const dues = Float64Array.from({ length: timers }, () => START_MS + Math.floor((random.next() / 2 ** 32) * YEAR_MS));
  const heap = new Heap(timers);
  const heapInsert = timed(() => dues.forEach((due, slot) => heap.push(slot, due)));
  const table = new TimerTable({ tickMs: 1, startMs: START_MS });
  const wheel = table.wheel;
  wheel.ensureCapacity(timers);
  const wheelInsert = timed(() => dues.forEach((due, slot) => wheel.insert(slot, due)));
  const until = START_MS + YEAR_MS / 10;
  let popped = 0;
  const heapFires = timed(() => {
    for (; (heap.due[0] as number) <= until; popped++) heap.replaceFirst((heap.due[0] as number) + YEAR_MS);
  });
  let fired = 0;
  const wheelFires = timed(() => {
    for (let now = START_MS; now < until; now += 1_000)
      fired += wheel.advance(now, (slot) => wheel.insert(slot, wheel.dueOf(slot) + YEAR_MS));
  });
  const count = timers.toLocaleString('en');
  return [
    figure(`insert: binary heap / wheel, ${count} timers`, heapInsert.cpuMs / wheelInsert.cpuMs, '×'),
    figure(
      `fire + reschedule: binary heap / wheel, ${count} timers`,
      heapFires.cpuMs / popped / (wheelFires.cpuMs / fired),
      '×',
    ),
  ];
}

function timeoutFigures(timers: number): Figure[] {
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const random = new Random(13);
  const handles: NodeJS.Timeout[] = [];
  const nothing = (): void => undefined;
  const set = timed(() => {
    for (let at = 0; at < timers; at++) handles.push(setTimeout(nothing, 1e6 + (random.next() % 1e9)));
  });
  globalThis.gc?.();
  const bytes = (process.memoryUsage().heapUsed - before) / timers;
  const clear = timed(() => handles.forEach((handle) => clearTimeout(handle)));
  const table = new TimerTable({ tickMs: 1, startMs: 0 });
  table.wheel.ensureCapacity(timers);
  const insert = timed(() => {
    for (let slot = 0; slot < timers; slot++) table.wheel.insert(slot, 1e6 + (random.next() % 1e9));
  });
  const cancel = timed(() => {
    for (let slot = 0; slot < timers; slot++) table.wheel.cancel(slot);
  });
  const count = timers.toLocaleString('en');
  return [
    figure(`insert: setTimeout / wheel, ${count} timers`, set.cpuMs / insert.cpuMs, '×'),
    figure(`cancel: clearTimeout / wheel, ${count} timers`, clear.cpuMs / cancel.cpuMs, '×'),
    figure('bytes of a setTimeout', bytes, 'B'),
  ];
}
