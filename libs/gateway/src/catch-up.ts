import {
  catchUpOf,
  LIMITS,
  wireError,
  type CatchUp,
  type CatchUpSpec,
  type Target,
  type TaskDraft,
  type WireError,
} from '@belfry/protocol';
import { periodText, readDuration } from '@belfry/timing';

/** A draft's policy for missed fires with its window in ms; `path` stands before the paths of errors. */
export function readCatchUp({ catchUp }: TaskDraft, path: string): CatchUp | WireError | undefined {
  if (catchUp?.window === undefined) return catchUp;
  const at = `${path}catchUp.window`;
  const reading = readDuration(catchUp.window);
  if (!reading.ok) return wireError('invalid_field', reading.message, at, reading.position);
  const { ms } = reading;
  if (ms < LIMITS.catchUpAfterMs)
    return wireError('invalid_field', 'must be 60 s at least: a fire that is less late runs in any case', at);
  if (ms > LIMITS.catchUpMaxWindowMs) return wireError('invalid_field', 'must be 30 days at most', at);
  return { policy: catchUp.policy, windowMs: ms };
}

/** The policy that holds for a task, as a spec states it. */
export function catchUpView(target: Target, recurring: boolean): CatchUpSpec {
  const { policy, windowMs } = catchUpOf(target, recurring);
  return policy === 'all' && windowMs !== Infinity ? { policy, window: periodText(windowMs) } : policy;
}
