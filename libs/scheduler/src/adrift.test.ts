import { LIMITS } from '@belfry/protocol';
import type { Shard } from '@belfry/shard';
import { beforeEach, expect, it } from 'vitest';

import { Adrift } from './adrift.ts';

const LEASE_MS = 8_000;
const SILENT_MS = LEASE_MS + LIMITS.lostContactMs;
const ID = `${'a'.repeat(32)}-mubc1678`;

/** The attempt that is adrift; undefined: none. */
let attempt: number | undefined;
let adrift: Adrift;
let nowMs = 0;

const core = {
  shard: 2,
  adrift: () => (attempt === undefined ? [] : [{ id: ID, namespace: 'acme', queue: 'acme.mail' }]),
  adriftAttempt: () => attempt,
} as unknown as Shard;

beforeEach(() => {
  attempt = 3;
  nowMs = 1_000_000;
  adrift = new Adrift(() => LEASE_MS);
  adrift.add(core, nowMs, new Set());
  adrift.expire(nowMs, () => true);
});

/** Attempts that are given back in so many seconds. */
function given(ms: number, isOwned = true): number[] {
  const attempts: number[] = [];
  for (const endMs = nowMs + ms; nowMs < endMs;) {
    nowMs += 1_000;
    attempts.push(...adrift.expire(nowMs, () => isOwned).map(({ record }) => record.a));
  }
  return attempts;
}

it('is given back once, when nobody has spoken for it for long enough', () => {
  expect(given(SILENT_MS - 1_000)).toEqual([]);
  expect(given(1_000)).toEqual([3]);
  attempt = undefined; // the record is applied
  expect(given(1_000)).toEqual([]);
  expect(adrift.size).toBe(0);
});

it('is given back again, where the record named an attempt before the present one', () => {
  expect(given(SILENT_MS)).toEqual([3]);
  attempt = 4; // a worker had asked whether it may run it: that stood in the log before the record
  expect(given(SILENT_MS - 1_000)).toEqual([]);
  adrift.reported([ID], nowMs);
  expect(given(SILENT_MS - 1_000)).toEqual([]);
  expect(given(1_000)).toEqual([4]);
});

it('has its whole time again when it is adrift another time', () => {
  expect(given(SILENT_MS)).toEqual([3]);
  expect(given(SILENT_MS - 2_000)).toEqual([]);
  attempt = 4; // it was dispatched anew, and that message is lost, too
  adrift.add(core, nowMs, new Set());
  expect(given(SILENT_MS - 1_000)).toEqual([]);
  expect(given(1_000)).toEqual([4]);
});

it('is nobody’s to give back once the shard is another’s', () => {
  expect(given(SILENT_MS, false)).toEqual([]);
  expect(adrift.size).toBe(0);
});
