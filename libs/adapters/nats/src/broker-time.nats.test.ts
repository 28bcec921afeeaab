import { expect, it } from 'vitest';

import { brokerTime } from './broker-time.ts';
import { ensureStreams } from './streams.ts';
import { testInstallation, testNatsUrl } from './testing.ts';

it('a real broker tells its time, which lies between the question and the answer', async () => {
  const { link, names, dispose } = await testInstallation(testNatsUrl());
  try {
    await expect(brokerTime(link, names)).rejects.toThrow('stream not found');
    await ensureStreams(link, names);
    const askedMs = Date.now();
    const atMs = await brokerTime(link, names);
    // One host, one clock.
    expect(atMs).toBeGreaterThanOrEqual(askedMs);
    expect(atMs).toBeLessThanOrEqual(Date.now());
  } finally {
    await dispose();
  }
});
