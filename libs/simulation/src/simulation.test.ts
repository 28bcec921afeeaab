import { describe, expect, it } from 'vitest';
import { makePlan } from './make-plan.ts';
import { runPlan } from './run.ts';

const MINUTE_MS = 60_000;
const SHORT = { faultsMs: 2 * MINUTE_MS, rate: 1.5 };

describe('a simulated cluster', () => {
  it.each([1, 2, 3, 4, 305])('keeps the contract through its faults: seed %i', async (seed) => {
    const result = await runPlan(makePlan(seed, SHORT));
    expect(result.violation).toBeUndefined();
    expect(result.executions).toBeGreaterThan(50);
  });

  it('does the same again for the same seed, byte for byte, and something else for another', async () => {
    const traces: string[][] = [];
    const hashes: string[] = [];
    for (const seed of [3, 3, 5]) {
      const lines: string[] = [];
      const { traceHash } = await runPlan(makePlan(seed, SHORT), (line) => lines.push(line));
      traces.push(lines);
      hashes.push(traceHash);
    }
    const [first, again, other] = traces as [string[], string[], string[]];
    expect(first.length).toBeGreaterThan(200);
    expect(again).toEqual(first);
    expect(hashes[1]).toBe(hashes[0]);
    expect(other).not.toEqual(first);
    expect(hashes[2]).not.toBe(hashes[0]);
  });
});
