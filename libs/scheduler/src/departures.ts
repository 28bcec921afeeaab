import type { Placement } from '@belfry/ports';
import { isObject, LIMITS } from '@belfry/protocol';
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
  /** Each once: a request may come twice. */
  readonly #asked = new Set<HostedShard>();
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

  /** Its next owner has come for it. Resolves when it is written and forgotten here, with the answer: what has changed since a watch began. */
  async asked(host: HostedShard, body: Uint8Array): Promise<string> {
    const { watch } = read(body);
    this.#asked.add(host);
    this.#releasing ??= new Promise<void>((resolve) => this.#env.timers.soon(resolve)).then(() => {
      this.#releasing = undefined;
      const hosts = [...this.#asked];
      this.#asked.clear();
      return this.#release(hosts); // P2
    });
    await this.#releasing;
    const { core, isHandedOver, checkpointedSeq } = host;
    const { shard, epoch } = core;
    const changed = isHandedOver && typeof watch === 'number' ? core.changedSince(watch) : undefined;
    if (changed === undefined) return JSON.stringify({ released: shard });
    const { tasks, commandsFrom } = changed;
    const from = commandsFrom < Infinity ? { commandsFrom } : {};
    return JSON.stringify({ released: shard, since: { epoch, seq: checkpointedSeq, tasks, ...from } });
  }

  gone(): void {
    this.#wake();
  }

  /** A next owner looks who has a shard: it will come for it. Where it is about to load it, what changes from now on is noted. */
  prepared({ core }: HostedShard, body: Uint8Array): string {
    this.#prepared++;
    this.#wake();
    const { shard, tasks, epoch, watermark } = core;
    const watch = read(body)['watch'] === true ? { number: core.watch(), epoch, watermark } : undefined;
    return JSON.stringify({ shard, tasks, watch });
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

/** A request of another node; of one that cannot be read, what every version says. */
function read(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
