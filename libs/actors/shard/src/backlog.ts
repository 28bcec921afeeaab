import { SlotList, type SlotLinks } from '@belfry/timing';
import type { Execution } from './execution.ts';

/** Executions in line, first in, first out; those that are no longer `pending`, or wait in another line by now, are skipped. */
class ExecutionLine {
  readonly #isHere: (execution: Execution) => boolean;
  #line: Execution[] = [];
  #head = 0;

  constructor(isHere: (execution: Execution) => boolean) {
    this.#isHere = isHere;
  }

  push(execution: Execution): void {
    this.#line.push(execution);
  }

  /** Executions that wait here, each once. */
  waiting(): Set<Execution> {
    return new Set(this.#line.slice(this.#head).filter((execution) => this.#isHere(execution)));
  }

  shift(): Execution | undefined {
    while (this.#head < this.#line.length) {
      const execution = this.#line[this.#head++] as Execution;
      if (this.#head === this.#line.length) {
        this.#line.length = 0;
        this.#head = 0;
      } else if (this.#head > 1_024 && this.#head * 2 > this.#line.length) {
        this.#line = this.#line.slice(this.#head);
        this.#head = 0;
      }
      if (this.#isHere(execution)) return execution;
    }
    return undefined;
  }
}

class QueueBacklog {
  readonly slots = [new SlotList(), new SlotList(), new SlotList()] as const;
  readonly executions: readonly [ExecutionLine, ExecutionLine, ExecutionLine];
  /** Waiting in each priority. */
  readonly waiting: [number, number, number] = [0, 0, 0];

  constructor(queue: string) {
    const line = (priority: Priority): ExecutionLine =>
      new ExecutionLine(
        ({ state, target }) => state === 'pending' && target.queueKey === queue && target.priority === priority,
      );
    this.executions = [line(0), line(1), line(2)];
  }
}

type Priority = 0 | 1 | 2;
const PRIORITIES = [0, 1, 2] as const;

/**
 * What is due and not dispatched, by queue and priority: first executions that ran before, then tasks whose next fire is due.
 *
 * B1. `waiting` counts the slots in the lists and the pending executions, exactly.
 */
export class Backlog {
  readonly #queues = new Map<string, QueueBacklog>();
  readonly #links: SlotLinks;
  total = 0;

  constructor(links: SlotLinks) {
    this.#links = links;
  }

  addSlot(queue: string, priority: Priority, slot: number): void {
    const backlog = this.#of(queue);
    this.#links.pushBack(backlog.slots[priority], slot);
    this.#count(backlog, priority, 1);
  }

  removeSlot(queue: string, priority: Priority, slot: number): void {
    const backlog = this.#of(queue);
    this.#links.remove(backlog.slots[priority], slot);
    this.#count(backlog, priority, -1);
  }

  addExecution(execution: Execution): void {
    const backlog = this.#of(execution.target.queueKey);
    backlog.executions[execution.target.priority].push(execution);
    this.#count(backlog, execution.target.priority, 1);
  }

  /** An execution stops being `pending`. */
  dropExecution(execution: Execution): void {
    this.#count(this.#of(execution.target.queueKey), execution.target.priority, -1);
  }

  /** The next pending execution; it counts as waiting until it is moved on. */
  nextExecution(queue: string, priority: Priority): Execution | undefined {
    return this.#queues.get(queue)?.executions[priority].shift();
  }

  /** A task whose next fire is due, or -1. */
  takeSlot(queue: string, priority: Priority): number {
    const backlog = this.#queues.get(queue);
    if (backlog === undefined || backlog.slots[priority].size === 0) return -1;
    const slot = this.#links.shift(backlog.slots[priority]);
    this.#count(backlog, priority, -1);
    return slot;
  }

  waiting(queue: string, priority: Priority): number {
    return this.#queues.get(queue)?.waiting[priority] ?? 0;
  }

  /** Queues with something waiting. */
  *queues(): IterableIterator<string> {
    for (const [queue, { waiting }] of this.#queues) if (waiting[0] + waiting[1] + waiting[2] > 0) yield queue;
  }

  /** Throws where B1 does not hold, or where it differs from the pending executions and the due slots by queue and priority. */
  assertInvariants(
    expected: ReadonlyMap<string, { readonly slots: Set<number>; readonly executions: Set<Execution> }>,
  ): void {
    let total = 0;
    for (const queue of new Set([...this.#queues.keys(), ...[...expected.keys()].map((line) => line.slice(0, -2))])) {
      for (const priority of PRIORITIES) {
        const line = `${queue}/${priority}`;
        const backlog = this.#of(queue);
        const slots = new Set(this.#links.slots(backlog.slots[priority]));
        const executions = backlog.executions[priority].waiting();
        const due = expected.get(line);
        check(sameSet(slots, due?.slots ?? new Set()), `B1: ${line} holds slots ${[...slots].join(' ')}`);
        check(sameSet(executions, due?.executions ?? new Set()), `B1: ${line} holds ${executions.size} executions`);
        check(
          backlog.waiting[priority] === slots.size + executions.size,
          `B1: ${line} counts ${backlog.waiting[priority]}`,
        );
        total += slots.size + executions.size;
      }
    }
    check(total === this.total, `B1: ${this.total} waiting, ${total} found`);
  }

  /** The backlog as text, a line per queue and priority with something waiting: slots, then executions. */
  print(): string[] {
    const lines: string[] = [];
    for (const [queue, { slots, executions, waiting }] of this.#queues) {
      for (const priority of PRIORITIES) {
        if (waiting[priority] === 0) continue;
        const ids = [...executions[priority].waiting()].map(({ id }) => id);
        lines.push(`backlog ${queue}/${priority}: ${[...this.#links.slots(slots[priority]), ...ids].join(' ')}`);
      }
    }
    return lines;
  }

  #of(queue: string): QueueBacklog {
    let backlog = this.#queues.get(queue);
    if (backlog === undefined) {
      backlog = new QueueBacklog(queue);
      this.#queues.set(queue, backlog);
    }
    return backlog;
  }

  #count(backlog: QueueBacklog, priority: Priority, by: 1 | -1): void {
    backlog.waiting[priority] += by;
    this.total += by;
  }
}

function sameSet<T>(one: ReadonlySet<T>, other: ReadonlySet<T>): boolean {
  return one.size === other.size && [...one].every((item) => other.has(item));
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`backlog: ${what}`);
}
