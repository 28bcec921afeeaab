import { LIMITS } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';
import { beforeEach, describe, expect, it } from 'vitest';

import { Housekeeping } from './housekeeping.ts';

const LOG: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const ROUND_MS = 60_000;

let nowMs: number;
let checkpointed: number;
let bytes: number;
let trims: number[];
let housekeeping: Housekeeping;

beforeEach(() => {
  [nowMs, checkpointed, bytes, trims] = [0, 0, 10, []];
  const clock = { now: () => nowMs, wall: () => nowMs, monotonic: () => nowMs };
  const platform = {
    postgres: {
      ensurePartitions: () => Promise.resolve({ created: [], dropped: [] }),
      lowestCheckpointSeq: () => Promise.resolve(checkpointed),
    },
    inbox: {
      usage: () => Promise.resolve({ bytes, maxBytes: 100, firstSeq: trims.at(-1) ?? 1, lastSeq: 1_000_000 }),
      trim: (seq: number) => Promise.resolve(void trims.push(seq)),
    },
  };
  housekeeping = new Housekeeping(platform, clock, LOG);
});

/** The next round, a minute later, at which every shard has checkpointed up to `seq`. */
async function round(seq: number): Promise<void> {
  nowMs += ROUND_MS;
  checkpointed = seq;
  await housekeeping.round();
}

describe('the front of the inbox', () => {
  it('is kept for a day, so that a backup of that age finds what came after it', async () => {
    const rounds = LIMITS.inboxAgeMs / ROUND_MS;
    for (let at = 1; at <= rounds; at++) await round(at * 10);
    expect(trims).toEqual([]);
    await round(rounds * 10 + 10);
    expect(trims).toEqual([10]);
    await round(rounds * 10 + 20);
    expect(trims).toEqual([10, 20]);
  });

  it('goes earlier when the inbox is more than half full, but for the last two rounds', async () => {
    bytes = 51;
    for (const seq of [10, 20, 30, 40]) await round(seq);
    expect(trims).toEqual([10, 20]);
  });

  it('stays as far as Postgres needs it when that was put back to an older state', async () => {
    for (const seq of [100, 200, 300]) await round(seq);
    bytes = 51;
    await round(50);
    expect(trims).toEqual([50]);
  });
});
