import { BelfryError, wireError } from '@belfry/protocol';
import { ConnectionError } from '@belfry/sdk';
import { describe, expect, it } from 'vitest';

import { errorJson, errorText, interrupted, reportOf } from './exit.ts';

const told = (error: unknown) => errorText(reportOf(error));

describe('an error', () => {
  it('names its field once, though its message may name it too', () => {
    expect(told(new BelfryError(wireError('invalid_timezone', '"X/Y" is no time zone', 'timezone')))).toBe(
      'error invalid_timezone: timezone: "X/Y" is no time zone',
    );
  });

  it('tells scripts where in its field', () => {
    const error = new BelfryError(wireError('invalid_schedule', 'hour "25" at position 2', 'cron', 2));
    const wanted = { code: 'invalid_schedule', message: 'hour "25" at position 2', path: 'cron', position: 2 };
    expect(JSON.parse(errorJson(reportOf(error)))).toEqual({ error: wanted });
  });

  it('of the connection says once that nothing was reached, and how to get there', () => {
    const error = new ConnectionError('NATS at nats://127.0.0.1:1 cannot be reached: connection refused');
    expect(told(error)).toMatch(
      /^error cannot_connect: NATS at \S+ cannot be reached: connection refused\nIs it running/,
    );
    expect(told(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))).toMatch(
      /^error cannot_connect: cannot reach Belfry: connect ECONNREFUSED\nIs it running/,
    );
  });

  it('keeps its lines, and steers no terminal', () => {
    expect(told(new Error('two\nlines \u001b[31m'))).toBe('error failed: two\nlines ·[31m');
  });

  it('is none for who interrupts', () => {
    expect(told(interrupted())).toBe('interrupted');
  });
});
