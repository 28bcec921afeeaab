import { expect, it, vi } from 'vitest';

import { MUTATIONS } from './mutation-list.ts';
import { runMutations } from './mutations.ts';

vi.setConfig({ testTimeout: 900_000 });

it('the simulator finds each deliberate bug within its default budget of seeds, and nothing without one', async () => {
  const lines: string[] = [];
  const missed = await runMutations((line) => void lines.push(line));
  expect(lines.filter((line) => line.includes('NOT FOUND'))).toEqual([]);
  expect(missed).toBe(0);
  expect(lines[0]).toMatch(/^without a mutation: 40 seeds, 0 violations$/);
  expect(lines.filter((line) => line.includes(', found by seed '))).toHaveLength(MUTATIONS.length);
});
