import type { Messenger } from '@belfry/actor-runtime';
import { subjects, type ProcessHeartbeat } from '@belfry/protocol';
import { expect, it, onTestFinished, vi } from 'vitest';

import { ProcessClock } from '../clock.ts';
import { tellPresence } from './process-presence.ts';

it('says that another process has its name, once a minute, and never that it is itself', () => {
  const heard: ((body: Uint8Array) => void)[] = [];
  const told: string[] = [];
  const messenger: Messenger = {
    tell: (_subject, body) => void told.push(String(body)),
    ask: () => Promise.reject(new Error('not expected in this test')),
    serve: () => () => undefined,
    listen: (subject, handler) => {
      expect(subject).toBe(subjects.processHeartbeat);
      heard.push((body) => handler(body, subject));
      return () => undefined;
    },
  };
  const clock = new ProcessClock({ drillFile: undefined });
  const monotonic = vi.spyOn(clock, 'monotonic').mockReturnValue(0);
  const log = { error: vi.fn() };
  onTestFinished(
    tellPresence({
      node: 'n1',
      roles: ['gateway'],
      level: 2,
      version: '1',
      messenger,
      watch: { clock, glance: () => ({ state: 'calm' }) },
      log,
      scheduler: undefined,
    }),
  );
  const own = JSON.parse(told[0] ?? '') as ProcessHeartbeat;
  const hear = (beat: Partial<ProcessHeartbeat>): void => {
    for (const on of heard) on(Buffer.from(JSON.stringify({ ...own, ...beat })));
  };
  hear({});
  hear({ node: 'n2', pid: own.pid + 1 });
  expect(log.error).not.toHaveBeenCalled();
  hear({ pid: own.pid + 1, host: 'other' });
  hear({ machine: 'another' });
  expect(log.error.mock.calls).toEqual([
    [expect.stringContaining('the same --node-id'), { host: 'other', pid: own.pid + 1 }],
  ]);
  monotonic.mockReturnValue(60_000);
  hear({ machine: 'another' });
  expect(log.error).toHaveBeenCalledTimes(2);
});
