import type { CalendarRow, Facts, UnwatchedRow } from '@belfry/ports';
import {
  catchUpOf,
  decodeTarget,
  LIMITS,
  type ExecutionView,
  type ExplainedFire,
  type ExplainReply,
  type Reason,
  type TaskView,
  type Target,
  type Verdict,
} from '@belfry/protocol';
import { beforeLatestFires } from '@belfry/timing';

import { sourceOf } from './calendars.ts';
import { explainAbsence, scheduleNotes } from './explain-absence.ts';
import { explainRun, inLine, skippedReason, type RunContext } from './explain-run.ts';
import { Fires, periodsOf, type Period } from './task-life.ts';
import { iso, scheduleFields, storedExecutionView } from './views.ts';

/** All that an explanation rests on. */
export interface ExplainInput {
  readonly id: string;
  readonly namespace: string;
  readonly shard: number;
  readonly facts: Facts;
  /** The word of the task's shard; undefined when it does not know it, or does not answer. */
  readonly live: TaskView | undefined;
  readonly calendars: readonly CalendarRow[];
  readonly fromMs: number;
  readonly toMs: number;
  readonly nowMs: number;
  /** Fires to tell: the latest of more. */
  readonly limit: number;
}

interface DueFire {
  readonly atMs: number;
  /** Undefined for an execution of a schedule that is not known any more. */
  readonly period: Period | undefined;
}

/**
 * Why a task did or did not run in a span of time: each fire that its schedules had, held against what is recorded of it. What nothing
 * tells of is `missed`, unless there is a reason why nothing would.
 *
 * @throws RangeError when the span has more than `LIMITS.explainLooks` fires.
 */
export function explain(input: ExplainInput): ExplainReply {
  const { id, namespace, facts, live, fromMs, toMs, nowMs, limit } = input;
  const periods = periodsOf(facts, live, nowMs);
  const calendars = sourceOf(input.calendars);
  const fires = new Fires(id, calendars);
  const runs = runsOf(facts, live, fromMs, toMs);
  const due = dueFires(periods, fires, runs, fromMs, toMs);
  const told = due.slice(-limit);
  const state = live?.state ?? facts.task?.ended?.state ?? (facts.task === undefined ? 'gone' : 'waiting');
  const key = facts.task?.key ?? live?.key;
  const absence = due.length > 0 ? undefined : explainAbsence({ periods, fires, calendars, namespace, fromMs, toMs });
  const explainer = new FireExplainer(input, fires, runs);
  return {
    id,
    namespace,
    ...(key === undefined ? {} : { key }),
    state,
    from: iso(fromMs),
    to: iso(toMs),
    life: lifeOf(periods),
    owners: facts.owners
      .filter(({ at }) => at >= fromMs && at <= toMs)
      .map(({ at, node, epoch }) => ({ at: iso(at), node, epoch })),
    fires: told.map((fire) => explainer.explain(fire)),
    more: told.length < due.length,
    ...(absence === undefined
      ? {}
      : {
          absence: {
            reasons: absence.reasons,
            ...(absence.previousMs === undefined ? {} : { previous: iso(absence.previousMs) }),
            ...(absence.nextMs === undefined ? {} : { next: iso(absence.nextMs) }),
          },
        }),
    asOf: iso(facts.asOf),
  };
}

/** Executions in the span by scheduledAt. What is over is told by Postgres, what is under way by its shard. */
function runsOf(
  { executions }: Facts,
  live: TaskView | undefined,
  fromMs: number,
  toMs: number,
): ReadonlyMap<number, ExecutionView> {
  const runs = new Map<number, ExecutionView>();
  const isWithin = (atMs: number): boolean => atMs >= fromMs && atMs <= toMs;
  for (const stored of executions) {
    const { scheduledAt } = stored.row;
    if (isWithin(scheduledAt)) runs.set(scheduledAt, storedExecutionView(stored));
  }
  const over = new Set(executions.filter(({ kind }) => kind === 'over').map(({ row }) => row.scheduledAt));
  for (const run of live?.executions ?? []) {
    const atMs = Date.parse(run.scheduledAt);
    if (isWithin(atMs) && !over.has(atMs)) runs.set(atMs, run);
  }
  return runs;
}

function dueFires(
  periods: readonly Period[],
  fires: Fires,
  runs: ReadonlyMap<number, ExecutionView>,
  fromMs: number,
  toMs: number,
): DueFire[] {
  const due = new Map<number, Period | undefined>([...runs.keys()].map((atMs) => [atMs, undefined]));
  for (const period of periods) {
    for (const atMs of fires.within(period, fromMs, toMs, LIMITS.explainLooks - due.size)) due.set(atMs, period);
  }
  return [...due].map(([atMs, period]) => ({ atMs, period })).sort((one, other) => one.atMs - other.atMs);
}

function lifeOf(periods: readonly Period[]): ExplainReply['life'] {
  const life: ExplainReply['life'][number][] = [];
  periods.forEach(({ fromMs, toMs, end, createdMs, schedule }, index) => {
    const before = periods[index - 1];
    const continues = before?.end === 'rescheduled' && before.createdMs === createdMs;
    const fields = schedule === undefined ? {} : { schedule: scheduleFields(schedule.canonical) };
    if (!continues && fromMs > createdMs) {
      // Its schedule before is not recorded.
      life.push({ at: iso(createdMs), what: 'created' }, { at: iso(fromMs), what: 'rescheduled', ...fields });
    } else {
      life.push({ at: iso(fromMs), what: continues ? 'rescheduled' : 'created', ...fields });
    }
    if (end === 'cancelled' || end === 'finished') life.push({ at: iso(toMs), what: end });
  });
  return life;
}

class FireExplainer {
  readonly #input: ExplainInput;
  readonly #fires: Fires;
  readonly #runs: ReadonlyMap<number, ExecutionView>;
  readonly #target: Target | undefined;
  /** The first fire that its shard has not dispatched; Infinity for none. */
  readonly #pointerMs: number;
  /** After which instant a schedule's waiting fires ran on when it changed. */
  readonly #keptAfter = new Map<Period, number>();

  constructor(input: ExplainInput, fires: Fires, runs: ReadonlyMap<number, ExecutionView>) {
    this.#input = input;
    this.#fires = fires;
    this.#runs = runs;
    this.#target = input.facts.task === undefined ? undefined : decodeTarget(input.facts.task.target);
    this.#pointerMs = input.live?.next[0] === undefined ? Infinity : Date.parse(input.live.next[0]);
  }

  explain({ atMs, period }: DueFire): ExplainedFire {
    const notes = period === undefined ? undefined : scheduleNotes(period, atMs, this.#fires);
    const run = this.#runs.get(atMs);
    const told = run === undefined ? this.#withoutRun(atMs, period) : explainRun(run, this.#contextOf(atMs, period));
    return {
      scheduledAt: iso(atMs),
      local: notes?.local ?? iso(atMs),
      verdict: told.verdict,
      reasons: [...(notes?.reasons ?? []), ...told.reasons],
      ...(run === undefined ? {} : { execution: run.execution }),
    };
  }

  #contextOf(atMs: number, period: Period | undefined): RunContext {
    const dueMs = period?.schedule?.kind === 'at' ? Math.max(atMs, period.fromMs) : atMs;
    return {
      owners: this.#input.facts.owners,
      shard: this.#input.shard,
      dueMs,
      isLateMade: dueMs > atMs,
      span: this.#spanOf(dueMs),
      precision: this.#target?.precision,
      policy: this.#policyOf(period)?.policy,
    };
  }

  /** A fire of which there is no execution. The order matters: what is certain comes first. */
  #withoutRun(atMs: number, period: Period | undefined): { verdict: Verdict; reasons: Reason[] } {
    const { nowMs, facts, shard } = this.#input;
    const say = (verdict: Verdict, ...reasons: Reason[]) => ({ verdict, reasons });
    const present = period?.toMs === Infinity;
    if (atMs > nowMs)
      return period?.end === undefined ? say('coming', coming(period)) : say('withdrawn', withdrawn(period));
    if (present && atMs >= this.#pointerMs) return say('waiting', this.#waiting(atMs));
    const dueMs = this.#contextOf(atMs, period).dueMs;
    const gap = this.#spanOf(dueMs);
    if (gap !== undefined && period !== undefined && this.#isSkipped(atMs, period, gap))
      return say('skipped', skippedReason(gap, shard, this.#policyOf(period)?.policy));
    if (period !== undefined && this.#mayBeWithdrawn(atMs, period)) return say('withdrawn', withdrawn(period));
    const unknown = this.#whyUnknown(dueMs, period, gap);
    if (unknown !== undefined) return say('unknown', unknown);
    if (period !== undefined && this.#mayBeCrowdedOut(atMs, period))
      return say('unknown', {
        code: 'crowded_out',
        text: `the task got another schedule: if it waited for a worker until then, with more than ${LIMITS.dueAtChange} behind it, it was skipped, and an event told so`,
        at: iso(period.toMs),
      });
    return say('missed', {
      code: 'missed',
      text: `it was due, and nothing tells of it up to the checkpoint of ${iso(facts.asOf)}: this is a fault of Belfry, please report it`,
    });
  }

  #waiting(atMs: number): Reason {
    const { queue } = this.#target ?? this.#input.live ?? { queue: '?' };
    return atMs > this.#pointerMs
      ? { code: 'behind', text: `it waits behind the task's fire of ${iso(this.#pointerMs)}` }
      : inLine(queue);
  }

  /**
   * Fires of a schedule go in order: one that later ones have overtaken was not waiting when its schedule ended. A run of the schedule
   * before says nothing: its shard may have learnt of the change later.
   */
  #mayBeWithdrawn(atMs: number, period: Period): boolean {
    const { end, toMs, schedule } = period;
    if (end === undefined || end === 'finished') return false;
    if (schedule?.kind === 'at') return true;
    const overtakes = (runMs: number): boolean =>
      runMs > atMs && runMs <= toMs && this.#fires.after(period, runMs - 1) === runMs;
    return end === 'cancelled' && !this.#inOrder().some(overtakes);
  }

  /** As its shard decides when a schedule changes. One that later ones have overtaken was not waiting. */
  #mayBeCrowdedOut(atMs: number, period: Period): boolean {
    if (period.end !== 'rescheduled' || period.schedule?.kind === 'at') return false;
    let keptAfter = this.#keptAfter.get(period);
    if (keptAfter === undefined) {
      const next = (afterMs: number): number => this.#fires.after(period, afterMs);
      keptAfter = beforeLatestFires(next, period.fromMs, period.toMs, LIMITS.dueAtChange);
      this.#keptAfter.set(period, keptAfter);
    }
    const isBefore = (runMs: number): boolean => runMs > atMs && runMs <= keptAfter;
    return atMs <= keptAfter && !this.#inOrder().some(isBefore);
  }

  /**
   * Fires that ran in their turn, as far as is known. Of one whose dispatch its owner took to the grave, its worker alone tells: those before
   * it may have been forgotten with that dispatch.
   */
  #inOrder(): number[] {
    return [...this.#runs].filter(([, { attempts }]) => attempts[0]?.dispatchedAt !== undefined).map(([atMs]) => atMs);
  }

  #whyUnknown(dueMs: number, period: Period | undefined, gap: UnwatchedRow | undefined): Reason | undefined {
    const { facts, nowMs, calendars, live } = this.#input;
    if (dueMs < nowMs - LIMITS.historyDays * 86_400_000)
      return { code: 'history_gone', text: `the history goes back ${LIMITS.historyDays} days` };
    if (dueMs < facts.recordedSince)
      return {
        code: 'not_recorded',
        text: 'skips are recorded since then only',
        at: iso(facts.recordedSince),
      };
    if (dueMs > facts.asOf - LIMITS.checkpointMs)
      return {
        code: 'not_checkpointed',
        text: `that is the last checkpoint${live === undefined ? ', and its shard does not answer' : ''}: ask again in a moment`,
        at: iso(facts.asOf),
      };
    if (gap !== undefined && this.#target === undefined)
      return {
        code: 'policy_gone',
        text: 'nobody watched when it came due, and the catch-up policy that it had is not recorded',
      };
    const changed = calendars.find((row) => row.setAt > dueMs && namesCalendar(period, row));
    if (changed !== undefined)
      return {
        code: 'calendar_changed',
        text: `the calendar ${changed.name} has changed since: its schedule may have had no fire then`,
        at: iso(changed.setAt),
      };
    return undefined;
  }

  /** The span in which nobody watched as a fire came due; of several, the one that was found first. */
  #spanOf(dueMs: number): UnwatchedRow | undefined {
    return this.#input.facts.unwatched.find(({ fromMs, untilMs }) => dueMs > fromMs && dueMs <= untilMs);
  }

  #policyOf(period: Period | undefined): ReturnType<typeof catchUpOf> | undefined {
    if (this.#target === undefined || period === undefined) return undefined;
    return catchUpOf(this.#target, period.schedule?.kind !== 'at');
  }

  #isSkipped(atMs: number, period: Period, { untilMs, foundMs }: UnwatchedRow): boolean {
    const policy = this.#policyOf(period);
    // Its shard may have learnt of another schedule after it had decided.
    const lastMs = period.end === 'rescheduled' ? untilMs : Math.min(untilMs, period.toMs);
    switch (policy?.policy) {
      case undefined:
        return false;
      case 'skip':
        return true;
      case 'latest':
        return period.schedule?.kind !== 'at' && this.#fires.after(period, atMs) <= lastMs;
      case 'all':
        return atMs < foundMs - policy.windowMs;
    }
  }
}

function coming(period: Period | undefined): Reason {
  return period?.schedule?.kind === 'at'
    ? { code: 'coming', text: 'it has not come due yet' }
    : { code: 'coming', text: 'it has not come due yet: its schedule as it is now has it' };
}

function withdrawn({ end, toMs }: Period): Reason {
  return end === 'cancelled'
    ? { code: 'cancelled', text: 'the task was cancelled before it was dispatched', at: iso(toMs) }
    : {
        code: 'rescheduled',
        text: 'the task got another schedule before it was dispatched',
        at: iso(toMs),
      };
}

function namesCalendar(period: Period | undefined, row: CalendarRow): boolean {
  const { schedule } = period ?? {};
  return schedule?.kind === 'composed' && schedule.parts.calendars.includes(`${row.namespace}/${row.name}`);
}
