import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { Levels } from './levels.ts';

const STEP_MS = 250;

class Listening {
  readonly levels = new Levels();
  nowMs = 0;
  agreed: number | undefined;

  /** These are heard once a second; what is agreed in the end. */
  pass(ms: number, told: Record<string, number | undefined>): number | undefined {
    for (const end = this.nowMs + ms; this.nowMs < end; this.nowMs += STEP_MS) {
      if (this.nowMs % LIMITS.processHeartbeatMs === 0)
        for (const [node, level] of Object.entries(told)) this.levels.heard(node, level, this.nowMs);
      this.agreed = this.levels.agreed(this.nowMs);
    }
    return this.agreed;
  }
}

const SETTLE_MS = LIMITS.levelSettleMs;

describe('the level of a cluster', () => {
  it('is that of the process that reads least, once everybody had time to be heard', () => {
    const listening = new Listening();
    expect(listening.pass(SETTLE_MS - STEP_MS, { a: 3, b: 2 })).toBeUndefined();
    expect(listening.pass(2 * STEP_MS, { a: 3, b: 2 })).toBe(2);
  });

  it('is the oldest while one is there that says nothing of levels', () => {
    expect(new Listening().pass(2 * SETTLE_MS, { a: 2, old: undefined })).toBe(1);
  });

  it('rises when the old ones have been gone for as long', () => {
    const listening = new Listening();
    listening.pass(2 * SETTLE_MS, { a: 2, old: 1 });
    expect(listening.pass(SETTLE_MS - LIMITS.processHeartbeatMs, { a: 2 })).toBe(1);
    expect(listening.pass(2 * LIMITS.processHeartbeatMs, { a: 2 })).toBe(2);
  });

  it('is not told from the first words after a time without any', () => {
    const listening = new Listening();
    listening.pass(2 * SETTLE_MS, { a: 2, old: 1 });
    expect(listening.pass(2 * SETTLE_MS, {})).toBeUndefined();
    expect(listening.pass(SETTLE_MS - STEP_MS, { a: 2 })).toBeUndefined();
    expect(listening.pass(SETTLE_MS, { a: 2, old: 1 })).toBe(1);
  });

  it('nor after this supervisor stood still itself', () => {
    const listening = new Listening();
    listening.pass(2 * SETTLE_MS, { a: 2, b: 2 });
    listening.nowMs += SETTLE_MS / 2;
    expect(listening.pass(STEP_MS, { a: 2 })).toBeUndefined();
    expect(listening.pass(SETTLE_MS + STEP_MS, { a: 2, b: 2 })).toBe(2);
  });
});
