import { Belfry, BelfryError } from '@belfry/sdk';

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const TIMEOUT_MS = 30_000;

/** A client, and how its requests went. */
export class Requests {
  readonly client: Belfry;
  /** Those that were acknowledged, and how long the slowest took. */
  acknowledged = 0;
  slowestMs = 0;
  /** Those that were refused or not answered. */
  unanswered = 0;
  /** What requests ended with that is no error of Belfry's. */
  readonly untyped: string[] = [];

  constructor(natsUrl: string) {
    this.client = new Belfry({ url: natsUrl, log: SILENT, timeoutMs: TIMEOUT_MS });
  }

  /** A request that changes something; undefined when it was not acknowledged. */
  async change<T>(request: (client: Belfry) => Promise<T>): Promise<T | undefined> {
    const startMs = performance.now();
    try {
      const reply = await request(this.client);
      this.acknowledged++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs);
      return reply;
    } catch (error) {
      this.unanswered++;
      this.#note(error);
      return undefined;
    }
  }

  /** A question: what was answered, also where that was an error; undefined when nothing was. */
  async question<T>(request: (client: Belfry) => Promise<T>): Promise<T | BelfryError | undefined> {
    try {
      return await request(this.client);
    } catch (error) {
      this.#note(error);
      return error instanceof BelfryError && error.code === 'not_found' ? error : undefined;
    }
  }

  #note(error: unknown): void {
    if (!(error instanceof BelfryError)) this.untyped.push(String(error));
  }
}
