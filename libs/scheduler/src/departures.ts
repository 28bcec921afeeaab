import type { Placement } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import type { Environment } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';

/**
 * Shards that a node shall give away.
 *
 * P1. A shard that another node shall have stays with its owner, which serves and dispatches for it, until that node comes for it.
 *     While it cannot come, the shard is better here than nowhere.
 * P2. Those that are asked for in the same turn are handed over together.
 */
export class Departures {
  readonly #env: Pick<Environment, 'node' | 'timers' | 'clock'>;
  readonly #release: (hosts: readonly HostedShard[]) => Promise<void>;
  /** Of the present placement, by shard. */
  #successors: readonly (string | undefined)[] = [];
  #asked: HostedShard[] = [];
  #releasing: Promise<void> | undefined;
  #onSign: (() => void)[] = [];
  #prepared = 0;

  constructor(
    env: Pick<Environment, 'node' | 'timers' | 'clock'>,
    release: (hosts: readonly HostedShard[]) => Promise<void>,
  ) {
    this.#env = env;
    this.#release = release;
  }

  follow({ nodes, assignment }: Placement): void {
    this.#successors = assignment.map((at) => nodes[at]);
  }

  /** Whether another node shall have it, and will come for it (P1). */
  hasSuccessor({ core }: HostedShard): boolean {
    const successor = this.#successors[core.shard];
    return successor !== undefined && successor !== this.#env.node;
  }

  /** Its next owner has come for it. Resolves when it is written and forgotten here. */
  asked(host: HostedShard): Promise<void> {
    this.#asked.push(host);
    this.#releasing ??= new Promise<void>((resolve) => this.#env.timers.soon(resolve)).then(() => {
      this.#releasing = undefined;
      return this.#release(this.#asked.splice(0)); // P2
    });
    return this.#releasing;
  }

  gone(): void {
    this.#wake();
  }

  /** A next owner has looked who has its shards: it will come for them. */
  prepared(): void {
    this.#prepared++;
    this.#wake();
  }

  /** Waits while shards that others shall have are still here, as long as the others come for them. */
  async awaitSuccessors(hosted: ReadonlyMap<number, HostedShard>): Promise<void> {
    const { clock, timers } = this.#env;
    const waiting = (): number => [...hosted.values()].filter((host) => this.hasSuccessor(host)).length;
    const deadline = clock.monotonic() + LIMITS.departMs;
    for (let left = waiting(); left > 0 && clock.monotonic() < deadline; left = waiting()) {
      const before = { left, prepared: this.#prepared };
      await new Promise<void>((resolve) => {
        const stop = timers.after(LIMITS.releaseMs, resolve);
        this.#onSign.push(() => (stop(), resolve()));
      });
      if (waiting() >= before.left && this.#prepared === before.prepared) return; // nobody comes
    }
  }

  #wake(): void {
    for (const wake of this.#onSign.splice(0)) wake();
  }
}
