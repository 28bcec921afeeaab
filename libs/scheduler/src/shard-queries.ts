import { parseTaskId, wireError } from '@belfry/protocol';
import type { Bodies } from './bodies.ts';
import type { Environment } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';
import type { Tallies } from './tallies.ts';
import { taskAnswer } from './task-answer.ts';

/**
 * Answers what is asked of a node's shards.
 *
 * Q1. A query is answered when its shard's fence, asked after the query has come, is still this node's: one that was cut off, or stood
 *     still, may not have heard of the next owner yet. Whoever is not the owner says nothing: the owner answers, or is asked again.
 * Q2. Nor does one say anything that has let go of the shard, or lost it, while it fetched the payload: what a refused checkpoint had changed of
 *     it is forgotten.
 * Q3. A task is told as it is when its payload has come: meanwhile it may have changed, or ended, and what no checkpoint had of it with it.
 */
export class ShardQueries {
  readonly #env: Pick<Environment, 'work' | 'log' | 'renderTask'>;
  readonly #bodies: Bodies;
  readonly #tallies: Tallies;
  readonly #onLost: (host: HostedShard) => void;

  constructor(
    env: Pick<Environment, 'work' | 'log' | 'renderTask'>,
    bodies: Bodies,
    tallies: Tallies,
    onLost: (host: HostedShard) => void,
  ) {
    this.#env = env;
    this.#bodies = bodies;
    this.#tallies = tallies;
    this.#onLost = onLost;
  }

  async answer(host: HostedShard, body: Uint8Array, subject: string): Promise<string> {
    const answer = subject.endsWith('.schedules') ? this.#tallies.answer(body) : this.#get(host, body);
    const [held, reply] = await Promise.all([this.#fencedEpoch(host), answer]);
    const { epoch } = host.core;
    if (held === epoch && !host.gone) return reply; // Q2
    if (held > epoch) this.#onLost(host);
    return await new Promise(() => undefined); // Q1
  }

  /** 0 when it cannot be asked, or the stream knows of none. */
  async #fencedEpoch({ core: { shard } }: HostedShard): Promise<number> {
    try {
      return (await this.#env.work.fenceOf(shard)).epoch;
    } catch (error) {
      this.#env.log.warn('a query is not answered: whose the shard is cannot be asked', {
        shard,
        error: String(error),
      });
      return 0;
    }
  }

  async #get(host: HostedShard, body: Uint8Array): Promise<string> {
    const { id, namespace } = JSON.parse(new TextDecoder().decode(body)) as { id?: unknown; namespace?: unknown };
    const { core } = host;
    const taskId = parseTaskId(id);
    const known = taskId === undefined ? undefined : core.glance(taskId, String(namespace));
    const task = known === undefined ? undefined : await this.#bodies.ask(core, known.id);
    const glance = known === undefined ? undefined : core.glance(known.id, String(namespace)); // Q3
    if (glance === undefined) return JSON.stringify({ error: wireError('not_found', 'no task of this id or key') });
    // Postgres does not answer; or it was put back to a backup that does not know it, which is replayed when that is noticed.
    if (task === undefined)
      return JSON.stringify({
        error: wireError('unavailable', 'the payload of the task cannot be read now; try again later'),
      });
    return taskAnswer(glance, (shown) => this.#env.renderTask(core.shard, shown, task));
  }
}
