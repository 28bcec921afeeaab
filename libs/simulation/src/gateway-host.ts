import { Gateway } from '@belfry/gateway';
import { ok, retry, type Queries } from '@belfry/ports';
import { LIMITS, subjects } from '@belfry/protocol';
import type { Process } from './process.ts';
import type { Services } from './services.ts';

const TICK_MS = 100;
const USAGE_MS = 2_000;

/** Reads of the stored history are no part of the simulation. */
const NO_QUERIES: Queries = {
  tasks: () => Promise.reject(new Error('not simulated')),
  executions: () => Promise.reject(new Error('not simulated')),
  execution: () => Promise.resolve(undefined),
  explain: () => Promise.reject(new Error('not simulated')),
  calendars: () => Promise.resolve({ items: [], asOf: 0 }),
  slots: () => Promise.resolve([]),
  zoneData: () => Promise.resolve([]),
};

/** A gateway's process: the production gateway, with what the program gives it. */
export class GatewayHost {
  readonly process: Process;
  readonly #gateway: Gateway;

  constructor(process: Process, services: Services) {
    this.process = process;
    const messenger = services.messages.of(process);
    const inbox = services.inbox.of(process);
    const work = services.work.of(process);
    this.#gateway = new Gateway({
      gatewayId: process.name,
      shards: services.shards,
      inbox,
      queries: NO_QUERIES,
      clock: process.clock,
      log: services.log(process),
      askShard: (shard, op, body) =>
        messenger.ask(subjects.shard(shard, op), body, LIMITS.answerMs).then(ok<Uint8Array>, retry),
      ensureConsumer: (namespace, queue, leaseMs) => work.ensureConsumer(namespace, queue, leaseMs),
      publishRejected: () => Promise.resolve(ok(undefined)),
      defer: process.soon,
    });
    messenger.listen(subjects.replies(process.name), (body) => this.#gateway.onReplies(body), { sole: true });
    process.every(TICK_MS, () => this.#gateway.tick());
    process.every(USAGE_MS, () => {
      inbox.usage().then(
        (usage) => this.#gateway.onInboxUsage(usage),
        () => undefined, // what is not known stays as it was
      );
    });
  }

  /** One request, `tasks.create` for example; the reply as JSON text. */
  handle(namespace: string, operation: string, body: string): Promise<string> {
    const [room, op = ''] = operation.split('.');
    const data = Buffer.from(body);
    const header = (): undefined => undefined;
    if (room === 'tasks') return this.#gateway.handleTasks(namespace, op, data, header);
    if (room === 'executions') return this.#gateway.handleExecutions(namespace, op, data, header);
    return this.#gateway.handleWorkers(namespace, op, data, header);
  }
}
