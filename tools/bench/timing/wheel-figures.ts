import { TimerTable, type TimerSnapshot } from '@belfry/timing';

import {
  Fleet,
  Random,
  PILE_LASTS_MS,
  PILE_MS,
  PILE_SECOND_MS,
  SHARDS,
  START_MS,
  TICK_MS,
  timed,
  cpuMs,
  YEAR_MS,
} from './fleet.ts';
import { figure, type Figure, type Say } from './report.ts';
import { copied, SnapshotFile } from './snapshot-file.ts';

/** Before and after the pile, the simulated year goes by ten minutes' worth of ticks at once: more work than a tick ever has. */
const STEP_MS = 600_000;
const QUICK_STEP_MS = 86_400_000;
/** The cascades of so long before the pile are looked at tick by tick. */
const BEFORE_PILE_MS = 60_000;
/** The rate at which a node is to fire and arm again. */
const FIRES_A_SECOND = 2_000_000;
const IDLE_TICKS = 2_000;
/** What a tick may take. */
const MOST_MS = 10;
/** As `Turns` ends a tick. */
const TICK_WORK_MS = 8;

export function wheelFigures(timers: number, quick: boolean, say: Say): Figure[] {
  collect();
  const before = process.memoryUsage().rss;
  const fleet = new Fleet();
  const figures: Figure[] = [];
  let clock = START_MS;
  let insertCpuMs = 0;
  for (const [name, share] of [
    ['1/100', 0.01],
    ['1/10', 0.1],
    ['all', 1],
  ] as const) {
    insertCpuMs += timed(() => fleet.insert(Math.round(timers * share) - fleet.size)).cpuMs;
    const idleTicks = (): void => {
      for (let tick = 0; tick < IDLE_TICKS; tick++) fleet.tick((clock += TICK_MS));
    };
    idleTicks(); // right after the inserts, caches and code are cold
    const idle = timed(idleTicks);
    const waiting = fleet.size.toLocaleString('en');
    figures.push(figure(`CPU of a tick of all shards, ${waiting} waiting`, (idle.cpuMs / IDLE_TICKS) * 1_000, 'µs'));
    say(`${waiting} timers (${name})`);
  }
  collect();
  const resident = process.memoryUsage().rss - before;
  figures.unshift(
    figure('bytes a timer: ids, index, schedule, state, wheel', fleet.memoryBytes / timers, 'B', { atMost: 48 }),
    figure('the same as growth of the resident set', resident / timers, 'B', { atMost: 48 }),
    figure('inserts into memory fresh from the system', timers / insertCpuMs / 1_000, 'M/s', { atLeast: 5 }),
  );
  const cleared = fleet.clear(SHARDS / 8);
  const again = timed(() => fleet.insert(cleared, SHARDS / 8));
  figures.splice(3, 0, figure('inserts into memory used before', cleared / again.cpuMs / 1_000, 'M/s', { atLeast: 5 }));
  say('inserted again what was cancelled');
  figures.push(...snapshotFigures(fleet));
  say('encoded and loaded');
  figures.push(...yearFigures(fleet, clock, quick, say), ...busyFigures(fleet, say));
  return figures;
}

/**
 * A shard at a time. A load takes over the memory of its snapshot, so that each needs one of its own: those are encoded into fresh memory, and
 * copied from foreign buffers, and written to a file and read again, before they are loaded.
 */
function snapshotFigures(fleet: Fleet): Figure[] {
  const tables = fleet.tables.slice(0, SHARDS / 8);
  const timers = tables.reduce((sum, { size }) => sum + size, 0);
  const spent = { over: 0, fresh: 0, adopt: 0, copy: 0, file: 0 };
  let earlier = tables[0]?.encode();
  const file = new SnapshotFile();
  for (const table of tables) {
    spent.over += timed(() => (earlier = table.encode(earlier))).cpuMs;
    for (const source of ['fresh', 'copy', 'file'] as const) {
      let snapshot = earlier as TimerSnapshot;
      if (source === 'file') file.write(snapshot);
      spent[source] += timed(() => {
        snapshot = source === 'fresh' ? table.encode() : source === 'copy' ? copied(snapshot) : file.read(snapshot);
      }).cpuMs;
      const loaded = new TimerTable({ tickMs: 1, startMs: START_MS });
      const { cpuMs: took } = timed(() => loaded.load(snapshot));
      if (source === 'fresh') spent.adopt += took;
      else spent[source] += took;
    }
  }
  file.close();
  const rate = (ms: number): number => timers / ms / 1_000;
  return [
    figure('snapshot: encode, over an earlier one', rate(spent.over), 'M/s', { atLeast: 10 }),
    figure('snapshot: encode into memory fresh from the system', rate(spent.fresh), 'M/s'),
    figure('snapshot: load, its memory becomes the table', rate(spent.adopt), 'M/s', { atLeast: 10 }),
    figure('snapshot: load of a copy in fresh memory, with the copying', rate(spent.copy), 'M/s'),
    figure('snapshot: load from a file in the page cache, with the reading', rate(spent.file), 'M/s'),
  ];
}

interface Worst {
  ms: number;
  what: string;
}

/**
 * Watches ticks: the worst by the wall clock (others' work and pauses included), and by what a tick took by both clocks, this and the
 * thread's CPU time. Time that the host of a virtual machine takes away may be in both: `machinesOwn` shows it.
 */
class Ticks {
  readonly wall: Worst = { ms: 0, what: '' };
  readonly own: Worst = { ms: 0, what: '' };
  fired = 0;
  count = 0;
  tooLong = 0;

  run(fleet: Pick<Fleet, 'tick'>, nowMs: number, where: string): void {
    const wall = performance.now();
    const cpu = cpuMs();
    const fired = fleet.tick(nowMs);
    const cpuTook = cpuMs() - cpu;
    const wallTook = performance.now() - wall;
    const ownTook = Math.min(cpuTook, wallTook);
    this.fired += fired;
    this.count++;
    if (ownTook > MOST_MS) this.tooLong++;
    const what = (): string => `${where}, ${new Date(nowMs).toISOString()}, ${fired} fired`;
    if (wallTook > this.wall.ms) Object.assign(this.wall, { ms: wallTook, what: what() });
    if (ownTook > this.own.ms) Object.assign(this.own, { ms: ownTook, what: what() });
  }
}

/**
 * What the machine itself makes of ticks that end as a node's do, by the clock after 8 ms, and have nothing of timers in them: one kind reads and
 * writes records in the memory of the timers, in no order, one only counts. What is beyond 8 ms is not the wheel's, and of about as many ticks no
 * worst one can be better.
 */
function machinesOwn(fleet: Fleet, seconds: number): Figure[] {
  const random = new Random(17);
  let counted = 0;
  const touch = (): void => {
    const { lists } = (fleet.tables[random.next() & (SHARDS - 1)] as TimerTable).wheel;
    for (let times = 0; times < 100; times++) {
      const at = Math.floor((random.next() / 2 ** 32) * lists.capacity) * 4;
      lists.words[at] = lists.words[at] as number;
    }
  };
  const count = (): void => {
    for (let times = 0; times < 5_000; times++) counted = (counted + times) | 0;
  };
  return (
    [
      ['touching the memory of the timers', touch],
      ['counting', count],
    ] as const
  ).map(([name, act]) => {
    const ticks = new Ticks();
    const tick = (): number => {
      for (const endMs = performance.now() + TICK_WORK_MS; performance.now() < endMs;) act();
      return counted & 0;
    };
    for (const endMs = performance.now() + seconds * 1_000; performance.now() < endMs;) ticks.run({ tick }, 0, name);
    const [beyond, of] = [ticks.tooLong, ticks.count].map((number) => number.toLocaleString('en'));
    return figure(`control: worst 8 ms of ${name}, by both clocks (${beyond} of ${of} beyond 10)`, ticks.own.ms, 'ms');
  });
}

function yearFigures(fleet: Fleet, startMs: number, quick: boolean, say: Say): Figure[] {
  const ticks = new Ticks();
  let now = startMs;
  const stepMs = quick ? QUICK_STEP_MS : STEP_MS;
  const stepTo = (untilMs: number): void => {
    while (now < untilMs) {
      now = Math.min(untilMs, now + stepMs);
      do ticks.run(fleet, now, 'ten minutes at once');
      while (!fleet.isDone);
    }
  };
  const before = timed(() => stepTo(quick ? PILE_SECOND_MS - BEFORE_PILE_MS : PILE_MS - BEFORE_PILE_MS));
  say(`before the pile: ${ticks.fired.toLocaleString('en')} fires`);
  const ofPile = -ticks.fired;
  while (now < (quick ? PILE_SECOND_MS + 2_000 : PILE_MS + PILE_LASTS_MS)) {
    const inSecond = now >= PILE_SECOND_MS && now < PILE_SECOND_MS + 1_000;
    const where = now < PILE_MS ? 'cascades before the pile' : inSecond ? 'the pile of one second' : 'the pile';
    ticks.run(fleet, (now += TICK_MS), where);
  }
  const fired = ofPile + ticks.fired;
  say(`the pile: ${fired.toLocaleString('en')} fires`);
  const after = timed(() => stepTo(START_MS + YEAR_MS));
  say(`a year: ${ticks.fired.toLocaleString('en')} fires`);
  const rate = (ticks.fired - fired) / (before.cpuMs + after.cpuMs) / 1_000;
  return [
    figure('fires + reschedules, each timer once a year', rate, 'M/s', { atLeast: 2 }),
    figure(`worst tick of the year, by both clocks (${ticks.own.what})`, ticks.own.ms, 'ms', { atMost: MOST_MS }),
    figure(`worst tick of the year, wall clock (${ticks.wall.what})`, ticks.wall.ms, 'ms'),
    figure(`ticks of the year beyond 10 ms by both clocks, of ${ticks.count.toLocaleString('en')}`, ticks.tooLong, ''),
    ...machinesOwn(fleet, quick ? 1 : 60),
  ];
}

/** So many fires a second that 2 million are the rate: what a tick costs when there is much in it. */
function busyFigures(fleet: Fleet, say: Say): Figure[] {
  const intervalMs = (fleet.size / FIRES_A_SECOND) * 1_000;
  const startMs = START_MS + YEAR_MS;
  const ticks = new Ticks();
  const anew = timed(() => fleet.speedUp(startMs, intervalMs));
  say(`armed anew: ${(fleet.size / anew.cpuMs / 1_000).toPrecision(3)} M/s`);
  const { cpuMs: took } = timed(() => {
    for (let now = startMs; now < startMs + intervalMs;) ticks.run(fleet, (now += TICK_MS), 'busy');
  });
  say(`busy: ${ticks.fired.toLocaleString('en')} fires`);
  const each = (intervalMs / 1_000).toPrecision(2);
  const rate = ticks.fired / took / 1_000;
  return [
    figure(`fires + reschedules, each timer every ${each} s or more`, rate, 'M/s', { atLeast: 2 }),
    figure('worst tick at 2 million fires a second, by both clocks', ticks.own.ms, 'ms', { atMost: MOST_MS }),
    figure(`such ticks beyond 10 ms, of ${ticks.count.toLocaleString('en')}`, ticks.tooLong, ''),
  ];
}

function collect(): void {
  globalThis.gc?.();
}
