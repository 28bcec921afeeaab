export { makePlan, type Scale } from './make-plan.ts';
export type { Plan, PlanStep } from './plan.ts';
export { runPlan, type RunResult } from './run.ts';
export { shrink } from './shrink.ts';
