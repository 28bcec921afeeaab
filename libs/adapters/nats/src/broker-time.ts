import { streamInfo } from './api.ts';
import { bucketStream } from './buckets.ts';
import type { NatsLink } from './connection.ts';
import type { NatsNames } from './names.ts';

/**
 * The broker's clock, ms since 1970: JetStream stamps what it tells of a stream with `ts`. In a cluster it is the clock of the server
 * that leads the bucket of placements. @throws when there is no answer
 */
export async function brokerTime(link: NatsLink, names: NatsNames): Promise<number> {
  const info = await streamInfo(link, bucketStream(names.buckets.placement));
  if (info.kind !== 'ok') throw info.error;
  const atMs = Date.parse(info.value.ts ?? '');
  if (Number.isNaN(atMs)) throw new Error('the broker does not tell its time');
  return atMs;
}
