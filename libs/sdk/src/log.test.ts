import { describe, expect, it } from 'vitest';

import { jsonLog, withFields } from './log.ts';

function written(level?: 'debug' | 'warn') {
  const lines: string[] = [];
  const log = jsonLog(level, (line) => lines.push(line));
  return { log, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('the JSON log', () => {
  it('writes a line per message, from its level up', () => {
    const { log, records } = written('warn');
    log.info('quiet');
    log.warn('loud', { n: 1 });
    expect(records()).toMatchObject([{ level: 'warn', message: 'loud', n: 1 }]);
  });

  it('adds fields, and shows errors with their stack', () => {
    const { log, records } = written();
    withFields(log, { execution: 'x' }).error('bad', { error: new Error('boom'), big: 10n });
    expect(records()).toMatchObject([
      { level: 'error', execution: 'x', error: expect.stringMatching(/^Error: boom\n {4}at /), big: '10' },
    ]);
  });

  it('survives what JSON cannot hold', () => {
    const { log, records } = written();
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    log.info('round', { cyclic });
    expect(records()).toMatchObject([{ message: 'round', unloggable: expect.stringContaining('circular') }]);
  });
});
