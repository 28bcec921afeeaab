import { brokerTime, natsNames } from '@belfry/adapter-nats';
import { isObject, LIMITS, subjects, type ProcessHeartbeat } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';
import {
  roundTripSample,
  SkewEstimator,
  SkewWatch,
  type ClockSample,
  type SkewEstimate,
  type SkewLevel,
} from '@belfry/timing';
import type { ProcessClock } from './clock.ts';
import type { Metrics } from './metrics.ts';
import type { Platform } from './platform.ts';

/** How long a starting node waits for the first looks at other clocks. */
const FIRST_LOOK_MS = 3_000;

/** What depends on whether the clock may be trusted. */
export interface Dependent {
  changed(): void;
  /** Waits for a hand-over that is under way. */
  ownsShards(): Promise<boolean>;
}

export interface ClockWatchOptions {
  readonly clock: ProcessClock;
  readonly node: string;
  readonly platform: Pick<Platform, 'messenger'> & {
    readonly link: Platform['link'];
    readonly postgres: Pick<Platform['postgres'], 'skew'>;
  };
  readonly metrics: Metrics;
  readonly log: Log;
  /** For tests: how the broker is asked. */
  readonly askBroker?: () => Promise<number>;
}

/**
 * Compares this node's clock with those of Postgres, the broker and its peers, and decides whether the node is fit to own shards and
 * to take tasks.
 *
 * K1. A node is unfit while its skew says so (`SkewWatch`), or while its clock stands still for longer than `clockUnfitMs`, since the
 *     wall clock was set back that far. In the second case it begins anew at the wall clock once it owns no shards.
 * K2. A step of the own clock voids what was seen before it.
 * K3. A step forward is believed when the others' clocks agree with it, or when there is nobody to ask for `clockSourceMs`.
 */
export class ClockWatch {
  readonly clock: ProcessClock;
  readonly #options: ClockWatchOptions;
  readonly #estimator = new SkewEstimator(LIMITS.clockSourceMs);
  readonly #skew = new SkewWatch({
    alertMs: LIMITS.clockAlertMs,
    calmMs: LIMITS.clockCalmMs,
    unfitMs: LIMITS.clockUnfitMs,
    confirmations: LIMITS.clockConfirmations,
  });
  readonly #asking = new Set<string>();
  #estimate: SkewEstimate | undefined;
  #isHeldFor = false;
  #isFit = true;
  #restarting = false;
  /** Way to the broker and back. */
  #brokerMs = 0;
  #dependent: Dependent | undefined;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;

  constructor(options: ClockWatchOptions) {
    this.#options = options;
    this.clock = options.clock;
  }

  /** Resolves after the first look at the others' clocks: a node that starts with a wrong clock gets no shards. */
  async start(): Promise<void> {
    const { clock, metrics, platform } = this.#options;
    clock.onStep = ({ kind, byMs }) => {
      this.#estimator.clear(); // K2
      metrics.clockSteps.inc({ direction: kind });
      this.#options.log.warn(`the wall clock was set ${kind}, or the machine slept`, { byMs: Math.round(byMs) });
    };
    metrics.gauge('belfry_clock_skew_seconds', () => (this.#estimate?.skewMs ?? NaN) / 1_000);
    metrics.gauge('belfry_clock_skew_alert', () => (this.#skew.level === 'calm' ? 0 : 1));
    metrics.gauge('belfry_clock_unfit', () => (this.#isFit ? 0 : 1));
    this.#unlisten = platform.messenger.listen(subjects.nodeHeartbeat, (body) => this.#onHeartbeat(body));
    await this.#drill();
    const late = new Promise<void>((resolve) => setTimeout(resolve, FIRST_LOOK_MS).unref());
    await Promise.race([this.#lookAround(), late]);
    this.#decide();
    this.#timer = setInterval(() => void this.#round(), LIMITS.clockRoundMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#unlisten?.();
  }

  get isFit(): boolean {
    return this.#isFit;
  }

  /** One: the scheduler of this process. */
  onFitness(dependent: Dependent): void {
    this.#dependent = dependent;
  }

  /** Why tasks are refused here. */
  trouble(): string | undefined {
    if (this.#isFit) return undefined;
    if (this.#skew.level !== 'unfit') return "this node's clock was set back, and it has not begun anew yet";
    const { skewMs = 0 } = this.#estimate ?? {};
    return `this node's clock is ${(Math.abs(skewMs) / 1_000).toFixed(1)} s ${skewMs > 0 ? 'ahead' : 'behind'}`;
  }

  /** For the process's heartbeat. */
  glance(): ProcessHeartbeat['clock'] {
    const state = this.#isFit ? this.#skew.level : 'unfit';
    return { state, ...(this.#estimate === undefined ? {} : { skewMs: Math.round(this.#estimate.skewMs) }) };
  }

  /** For `/healthz`. */
  status(): Record<string, unknown> {
    const rounded = ({ offsetMs, uncertaintyMs }: ClockSample): Record<string, number> => ({
      offsetMs: Math.round(offsetMs),
      uncertaintyMs: Math.ceil(uncertaintyMs),
    });
    return {
      state: this.#isFit ? this.#skew.level : 'unfit',
      ...(this.#estimate === undefined ? {} : { skewMs: Math.round(this.#estimate.skewMs) }),
      standsStillMs: Math.round(this.clock.aheadMs),
      sources: Object.fromEntries((this.#estimate?.sources ?? []).map((source) => [source.source, rounded(source)])),
    };
  }

  async #round(): Promise<void> {
    await this.#drill();
    void this.#lookAround(); // who does not answer in time has dropped out when its last look is old
    this.#decide();
    await this.#beginAnew();
  }

  async #drill(): Promise<void> {
    await this.clock.readDrill();
    this.clock.now(); // so that a step is seen, also where nobody else asks
  }

  #decide(): void {
    this.#estimate = this.#estimator.estimate(this.clock.monotonic());
    this.#believe(this.#estimate);
    const before = this.#skew.observe(this.#estimate);
    if (before !== undefined) this.#tellLevel(before);
    this.#isHeldFor = this.clock.aheadMs > LIMITS.clockUnfitMs || (this.#isHeldFor && this.clock.isHeld());
    const isFit = this.#skew.level !== 'unfit' && !this.#isHeldFor; // K1
    if (isFit === this.#isFit) return;
    this.#isFit = isFit;
    if (isFit) this.#options.log.info('the clock is right: this node takes shards and tasks again');
    else this.#options.log.error('the clock is wrong: this node gives up its shards and takes no tasks', this.status());
    this.#dependent?.changed();
  }

  /** K3. */
  #believe(estimate: SkewEstimate | undefined): void {
    const doubtedForMs = this.clock.doubtedForMs;
    if (doubtedForMs === undefined) return;
    const agrees =
      estimate === undefined ? doubtedForMs >= LIMITS.clockSourceMs : Math.abs(estimate.skewMs) < LIMITS.clockCalmMs;
    if (agrees) this.clock.believe();
  }

  #tellLevel(before: SkewLevel): void {
    const { level } = this.#skew;
    const fields = { before, level, ...this.status() };
    if (level === 'calm') this.#options.log.info('the clock agrees with the others again', fields);
    else this.#options.log.warn('the clock is off', fields);
  }

  /** K1: the wheel of a shard cannot go back, so there must be none. */
  async #beginAnew(): Promise<void> {
    if (!this.#isHeldFor || this.#restarting) return;
    this.#restarting = true;
    try {
      if ((await this.#dependent?.ownsShards()) === true) return;
      this.clock.restart();
      this.#decide();
    } finally {
      this.#restarting = false;
    }
  }

  async #lookAround(): Promise<void> {
    const { platform, askBroker = () => brokerTime(platform.link, natsNames()) } = this.#options;
    await Promise.all([
      this.#look('postgres', () => platform.postgres.skew()),
      this.#look('broker', async () => {
        const [askedAtMs, askedMs] = [this.clock.wall(), this.clock.monotonic()];
        const theirMs = await askBroker();
        this.#brokerMs = this.clock.monotonic() - askedMs;
        return roundTripSample(askedAtMs, askedAtMs + this.#brokerMs, theirMs);
      }),
    ]);
  }

  /** One question to a source at a time. Never rejects: a source that is away drops out. */
  async #look(source: string, ask: () => Promise<ClockSample>): Promise<void> {
    if (this.#asking.has(source)) return;
    this.#asking.add(source);
    const shiftBefore = this.clock.wall() - this.clock.monotonic();
    try {
      const sample = await ask();
      const moved = Math.abs(this.clock.wall() - this.clock.monotonic() - shiftBefore);
      if (moved < LIMITS.clockCalmMs) this.#estimator.add(source, sample, this.clock.monotonic()); // K2
    } catch {
      // That it is away is told elsewhere.
    } finally {
      this.#asking.delete(source);
    }
  }

  /** A peer's time is on its way for about as long as a question to the broker and its answer. */
  #onHeartbeat(body: Uint8Array): void {
    const peer = readPeerTime(body);
    if (peer === undefined || peer.node === this.#options.node) return;
    const offsetMs = peer.atMs - this.clock.wall() + this.#brokerMs / 2;
    const sample = { offsetMs, uncertaintyMs: Math.max(1, this.#brokerMs) };
    this.#estimator.add(`node ${peer.node}`, sample, this.clock.monotonic());
  }
}

/** What a node's heartbeat says of its clock; older versions say nothing. */
function readPeerTime(body: Uint8Array): { readonly node: string; readonly atMs: number } | undefined {
  let beat: unknown;
  try {
    beat = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined; // the supervisor tells it
  }
  if (!isObject(beat)) return undefined;
  const { node, atMs } = beat;
  return typeof node === 'string' && typeof atMs === 'number' && Number.isFinite(atMs) ? { node, atMs } : undefined;
}
