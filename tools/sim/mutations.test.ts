import { expect, it } from 'vitest';

import { MUTATIONS } from './mutation-list.ts';
import { checkMutations } from './mutations.ts';

it('every deliberate bug still stands in the code that it changes, once, and changes it', async () => {
  await expect(checkMutations()).resolves.toBeUndefined();
  expect(MUTATIONS.filter(({ find, replace }) => find === replace)).toEqual([]);
  expect(MUTATIONS.length).toBeGreaterThanOrEqual(15);
});
