import { SENT_AT_HEADER } from '@belfry/protocol';
import { expect, it, vi } from 'vitest';

import { SendTime } from './send-time.ts';

const WARNINGS = { warnings: [{ code: 'clock_skew' as const, message: 'your clock is 7.0 s ahead', offsetMs: 7_000 }] };

function subject() {
  const clocks = { ms: 0, wall: () => 1_000 + clocks.ms, monotonic: () => clocks.ms };
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  return { clocks, log, sendTime: new SendTime(log, clocks) };
}

it('states the time with the first request, and again after 10 s', () => {
  const { clocks, sendTime } = subject();
  const stated = [0, 5_000, 9_999, 10_000, 10_001].map((ms) => {
    clocks.ms = ms;
    return sendTime.headers()[SENT_AT_HEADER];
  });
  expect(stated).toEqual(['1000', undefined, undefined, '11000', undefined]);
});

it('logs a warning, and the same again only after a minute', () => {
  const { clocks, log, sendTime } = subject();
  for (const ms of [0, 10_000, 59_999]) {
    clocks.ms = ms;
    sendTime.onReply(WARNINGS);
  }
  sendTime.onReply({});
  expect(log.warn.mock.calls).toEqual([
    ['Belfry warns: your clock is 7.0 s ahead', { code: 'clock_skew', offsetMs: 7_000 }],
  ]);
  clocks.ms = 60_000;
  sendTime.onReply(WARNINGS);
  expect(log.warn).toHaveBeenCalledTimes(2);
});
