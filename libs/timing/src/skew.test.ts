import { describe, expect, it } from 'vitest';
import { roundTripSample, SkewEstimator, SkewWatch, type SkewEstimate } from './skew.ts';
import { seeded } from './testing.ts';

const WINDOW_MS = 10_000;

function estimate(offsets: { readonly [source: string]: number }): number | undefined {
  const estimator = new SkewEstimator(WINDOW_MS);
  for (const [source, offsetMs] of Object.entries(offsets)) estimator.add(source, { offsetMs, uncertaintyMs: 1 }, 0);
  return estimator.estimate(0)?.skewMs;
}

describe('one look at a clock', () => {
  it('has the true offset in its range, however the round trip is divided', () => {
    const random = seeded(7);
    for (let n = 0; n < 1_000; n++) {
      const trueMs = (random() - 0.5) * 20_000;
      const [there, back] = [random() * 300, random() * 300];
      const askedMs = random() * 1e6;
      const { offsetMs, uncertaintyMs } = roundTripSample(askedMs, askedMs + there + back, askedMs + there + trueMs);
      expect(Math.abs(offsetMs - trueMs)).toBeLessThanOrEqual(uncertaintyMs + 1e-6);
    }
  });
});

describe('the skew', () => {
  it('is unknown without a source, and a single one is believed (S3, S4)', () => {
    expect(estimate({})).toBeUndefined();
    expect(estimate({ postgres: 7_000 })).toBe(-7_000);
  });

  it('of two sources that disagree follows the one that agrees with us (S3)', () => {
    expect(estimate({ postgres: 7_000, broker: 0 })).toBe(0);
    expect(estimate({ postgres: 7_000, broker: -7_000 })).toBe(0);
    expect(estimate({ postgres: 7_000, broker: 3_000 })).toBe(-3_000);
    expect(estimate({ postgres: -7_000, broker: -7_001 })).toBe(7_000);
  });

  it('takes a majority: one server that is off does no harm to nodes that agree', () => {
    expect(estimate({ postgres: 3_600_000, broker: 2, 'node b': -1 })).toBe(-2);
    expect(estimate({ postgres: 3_600_000, broker: 2, 'node b': -1, 'node c': 1 })).toBe(-1);
    expect(estimate({ postgres: -7_000, broker: -7_000, 'node b': -7_000 })).toBe(7_000);
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed))('lies among its sources and ours, seed %i', (seed) => {
    const random = seeded(seed);
    for (let n = 0; n < 200; n++) {
      const offsets = Array.from({ length: 1 + Math.floor(random() * 9) }, () => Math.round((random() - 0.5) * 2e4));
      const skewMs = estimate(Object.fromEntries(offsets.map((offset, at) => [`s${at}`, offset]))) ?? NaN;
      expect([0, ...offsets.map((offset) => -offset)]).toContain(skewMs);
      // More than half of the sources on our side, or past us on the same side: the estimate is not beyond them.
      const beyond = offsets.filter((offset) => Math.sign(offset) === Math.sign(-skewMs) && skewMs !== 0);
      if (skewMs !== 0) expect(beyond.length).toBeGreaterThan(offsets.length / 2 - 1);
    }
  });

  it('drops a source that is away (S1)', () => {
    const estimator = new SkewEstimator(WINDOW_MS);
    estimator.add('postgres', { offsetMs: 9_000, uncertaintyMs: 1 }, 0);
    estimator.add('broker', { offsetMs: 10, uncertaintyMs: 1 }, 8_000);
    expect(estimator.estimate(10_000)?.sources.map(({ source }) => source)).toEqual(['broker', 'postgres']);
    expect(estimator.estimate(10_001)).toMatchObject({ skewMs: -10, sources: [{ source: 'broker' }] });
    expect(estimator.estimate(18_001)).toBeUndefined();
  });

  it('believes the look with the shortest round trip (S1)', () => {
    const estimator = new SkewEstimator(WINDOW_MS);
    estimator.add('broker', { offsetMs: 5, uncertaintyMs: 1 }, 0);
    estimator.add('broker', { offsetMs: 900, uncertaintyMs: 900 }, 1_000);
    expect(estimator.estimate(1_000)?.skewMs).toBe(-5);
  });

  it('sees at once that a clock was set (S2)', () => {
    const estimator = new SkewEstimator(WINDOW_MS);
    for (let n = 0; n < 5; n++) estimator.add('broker', { offsetMs: 5, uncertaintyMs: 1 }, n);
    estimator.add('broker', { offsetMs: 7_000, uncertaintyMs: 40 }, 6);
    expect(estimator.estimate(6)?.skewMs).toBe(-7_000);
  });
});

const LIMITS = { alertMs: 1_000, calmMs: 500, unfitMs: 5_000, confirmations: 3 };

function told(skewMs: number, uncertaintyMs = 1): SkewEstimate {
  return { skewMs, uncertaintyMs, sources: [] };
}

describe('what follows from the skew', () => {
  it('takes the first estimate at its word: a node that starts with a wrong clock gets no shards', () => {
    const watch = new SkewWatch(LIMITS);
    expect(watch.observe(undefined)).toBeUndefined();
    expect(watch.observe(told(7_000))).toBe('calm');
    expect(watch.level).toBe('unfit');
  });

  it('changes after three estimates in a row, and not without any (W3, W4)', () => {
    const watch = new SkewWatch(LIMITS);
    const levels = [0, 7_000, 7_000, 0, 7_000, 7_000, undefined, 7_000].map((skew) => {
      watch.observe(skew === undefined ? undefined : told(skew));
      return watch.level;
    });
    expect(levels).toEqual(['calm', 'calm', 'calm', 'calm', 'calm', 'calm', 'calm', 'unfit']);
  });

  it('is healthy again only below the limit of the alert, and calm below half of it (W1)', () => {
    const watch = new SkewWatch({ ...LIMITS, confirmations: 1 });
    const levels = [-5_100, -4_900, -1_001, -999, -501, -499, -1_000, -1_002].map((skew) => {
      watch.observe(told(skew));
      return watch.level;
    });
    expect(levels).toEqual(['unfit', 'unfit', 'unfit', 'alert', 'alert', 'calm', 'calm', 'alert']);
  });

  it('gives the benefit of the doubt (W2)', () => {
    const watch = new SkewWatch(LIMITS);
    watch.observe(told(7_000, 2_500));
    expect(watch.level).toBe('alert');
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'never flaps on a skew that only trembles, seed %i',
    (seed) => {
      const random = seeded(seed);
      const watch = new SkewWatch(LIMITS);
      const around = random() * 8_000;
      let changes = 0;
      for (let n = 0; n < 500; n++) if (watch.observe(told(around + (random() - 0.5) * 400)) !== undefined) changes++;
      expect(changes).toBeLessThanOrEqual(2);
    },
  );
});
