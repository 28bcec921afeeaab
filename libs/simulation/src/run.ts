import { Cluster } from './cluster.ts';
import { Violation } from './model.ts';
import type { Plan } from './plan.ts';

/** After the last fault, and after it is due, every fire must have come to its end within this time; and every command, after the fault. */
const BOUND_MS = 10 * 60_000;
const LOOK_MS = 1_000;
const LIVENESS_LOOK_MS = 10_000;

export interface RunResult {
  readonly plan: Plan;
  /** Rule and message of what was broken; undefined when all held. */
  readonly violation: { readonly rule: string; readonly message: string } | undefined;
  /** Of all that is traced, in order. */
  readonly traceHash: string;
  readonly virtualMs: number;
  readonly steps: number;
  /** Handlers that were started. */
  readonly executions: number;
  /** Faults that the plan had happen, and what happened to messages, by kind. */
  readonly faults: ReadonlyMap<string, number>;
  readonly incidents: ReadonlyMap<string, number>;
  /** What was weaker than the contract and is known to be, by what it is. */
  readonly tolerated: ReadonlyMap<string, number>;
}

/** Runs a plan to its end, or to the first violation. `onTrace` gets every line. */
export async function runPlan(plan: Plan, onTrace?: (line: string) => void): Promise<RunResult> {
  const hash = new TraceHash();
  const cluster: Cluster = new Cluster(plan, (text) => {
    const line = `${cluster?.time.nowMs ?? 0} ${text}`;
    hash.add(line);
    onTrace?.(line);
  });
  let lookAt = plan.calmAtMs;
  let livenessAt = plan.calmAtMs + BOUND_MS;
  const isOver = (): boolean => {
    if (cluster.model.violation !== undefined) throw cluster.model.violation;
    if (cluster.failure !== undefined) throw cluster.failure as Error;
    if (cluster.time.nowMs < lookAt) return false;
    lookAt = cluster.time.nowMs + LOOK_MS;
    if (cluster.isOver) return true;
    if (cluster.time.nowMs < livenessAt) return false;
    livenessAt = cluster.time.nowMs + LIVENESS_LOOK_MS;
    const late = cluster.overdue(BOUND_MS, 5);
    if (late.length > 0) throw new Violation('liveness', `not over: ${late.join(', ')}`);
    return false;
  };
  const violation = (await failureOf(cluster.time.run(isOver))) ?? notExplained(cluster);
  return {
    plan,
    violation,
    traceHash: hash.value,
    virtualMs: cluster.time.nowMs,
    steps: cluster.time.steps,
    executions: cluster.model.executions,
    faults: cluster.faults,
    incidents: cluster.network.happened,
    tolerated: cluster.model.tolerated,
  };
}

/** Any failure of production code is one of the run; whatever it is, a promise may have brought it. */
async function failureOf(work: Promise<void>): Promise<RunResult['violation']> {
  const unhandled = Promise.withResolvers<never>();
  const onUnhandled = (error: unknown): void => unhandled.reject(error);
  process.on('unhandledRejection', onUnhandled);
  process.on('uncaughtException', onUnhandled);
  try {
    await Promise.race([work, unhandled.promise]);
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return { rule: error.rule, message: error.message };
    return { rule: 'fault', message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  } finally {
    process.off('unhandledRejection', onUnhandled);
    process.off('uncaughtException', onUnhandled);
  }
}

function notExplained(cluster: Cluster): RunResult['violation'] {
  const missed = cluster.unexplained(5);
  return missed.length === 0
    ? undefined
    : { rule: 'explanation', message: `missed, as is explained: ${missed.join(', ')}` };
}

/** 53 bits of all lines, in order (FNV-1a, twice). */
class TraceHash {
  #low = 0x811c9dc5;
  #high = 0x9e3779b9;

  add(line: string): void {
    for (let at = 0; at < line.length; at++) {
      const code = line.charCodeAt(at);
      this.#low = Math.imul(this.#low ^ code, 0x01000193);
      this.#high = Math.imul(this.#high ^ code, 0x85ebca6b) ^ (this.#low >>> 15);
    }
  }

  get value(): string {
    return (this.#low >>> 0).toString(16).padStart(8, '0') + (this.#high >>> 0).toString(16).padStart(8, '0');
  }
}
