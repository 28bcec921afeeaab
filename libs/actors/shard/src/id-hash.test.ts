import { idHash, taskIdOfCommand } from '@belfry/protocol';
import { expect, it } from 'vitest';

it('takes 52 bits of a task id that are not the same in all of them', () => {
  const [ones, zeros] = [new Array<number>(52).fill(0), new Array<number>(52).fill(0)];
  for (let task = 0; task < 200; task++) {
    const bits = idHash(taskIdOfCommand('acme', 'import', task))
      .toString(2)
      .padStart(52, '0');
    for (const [at, bit] of [...bits].entries()) (bit === '1' ? ones : zeros)[at]!++;
  }
  expect(Math.min(...ones, ...zeros)).toBeGreaterThan(50);
});
