import { SlotList, type SlotLinks } from '@belfry/timing';
import type { Execution } from './execution.ts';

/** Executions in line, first in, first out; those that are no longer `pending` are skipped. */
class ExecutionLine {
  #line: Execution[] = [];
  #head = 0;

  push(execution: Execution): void {
    this.#line.push(execution);
  }

  shift(): Execution | undefined {
    while (this.#head < this.#line.length) {
      const execution = this.#line[this.#head++] as Execution;
      if (this.#head > 1_024 && this.#head * 2 > this.#line.length) {
        this.#line = this.#line.slice(this.#head);
        this.#head = 0;
      }
      if (execution.state === 'pending') return execution;
    }
    return undefined;
  }
}

class QueueBacklog {
  readonly slots = [new SlotList(), new SlotList(), new SlotList()] as const;
  readonly executions = [new ExecutionLine(), new ExecutionLine(), new ExecutionLine()] as const;
  /** Waiting in each priority. */
  readonly waiting: [number, number, number] = [0, 0, 0];
}

type Priority = 0 | 1 | 2;

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

  #of(queue: string): QueueBacklog {
    let backlog = this.#queues.get(queue);
    if (backlog === undefined) {
      backlog = new QueueBacklog();
      this.#queues.set(queue, backlog);
    }
    return backlog;
  }

  #count(backlog: QueueBacklog, priority: Priority, by: 1 | -1): void {
    backlog.waiting[priority] += by;
    this.total += by;
  }
}
