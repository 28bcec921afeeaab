/** One look at another clock. */
export interface ClockSample {
  /** Its time minus ours. */
  readonly offsetMs: number;
  /** The true offset lies within ± this. */
  readonly uncertaintyMs: number;
}

/** The midpoint rule: the other clock was read somewhere between our question and its answer. Ours: on one clock, in ms. */
export function roundTripSample(askedMs: number, answeredMs: number, theirMs: number): ClockSample {
  const halfMs = Math.max(0, answeredMs - askedMs) / 2;
  return { offsetMs: theirMs - (askedMs + halfMs), uncertaintyMs: halfMs };
}

export interface SkewSource extends ClockSample {
  readonly source: string;
}

export interface SkewEstimate {
  /** How far our clock is ahead of the median of the others. */
  readonly skewMs: number;
  readonly uncertaintyMs: number;
  /** What each source says, by name. */
  readonly sources: readonly SkewSource[];
}

/** Samples of one source that count at a time. */
const KEPT = 5;

interface Kept extends ClockSample {
  readonly atMs: number;
}

/**
 * How far our clock is off, by the clocks of others. It reads no clock: `nowMs` is monotonic.
 *
 * S1. A source counts while it was heard in the last `windowMs`; of its last five looks, the most certain one of that time.
 * S2. A look that contradicts the one that counts (their ranges don't meet) shows that a clock was set: those before it are forgotten.
 * S3. The estimate is the median of the sources. With an even number ours is one of them, so that it takes a majority to say that we are
 *     wrong: of two that disagree, the one that is nearer to us is believed, and with one on either side, ours. A single source is believed.
 * S4. Without a source there is no estimate.
 */
export class SkewEstimator {
  readonly #windowMs: number;
  readonly #kept = new Map<string, Kept[]>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(source: string, sample: ClockSample, nowMs: number): void {
    if (!Number.isFinite(sample.offsetMs) || !Number.isFinite(sample.uncertaintyMs)) return;
    const known = this.#fresh(source, nowMs);
    const best = mostCertain(known);
    const contradicts = best !== undefined && !meet(best, sample); // S2
    this.#kept.set(source, [...(contradicts ? [] : known), { ...sample, atMs: nowMs }].slice(-KEPT));
  }

  /** Our own clock was set: what was seen before says nothing. */
  clear(): void {
    this.#kept.clear();
  }

  estimate(nowMs: number): SkewEstimate | undefined {
    const sources: SkewSource[] = [];
    for (const source of [...this.#kept.keys()].sort()) {
      const best = mostCertain(this.#fresh(source, nowMs));
      if (best === undefined) this.#kept.delete(source);
      else sources.push({ source, offsetMs: best.offsetMs, uncertaintyMs: best.uncertaintyMs });
    }
    if (sources.length === 0) return undefined; // S4
    const votes: ClockSample[] = sources.length % 2 === 0 ? [...sources, { offsetMs: 0, uncertaintyMs: 0 }] : sources; // S3
    const median = votes.toSorted((a, b) => a.offsetMs - b.offsetMs)[(votes.length - 1) / 2] as ClockSample;
    return { skewMs: median.offsetMs === 0 ? 0 : -median.offsetMs, uncertaintyMs: median.uncertaintyMs, sources };
  }

  #fresh(source: string, nowMs: number): readonly Kept[] {
    return (this.#kept.get(source) ?? []).filter(({ atMs }) => nowMs - atMs <= this.#windowMs); // S1
  }
}

/** Of equals the latest. */
function mostCertain<S extends ClockSample>(samples: readonly S[]): S | undefined {
  return samples.reduce<S | undefined>(
    (best, sample) => (best === undefined || sample.uncertaintyMs <= best.uncertaintyMs ? sample : best),
    undefined,
  );
}

function meet(a: ClockSample, b: ClockSample): boolean {
  return Math.abs(a.offsetMs - b.offsetMs) <= a.uncertaintyMs + b.uncertaintyMs;
}

export interface SkewLimits {
  /** Skew above which the operator is told, and below which that ends. */
  readonly alertMs: number;
  readonly calmMs: number;
  /** Skew above which the node owns no shards; it is healthy again below `alertMs`. */
  readonly unfitMs: number;
  /** Estimates in a row that it takes to change. */
  readonly confirmations: number;
}

export type SkewLevel = 'calm' | 'alert' | 'unfit';

/**
 * What follows from the skew.
 *
 * W1. A level is entered above its limit and left below the lower one of the next: no skew that stays where it is makes it flap.
 * W2. Only what is beyond doubt counts as above a limit: the skew less its uncertainty.
 * W3. It changes after so many estimates in a row that want it; the first estimate of all counts at once.
 * W4. Without an estimate nothing changes.
 */
export class SkewWatch {
  readonly #limits: SkewLimits;
  #level: SkewLevel = 'calm';
  #wanted = 0;
  #begun = false;

  constructor(limits: SkewLimits) {
    this.#limits = limits;
  }

  get level(): SkewLevel {
    return this.#level;
  }

  /** Takes one estimate; returns the level before when it has changed. */
  observe(estimate: SkewEstimate | undefined): SkewLevel | undefined {
    if (estimate === undefined) return undefined; // W4
    const wanted = this.#levelOf(estimate);
    this.#wanted = wanted === this.#level ? 0 : this.#wanted + 1;
    const enough = !this.#begun || this.#wanted >= this.#limits.confirmations; // W3
    this.#begun = true;
    if (wanted === this.#level || !enough) return undefined;
    const before = this.#level;
    this.#level = wanted;
    this.#wanted = 0;
    return before;
  }

  #levelOf({ skewMs, uncertaintyMs }: SkewEstimate): SkewLevel {
    const { alertMs, calmMs, unfitMs } = this.#limits;
    const sureMs = Math.abs(skewMs) - uncertaintyMs; // W2
    if (sureMs > unfitMs) return 'unfit';
    if (this.#level === 'unfit' && Math.abs(skewMs) >= alertMs) return 'unfit'; // W1
    if (sureMs > alertMs) return 'alert';
    return this.#level !== 'calm' && Math.abs(skewMs) >= calmMs ? 'alert' : 'calm'; // W1
  }
}
