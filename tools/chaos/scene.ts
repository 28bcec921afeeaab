import type { ScheduleSpec } from '@belfry/sdk';

import type { Cluster, Ground } from './cluster.ts';
import type { Load, Work } from './load.ts';

/** What a case has at hand while its load runs. */
export interface Scene {
  readonly cluster: Cluster;
  readonly load: Load;
  readonly random: () => number;
  readonly settings: Settings;
  /** Shown beside the case's figures. */
  readonly note: (text: string) => void;
  /** A figure of the case's own: how long something took. The table shows the worst of it over all runs. */
  readonly measured: (what: string, ms: number) => void;
  /** Something that must not be: the verdict is bad. */
  readonly blame: (what: string) => void;
}

/** What a call may change of the cases. */
export interface Settings {
  /** Waiting tasks of the cases that are about many. */
  readonly tasks: number;
  /** How long Postgres stays away, and other outages last, in s. */
  readonly outageSeconds: number;
  /** The outage of Postgres lasts as long as the longest that is promised to be survived. */
  readonly long: boolean;
  /** Small loads: to see that it works, not for figures. */
  readonly quick: boolean;
}

export interface CaseLoad {
  readonly tasks?: number;
  readonly windowMs?: number;
  readonly trickle?: number;
  readonly work?: (index: number) => Work;
  readonly more?: Partial<ScheduleSpec>;
}

/** One fault, on real processes. */
export interface ChaosCase {
  readonly name: string;
  /** What is done, in a sentence. */
  readonly what: string;
  readonly ground?: Partial<Ground>;
  /** Why it cannot be done on this system; undefined when it can. */
  obstacle?(): string | undefined;
  readonly load?: CaseLoad | ((settings: Settings) => CaseLoad);
  /** From the load's start to the fault. */
  readonly afterMs?: number;
  /** How long after the window, and after the fault, everything may take to be over. */
  readonly patienceMs?: number;
  /** What must be so before the load starts. */
  prepare?(scene: Omit<Scene, 'load'>): Promise<void>;
  /** Does the fault, and ends it. What it leaves dead is started again after everything has run. */
  inject(scene: Scene): Promise<void>;
  /** After everything has run. */
  verify?(scene: Scene): Promise<void>;
  /** The cluster cannot be used by another case. */
  readonly spoils?: boolean;
}
