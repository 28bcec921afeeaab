import {
  taskIdOfCommand,
  taskIdOfKey,
  type CancelReply,
  type CreateReply,
  type CreateResult,
  type Reply,
  type TaskSpec,
  type TaskView,
  type WireError,
} from '@belfry/protocol';
import type { Doors } from './doors.ts';
import { fieldsOf } from './fires.ts';
import type { Model } from './model.ts';
import type { PlanStep, SimTask } from './plan.ts';
import type { Process } from './process.ts';
import type { Behaviour } from './worker-host.ts';

export const NAMESPACE = 'acme';
/** As the SDK waits: longer than a gateway does. */
const ANSWER_MS = 12_000;
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5_000;

type Step<K extends PlanStep['kind']> = Extract<PlanStep, { readonly kind: K }>;

/** A client that repeats each of its commands until it knows what became of it, and tells the model. */
export class Client {
  readonly process: Process;
  readonly #doors: Doors;
  readonly #model: Model;
  readonly #ids = new Map<number, string>();
  readonly #behaviours = new Map<number, SimTask>();
  /** Commands without an answer. */
  open = 0;

  constructor(process: Process, doors: Doors, model: Model) {
    this.process = process;
    this.#doors = doors;
    this.#model = model;
  }

  async create({ tasks }: Step<'create'>): Promise<void> {
    const commandId = `create-${tasks[0]?.number ?? 0}`;
    const items = tasks.map(({ number, task }, index) => {
      const key = task.keyed ? { key: `task-${number}` } : {};
      const id = task.keyed ? taskIdOfKey(NAMESPACE, `task-${number}`) : taskIdOfCommand(NAMESPACE, commandId, index);
      this.#ids.set(number, id);
      this.#behaviours.set(number, task);
      this.#model.creating(id, task);
      return {
        ...fieldsOf(task.schedule),
        ...key,
        queue: `q${task.queue}`,
        handler: 'run',
        payload: { ...behaviour(task, 0) },
        priority: task.priority,
        precision: task.precision,
        timeoutMs: task.timeoutMs,
        retry: { attempts: 3, initialMs: 500, factor: 2, maxMs: 10_000 },
        catchUp: task.catchUp === 'all' ? { policy: 'all', window: '30d' } : task.catchUp,
      } satisfies TaskSpec;
    });
    const ids = tasks.map(({ number }) => this.#ids.get(number) as string);
    await this.#until<CreateReply>('tasks.create', { commandId, items }, (reply) => {
      reply.items.forEach((item: CreateResult, at) => {
        if (!('error' in item)) this.#model.created(ids[at] as string);
        else if (item.error.retryable !== true) throw new Error(`a create is refused: ${JSON.stringify(item.error)}`);
      });
      return reply.items.every((item) => !('error' in item));
    });
  }

  async update({ number, schedule, takesMs }: Step<'update'>): Promise<void> {
    const id = this.#ids.get(number);
    const task = this.#behaviours.get(number);
    if (id === undefined || task === undefined) return; // its creation is no part of this plan
    const version = this.#model.updating(id, schedule);
    const set = {
      ...(schedule === undefined ? {} : fieldsOf(schedule)),
      payload: behaviour({ ...task, takesMs }, version),
    };
    const answer = await this.#until('tasks.update', { id, set, commandId: `update-${number}` }, () => true);
    if (answer === undefined) this.#model.updated(id, version);
    else this.#model.updateRefused(id, version);
  }

  async cancel({ number }: Step<'cancel'>): Promise<void> {
    const id = this.#ids.get(number);
    if (id === undefined) return; // its creation is no part of this plan
    await this.#until<CancelReply>('tasks.cancel', { id, commandId: `cancel-${number}` }, (reply) => {
      this.#model.cancelled(id, reply);
      return true;
    });
  }

  async get({ number }: Step<'get'>): Promise<void> {
    const id = this.#ids.get(number);
    if (id === undefined) return; // its creation is no part of this plan
    const known = this.#model.asking(id);
    const refused = await this.#until<TaskView>('tasks.get', { id }, (task) => {
      this.#model.told(id, known, task);
      return true;
    });
    if (refused !== undefined) this.#model.told(id, known, undefined);
  }

  /** Asks until the answer is one; returns the refusal, if it is that the task is not there. */
  async #until<T>(operation: string, request: unknown, onReply: (reply: T) => boolean): Promise<WireError | undefined> {
    this.open++;
    const body = JSON.stringify(request);
    for (let attempt = 1; ; attempt++) {
      const reply = (await this.#doors.request(this.process, NAMESPACE, operation, body, ANSWER_MS)) as
        Reply<T & object> | undefined;
      if (reply !== undefined && !('error' in reply)) {
        if (onReply(reply)) break;
      } else if (reply !== undefined && reply.error.retryable !== true) {
        if (reply.error.code !== 'not_found')
          throw new Error(`${operation} is refused: ${JSON.stringify(reply.error)}`);
        this.open--;
        return reply.error;
      }
      const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt - 1));
      await new Promise<void>((resolve) => this.process.after(waitMs, resolve));
    }
    this.open--;
    return undefined;
  }
}

function behaviour(
  { takesMs, failures }: Pick<SimTask, 'takesMs' | 'failures'>,
  version: number,
): Record<keyof Behaviour, number> {
  return { version, takesMs, failures };
}
