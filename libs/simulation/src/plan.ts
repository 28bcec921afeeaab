import type { Direction, Service } from './machine.ts';

/** Which fires that nobody saw come due, and that were found a minute late or later, run. */
export type CatchUpPolicy = 'skip' | 'latest' | 'all';

/** The schedule of a simulated task, in ms of the world's time; instants are whole. */
export type SimSchedule =
  | { readonly kind: 'at'; readonly atMs: number }
  | { readonly kind: 'every'; readonly everyMs: number; readonly startMs: number; readonly fires: number }
  | { readonly kind: 'cron'; readonly minutes: number; readonly startMs: number; readonly fires: number };

export interface SimTask {
  readonly schedule: SimSchedule;
  readonly takesMs: number;
  readonly failures: number;
  readonly timeoutMs: number;
  readonly priority: 'high' | 'medium' | 'low';
  readonly precision: 'high' | 'normal' | 'low';
  readonly keyed: boolean;
  readonly queue: number;
  readonly catchUp: CatchUpPolicy;
}

/** Something that the plan has happen at an instant of the world's time. */
export type PlanStep = { readonly atMs: number } & (
  | { readonly kind: 'create'; readonly tasks: readonly { readonly number: number; readonly task: SimTask }[] }
  | { readonly kind: 'cancel'; readonly number: number }
  | { readonly kind: 'get'; readonly number: number }
  | {
      readonly kind: 'update';
      readonly number: number;
      readonly schedule: SimSchedule | undefined;
      readonly takesMs: number;
    }
  | { readonly kind: 'crash node'; readonly node: number; readonly downMs: number; readonly newName: boolean }
  | { readonly kind: 'pause node'; readonly node: number; readonly forMs: number }
  | { readonly kind: 'redeploy node'; readonly node: number; readonly downMs: number }
  | {
      readonly kind: 'cut node';
      readonly node: number;
      readonly services: readonly Service[];
      readonly direction: Direction;
      readonly forMs: number;
    }
  | { readonly kind: 'step clock'; readonly node: number; readonly byMs: number; readonly forMs: number }
  | { readonly kind: 'crash worker'; readonly worker: number; readonly downMs: number }
  | { readonly kind: 'stop worker'; readonly worker: number; readonly downMs: number }
  | { readonly kind: 'pause worker'; readonly worker: number; readonly forMs: number }
  | {
      readonly kind: 'cut worker';
      readonly worker: number;
      readonly services: readonly Service[];
      readonly direction: Direction;
      readonly forMs: number;
    }
  | { readonly kind: 'crash gateway'; readonly gateway: number; readonly downMs: number }
  | { readonly kind: 'pause gateway'; readonly gateway: number; readonly forMs: number }
  | {
      readonly kind: 'cut gateway';
      readonly gateway: number;
      readonly services: readonly Service[];
      readonly direction: Direction;
      readonly forMs: number;
    }
  | { readonly kind: 'crash supervisor'; readonly supervisor: number; readonly downMs: number }
  | { readonly kind: 'pause supervisor'; readonly supervisor: number; readonly forMs: number }
  | {
      readonly kind: 'cut supervisor';
      readonly supervisor: number;
      readonly services: readonly Service[];
      readonly direction: Direction;
      readonly forMs: number;
    }
  | { readonly kind: 'slow store'; readonly byMs: number; readonly forMs: number }
  | { readonly kind: 'failing store'; readonly share: number; readonly forMs: number }
  | { readonly kind: 'lose work stream' }
  /** The only broker dies: its memory is gone, and what it had not yet synced. */
  | { readonly kind: 'restart broker'; readonly downMs: number }
  | {
      readonly kind: 'bad weather';
      readonly loss: number;
      readonly duplication: number;
      readonly delay: number;
      readonly delayMs: number;
      readonly forMs: number;
    }
);

/** A whole run: what stands where, and what happens when. Everything else follows from the seed. */
export interface Plan {
  readonly seed: number;
  readonly shards: number;
  readonly nodes: number;
  readonly supervisors: number;
  readonly gateways: number;
  readonly workers: number;
  readonly capacity: number;
  readonly queues: number;
  readonly tickMs: number;
  /** Some workers are of the version before: they know nothing of leases of their own, nor of parcels. */
  readonly mixed: boolean;
  /** When the faults end, and what is under way must come to its end. */
  readonly calmAtMs: number;
  readonly steps: readonly PlanStep[];
}

const COMMANDS: ReadonlySet<PlanStep['kind']> = new Set(['create', 'update', 'cancel', 'get']);

/** Steps of the plan that are faults, for counting. */
export function isFault(kind: PlanStep['kind']): boolean {
  return !COMMANDS.has(kind);
}
