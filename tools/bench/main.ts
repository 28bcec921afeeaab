/** Measures Belfry on this machine, alone or with its peers: `npm run bench -- --help`. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Cleanup } from './cleanup.ts';
import { describeMachine, machineText } from './machine.ts';
import { measure, type Round } from './measures.ts';
import { memoryAndStart, requestLatency } from './own-measures.ts';
import { COMPARED, HELP, planOf, UsageError, type Plan } from './plan.ts';
import { ratiosOf, reportText, summarize, type Compared, type Report } from './report.ts';
import type { Skipped, System } from './system.ts';
import { belfry, BelfryGround } from './systems/belfry.ts';
import { findPeers } from './systems/peers.ts';

const startedAt = performance.now();

function say(line: string): void {
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  process.stderr.write(`[${String(seconds).padStart(4)} s] ${line}\n`);
}

async function run(plan: Plan, quick: boolean): Promise<Report> {
  if (plan.profileDir !== undefined) mkdirSync(plan.profileDir, { recursive: true });
  const machine = await machineHere();
  say(machineText(machine));
  const peers = plan.peers ? await findPeers(say) : { systems: [], skipped: [] };
  for (const { name, reason } of peers.skipped) say(`${name} is skipped: ${reason}`);
  const systems = await compare([belfry(plan.profileDir), ...peers.systems], plan);
  const ours = systems[0] as Compared;
  if (ours.failed !== undefined) throw new Error(`Belfry failed: ${ours.failed}`);
  const latency = plan.figures.has('latency') ? await requestLatency(plan) : undefined;
  const wantsTasks = plan.figures.has('memory') || plan.figures.has('start');
  const { memory, start } = wantsTasks ? await memoryAndStart(plan, say) : {};
  return {
    machine,
    fsync: true,
    quick,
    systems,
    ...(latency !== undefined && { requestLatency: latency }),
    ...(memory !== undefined && { memory }),
    ...(start !== undefined && { start }),
    skipped: peers.skipped satisfies readonly Skipped[],
    ratios: ratiosOf(ours, systems.slice(1)),
  };
}

async function machineHere() {
  await using cleanup = new Cleanup();
  return await describeMachine(await BelfryGround.start(cleanup));
}

/** All systems in turn, and again: what the machine does meanwhile befalls all alike. A peer that fails is left out, and said so. */
async function compare(systems: readonly System[], plan: Plan): Promise<Compared[]> {
  const rounds = new Map<System, Round[]>(systems.map((system) => [system, []]));
  const failures = new Map<System, string>();
  if (!COMPARED.some((figure) => plan.figures.has(figure))) return systems.map((system) => summarize(system, []));
  for (let round = 1; round <= plan.rounds; round++) {
    say(`round ${round} of ${plan.rounds}`);
    for (const system of systems) {
      if (failures.has(system)) continue;
      try {
        rounds.get(system)?.push(await measure(system, plan, say));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        failures.set(system, reason);
        say(`${system.name} failed: ${reason}`);
      }
    }
  }
  return systems.map((system) => {
    const failed = failures.get(system);
    return { ...summarize(system, rounds.get(system) ?? []), ...(failed !== undefined && { failed }) };
  });
}

/** In a process of its own, whose memory and garbage are nobody else's. */
function timing(args: readonly string[]): number {
  const main = fileURLToPath(new URL('timing/main.ts', import.meta.url));
  return spawnSync(process.execPath, ['--expose-gc', main, ...args], { stdio: 'inherit' }).status ?? 1;
}

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === 'timing') return timing(args.slice(1));
  const plan = planOf(args);
  if (plan.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const report = await run(plan, args.includes('--quick'));
  process.stdout.write(plan.json ? `${JSON.stringify(report, undefined, 2)}\n` : `\n${reportText(report, plan)}`);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(
    `${error instanceof UsageError ? `${error.message}\n\n${HELP}` : error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
