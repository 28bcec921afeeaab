import { LIMITS, wireError } from '@belfry/protocol';
import type { InboxUsage } from '@belfry/ports';

import { Refused } from './fields.ts';

/** What is under way at a gateway. */
export interface Load {
  /** Items of requests that wait for answers. */
  readonly items: number;
  /** Records that are not yet on disk, and their bytes. */
  readonly records: number;
  readonly bytes: number;
}

/** Creates give way to results and cancels: only these make room again. */
export type Kind = 'create' | 'other';

/**
 * Decides whether a gateway takes more.
 *
 * A1. What waits is at most `LIMITS.gatewayPending` items and records, and `LIMITS.gatewayPendingBytes` bytes; creates get
 *     `LIMITS.gatewayRefuseCreates` of it.
 * A2. Creates are refused while the inbox is at `LIMITS.inboxRefuseCreates` of its bytes or above.
 */
export class Admission {
  #inboxShare = 0;
  #closed = false;

  onInboxUsage({ bytes, maxBytes }: Pick<InboxUsage, 'bytes' | 'maxBytes'>): void {
    this.#inboxShare = maxBytes > 0 ? bytes / maxBytes : 0;
  }

  /** Nothing is taken from now on. */
  close(): void {
    this.#closed = true;
  }

  /** Whether creates are refused because of the inbox. */
  get inboxIsFilling(): boolean {
    return this.#inboxShare >= LIMITS.inboxRefuseCreates;
  }

  /** @throws Refused `overloaded`, or `unavailable` when closed */
  admit(kind: Kind, count: number, bytes: number, load: Load): void {
    if (this.#closed) throw new Refused(wireError('unavailable', 'this gateway is stopping; try again'));
    if (kind === 'create' && this.inboxIsFilling) {
      const percent = Math.round(this.#inboxShare * 100);
      throw new Refused(wireError('overloaded', `the inbox is ${percent} % full: no creates until it is smaller`)); // A2
    }
    const share = kind === 'create' ? LIMITS.gatewayRefuseCreates : 1;
    const items = Math.max(load.items, load.records) + count;
    if (items > LIMITS.gatewayPending * share || load.bytes + bytes > LIMITS.gatewayPendingBytes * share)
      throw new Refused(wireError('overloaded', 'too much waits at this gateway; try again later')); // A1
  }
}
