import { BelfryError, wireError } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { memoryClient, testCli } from '../testing.ts';
import { schedule } from './schedule.ts';

const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `{"every":"1h","queue":"q","handler":"h","key":"k${from + i}"}\n`).join(
    '',
  );

describe('schedule --file', () => {
  it('tells what became of all of them, and exits with 1 when one was refused', async () => {
    const { cli, client, stdout, stderr } = testCli(memoryClient(), { stdin: `${lines(0, 2_500)}{"every":"1h"}\n` });
    expect(await schedule(cli, { file: '-' })).toBe(1);
    expect(client.tasks.size).toBe(2_500);
    expect(stdout()).toMatch(/^2500 created, 0 updated, 0 unchanged, 1 refused in /);
    expect(stderr()).toBe('stdin:2501: error missing_field: handler: is required\n');
  });

  it('ends at a line that is no JSON, and tells what was answered until then', async () => {
    const { cli, client, stdout } = testCli(memoryClient(), {
      stdin: `${lines(0, 1_000)}nonsense\n${lines(1_000, 1_010)}`,
    });
    await expect(schedule(cli, { file: '-' })).rejects.toMatchObject({
      exit: 1,
      code: 'malformed',
      path: 'stdin:1001',
    });
    expect(client.tasks.size).toBe(1_000);
    expect(stdout()).toMatch(/^1000 created, /);
  });

  it('does not wait for more to read once a request has failed', async () => {
    const failing = {
      ...memoryClient(),
      scheduleMany: () => Promise.reject(new BelfryError(wireError('unavailable', 'no answer in time'))),
    };
    const { cli, stdout } = testCli(failing);
    const endless = {
      ...cli,
      stdinChunks: async function* () {
        yield Buffer.from(lines(0, 1_000));
        await new Promise(() => undefined);
      },
    };
    await expect(schedule(endless, { file: '-' })).rejects.toMatchObject({ code: 'unavailable' });
    expect(stdout()).toBe('');
  });

  it('tells what was answered when it is interrupted', async () => {
    const { cli, stdout } = testCli(memoryClient());
    const interrupt = new AbortController();
    const endless = {
      ...cli,
      signal: interrupt.signal,
      stdinChunks: async function* () {
        yield Buffer.from(lines(0, 1_000));
        // Asked for more, it has sent what it had.
        setImmediate(() => interrupt.abort(new Error('interrupted')));
        await new Promise(() => undefined);
      },
    };
    const interrupted = new Promise((resolve) => interrupt.signal.addEventListener('abort', resolve));
    void schedule(endless, { file: '-' });
    await interrupted;
    expect(stdout()).toMatch(/^1000 created, /);
  });
});
