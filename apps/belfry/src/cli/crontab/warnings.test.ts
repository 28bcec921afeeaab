import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';

import { type CrontabFormat, parseCrontab } from './parse.ts';
import { warningsOf } from './warnings.ts';

const USER: CrontabFormat = { system: false, seconds: false };

function warnings(text: string, format = USER) {
  return parseCrontab(text, format).entries.flatMap((entry) => warningsOf(entry, format));
}

describe('a schedule that is most likely not meant', () => {
  it.each([
    ['* 2 * * * true', 1, /every minute of hour 2/],
    ['0 0 1 * MON true', 5, /both days are set/],
    ['*/90 * * * * true', 1, /same as 0/],
    ['0 */24 * * * true', 3, /same as 0/],
    ['*/7 * * * * true', 1, /after 56 comes 0, 4 later instead of 7/],
    ['0 */5 * * * true', 3, /after 20 comes 0, 4 later instead of 5/],
    ['0 0 31 * * true', 5, /not every month has a day 31/],
    ['0 0 * * * root apt update', 11, /system crontab/],
    ['0 0 * * * * true', 11, /six time fields/],
    ['0 0 * * * */5 true', 11, /six time fields/],
    ['0 0 * * * backup-to /x/$(date +%Y).tgz', 32, /this % ends the command/],
    ['0 0 * * * true \\', 16, /does not go on after a backslash/],
  ])('%s', (text, column, message) => {
    expect(warnings(text)).toMatchObject([
      { severity: 'warning', line: 1, column, message: expect.stringMatching(message) },
    ]);
  });

  it.each([
    '* * * * * true',
    '*/5 * * * * true',
    '0 2 * * * true',
    '*/10 2 * * * true',
    '0 0 1 * * true',
    '0 0 * * MON true',
    '0 0 */2 * MON true',
    '0 0 29 FEB * true',
    '0 0 1,31 * * true',
    '@daily root-check',
    '0 0 * * * date +\\%Y',
    '0 0 * * * cat%input',
  ])('is not seen in %s', (text) => {
    expect(warnings(text)).toEqual([]);
  });

  it('is not seen with seconds where there are seconds', () => {
    expect(warnings('* * 2 * * * true', { system: false, seconds: true })).toEqual([]);
  });
});

it('the example crontab has 28 lines or more, two zones, and nothing to warn of', () => {
  const text = readFileSync(new URL('../../../../../examples/crontab', import.meta.url), 'utf8');
  const { entries, problems } = parseCrontab(text, USER);
  expect(problems).toEqual([]);
  expect(entries.length).toBeGreaterThanOrEqual(28);
  expect(new Set(entries.map(({ timezone }) => timezone))).toEqual(new Set(['Europe/Berlin', 'America/New_York']));
  expect(entries.filter(({ schedule }) => schedule === '* * * * *').length).toBeGreaterThanOrEqual(4);
  expect(warnings(text)).toEqual([]);
});
