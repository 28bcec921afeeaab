import { SlotList, type SlotLists } from '@belfry/timing';
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

/** Fires that wait for no grid, those of precision normal and low that do, and missed ones that run all the same. */
export type Lane = 0 | 1 | 2 | 3;
export const LATE_LANE: Lane = 3;
const LANES = [0, 1, 2, 3] as const;

type Lines = readonly [SlotList, SlotList, SlotList, SlotList];
const newLines = (): Lines => [new SlotList(), new SlotList(), new SlotList(), new SlotList()];

class QueueBacklog {
  /** Slots by priority and lane. */
  readonly slots = [newLines(), newLines(), newLines()] as const;
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

/** Queues that are kept though nothing waits in them: to make one again costs more than to find it. */
const QUEUES_KEPT = 64;

type Priority = 0 | 1 | 2;
const PRIORITIES = [0, 1, 2] as const;

/**
 * What is due and not dispatched, by queue and priority: executions that ran before, and tasks whose next fire is due, in lines by
 * what they wait for.
 *
 * B1. `waiting` counts the slots in the lists and the pending executions, exactly; `total` all of them, `fires` the slots.
 * B2. Of queues with nothing waiting, no more are kept than of others, but for some dozens: queues come and go for ever.
 */
export class Backlog {
  readonly #queues = new Map<string, QueueBacklog>();
  readonly #lists: SlotLists;
  /** Queues at which those with nothing waiting are forgotten (B2). */
  #sweepAt = QUEUES_KEPT;
  total = 0;
  /** Of them, tasks whose next fire waits; the rest are executions. */
  fires = 0;

  constructor(lists: SlotLists) {
    this.#lists = lists;
  }

  addSlot(queue: string, priority: Priority, lane: Lane, slot: number): void {
    const backlog = this.#of(queue);
    this.#lists.pushBack(backlog.slots[priority][lane], slot);
    this.fires++;
    this.#count(backlog, priority, 1);
  }

  removeSlot(queue: string, priority: Priority, lane: Lane, slot: number): void {
    const backlog = this.#of(queue);
    this.#lists.remove(backlog.slots[priority][lane], slot);
    this.fires--;
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

  /** The task that has waited longest in a line, or -1. */
  firstSlot(queue: string, priority: Priority, lane: Lane): number {
    return this.#queues.get(queue)?.slots[priority][lane].head ?? -1;
  }

  /** Queues that are known here (B2). */
  get queues(): number {
    return this.#queues.size;
  }

  waiting(queue: string, priority: Priority): number {
    return this.#queues.get(queue)?.waiting[priority] ?? 0;
  }

  /** Whether something of a queue, or of any, may go: executions, or the first task of a line if `isReady` says so. */
  hasReady(isReady: (lane: Lane, slot: number) => boolean, queue: string | undefined): boolean {
    if (queue !== undefined) {
      const backlog = this.#queues.get(queue);
      return backlog !== undefined && mayGo(backlog, isReady);
    }
    for (const backlog of this.#queues.values()) if (mayGo(backlog, isReady)) return true;
    return false;
  }

  /** Throws where B1 does not hold, or where it differs from the pending executions and the due slots by queue and priority. */
  assertInvariants(
    expected: ReadonlyMap<string, { readonly slots: readonly Set<number>[]; readonly executions: Set<Execution> }>,
  ): void {
    let total = 0;
    let fires = 0;
    for (const queue of new Set([...this.#queues.keys(), ...[...expected.keys()].map((line) => line.slice(0, -2))])) {
      for (const priority of PRIORITIES) {
        const line = `${queue}/${priority}`;
        const backlog = this.#of(queue);
        const executions = backlog.executions[priority].waiting();
        const due = expected.get(line);
        check(sameSet(executions, due?.executions ?? new Set()), `B1: ${line} holds ${executions.size} executions`);
        let waiting = executions.size;
        for (const lane of LANES) {
          const slots = new Set(this.#lists.slots(backlog.slots[priority][lane]));
          const wanted = due?.slots[lane] ?? new Set();
          check(sameSet(slots, wanted), `B1: ${line}, lane ${lane} holds slots ${[...slots].join(' ')}`);
          waiting += slots.size;
          fires += slots.size;
        }
        check(backlog.waiting[priority] === waiting, `B1: ${line} counts ${backlog.waiting[priority]}`);
        total += waiting;
      }
    }
    check(total === this.total, `B1: ${this.total} waiting, ${total} found`);
    check(fires === this.fires, `B1: ${this.fires} fires wait, ${fires} found`);
  }

  /** The backlog as text, a line per queue and priority with something waiting: slots, then executions. */
  print(): string[] {
    const lines: string[] = [];
    for (const [queue, { slots, executions, waiting }] of this.#queues) {
      for (const priority of PRIORITIES) {
        if (waiting[priority] === 0) continue;
        const ids = [...executions[priority].waiting()].map(({ id }) => id);
        const punctual = slots[priority].slice(0, LATE_LANE).flatMap((list) => [...this.#lists.slots(list)]);
        const late = [...this.#lists.slots(slots[priority][LATE_LANE])];
        const words = [...punctual, ...ids, ...(late.length === 0 ? [] : ['late', ...late])];
        lines.push(`backlog ${queue}/${priority}: ${words.join(' ')}`);
      }
    }
    return lines;
  }

  #of(queue: string): QueueBacklog {
    let backlog = this.#queues.get(queue);
    if (backlog === undefined) {
      if (this.#queues.size >= this.#sweepAt) this.#sweep();
      backlog = new QueueBacklog(queue);
      this.#queues.set(queue, backlog);
    }
    return backlog;
  }

  /** B2. What still stands in a line of a forgotten queue is not pending there. */
  #sweep(): void {
    for (const [queue, { waiting }] of this.#queues)
      if (waiting[0] + waiting[1] + waiting[2] === 0) this.#queues.delete(queue);
    this.#sweepAt = Math.max(QUEUES_KEPT, 2 * this.#queues.size);
  }

  #count(backlog: QueueBacklog, priority: Priority, by: 1 | -1): void {
    backlog.waiting[priority] += by;
    this.total += by;
  }
}

function mayGo({ slots, waiting }: QueueBacklog, isReady: (lane: Lane, slot: number) => boolean): boolean {
  for (const priority of PRIORITIES) {
    if (waiting[priority] === 0) continue;
    let inLines = 0;
    for (const lane of LANES) {
      const { head, size } = slots[priority][lane];
      if (head >= 0 && isReady(lane, head)) return true;
      inLines += size;
    }
    if (waiting[priority] > inLines) return true; // executions (B1)
  }
  return false;
}

function sameSet<T>(one: ReadonlySet<T>, other: ReadonlySet<T>): boolean {
  return one.size === other.size && [...one].every((item) => other.has(item));
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`backlog: ${what}`);
}
