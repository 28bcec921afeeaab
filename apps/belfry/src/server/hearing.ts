/**
 * Whether this process hears the broker. One that is heard and hears nothing would be taken for healthy: its heartbeats arrive, and
 * commands, placements and results do not. So it asks itself, by way of the broker.
 *
 * D1. One question is under way at a time; an answer counts from when its question was sent.
 */
export class Hearing {
  readonly #ask: () => Promise<unknown>;
  readonly #monotonic: () => number;
  readonly #deafMs: number;
  #heardAt: number;
  #asking = false;

  /** `ask` rejects when no answer comes. */
  constructor(options: {
    readonly ask: () => Promise<unknown>;
    readonly monotonic: () => number;
    readonly deafMs: number;
  }) {
    this.#ask = options.ask;
    this.#monotonic = options.monotonic;
    this.#deafMs = options.deafMs;
    this.#heardAt = options.monotonic();
  }

  /** Whether the last answer was to a question of so long ago. */
  get isDeaf(): boolean {
    return this.#monotonic() - this.#heardAt >= this.#deafMs;
  }

  /** To be called often. Never rejects; resolves when the question under way is over. */
  async look(): Promise<void> {
    if (this.#asking) return; // D1
    this.#asking = true;
    const askedAt = this.#monotonic();
    try {
      await this.#ask();
      this.#heardAt = askedAt;
    } catch {
      // No answer: that is what is counted.
    } finally {
      this.#asking = false;
    }
  }
}
