import { readFile } from 'node:fs/promises';
import { LIMITS } from '@belfry/protocol';
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
 * N1. A step forward by more than `LIMITS.clockCalmMs` is not believed until somebody who has asked other clocks says so (`believe`):
 *     `now` goes on as if it had not been. What fires early cannot be taken back; what a machine that slept has missed can wait a second.
 * N2. A step back takes from what is not believed first.
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
  /** How far the wall clock was ahead of the monotonic one at the last reading. */
  #shiftMs: number;
  /** By how much the wall clock went forward without being believed (N1), and since when. */
  #doubtedMs = 0;
  #doubtedSince = 0;

  constructor(options: { readonly drillFile?: string | undefined; readonly machine?: MachineClocks } = {}) {
    this.#machine = options.machine ?? MACHINE;
    this.#drillFile = options.drillFile === '' ? undefined : options.drillFile;
    const [monotonicMs, wallMs] = [this.monotonic(), this.wall()];
    this.#disciplined = new DisciplinedClock(monotonicMs, wallMs);
    this.#shiftMs = wallMs - monotonicMs;
  }

  /** Disciplined. */
  now(): number {
    const [monotonicMs, wallMs] = [this.monotonic(), this.wall()];
    this.#compare(monotonicMs, wallMs);
    return this.#disciplined.read(monotonicMs, wallMs - this.#doubtedMs, this.onStep);
  }

  /** For how long a step forward has not been believed, in ms; undefined when there is none. */
  get doubtedForMs(): number | undefined {
    this.now();
    return this.#doubtedMs === 0 ? undefined : this.monotonic() - this.#doubtedSince;
  }

  /** Other clocks agree with the wall clock, or there are none: `now` follows it. */
  believe(): void {
    this.#doubtedMs = 0;
    this.#disciplined.read(this.monotonic(), this.wall()); // the step was told when it was seen
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
    this.#disciplined.restart(this.monotonic(), this.wall() - this.#doubtedMs);
  }

  /** Looks at the drill's file; without one, or without a number in it, the clock is the machine's. Never rejects. */
  async readDrill(): Promise<void> {
    if (this.#drillFile === undefined) return;
    const text = await readFile(this.#drillFile, 'utf8').catch(() => '');
    const ms = Number(text.trim());
    this.#drillMs = Number.isFinite(ms) ? ms : 0;
  }

  #compare(monotonicMs: number, wallMs: number): void {
    const movedMs = wallMs - monotonicMs - this.#shiftMs;
    this.#shiftMs += movedMs;
    if (movedMs > LIMITS.clockCalmMs) {
      if (this.#doubtedMs === 0) this.#doubtedSince = monotonicMs;
      this.#doubtedMs += movedMs; // N1
      this.onStep?.({ kind: 'forward', byMs: movedMs });
    } else if (movedMs < -LIMITS.clockCalmMs) {
      this.#doubtedMs = Math.max(0, this.#doubtedMs + movedMs); // N2
    }
  }
}
