import { describe, expect, it } from 'vitest';

import { closingLine } from './closing-line.ts';

function module(states: string[], { errors = 0, suiteErrors = 0 } = {}): Parameters<typeof closingLine>[0][number] {
  const failures = (count: number): Error[] => Array.from({ length: count }, () => new Error('failed'));
  return {
    errors: () => failures(errors),
    children: {
      allSuites: () => [{ errors: () => failures(suiteErrors) }],
      allTests: () => states.map((state) => ({ result: () => ({ state }) })),
    },
  };
}

describe('closing line', () => {
  it('counts what passed, failed and was skipped', () => {
    expect(closingLine([module(['passed', 'failed']), module(['skipped', 'passed'])], [])).toBe(
      '2 passed, 1 failed, 1 skipped',
    );
  });

  it('counts what never ended as failed', () => {
    expect(closingLine([module(['pending'])], [])).toBe('0 passed, 1 failed, 0 skipped');
  });

  it('counts files, suites and the run itself when they fail', () => {
    expect(closingLine([module(['passed'], { errors: 1, suiteErrors: 1 })], [new Error('unhandled')])).toBe(
      '1 passed, 3 failed, 0 skipped',
    );
  });
});
