import { LIMITS } from '@belfry/protocol';
import type { Clock, Log } from '@belfry/scheduler';
import type { Platform } from './platform.ts';

const PARTITIONS_MS = 3_600_000;
/** Above this share of the inbox's bytes it is trimmed to the checkpoints, however young. */
const CROWDED = 0.5;

/** What it needs of the platform. */
export interface Housed {
  readonly postgres: Pick<Platform['postgres'], 'ensurePartitions' | 'lowestCheckpointSeq'>;
  readonly inbox: Pick<Platform['inbox'], 'usage' | 'trim'>;
}

/**
 * What the leading supervisor sees to: history partitions ahead and past retention, and the front of the inbox.
 *
 * G1. The inbox is trimmed only before what every shard had checkpointed at the last round but one: two checkpoints stay.
 * G2. Nor further than what Postgres has now: where it was put back to an older state, what that does not know is still to be read.
 */
export class Housekeeping {
  readonly #platform: Housed;
  readonly #clock: Clock;
  readonly #log: Log;
  #partitionsAt = -Infinity;
  /** Rounds so far: until when every message before `seq` was checkpointed. */
  readonly #checkpointed: { readonly atMs: number; readonly seq: number }[] = [];

  constructor(platform: Housed, clock: Clock, log: Log) {
    this.#platform = platform;
    this.#clock = clock;
    this.#log = log;
  }

  async round(): Promise<void> {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#partitionsAt >= PARTITIONS_MS) {
      const done = await this.#platform.postgres.ensurePartitions(this.#clock.now());
      this.#partitionsAt = nowMs;
      if (done.created.length + done.dropped.length > 0) this.#log.info('history partitions', { ...done });
    }
    await this.#trim(nowMs);
  }

  async #trim(nowMs: number): Promise<void> {
    const seq = await this.#platform.postgres.lowestCheckpointSeq();
    const usage = await this.#platform.inbox.usage();
    this.#checkpointed.push({ atMs: nowMs, seq });
    const crowded = usage.bytes > usage.maxBytes * CROWDED;
    const ageMs = crowded ? 0 : LIMITS.inboxAgeMs;
    let trimTo = 0;
    // G1: the last two rounds stay.
    while (this.#checkpointed.length > 2 && nowMs - (this.#checkpointed[0]?.atMs ?? 0) >= ageMs) {
      trimTo = (this.#checkpointed.shift() as { seq: number }).seq;
    }
    trimTo = Math.min(trimTo, seq); // G2
    if (trimTo > usage.firstSeq) {
      await this.#platform.inbox.trim(trimTo);
      this.#log.info('inbox trimmed', { before: trimTo, crowded });
    }
  }
}
