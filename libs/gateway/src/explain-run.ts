import type { Facts, UnwatchedRow } from '@belfry/ports';
import type { AttemptView, ExecutionView, Precision, Reason, Verdict } from '@belfry/protocol';

import { iso } from './views.ts';

/** Below this, a wait needs no explanation. */
const NOTABLE_MS = 250;
/** Grids of dispatch, with the room that a round needs. */
const GRID_MS: { readonly [P in Precision]: number } = { high: NOTABLE_MS, normal: 350, low: 1_250 };

const VERDICTS: { readonly [State in ExecutionView['state']]: Verdict } = {
  dispatched: 'running',
  retrying: 'retrying',
  succeeded: 'ran',
  failed: 'failed',
  timed_out: 'failed',
  lost: 'failed',
  dead: 'failed',
  cancelled: 'cancelled',
  skipped: 'skipped',
};

/** What a run is explained with besides itself. */
export interface RunContext extends Pick<Facts, 'owners'> {
  readonly shard: number;
  /** When it came due: not before its task was made. */
  readonly dueMs: number;
  readonly isLateMade: boolean;
  readonly span: UnwatchedRow | undefined;
  readonly precision: Precision | undefined;
  readonly policy: string | undefined;
}

/** An execution's verdict, and what it waited for, in the order of its life. */
export function explainRun(run: ExecutionView, context: RunContext): { verdict: Verdict; reasons: Reason[] } {
  const reasons: Reason[] = [];
  if (context.isLateMade)
    reasons.push({
      code: 'made_late',
      text: 'its instant lay in the past when it was stated',
      at: iso(context.dueMs),
    });
  const [first] = run.attempts;
  const dispatchedMs = instant(first?.dispatchedAt);
  // Of a dispatch that its owner took to the grave, the worker alone tells.
  const outMs = dispatchedMs ?? instant(first?.deliveredAt ?? first?.startedAt) ?? Infinity;
  const { span: unwatched } = context;
  // The owner before may have run it, and left no word of that: for the next one, nobody watched.
  const isCaughtUp = unwatched !== undefined && outMs >= unwatched.foundMs && run.state !== 'skipped';
  if (isCaughtUp) reasons.push(caughtUp(unwatched, context));
  reasons.push(...moves(context, context.dueMs, outMs));
  if (first !== undefined && dispatchedMs !== undefined) {
    const wait = waited(dispatchedMs - context.dueMs, reasons.length > 0, run, context.precision);
    if (wait !== undefined) reasons.push(wait);
  }
  run.attempts.forEach((attempt, index) => reasons.push(...ofAttempt(attempt, run.attempts[index + 1], run)));
  reasons.push(...moves(context, outMs, lastMs(run)));
  reasons.push(ofEnd(run, context));
  return { verdict: isInLine(run) ? 'waiting' : VERDICTS[run.state], reasons };
}

/** Opened before its turn, as its task got another schedule: its first attempt is still to come. */
function isInLine({ state, attempts }: ExecutionView): boolean {
  return state === 'retrying' && attempts.length === 0;
}

export function inLine(queue: string): Reason {
  return { code: 'waiting', text: `it waits in line for a free slot of a worker of queue ${queue}` };
}

function caughtUp(unwatched: UnwatchedRow, { shard, policy }: RunContext): Reason {
  const how = policy === undefined ? 'its catch-up policy' : `its catch-up policy, ${policy},`;
  return {
    code: 'caught_up',
    text: `${nobodyWatched(unwatched, shard)}; ${how} keeps it, behind what is punctual`,
    at: iso(unwatched.foundMs),
  };
}

/** Takeovers of the shard in a span of time. */
function moves({ owners, shard }: RunContext, fromMs: number, toMs: number): Reason[] {
  return owners
    .filter(({ at }) => at > fromMs && at <= toMs)
    .map(({ at, epoch, node, former, checkpointedAt }) => ({
      code: 'moved',
      text: `${node} took shard ${shard} over as epoch ${epoch}${former === undefined ? '' : `, from ${former}, whose last checkpoint was of ${iso(checkpointedAt)}`}`,
      at: iso(at),
    }));
}

function waited(
  ms: number,
  hasCause: boolean,
  run: ExecutionView,
  precision: Precision = 'normal',
): Reason | undefined {
  if (ms <= NOTABLE_MS && ms <= GRID_MS[precision]) return undefined;
  if (ms <= GRID_MS[precision])
    return { code: 'on_grid', text: `dispatched ${span(ms)} after it came due: precision ${precision} goes by a grid` };
  const where = `queue ${run.queue}`;
  return {
    code: 'waited',
    text: hasCause
      ? `dispatched ${span(ms)} after it came due, that and a free slot of a worker of ${where} being what it waited for`
      : `waited ${span(ms)} in line for a free slot of a worker of ${where}`,
    ...(run.attempts[0]?.dispatchedAt === undefined ? {} : { at: run.attempts[0].dispatchedAt }),
  };
}

function ofAttempt(attempt: AttemptView, next: AttemptView | undefined, run: ExecutionView): Reason[] {
  const reasons: Reason[] = [];
  const [dispatched, delivered, started, finished] = [
    attempt.dispatchedAt,
    attempt.deliveredAt,
    attempt.startedAt,
    attempt.finishedAt,
  ].map(instant);
  const inStream = (delivered ?? started ?? NaN) - (dispatched ?? NaN);
  if (inStream > NOTABLE_MS)
    reasons.push({
      code: 'not_pulled',
      text: `${span(inStream)} in the work stream until ${by(attempt)} took it`,
      ...at(attempt.deliveredAt ?? attempt.startedAt),
    });
  const isLast = next === undefined && run.state !== 'retrying';
  if (attempt.outcome === 'dispatched') {
    reasons.push({
      code: 'dispatched',
      text: `attempt ${attempt.attempt} is in the work stream or with a worker`,
      ...at(attempt.dispatchedAt),
    });
    return reasons;
  }
  if (attempt.outcome === 'succeeded') return reasons;
  const took = started !== undefined && finished !== undefined ? ` after ${span(finished - started)}` : '';
  const error = attempt.error === undefined ? '' : `: ${attempt.error}`;
  reasons.push({
    code: attempt.outcome,
    text: `attempt ${attempt.attempt} ${OUTCOMES[attempt.outcome]} on ${by(attempt)}${took}${error}`,
    ...at(attempt.finishedAt ?? attempt.acceptedAt),
  });
  const again = instant(next?.dispatchedAt);
  const over = instant(attempt.acceptedAt) ?? finished;
  if (!isLast && again !== undefined && over !== undefined)
    reasons.push({
      code: 'retried',
      text: `attempt ${next?.attempt} was dispatched ${span(again - over)} later`,
      ...at(next?.dispatchedAt),
    });
  return reasons;
}

const OUTCOMES: { readonly [O in Exclude<AttemptView['outcome'], 'dispatched'>]: string } = {
  succeeded: 'succeeded',
  failed: 'failed',
  timed_out: 'timed out',
  returned: 'was given back',
  cancelled: 'was cancelled',
  lost: 'was lost',
};

function ofEnd(run: ExecutionView, { span: unwatched, shard, policy }: RunContext): Reason {
  const last = run.attempts.at(-1);
  const late =
    run.latenessMs === undefined ? '' : `, ${run.latenessMs < 0 ? 'on time' : `${span(run.latenessMs)} late`}`;
  switch (run.state) {
    case 'succeeded':
      return {
        code: 'succeeded',
        text: `${last?.startedAt === undefined ? 'it ran' : `started at ${last.startedAt}`}${late}, and succeeded on ${by(last)}${took(last)}`,
        ...at(last?.finishedAt),
      };
    case 'dead':
      return {
        code: 'dead',
        text: `given up after ${attempts(run)}: it is in the dead letters`,
        ...at(last?.acceptedAt),
      };
    case 'failed':
    case 'timed_out':
    case 'lost':
      return { code: run.state, text: 'not tried again, since its task was cancelled', ...at(last?.acceptedAt) };
    case 'cancelled':
      return { code: 'cancelled', text: 'its task was cancelled before it ran to an end', ...at(last?.acceptedAt) };
    case 'skipped':
      return unwatched === undefined
        ? { code: 'skipped', text: 'it was missed, and its catch-up policy did not keep it' }
        : skippedReason(unwatched, shard, policy);
    case 'dispatched':
      return { code: 'running', text: 'its result is waited for' };
    case 'retrying':
      return isInLine(run) ? inLine(run.queue) : { code: 'retrying', text: 'it waits for its next attempt' };
  }
}

/** Why a catch-up policy did not keep a fire. */
export function skippedReason(unwatched: UnwatchedRow, shard: number, policy: string | undefined): Reason {
  return {
    code: 'catch_up',
    text: `${nobodyWatched(unwatched, shard)}, and its catch-up policy${policy === undefined ? '' : `, ${policy},`} does not keep it`,
    at: iso(unwatched.foundMs),
  };
}

/** Of a shard whose first owner left no checkpoint, nobody knows since when. */
function nobodyWatched({ fromMs, foundMs }: UnwatchedRow, shard: number): string {
  return fromMs > 0
    ? `nobody watched shard ${shard} from ${iso(fromMs)} until ${iso(foundMs)}`
    : `nobody is known to have watched shard ${shard} until ${iso(foundMs)}`;
}

function took(attempt: AttemptView | undefined): string {
  const [started, finished] = [instant(attempt?.startedAt), instant(attempt?.finishedAt)];
  return started === undefined || finished === undefined ? '' : ` after ${span(finished - started)}`;
}

function attempts(run: ExecutionView): string {
  const count = run.attempts.at(-1)?.attempt ?? 0;
  return count === 1 ? 'one attempt' : `${count} attempts`;
}

function by(attempt: AttemptView | undefined): string {
  return attempt?.worker === undefined ? 'a worker' : `worker ${attempt.worker}`;
}

function at(text: string | undefined): { at?: string } {
  return text === undefined ? {} : { at: text };
}

function lastMs(run: ExecutionView): number {
  const last = run.attempts.at(-1);
  return instant(last?.acceptedAt ?? last?.finishedAt) ?? Infinity;
}

function instant(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text);
}

/** A length of time for people. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 2 * 3_600_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 2 * 86_400_000 ? `${Math.round(ms / 360_000) / 10} h` : `${Math.round(ms / 8_640_000) / 10} days`;
}
