import { isName, LIMITS, wireError, type Answer, type RejectedMessage, type WireError } from '@belfry/protocol';

import type { GatewayEnvironment, Log } from './environment.ts';
import { parseJson, Refused, itemsOf, type Items } from './fields.ts';
import { iso } from './views.ts';

/** Where refusals of messages are listed whose namespace is none. */
export const NO_NAMESPACE = '_';

/** One durable publish, as the ingest stream delivered it. */
export interface IngestMessage {
  readonly namespace: string;
  readonly data: Uint8Array;
  readonly streamSeq: number;
  /** When the stream was made: with `streamSeq` it is the identity of the message's command. */
  readonly streamCreated: string;
  /** Stored time, ms since 1970. */
  readonly timestamp: number;
  /** 1 the first time. */
  readonly deliveries: number;
  header(name: string): string | undefined;
}

export type IngestOutcome =
  /** Acknowledge it: its tasks are in the inbox, or among the rejected. */
  | { readonly kind: 'done'; readonly rejected: number }
  /** Give it back, to be delivered again later. */
  | { readonly kind: 'retry'; readonly error: WireError };

export interface IngestOptions {
  readonly log: Log;
  readonly publishRejected: GatewayEnvironment['publishRejected'];
  /** Creates the tasks, as one command; the answers come in their order. */
  readonly create: (items: Items, message: IngestMessage, commandId: string) => Promise<readonly Answer[]>;
}

/**
 * Turns durable publishes into creates.
 *
 * I1. A message is acknowledged when each of its tasks is in the inbox or among the rejected. The publish promised no more than
 *     that it is kept; so a task that is stored and not answered for in time counts as done.
 * I2. A message that comes again has the same command id, and so makes the same tasks and the same rejected messages.
 */
export class Ingest {
  readonly #options: IngestOptions;

  constructor(options: IngestOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async handle(message: IngestMessage): Promise<IngestOutcome> {
    try {
      return await this.#handle(message);
    } catch (error) {
      if (error instanceof Refused) {
        if (error.wire.retryable === true) return { kind: 'retry', error: error.wire };
        return this.#reject(message, [{ error: error.wire, task: textOf(message.data) }]);
      }
      const { namespace, streamSeq, deliveries } = message;
      this.#options.log.error('an ingest message caused a fault', {
        namespace,
        streamSeq,
        deliveries,
        error: String(error),
      });
      const wire = wireError('internal', 'a fault; the log has the details');
      if (deliveries < LIMITS.crashesBeforeQuarantine) return { kind: 'retry', error: wire };
      return this.#reject(message, [{ error: wire, task: textOf(message.data) }]);
    }
  }

  async #handle(message: IngestMessage): Promise<IngestOutcome> {
    if (!isName(message.namespace)) {
      const error = wireError('invalid_name', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -', 'namespace');
      return this.#reject({ ...message, namespace: NO_NAMESPACE }, [{ error, task: textOf(message.data) }]);
    }
    const items = itemsOf(parseJson(message.data), true);
    const answers = await this.#options.create(items, message, items.commandId ?? identity(message));
    const refusals: { error: WireError; task: string; index?: number }[] = [];
    for (const [index, answer] of answers.entries()) {
      if (answer.ok) continue;
      if (answer.error.retryable === true) return { kind: 'retry', error: answer.error };
      refusals.push({ error: answer.error, task: jsonOf(items.items[index]), ...(items.single ? {} : { index }) });
    }
    return refusals.length === 0 ? { kind: 'done', rejected: 0 } : await this.#reject(message, refusals);
  }

  async #reject(
    message: IngestMessage,
    refusals: readonly Pick<RejectedMessage, 'error' | 'task' | 'index'>[],
  ): Promise<IngestOutcome> {
    const receivedAt = iso(message.timestamp);
    const published = refusals.map(async (refusal) => {
      const { error, task, index } = refusal;
      const body: RejectedMessage = { error, task, receivedAt, ...(index === undefined ? {} : { index }) };
      const id = `${identity(message)}:${index ?? 'all'}`; // I2
      return this.#options.publishRejected(message.namespace, JSON.stringify(body), id);
    });
    for (const outcome of await Promise.allSettled(published)) {
      if (outcome.status === 'fulfilled' && outcome.value.kind === 'ok') continue;
      return { kind: 'retry', error: wireError('unavailable', 'the refusal could not be stored') }; // I1
    }
    return { kind: 'done', rejected: refusals.length };
  }
}

function identity({ streamCreated, streamSeq }: IngestMessage): string {
  return `${streamCreated}:${streamSeq}`;
}

function textOf(data: Uint8Array): string {
  return cut(
    Buffer.from(data.buffer, data.byteOffset, Math.min(data.byteLength, 4 * LIMITS.rejectedTaskChars)).toString(),
  );
}

function jsonOf(value: unknown): string {
  try {
    return cut(JSON.stringify(value));
  } catch {
    return '(too deep to show)';
  }
}

function cut(text: string): string {
  return text.length <= LIMITS.rejectedTaskChars ? text : `${text.slice(0, LIMITS.rejectedTaskChars)}…`;
}
