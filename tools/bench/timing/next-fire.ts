import { Interned } from '@belfry/shard';
import { nextFire, parseSchedule, type Schedule } from '@belfry/timing';

import { Random, SCHEDULES, START_MS, timed } from './fleet.ts';
import { figure, type Figure, type Say } from './report.ts';

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Pacific/Chatham', 'Australia/Lord_Howe'];

const TASK = { createdMs: START_MS, seed: 1 };
const NO_CALENDARS = (): undefined => undefined;

/** Expressions of which an engine that goes step by step suffers, or that are sparse. */
export const HARD = [
  ['0 0 29 2 *', 'America/New_York'],
  ['0 0 29 2 MON', 'Europe/London'],
  ['59 59 23 31 12 *', 'Asia/Kolkata'],
  ['*/15 * * * *', 'Pacific/Chatham'],
  ['30 2 * * *', 'America/New_York'],
  ['0 2 * * SUN', 'Australia/Lord_Howe'],
  ['0 12 L 2 *', 'Africa/Casablanca'],
  ['0 9 15W * *', 'Europe/Berlin'],
  ['0 9 * * FRI#5', 'Asia/Tokyo'],
  ['*/7 * * * * *', 'Antarctica/Troll'],
] as const;

/** Cron tasks that share schedules: each asks for its next fire at its fire, as the shards do. */
export function nextFireFigures(tasks: number, say: Say): Figure[] {
  const interned = new Interned();
  const refs = schedules().map((canonical) => interned.schedules.take(canonical));
  const random = new Random(7);
  const byRef = new Uint32Array(refs.length);
  for (let task = 0; task < tasks; task++) {
    const ref = random.next() % refs.length;
    byRef[ref] = (byRef[ref] as number) + 1;
  }
  // Each task's first fire, asked for at its creation, in the order of creation; then every fire of two hours, in the order of time.
  const first = timed(() => {
    for (let task = 0; task < tasks; task++)
      interned.schedules
        .get(refs[random.next() % refs.length] as number)
        .next(START_MS + (task & 0xffff), START_MS, task, NO_CALENDARS);
  });
  let fires = 0;
  const advance = timed(() => {
    for (const [at, ref] of refs.entries()) {
      if (byRef[at] === 0) continue;
      const shared = interned.schedules.get(ref);
      for (let now = shared.next(START_MS, START_MS, at, NO_CALENDARS); now < START_MS + 7_200_000;) {
        let next = now;
        for (let task = byRef[at] as number; task > 0; task--) next = shared.next(now, START_MS, task, NO_CALENDARS);
        fires += byRef[at] as number;
        now = next;
      }
    }
  });
  say(
    `${tasks.toLocaleString('en')} cron tasks on ${refs.length.toLocaleString('en')} schedules: ${fires.toLocaleString('en')} fires`,
  );
  const mix = `${tasks.toLocaleString('en')} cron tasks on ${refs.length.toLocaleString('en')} schedules`;
  return [
    figure(`next fire at creation, ${mix}`, (first.cpuMs / tasks) * 1_000, 'µs', { atMost: 2 }),
    figure(`next fire at each fire, ${mix}`, (advance.cpuMs / fires) * 1_000, 'µs', { atMost: 2 }),
    ...uncached(),
  ];
}

/** Distinct ones in several zones: most daily or hourly at some minute, some every few minutes. */
function schedules(): string[] {
  const texts: string[] = [];
  for (let at = 0; at < SCHEDULES; at++) {
    const cron = at % 10 === 0 ? `${(at / 10) % 60}/15 * * * *` : `${at % 60} ${Math.floor(at / 60) % 24} * * *`;
    const usual =
      at % 10 === 1
        ? `${at % 60} * * * *`
        : cron.replace(/^(\d+)\/15/, (_all, from: string) => `${Number(from) % 15}-59/15`);
    texts.push(read(usual, ZONES[Math.floor(at / 1_440) % ZONES.length] as string, at).canonical);
  }
  return texts;
}

function read(cron: string, timezone: string, second = 0): Schedule {
  const reading = parseSchedule({ cron: second === 0 ? cron : `${second % 60} ${cron}`, timezone });
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule;
}

function uncached(): Figure[] {
  let worst = { micros: 0, what: '' };
  let sum = 0;
  for (const [cron, timezone] of HARD) {
    const schedule = read(cron, timezone);
    const asks = 20_000;
    const random = new Random(3);
    const run = (): void => {
      // Instants over 20 years, so that nothing is as it was in the call before.
      for (let ask = 0; ask < asks; ask++) nextFire(schedule, START_MS + random.next() * 146, TASK);
    };
    run();
    const micros = (timed(run).cpuMs / asks) * 1_000;
    sum += micros;
    if (micros > worst.micros) worst = { micros, what: `${cron}, ${timezone}` };
  }
  return [
    figure('next fire, uncached, mean of hard expressions', sum / HARD.length, 'µs', { atMost: 3 }),
    figure(`next fire, uncached, the hardest (${worst.what})`, worst.micros, 'µs', { atMost: 3 }),
  ];
}

/** For others: the same expressions, by this engine. */
export function hardNext(cron: string, timezone: string): (afterMs: number) => number {
  const schedule = read(cron, timezone);
  return (afterMs) => nextFire(schedule, afterMs, TASK);
}
