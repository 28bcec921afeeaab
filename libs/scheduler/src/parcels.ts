import { LIMITS } from '@belfry/protocol';
import type { Prepared } from './hosted-shard.ts';

/**
 * Groups attempts into work messages, in their order: as many of one queue in a message as `most` of it says and
 * `LIMITS.parcelBytes` allow.
 *
 * P1. Every attempt is in one message, and all of a message are of one queue.
 * P2. One that was lost with a worker before goes alone: whatever ended that worker ends the next one with this execution only.
 */
export function pack(items: readonly Prepared[], most: (queue: string) => number): Prepared[][] {
  const parcels: Prepared[][] = [];
  const open = new Map<string, { readonly parcel: Prepared[]; chars: number }>();
  for (const item of items) {
    const { queueKey } = item.execution.target;
    const last = item.execution.lost > 0 ? undefined : open.get(queueKey);
    // Three bytes a character, at most.
    if (
      last !== undefined &&
      last.parcel.length < most(queueKey) &&
      (last.chars + item.body.length) * 3 <= LIMITS.parcelBytes
    ) {
      last.parcel.push(item);
      last.chars += item.body.length;
      continue;
    }
    const parcel = [item];
    parcels.push(parcel);
    if (item.execution.lost === 0) open.set(queueKey, { parcel, chars: item.body.length });
  }
  return parcels;
}
