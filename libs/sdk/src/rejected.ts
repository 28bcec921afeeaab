import { requestJson, type NatsLink } from '@belfry/adapter-nats';
import { STREAMS, subjects, type RejectedMessage, type WireError } from '@belfry/protocol';

import { errorWithinItem } from './batches.ts';
import { belfryError } from './errors.ts';

/** The broker's error code for "nothing there". */
const NO_MESSAGE = 10_037;
const TIMEOUT_MS = 5_000;

/** A task, or a whole message, that ingest refused. */
export interface RejectedTask {
  /** Place in the retained stream: what to go on after. */
  readonly sequence: number;
  /** When ingest had it, RFC 3339. */
  readonly at: string;
  readonly error: WireError;
  /** The refused task or message, as text; cut at 4,000 characters. */
  readonly message: string;
}

interface Got {
  readonly message?: { readonly seq: number; readonly data?: string; readonly time: string };
  readonly error?: { readonly err_code: number; readonly description: string };
}

/** What ingest refused of one namespace, oldest first. @throws BelfryError */
export async function listRejected(
  link: NatsLink,
  namespace: string,
  limit: number,
  after: number,
): Promise<RejectedTask[]> {
  const found: RejectedTask[] = [];
  for (let seq = after + 1; found.length < limit;) {
    const message = await nextMessage(link, subjects.rejected(namespace), seq);
    if (message === undefined) break;
    found.push(read(message));
    seq = message.seq + 1;
  }
  return found;
}

async function nextMessage(link: NatsLink, subject: string, seq: number): Promise<Got['message']> {
  const operation = `$JS.API.STREAM.MSG.GET.${STREAMS.rejected}`;
  const outcome = await requestJson<Got>(link, operation, { seq, next_by_subj: subject }, { timeoutMs: TIMEOUT_MS });
  if (outcome.kind !== 'ok')
    throw belfryError('unavailable', 'what ingest refused cannot be read now; try again later');
  const { message, error } = outcome.value;
  if (error !== undefined && error.err_code !== NO_MESSAGE) throw belfryError('unavailable', error.description);
  return message;
}

/** Anybody may publish there: what is not a gateway's is shown as it is. */
function read({ seq, data, time }: NonNullable<Got['message']>): RejectedTask {
  const text = Buffer.from(data ?? '', 'base64').toString('utf8');
  try {
    const { error, task, receivedAt, index } = JSON.parse(text) as RejectedMessage;
    if (typeof error.code === 'string' && typeof task === 'string') {
      const own = index === undefined ? error : errorWithinItem(error, index);
      return { sequence: seq, at: receivedAt ?? time, error: own, message: task };
    }
  } catch {
    // Shown below.
  }
  return { sequence: seq, at: time, error: { code: 'malformed', message: 'no record of a gateway' }, message: text };
}
