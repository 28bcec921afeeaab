import type { WorkQueue } from '@belfry/ports';
import type { Log } from '@belfry/scheduler';
import { LeaseWatch } from '@belfry/supervisor';

/** How often the leases of all queues are looked at. */
const ROUND_MS = 5_000;

export interface LeaseKeeperOptions {
  readonly work: Pick<WorkQueue, 'leases' | 'setLease'>;
  readonly monotonic: () => number;
  readonly log: Log;
}

/**
 * The shell around `LeaseWatch`: what the leading supervisor does so that a queue's messages are leased for as long as its workers rely on.
 * What it does not know is what it has not heard since it leads.
 */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #watch: LeaseWatch | undefined;
  #nextAt = 0;
  #busy = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Listening to the workers begins. */
  begin(): void {
    const nowMs = this.#options.monotonic();
    this.#watch = new LeaseWatch(nowMs);
    this.#nextAt = nowMs + ROUND_MS;
  }

  end(): void {
    this.#watch = undefined;
  }

  /** A worker's heartbeat, as it was parsed. */
  heard(namespace: string, beat: unknown): void {
    this.#watch?.heard(namespace, beat, this.#options.monotonic());
  }

  /** To be called often: looks around when it is time. Never rejects; what could not be done is done in the next round. */
  async round(): Promise<void> {
    const { log, monotonic, work } = this.#options;
    const watch = this.#watch;
    if (watch === undefined || this.#busy || monotonic() < this.#nextAt) return;
    this.#busy = true;
    this.#nextAt = monotonic() + ROUND_MS;
    try {
      for (const change of watch.look(await work.leases(), monotonic())) {
        if (this.#watch !== watch) return; // another leads
        await work.setLease(change);
        log.info('the messages of a queue are leased for another time from now on', { ...change });
      }
    } catch (error) {
      log.warn('the leases of the queues cannot be looked at', { error: String(error) });
    } finally {
      this.#busy = false;
    }
  }
}
