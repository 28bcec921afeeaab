import { jsApi } from './api.ts';
import type { StoredMessage } from './api.ts';
import { bucketDefinition, bucketStream, keySubject } from './buckets.ts';
import type { NatsLink } from './connection.ts';
import { asError, JS, JetStreamError } from './errors.ts';
import { HEADERS } from './header-block.ts';
import { ensureStream } from './streams.ts';

export type Entry =
  | { readonly kind: 'value'; readonly seq: number; readonly text: string }
  /** Never written, expired, or deleted; `seq` is what a compare-and-set must expect. */
  | { readonly kind: 'none'; readonly seq: number }
  | { readonly kind: 'unknown'; readonly error: Error };

export interface Bucket {
  readonly name: string;
  readonly replicas: number;
}

/** A bucket that was lost is made anew, empty: nothing stands in it that cannot be made again. */
export async function readEntry(link: NatsLink, bucket: Bucket, key: string): Promise<Entry> {
  const body = { last_by_subj: keySubject(bucket.name, key) };
  const got = await jsApi<{ message: StoredMessage }>(link, `STREAM.MSG.GET.${bucketStream(bucket.name)}`, body);
  if (got.kind !== 'ok') {
    const code = got.error instanceof JetStreamError ? got.error.errCode : undefined;
    if (code === JS.noMessage) return { kind: 'none', seq: 0 };
    return code === JS.streamNotFound ? await madeAnew(link, bucket) : { kind: 'unknown', error: got.error };
  }
  const { seq, hdrs, data } = got.value.message;
  // A deletion leaves a marker; a purge by a person with the nats tool, too.
  const headers = hdrs === undefined ? '' : Buffer.from(hdrs, 'base64').toString('latin1');
  if (headers.includes(`${HEADERS.kvOperation}:`)) return { kind: 'none', seq };
  return { kind: 'value', seq, text: Buffer.from(data ?? '', 'base64').toString('utf8') };
}

async function madeAnew(link: NatsLink, { name, replicas }: Bucket): Promise<Entry> {
  try {
    await ensureStream(link, bucketDefinition(name, replicas, Date.now()));
    return { kind: 'none', seq: 0 };
  } catch (error) {
    return { kind: 'unknown', error: asError(error) };
  }
}
