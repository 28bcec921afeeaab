import { runPlan, makePlan, type Plan, type PlanStep } from '@belfry/simulation';
const base = makePlan(1);
const steps: PlanStep[] = [];
for (let n = 0; n < 20; n++) {
  steps.push({ kind: 'create', atMs: 10_000, tasks: [{ number: n, task: { schedule: { kind: 'every', everyMs: 2_500, startMs: 20_000, fires: 60 }, takesMs: 0, failures: 0, timeoutMs: 5000, priority: 'medium', precision: 'high', keyed: true, queue: 0, catchUp: 'all' } }] });
  steps.push({ kind: 'update', number: n, schedule: undefined, takesMs: 1, atMs: 70_000 + n });
  for (let k = 0; k < 10; k++) steps.push({ kind: 'get', number: n, atMs: 80_000 + k * 30 });
}
steps.push({ kind: 'cut node', node: 0, services: ['inbox', 'work', 'store', 'messages', 'leases'], direction: 'both', forMs: 20_000, atMs: 60_000 });
steps.sort((a, b) => a.atMs - b.atMs);
const plan: Plan = { ...base, mixed: false, shards: 4, nodes: 2, supervisors: 1, gateways: 1, workers: 2, queues: 1, calmAtMs: 100_000, steps };
const r = await runPlan(plan, (line) => { const t = Number(line.split(' ')[0]); if (t > 59_900 && t < 82_000 && /^\d+ (n\d|fault|epoch|fence|g0|told)/.test(line)) console.log(line.slice(0, 160)); });
console.log(r.violation, r.executions);
