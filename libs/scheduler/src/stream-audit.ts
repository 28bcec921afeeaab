import type { WorkQueue } from '@belfry/ports';
import type { Log } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';

/** Shards that are looked at in one round. */
const SHARDS_A_ROUND = 4;

/**
 * Looks whether what is dispatched still has its message in the work stream. A worker may have acknowledged what was no longer its own: its
 * result was on disk, and told late that another worker has the message. Without one, nobody would run it again, if that worker dies.
 *
 * A1. What was dispatched before the stream was asked, and is not in the answer, has no message; its result may be on its way. So it counts
 *     as adrift: it is given back when no worker has spoken for it for as long as a lease.
 */
export class StreamAudit {
  readonly #work: Pick<WorkQueue, 'surviving'>;
  readonly #log: Log;
  readonly #onAdrift: (host: HostedShard) => void;
  #turn = 0;
  #busy = false;

  constructor(work: Pick<WorkQueue, 'surviving'>, log: Log, onAdrift: (host: HostedShard) => void) {
    this.#work = work;
    this.#log = log;
    this.#onAdrift = onAdrift;
  }

  /** One round, over some of the shards. Never rejects. */
  async round(hosts: readonly HostedShard[]): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let look = 0; look < Math.min(SHARDS_A_ROUND, hosts.length); look++)
        await this.#look(hosts[this.#turn++ % hosts.length] as HostedShard);
    } catch (error) {
      this.#log.warn('the work stream cannot be compared with what is dispatched', { error: String(error) });
    } finally {
      this.#busy = false;
    }
  }

  async #look(host: HostedShard): Promise<void> {
    if (host.leaving || host.gone || host.publishing !== undefined || host.unsent().length > 0) return;
    const dispatched = host.core.inStream();
    if (dispatched.size === 0) return;
    const surviving = await this.#work.surviving(host.core.shard);
    if (host.gone) return;
    const adrift = host.core.strand(dispatched, surviving); // A1
    if (adrift === 0) return;
    this.#log.warn('dispatched executions have no message any more', { shard: host.core.shard, adrift });
    this.#onAdrift(host);
  }
}
