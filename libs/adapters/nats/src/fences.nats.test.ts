import { subjects } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { testInstallation, testNatsUrl } from './testing.ts';
import { NatsWorkQueue } from './work-queue.ts';

it.each(['junk', 'null', '{"epoch":"9"}'])(
  'a fence that cannot be read (%s) is replaced by the next owner',
  async (junk) => {
    const test = await testInstallation(testNatsUrl());
    const { link, names } = test;
    const work = new NatsWorkQueue(link, { names });
    try {
      await work.ensure(() => Promise.resolve(1));
      expect(await work.takeFence(3, 5)).toMatchObject({ kind: 'ok' });
      await link.nc.request(names.subject(subjects.fence(3)), junk, { timeout: 5_000 });
      expect(await work.fenceOf(3)).toMatchObject({ epoch: 0 });
      expect(await work.takeFence(3, 6)).toMatchObject({ kind: 'ok', value: { epoch: 6 } });
      expect(await work.fenceOf(3)).toMatchObject({ epoch: 6 });
    } finally {
      work.close();
      await test.dispose();
    }
  },
);
