import { describe, expect, it } from 'vitest';

import { wireSpec, type ScheduleSpec } from './specs.ts';

const NOW = Date.parse('2026-11-25T12:00:00Z');
const spec = (more: Partial<ScheduleSpec>): ScheduleSpec => ({ queue: 'q', handler: 'h', ...more });

describe('a spec on the wire', () => {
  it('has dates as milliseconds', () => {
    const at = new Date(NOW);
    expect(wireSpec(spec({ at }))).toEqual({ queue: 'q', handler: 'h', at: NOW });
    expect(wireSpec(spec({ every: '1h', anchor: at }))).toEqual({ queue: 'q', handler: 'h', every: '1h', anchor: NOW });
  });

  it('has an instant for `in`', () => {
    expect(wireSpec(spec({ in: '1h30m' }), NOW)).toEqual({ queue: 'q', handler: 'h', at: NOW + 5_400_000 });
    expect(wireSpec(spec({ in: 250 }), NOW)).toMatchObject({ at: NOW + 250 });
  });

  it.each([
    [{ in: 'soon' }, 'invalid_schedule', 'in'],
    [{ in: '5s', at: NOW }, 'invalid_schedule', 'in'],
    [{ at: new Date(NaN) }, 'invalid_field', 'at'],
    [{ every: '1h', anchor: new Date(NaN) }, 'invalid_field', 'anchor'],
  ] as const)('%j is refused', (when, code, path) => {
    expect(() => wireSpec(spec(when), NOW)).toThrow(expect.objectContaining({ code, path }));
  });
});
