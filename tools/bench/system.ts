import type { Cleanup } from './cleanup.ts';
import type { DriverConfig } from './driver.ts';

/** A system under test. */
export interface System {
  readonly name: string;
  /** What its figures were measured with, in a few words. */
  readonly settings: string;
  /** Counts when the best peer is looked for: as durable as Belfry. */
  readonly isPeer: boolean;
  /** Bulk requests that its producer keeps in flight. */
  readonly inFlight: number;
  /** Starts its servers on empty data; `cleanup` stops them. */
  start(cleanup: Cleanup): Promise<RunningSystem>;
}

export interface RunningSystem {
  /** How a producer or worker of this queue reaches it. */
  driver(queue: string): DriverConfig;
}

/** A peer that can't run here, and why. */
export interface Skipped {
  readonly name: string;
  readonly reason: string;
}
