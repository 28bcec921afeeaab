import { expect, it } from 'vitest';

import { calm } from './calm.ts';

/** How long it waits when its timers come so late, the last delay again and again; ms. */
async function waitedMs(...lateMs: readonly number[]): Promise<number> {
  let nowMs = 5_000;
  let at = 0;
  const late = (): number => lateMs[Math.min(at++, lateMs.length - 1)] ?? 0;
  await calm(
    { after: (ms, run) => (queueMicrotask(() => ((nowMs += ms + late()), run())), () => undefined) },
    { monotonic: () => nowMs },
    () => nowMs < 8_000,
  );
  return nowMs - 5_000;
}

it('waits until timers come on time', async () => {
  expect(await waitedMs(0)).toBe(300);
  expect(await waitedMs(90, 40, 5)).toBe(100 + 50 + 300);
});

it('waits no longer than it may where they never do', async () => {
  expect(await waitedMs(90)).toBe(3_000);
});
