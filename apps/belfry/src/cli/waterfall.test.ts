import type { ExecutionView } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { plain } from './output.ts';
import { waterfall } from './waterfall.ts';

const SCHEDULED = Date.parse('2026-11-24T14:00:00Z');
const at = (offsetMs: number) => new Date(SCHEDULED + offsetMs).toISOString();
const STYLE = { columns: 100, paint: plain, clock: { utc: true, zone: 'UTC' } };

const VIEW: ExecutionView = {
  execution: '0123456789abcdef0123456789abcdef-mabc',
  task: '0123456789abcdef0123456789abcdef',
  namespace: 'default',
  queue: 'shell',
  handler: 'shell',
  scheduledAt: at(0),
  state: 'succeeded',
  latenessMs: 7,
  result: { exitCode: 0 },
  epoch: 3,
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  createdAt: at(-9_000_000),
  checkpointedAt: at(812),
  attempts: [
    {
      attempt: 1,
      outcome: 'succeeded',
      worker: 'w1',
      dispatchedAt: at(2),
      deliveredAt: at(5),
      startedAt: at(7),
      finishedAt: at(31),
      acceptedAt: at(36),
    },
  ],
};

const RETRIED: ExecutionView = {
  ...VIEW,
  state: 'retrying',
  createdAt: at(-9),
  error: 'exit code 3',
  attempts: [
    { ...VIEW.attempts[0]!, outcome: 'failed', error: 'exit code 3' },
    { attempt: 2, outcome: 'dispatched', dispatchedAt: at(4_036), deliveredAt: at(4_030), startedAt: at(4_038) },
  ],
};

it('draws a fire that succeeded, its long waits cut short', () => {
  expect(waterfall(VIEW, STYLE).join('\n')).toMatchSnapshot();
});

it('draws a retry, and a hop that seems to end before it began', () => {
  const { checkpointedAt: _, result: __, ...running } = RETRIED;
  expect(waterfall(running, STYLE).join('\n')).toMatchSnapshot();
});

it('draws what is known of a fire that no worker has', () => {
  const { checkpointedAt: _, latenessMs: __, result: ___, traceId: ____, ...view } = VIEW;
  expect(
    waterfall(
      { ...view, state: 'dispatched', attempts: [{ attempt: 1, outcome: 'dispatched', dispatchedAt: at(2) }] },
      STYLE,
    ).join('\n'),
  ).toMatchSnapshot();
});

it('fits the width of the terminal, down to a narrow one', () => {
  for (const columns of [72, 80, 100, 160, 400]) {
    const lines = waterfall(VIEW, { ...STYLE, columns });
    expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(columns);
  }
});

it('keeps every bar inside its room, for fires of every length', () => {
  for (const scale of [0, 0.001, 1, 1_000, 1e7]) {
    const view: ExecutionView = {
      ...VIEW,
      attempts: [
        {
          attempt: 1,
          outcome: 'succeeded',
          dispatchedAt: at(scale),
          deliveredAt: at(scale * 2),
          finishedAt: at(scale * 40),
          acceptedAt: at(scale * 41),
        },
      ],
    };
    for (const line of waterfall(view, { ...STYLE, columns: 80 })) expect([...line].length).toBeLessThanOrEqual(80);
  }
});

it('does not let the text of an error steer the terminal', () => {
  const view = { ...RETRIED, error: '\u001b[2Jgone\nnext' };
  expect(waterfall(view, STYLE).join('\n')).not.toContain('\u001b');
});
