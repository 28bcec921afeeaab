import type { Log } from '@belfry/scheduler';
import type { Platform } from './platform.ts';

const LOOK_MS = 2_000;

/**
 * Sees to it that the durable streams are there: one that was deleted under running programs is made anew by whichever of them looks
 * first, and the log says what went with it.
 */
export class StreamKeeper {
  readonly #platform: Pick<Platform, 'remakeStreams'>;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #busy = false;
  #failed = false;

  constructor(platform: Pick<Platform, 'remakeStreams'>, log: Log) {
    this.#platform = platform;
    this.#log = log;
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** One at a time. Never rejects. */
  async look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (const note of await this.#platform.remakeStreams()) this.#log.error(note);
      this.#failed = false;
    } catch (error) {
      // Told once: the next looks will do no better while a server is away.
      if (!this.#failed) this.#log.warn('the streams cannot be looked after now', { error: String(error) });
      this.#failed = true;
    } finally {
      this.#busy = false;
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
