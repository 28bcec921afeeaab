import type { CrontabEntry, CrontabProblem } from './parse.ts';

/** What the import needs of the schedule engine. */
export interface ScheduleEngine {
  /** The coming fires after `from`, in ms, up to `count`; throws an error with a message for people when there is no such schedule. */
  next(cron: string, timezone: string, from: number, count: number): readonly number[];
}

export interface CheckedEntry {
  readonly entry: CrontabEntry;
  readonly timezone: string;
  /** Coming fires in ms. */
  readonly next: readonly number[];
}

const SHOWN = 3;

/** Asks the engine when each line fires; what can't be read, or never fires, becomes an error at the field to blame. */
export function checkSchedules(
  entries: readonly CrontabEntry[],
  engine: ScheduleEngine,
  localZone: string,
  now: number,
): { readonly good: CheckedEntry[]; readonly problems: CrontabProblem[] } {
  const good: CheckedEntry[] = [];
  const problems: CrontabProblem[] = [];
  for (const entry of entries) {
    const timezone = entry.timezone ?? localZone;
    try {
      const next = engine.next(entry.schedule, timezone, now, SHOWN);
      if (next.length > 0) {
        good.push({ entry, timezone, next });
        continue;
      }
      problems.push(problemAt(entry, entry.fields[0]?.column ?? 1, `${entry.schedule} never fires`));
    } catch (error) {
      problems.push(blame(entry, timezone, engine, now, (error as Error).message));
    }
  }
  return { good, problems };
}

function problemAt(entry: CrontabEntry, column: number, message: string): CrontabProblem {
  return { severity: 'error', line: entry.line, column, message };
}

function readable(engine: ScheduleEngine, cron: string, timezone: string, now: number): string | undefined {
  try {
    engine.next(cron, timezone, now, 1);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Finds the piece that is wrong by asking about one at a time: the zone, then each field among stars. */
function blame(
  entry: CrontabEntry,
  timezone: string,
  engine: ScheduleEngine,
  now: number,
  message: string,
): CrontabProblem {
  const start = entry.fields[0]?.column ?? 1;
  const zoneProblem = readable(engine, '* * * * *', timezone, now);
  if (zoneProblem !== undefined) return problemAt(entry, start, zoneProblem);
  for (const [i, field] of entry.fields.entries()) {
    if (entry.fields.length === 1) break;
    const alone = entry.fields.map((_piece, j) => (i === j ? field.text : '*')).join(' ');
    const problem = readable(engine, alone, 'UTC', now);
    if (problem !== undefined) return problemAt(entry, field.column, problem);
  }
  return problemAt(entry, start, message);
}
