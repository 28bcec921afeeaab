import { JetStreamError, NatsFailure } from '@belfry/adapter-nats';
import { describe, expect, it } from 'vitest';

import { untilSetUp } from './set-up.ts';

const answer = (code: number): JetStreamError =>
  new JetStreamError('STREAM.CREATE.X', { code, err_code: 10_008, description: 'as it is' });
const setup = (cause: Error): NatsFailure => new NatsFailure('setup', 'stream X cannot be set up', { cause });

/** Fails with each of these, then succeeds. Returns how often it was tried again. */
async function tried(...errors: readonly Error[]): Promise<number> {
  const left = [...errors];
  let retries = 0;
  const setUp = (): Promise<string> => {
    const error = left.shift();
    return error === undefined ? Promise.resolve('done') : Promise.reject(error);
  };
  const options = { timeoutMs: 30_000, onRetry: () => void retries++ };
  expect(await untilSetUp(setUp, options)).toBe('done');
  return retries;
}

describe('what a program needs in the broker', () => {
  it('is made again when the broker was silent, or has no leader yet', async () => {
    expect(await tried(new NatsFailure('connect', 'timeout'), setup(answer(503)))).toBe(2);
  });

  it('fails at once where waiting does not help', async () => {
    for (const error of [setup(answer(400)), setup(new Error('other')), new NatsFailure('refused', 'wrong password')]) {
      await expect(tried(error)).rejects.toBe(error);
    }
  });

  it('fails after the time given', async () => {
    const error = new NatsFailure('connect', 'timeout');
    const retried: number[] = [];
    const onRetry = (_error: Error, attempt: number): void => void retried.push(attempt);
    await expect(untilSetUp(() => Promise.reject(error), { timeoutMs: 100, onRetry })).rejects.toBe(error);
    expect(retried).toEqual([]);
  });
});
