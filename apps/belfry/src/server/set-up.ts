import { setTimeout as sleep } from 'node:timers/promises';
import { JetStreamError, NatsFailure } from '@belfry/adapter-nats';

const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 3_000;
/** HTTP's word for a broker that cannot say now: a cluster without a leader, a stream that is being made. */
const UNAVAILABLE = 503;

export interface SetUpOptions {
  readonly timeoutMs: number;
  readonly onRetry: (error: Error, attempt: number) => void;
}

/**
 * Makes in the broker what a program needs. A cluster that has just started, or has lost a node, elects a leader first: its silence and its
 * refusals of that time are no reason to end.
 * @throws what `setUp` throws, at once where waiting does not help, else after `timeoutMs`
 */
export async function untilSetUp<T>(setUp: () => Promise<T>, { timeoutMs, onRetry }: SetUpOptions): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await setUp();
    } catch (error) {
      const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1));
      if (!(error instanceof Error) || isFinal(error) || performance.now() + delayMs > deadline) throw error;
      onRetry(error, attempt);
      await sleep(delayMs);
    }
  }
}

function isFinal(error: Error): boolean {
  if (error instanceof JetStreamError) return error.status !== UNAVAILABLE;
  if (!(error instanceof NatsFailure)) return false;
  if (error.code === 'connect') return false;
  return !(error.cause instanceof JetStreamError) || isFinal(error.cause);
}
