import { LIMITS } from '@belfry/protocol';
import type { FireCounters, HistoryRow } from '@belfry/ports';

/**
 * What became of every fire that came due: kept in two places that do not know of each other, so that a fire that is lost between them shows.
 *
 * L1. `expected` counts fires as their instants pass: when the wheel hands a timer out, when a proof shows that one has passed before
 *     that, and, of those that a policy or a command passes over, by asking the schedule. Where they go from there is counted where they
 *     come to: `expected` is what waits in the backlog plus `fired`, `skipped`, `withdrawn` and `missed`, at every moment.
 * L2. `fired` is `finished` plus the executions under way.
 * L3. Of a recurring task the first due fire is counted, and the next one when that has gone: `expected` runs behind the schedules by
 *     what lies behind a waiting task.
 * L4. A checkpoint has what the backlog does not: a load puts what was waiting there into the wheel, which hands it out again.
 */
export class Ledger {
  expected = 0;
  fired = 0;
  finished = 0;
  dead = 0;
  failed = 0;
  cancelled = 0;
  skipped = 0;
  withdrawn = 0;
  missed = 0;
  readonly #found = new Set<string>();

  constructor(counters: FireCounters) {
    Object.assign(this, counters);
    const { fired, skipped, withdrawn, missed } = this;
    this.expected = fired + skipped + withdrawn + missed; // L4
  }

  /** The fires of a task from one that is expected already on; the schedule tells how many. */
  skip(count: number): void {
    this.expected += count - 1;
    this.skipped += count;
  }

  /** The same for fires that a command takes back; `expected` tells whether the first of them was. */
  withdraw(count: number, isExpected: boolean): void {
    this.expected += isExpected ? count - 1 : count;
    this.withdrawn += count;
  }

  /** A fire that the audit has found in no place: counted once, of as many as are remembered. Returns whether it is new. */
  miss({ task, scheduledAt }: { readonly task: string; readonly scheduledAt: number }): boolean {
    const name = `${task} ${scheduledAt}`;
    if (this.#found.has(name) || this.#found.size >= LIMITS.auditFindings) return false;
    this.#found.add(name);
    this.expected++;
    this.missed++;
    return true;
  }

  finish(how: HistoryRow['state']): void {
    this.finished++;
    if (how === 'dead') this.dead++;
    else if (how === 'cancelled') this.cancelled++;
    else if (how !== 'succeeded') this.failed++;
  }

  /** Fires that are expected and nowhere, `waiting` being in the backlog; below 0 are fires that nobody expected. */
  imbalance(waiting: number): number {
    return this.expected - (waiting + this.fired + this.skipped + this.withdrawn + this.missed);
  }

  /** As a checkpoint has it: what does not balance is missed from then on. */
  counters(waiting: number): FireCounters {
    const { fired, finished, dead, failed, cancelled, skipped, withdrawn } = this;
    const missed = this.missed + Math.abs(this.imbalance(waiting));
    return { fired, finished, dead, failed, cancelled, skipped, withdrawn, missed };
  }

  print(waiting: number): string {
    const { expected, fired, finished, dead, skipped, withdrawn, missed } = this;
    return `expected ${expected}, waiting ${waiting}, fired ${fired}, finished ${finished}, dead ${dead}, skipped ${skipped}, withdrawn ${withdrawn}, missed ${missed}`;
  }
}
