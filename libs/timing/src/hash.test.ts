import { describe, expect, it } from 'vitest';
import { backoffDelayMs, hash32, hash53, hashNumber, unit } from './hash.ts';

describe('hashes', () => {
  it('are MurmurHash3 of the UTF-8', () => {
    expect(hash32('')).toBe(0);
    expect(hash32('', 1)).toBe(0x514e28b7);
    expect(hash32('test')).toBe(0xba6bd213);
    expect(hash32('Hello, world!')).toBe(0xc0363e43);
    expect(hash32('The quick brown fox jumps over the lazy dog')).toBe(0x2e4ff723);
  });

  it('tell apart what differs, and repeat themselves', () => {
    expect(new Set(Array.from({ length: 5_000 }, (_, n) => hash53(`é€😀 ${n}`))).size).toBe(5_000);
    expect(new Set(Array.from({ length: 2_000 }, (_, n) => hashNumber(1.7e12 + n))).size).toBe(2_000);
    expect(hashNumber(1.5)).not.toBe(hashNumber(1));
    expect(hashNumber(2 ** 40)).not.toBe(hashNumber(2 ** 41));
    expect(hash53('a')).toBe(hash53('a'));
    expect(Number.isSafeInteger(hash53('a'))).toBe(true);
  });

  it('spread evenly', () => {
    const share = Array.from({ length: 10_000 }, (_, n) => unit(hash32(`task-${n}`)));
    expect(share.reduce((a, b) => a + b) / share.length).toBeCloseTo(0.5, 1);
    expect(Math.min(...share)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...share)).toBeLessThan(1);
  });
});

describe('backoffDelayMs', () => {
  const base = { initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0, seed: 'x' };

  it('grows by its factor up to its ceiling', () => {
    expect([1, 2, 3, 7, 400, 5_000].map((attempt) => backoffDelayMs({ ...base, attempt }))).toEqual([
      1_000, 2_000, 4_000, 60_000, 60_000, 60_000,
    ]);
    expect(backoffDelayMs({ ...base, initialMs: 0, attempt: 5_000 })).toBe(0);
  });

  it('spreads by a stable share', () => {
    const delays = Array.from({ length: 500 }, (_, n) =>
      backoffDelayMs({ ...base, attempt: 1, jitter: 0.2, seed: `t${n}` }),
    );
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(800);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1_000);
    expect(new Set(delays).size).toBeGreaterThan(100);
    expect(delays[7]).toBe(backoffDelayMs({ ...base, attempt: 1, jitter: 0.2, seed: 't7' }));
  });
});
