import { makePlan, runPlan } from '@belfry/simulation';
const until = Date.now() + 50_000;
for (let seed = Number(process.argv[2]); Date.now() < until; seed++) {
  const plan = makePlan(seed);
  if (plan.nodes > 1 || !plan.steps.some((s) => s.kind === 'pause node' && s.forMs > 80_000)) continue;
  let gaps = 0; const lines: string[] = [];
  const r = await runPlan(plan, (line) => { if (/^\d+ unwatched/.test(line)) { gaps++; lines.push(line); } });
  console.log(seed, plan.nodes, 'gaps', gaps, r.executions, r.violation?.message.slice(0, 200) ?? 'ok', lines.slice(0, 3).join(' | '));
}
