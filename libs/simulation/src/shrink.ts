import type { Plan, PlanStep } from './plan.ts';
import { runPlan, type RunResult } from './run.ts';

/**
 * Looks for a shorter plan that breaks the same rule: leaves out ever smaller stretches of its steps, and then tasks of its creates.
 * Ends after `budgetMs` of real time at the latest; `now` reads a clock. `run` is `runPlan` by default.
 */
export async function shrink(
  failed: RunResult,
  options: {
    readonly budgetMs: number;
    readonly now: () => number;
    readonly run?: (plan: Plan) => Promise<RunResult>;
    readonly onShorter?: (steps: number) => void;
  },
): Promise<RunResult> {
  const endMs = options.now() + options.budgetMs;
  const { run = runPlan } = options;
  const rule = failed.violation?.rule;
  let best = failed;
  const attempt = async (steps: readonly PlanStep[], change: Partial<Plan> = {}): Promise<boolean> => {
    const result = await run({ ...best.plan, ...change, steps });
    if (result.violation?.rule !== rule) return false;
    best = result;
    options.onShorter?.(steps.length);
    return true;
  };
  const isTime = (): boolean => options.now() < endMs;
  if (rule !== 'liveness') await attempt(best.plan.steps.filter(({ atMs }) => atMs <= failed.virtualMs));
  for (let shorter = true; shorter && isTime();) {
    const before = size(best.plan);
    await leaveOut(() => best.plan.steps, attempt, isTime);
    await leaveOut(() => best.plan.steps.flatMap(oneByOne), attempt, isTime);
    const last = best.plan.steps.at(-1)?.atMs ?? 0;
    if (last + 5_000 < best.plan.calmAtMs) await attempt(best.plan.steps, { calmAtMs: last + 5_000 });
    shorter = size(best.plan) < before;
  }
  return best;
}

async function leaveOut(
  stepsNow: () => readonly PlanStep[],
  attempt: (steps: readonly PlanStep[]) => Promise<boolean>,
  isTime: () => boolean,
): Promise<void> {
  let steps = stepsNow();
  for (let length = Math.ceil(steps.length / 2); length >= 1; length = length === 1 ? 0 : Math.ceil(length / 2)) {
    // From the end, where there is most that the violation does not need.
    for (let from = steps.length - length; from > -length && isTime(); from -= length) {
      const without = steps.filter((_, at) => at < from || at >= from + length);
      if (without.length < steps.length && (await attempt(without))) steps = without;
    }
  }
}

/** A create of many tasks as creates of one. */
function oneByOne(step: PlanStep): PlanStep[] {
  if (step.kind !== 'create' || step.tasks.length <= 1) return [step];
  return step.tasks.map((task) => ({ ...step, tasks: [task] }));
}

function size({ steps }: Plan): number {
  return steps.reduce((sum, step) => sum + (step.kind === 'create' ? step.tasks.length : 1), 0);
}
