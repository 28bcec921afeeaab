import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { LeaderWatch } from './leader-watch.ts';

const { leaderSilentMs, nodeHeartbeatMs } = LIMITS;

/** Others are heard all the time from `fromMs` to `toMs`; returns when the leader is first called silent. */
function silentAt(watch: LeaderWatch, fromMs: number, toMs: number): number | undefined {
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += nodeHeartbeatMs) {
    watch.heard(nowMs);
    if (watch.silentTerm(nowMs) !== undefined) return nowMs;
  }
  return undefined;
}

describe('a stand-by', () => {
  it('calls a leader silent that is not heard while others are, and not before', () => {
    const watch = new LeaderWatch();
    watch.leads(7, 1_000);
    expect(silentAt(watch, 1_000, 20_000)).toBe(1_000 + leaderSilentMs + nodeHeartbeatMs);
    expect(watch.silentTerm(1_000 + leaderSilentMs + nodeHeartbeatMs)).toBe(7);
  });

  it('calls nobody silent while the leader is heard', () => {
    const watch = new LeaderWatch();
    for (let nowMs = 0; nowMs < 60_000; nowMs += nodeHeartbeatMs) {
      watch.leads(7, nowMs);
      watch.heard(nowMs);
      expect(watch.silentTerm(nowMs)).toBeUndefined();
    }
  });

  it('calls nobody silent when it hears nobody at all, and counts anew when it hears again', () => {
    const watch = new LeaderWatch();
    watch.leads(7, 0);
    expect(watch.silentTerm(60_000)).toBeUndefined();
    expect(silentAt(watch, 60_000, 60_000 + leaderSilentMs)).toBeUndefined();
    expect(silentAt(watch, 60_000 + leaderSilentMs + 1, 120_000)).toBeDefined();
  });

  it('gives a leader of whom it has only read its time from then on', () => {
    const watch = new LeaderWatch();
    expect(silentAt(watch, 0, 10_000)).toBeUndefined();
    watch.holds(3, 10_000);
    expect(silentAt(watch, 10_000, 10_000 + leaderSilentMs)).toBeUndefined();
    watch.holds(3, 10_000 + leaderSilentMs); // read again: nothing new
    expect(silentAt(watch, 10_000 + leaderSilentMs + 1, 20_000)).toBeDefined();
  });

  it('does not wait as long for a leader whose address nobody serves, and hears it when it is there all the same', () => {
    const watch = new LeaderWatch();
    expect(watch.isToBeAsked(10_000)).toBe(false);
    watch.holds(7, 10_000);
    expect(watch.isToBeAsked(10_000 + LIMITS.nodeGoneMs - 1)).toBe(false);
    watch.gone(7);
    expect(watch.silentTerm(10_000 + LIMITS.nodeGoneMs - 1)).toBeUndefined();
    expect(watch.isToBeAsked(10_000 + LIMITS.nodeGoneMs)).toBe(true);
    expect(watch.silentTerm(10_000 + LIMITS.nodeGoneMs)).toBe(7);
    watch.holds(8, 20_000); // another
    expect(watch.silentTerm(20_000 + LIMITS.nodeGoneMs)).toBeUndefined();
    watch.gone(8);
    watch.leads(8, 20_500);
    expect(watch.silentTerm(20_500 + LIMITS.nodeGoneMs)).toBeUndefined();
  });

  it('does not take the word of a former leader for that of the present one', () => {
    const watch = new LeaderWatch();
    watch.leads(8, 0);
    for (let nowMs = 0; nowMs <= leaderSilentMs + nodeHeartbeatMs; nowMs += nodeHeartbeatMs) watch.leads(7, nowMs);
    expect(watch.silentTerm(leaderSilentMs + nodeHeartbeatMs)).toBe(8);
  });
});
