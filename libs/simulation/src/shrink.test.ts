import { expect, it } from 'vitest';

import { makePlan } from './make-plan.ts';
import type { Plan, PlanStep } from './plan.ts';
import type { RunResult } from './run.ts';
import { shrink } from './shrink.ts';

/** A world in which a task breaks a rule when a worker dies after it was made; everything else breaks another rule, or none. */
function worldOf(culprit: number): (plan: Plan) => Promise<RunResult> {
  return (plan) => {
    const madeAt = plan.steps.find(
      (step) => step.kind === 'create' && step.tasks.some(({ number }) => number === culprit),
    )?.atMs;
    const died = plan.steps.some(({ kind, atMs }) => kind === 'crash worker' && madeAt !== undefined && atMs > madeAt);
    const other = plan.steps.length % 7 === 0 ? { rule: 'other', message: 'another rule' } : undefined;
    return Promise.resolve({
      plan,
      violation: died ? { rule: 'once', message: `task ${culprit}` } : other,
      traceHash: '',
      virtualMs: plan.calmAtMs,
      steps: 0,
      executions: 0,
      faults: new Map(),
      incidents: new Map(),
      tolerated: new Map(),
    });
  };
}

async function failing(): Promise<{ failed: RunResult; run: (plan: Plan) => Promise<RunResult> }> {
  const made = makePlan(3);
  const create = made.steps.find((step) => step.kind === 'create' && step.tasks.length > 1);
  if (create?.kind !== 'create') throw new Error('the plan makes no tasks');
  const crash: PlanStep = { kind: 'crash worker', worker: 0, downMs: 1_000, atMs: create.atMs + 500 };
  const plan = { ...made, steps: [...made.steps, crash].toSorted((a, b) => a.atMs - b.atMs) };
  const run = worldOf(create.tasks[0]?.number as number);
  return { failed: await run(plan), run };
}

it('comes to the steps that the violation needs: one task, and one fault', async () => {
  const { failed, run } = await failing();
  expect(failed.plan.steps.length).toBeGreaterThan(20);
  const shortest = await shrink(failed, { budgetMs: 1_000, now: () => 0, run });
  expect(shortest.violation?.rule).toBe('once');
  expect(shortest.plan.steps.map(({ kind }) => kind)).toEqual(['create', 'crash worker']);
  expect(shortest.plan.steps[0]).toMatchObject({ tasks: [{}] });
  expect(shortest.plan.calmAtMs).toBeLessThanOrEqual(failed.plan.calmAtMs);
});

it('gives back what it has when its time is up', async () => {
  const { failed, run } = await failing();
  let nowMs = 0;
  const shorter = await shrink(failed, { budgetMs: 10, now: () => nowMs++, run });
  expect(shorter.violation?.rule).toBe('once');
  expect(shorter.plan.steps.length).toBeLessThan(failed.plan.steps.length);
  expect(shorter.plan.steps.length).toBeGreaterThan(2);
});
