import type { StoredSlot } from '@belfry/ports';
import { ComposedSchedule, hash32, parseCanonical, slotsOf, withSlot, type Schedule } from '@belfry/timing';

const MINUTES_A_DAY = 1_440;
const MINUTE_MS = 60_000;

/**
 * The minutes of the day that were chosen for schedules with a window (`between`), by the UTC day of now: so that each new task gets one of
 * the emptiest. What other gateways have given meanwhile is known after the next `load`; an even spread does not need to be exact.
 */
export class Slots {
  #counts = new Float64Array(MINUTES_A_DAY);

  /** What is stored is all that is known. */
  load(stored: readonly StoredSlot[], nowMs: number): void {
    const counts = new Float64Array(MINUTES_A_DAY);
    for (const { schedule: text, tasks } of stored) {
      const schedule = readCanonical(text);
      if (schedule?.kind !== 'composed') continue;
      const minute = firstMinute(schedule, nowMs);
      if (minute !== undefined) add(counts, minute + (schedule.parts.slot ?? 0), tasks);
    }
    this.#counts = counts;
  }

  /** The schedule at the emptiest minute of its window; of several, the task's id decides. */
  place(schedule: Schedule, taskId: string, nowMs: number): Schedule {
    const size = slotsOf(schedule);
    const first = firstMinute(schedule, nowMs) ?? 0;
    let fewest = Infinity;
    let emptiest: number[] = [];
    for (let slot = 0; slot < size; slot++) {
      const count = this.#counts[(first + slot) % MINUTES_A_DAY] as number;
      if (count > fewest) continue;
      if (count < fewest) emptiest = [];
      fewest = count;
      emptiest.push(slot);
    }
    const slot = emptiest[hash32(taskId) % emptiest.length] ?? 0;
    add(this.#counts, first + slot, 1);
    return withSlot(schedule, slot, { nowMs });
  }
}

function add(counts: Float64Array, minute: number, tasks: number): void {
  const at = minute % MINUTES_A_DAY;
  counts[at] = (counts[at] as number) + tasks;
}

/** The minute of the UTC day of a window's first minute, when it comes next; undefined when it does not. */
function firstMinute(schedule: Schedule, nowMs: number): number | undefined {
  if (schedule.kind !== 'composed') return undefined;
  const first = new ComposedSchedule({ ...schedule.parts, slot: 0, limit: undefined, untilMs: undefined });
  const atMs = first.instant(nowMs, { createdMs: nowMs, seed: 0 });
  return atMs === Infinity ? undefined : Math.floor(atMs / MINUTE_MS) % MINUTES_A_DAY;
}

function readCanonical(text: string): Schedule | undefined {
  try {
    return parseCanonical(text);
  } catch {
    return undefined; // of a zone that this machine does not know
  }
}
