import { jsApi } from './api.ts';
import type { StoredMessage } from './api.ts';
import type { NatsLink } from './connection.ts';
import { JS, JetStreamError } from './errors.ts';
import { HeaderBlock, HEADERS } from './header-block.ts';
import type { NatsNames } from './names.ts';
import type { StreamDefinition } from './streams.ts';

const MIB = 1024 * 1024;

/** The stream behind a key-value bucket, as every NATS client knows it. */
export function bucketStream(bucket: string): string {
  return `KV_${bucket}`;
}

export function keySubject(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`;
}

/**
 * The buckets of leases and placement. A new bucket's sequences begin at the clock's milliseconds, so that they grow even if
 * the bucket is lost and made anew: the leases' terms are such sequences.
 */
export function bucketDefinitions(names: NatsNames, replicas: number, nowMs: number): StreamDefinition[] {
  return [names.buckets.leases, names.buckets.placement].map((bucket) => ({
    name: bucketStream(bucket),
    subjects: [keySubject(bucket, '>')],
    storage: 'file',
    retention: 'limits',
    discard: 'new',
    max_msgs_per_subject: 1,
    max_bytes: 16 * MIB,
    num_replicas: replicas,
    allow_rollup_hdrs: true,
    allow_msg_ttl: true,
    deny_delete: true,
    allow_direct: false, // a lagging replica must not answer who holds a lease
    first_seq: nowMs,
  }));
}

export type Entry =
  | { readonly kind: 'value'; readonly seq: number; readonly text: string }
  /** Never written, expired, or deleted; `seq` is what a compare-and-set must expect. */
  | { readonly kind: 'none'; readonly seq: number }
  | { readonly kind: 'unknown'; readonly error: Error };

export async function readEntry(link: NatsLink, bucket: string, key: string): Promise<Entry> {
  const body = { last_by_subj: keySubject(bucket, key) };
  const got = await jsApi<{ message: StoredMessage }>(link, `STREAM.MSG.GET.${bucketStream(bucket)}`, body);
  if (got.kind !== 'ok') {
    if (got.error instanceof JetStreamError && got.error.errCode === JS.noMessage) return { kind: 'none', seq: 0 };
    return { kind: 'unknown', error: got.error };
  }
  const { seq, hdrs, data } = got.value.message;
  // A deletion leaves a marker; a purge by a person with the nats tool, too.
  const headers = hdrs === undefined ? '' : Buffer.from(hdrs, 'base64').toString('latin1');
  if (headers.includes(`${HEADERS.kvOperation}:`)) return { kind: 'none', seq };
  return { kind: 'value', seq, text: Buffer.from(data ?? '', 'base64').toString('utf8') };
}

/** Headers of a write that replaces exactly what was read. With `ttlMs` (whole seconds, rounded up) it expires. */
export function compareAndSet(expectedSeq: number, ttlMs?: number): HeaderBlock {
  const headers = new HeaderBlock().add(HEADERS.expectedSubjectSequence, expectedSeq);
  return ttlMs === undefined ? headers : headers.add(HEADERS.ttl, `${Math.ceil(ttlMs / 1_000)}s`);
}
