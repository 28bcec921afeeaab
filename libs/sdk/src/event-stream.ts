import type { NatsLink } from '@belfry/adapter-nats';
import type { LifecycleEvent } from '@belfry/protocol';

import { belfryError, ConnectionError } from './errors.ts';

/** Events that wait for their reader. */
const MOST_WAITING = 10_000;

/**
 * Events from now on, until the signal aborts or the reader leaves.
 * @throws BelfryError `overloaded` when the reader falls 10,000 events behind; ConnectionError when the connection is closed.
 */
export async function* eventStream(
  link: NatsLink,
  subject: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<LifecycleEvent, void, undefined> {
  const waiting: LifecycleEvent[] = [];
  let failure: Error | undefined;
  let wake: () => void = () => undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    wake();
  };
  const subscription = link.nc.subscribe(subject, {
    callback: (error, message) => {
      if (error !== null) return fail(new ConnectionError(error.message, { cause: error }));
      if (waiting.length >= MOST_WAITING)
        return fail(belfryError('overloaded', 'events come faster than they are read'));
      const event = readEvent(message.data);
      if (event === undefined) return;
      waiting.push(event);
      wake();
    },
  });
  const onAbort = (): void => wake();
  const isOver = (): boolean => signal?.aborted === true;
  signal?.addEventListener('abort', onAbort);
  const off = link.onStatus((status) => {
    if (status.kind === 'closed') fail(new ConnectionError('the connection was closed'));
  });
  try {
    while (!isOver()) {
      const batch = waiting.splice(0);
      for (const event of batch) {
        yield event;
        if (isOver()) return;
      }
      if (failure !== undefined && waiting.length === 0) throw failure;
      if (waiting.length === 0 && !isOver()) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    subscription.unsubscribe();
    signal?.removeEventListener('abort', onAbort);
    off();
  }
}

function readEvent(data: Uint8Array): LifecycleEvent | undefined {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8')) as LifecycleEvent;
  } catch {
    return undefined; // anybody may publish there
  }
}
