import { HeaderBlock, HEADERS } from './header-block.ts';
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
 * A bucket of leases, or of the placement. A new bucket's sequences begin at the clock's milliseconds, so that they grow even if
 * the bucket is lost and made anew: the leases' terms are such sequences.
 */
export function bucketDefinition(bucket: string, replicas: number, nowMs: number): StreamDefinition {
  return {
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
  };
}

/** Headers of a write that replaces exactly what was read. With `ttlMs` (whole seconds, rounded up) it expires. */
export function compareAndSet(expectedSeq: number, ttlMs?: number): HeaderBlock {
  const headers = new HeaderBlock().add(HEADERS.expectedSubjectSequence, expectedSeq);
  return ttlMs === undefined ? headers : headers.add(HEADERS.ttl, `${Math.ceil(ttlMs / 1_000)}s`);
}
