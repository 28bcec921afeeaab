import { readFile } from 'node:fs/promises';
import type { Clock } from '@belfry/scheduler';
import { DisciplinedClock, type ClockStep } from '@belfry/timing';

/** The two clocks of the machine. */
export interface MachineClocks {
  wall(): number;
  monotonic(): number;
}

const MACHINE: MachineClocks = { wall: () => Date.now(), monotonic: () => performance.now() };

/**
 * The clock of a server process: what its scheduler and its gateway call now (docs/decisions/0017-clock.md).
 *
 * In a drill, the wall clock is off by the ms that stand in a file, so that one can see what a wrong clock does without setting the
 * machine's.
 */
export class ProcessClock implements Clock {
  /** Told of each step of the wall clock. */
  onStep: ((step: ClockStep) => void) | undefined;
  readonly #machine: MachineClocks;
  readonly #drillFile: string | undefined;
  readonly #disciplined: DisciplinedClock;
  #drillMs = 0;

  constructor(options: { readonly drillFile?: string | undefined; readonly machine?: MachineClocks } = {}) {
    this.#machine = options.machine ?? MACHINE;
    this.#drillFile = options.drillFile === '' ? undefined : options.drillFile;
    this.#disciplined = new DisciplinedClock(this.monotonic(), this.wall());
  }

  /** Disciplined. */
  now(): number {
    return this.#disciplined.read(this.monotonic(), this.wall(), this.onStep);
  }

  /** As the machine has it. */
  wall(): number {
    return this.#machine.wall() + this.#drillMs;
  }

  monotonic(): number {
    return this.#machine.monotonic();
  }

  isHeld(): boolean {
    return this.aheadMs > 0;
  }

  /** For how long `now` stands still, as the wall clock was set back. */
  get aheadMs(): number {
    this.now();
    return this.#disciplined.aheadMs;
  }

  /** Back to the wall clock: only while this node owns no shards. */
  restart(): void {
    this.#disciplined.restart(this.monotonic(), this.wall());
  }

  /** Looks at the drill's file; without one, or without a number in it, the clock is the machine's. Never rejects. */
  async readDrill(): Promise<void> {
    if (this.#drillFile === undefined) return;
    const text = await readFile(this.#drillFile, 'utf8').catch(() => '');
    const ms = Number(text.trim());
    this.#drillMs = Number.isFinite(ms) ? ms : 0;
  }
}
