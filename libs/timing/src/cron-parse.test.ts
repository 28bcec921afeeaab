import { describe, expect, it } from 'vitest';
import { parseSchedule } from './read-schedule.ts';

function canonical(cron: string): string {
  const reading = parseSchedule({ cron });
  return reading.ok ? reading.schedule.canonical : `${reading.error.code} ${reading.error.message}`;
}

function refusal(cron: string): string {
  const reading = parseSchedule({ cron });
  if (reading.ok) return `accepted as ${reading.schedule.canonical}`;
  expect(reading.error.path).toBe('cron');
  return `${reading.error.code === 'invalid_cron' ? '' : `${reading.error.code} `}${reading.error.position ?? '-'}: ${reading.error.message}`;
}

describe('cron expressions', () => {
  it.each([
    ['* * * * *', 'c* * * * *;UTC'],
    ['  0\t9  * *   mon-fri ', 'c0 9 * * MON-FRI;UTC'],
    ['0,0 9-17,12 * * *', 'c0,0 9-17,12 * * *;UTC'],
    ['*/15,30 * ? * ?', 'c*/15,30 * * * *;UTC'],
    ['5 0 9 L,15 JAN,3 ?', 'c5 0 9 L,15 JAN,3 *;UTC'],
    ['0 0 LW,15W,L-3 * fril,5L,Mon#2,7#1', 'c0 0 LW,15W,L-3 * FRIL,5L,MON#2,7#1;UTC'],
    ['05 04 * * 5-7', 'c05 04 * * 5-7;UTC'],
    ['*/60 */24 */31 */12 */7', 'c*/60 */24 */31 */12 */7;UTC'],
    ['@hourly', 'c0 * * * *;UTC'],
    [' @Daily ', 'c0 0 * * *;UTC'],
    ['@midnight', 'c0 0 * * *;UTC'],
    ['@weekly', 'c0 0 * * 0;UTC'],
    ['@monthly', 'c0 0 1 * *;UTC'],
    ['@yearly', 'c0 0 1 1 *;UTC'],
    ['@annually', 'c0 0 1 1 *;UTC'],
    ['0 0 29 2 *', 'c0 0 29 2 *;UTC'],
    ['0 0 30 2 MON', 'c0 0 30 2 MON;UTC'],
  ])('accepts %s', (text, expected) => {
    expect(canonical(text)).toBe(expected);
  });

  it.each([
    ['', '0: the expression is empty; every minute is "* * * * *"'],
    ['   ', '0: the expression is empty'],
    [
      '0 12 * *',
      '8: 4 fields, but 5 (minute, hour, day of month, month, day of week) or 6 (second first) are needed; did you mean "0 12 * * *"?',
    ],
    ['0 0 12 * * ? 2030', '13: 7 fields, but 6 at most are allowed (second first); years are not supported'],
    ['0 0 1 JANFEB *', '6: month "JANFEB" at position 6: "JANFEB" is no month; did you mean JAN,FEB or JAN-FEB?'],
    ['0 0 1 1JAN *', '6: month "1JAN" at position 6: "1JAN" is no month; did you mean JAN?'],
    ['0 0 * * MONDAY', '8: day of week "MONDAY" at position 8: "MONDAY" is no day of week; did you mean MON?'],
    [
      '0 0 * MON *',
      '6: month "MON" at position 6: "MON" is no month; it is a day of week, so a field may be missing or misplaced',
    ],
    ['0 0 * * 1#1.5', '8: day of week "1#1.5" at position 8: after # comes which one of the month, 1 to 5'],
    ['0 0 * * 1#6', '8: day of week "1#6"'],
    ['0 0 * * MON#', '8: day of week "MON#"'],
    ['0 0 * * L', '8: day of week "L" at position 8: L needs a day in front, as in 5L for the last Friday'],
    ['60 * * * *', '0: minute "60" at position 0: 60 is not within 0 to 59'],
    ['0 1,24 * * *', '4: hour "24" at position 4: 24 is not within 0 to 23'],
    ['0 0 0 * *', '4: day of month "0" at position 4: 0 is not within 1 to 31'],
    ['0 0 * 13 *', '6: month "13"'],
    ['0 0 * * 8', '8: day of week "8"'],
    ['0 22-2 * * *', '2: hour "22-2" at position 2: the range is reversed; did you mean 22-23,0-2?'],
    ['0 22-2/2 * * *', '2: hour "22-2/2" at position 2: the range is reversed; did you mean 22,0,2?'],
    ['0 0 * NOV-FEB *', '6: month "NOV-FEB" at position 6: the range is reversed; did you mean NOV-DEC,JAN-FEB?'],
    ['0 0 * * FRI-SUN', '8: day of week "FRI-SUN" at position 8: the range is reversed; did you mean FRI-SAT,SUN?'],
    ['0 0 * * 7-2', '8: day of week "7-2" at position 8: the range is reversed; did you mean 0-2?'],
    ['*/0 * * * *', '0: minute "*/0" at position 0: a step of 0 never moves on'],
    [
      '*/90 * * * *',
      '0: minute "*/90" at position 0: a step of 90 is longer than the field\'s 60 values; for a longer interval use "every"',
    ],
    ['*/x * * * *', '0: minute "*/X" at position 0: a step is a whole number'],
    ['*/5/5 * * * *', '0: minute "*/5/5" at position 0: more than one step'],
    ['1,,2 * * * *', '0: minute "1,,2" at position 0: an item of the list is empty'],
    ['1, * * * *', '0: minute "1," at position 0: an item of the list is empty'],
    ['-5 * * * *', '0: minute "-5" at position 0: a range is two values'],
    ['1-2-3 * * * *', '0: minute "1-2-3"'],
    ['1.5 * * * *', '0: minute "1.5" at position 0: "1.5" is no minute'],
    ['0 0 ?,5 * *', '4: day of month "?,5" at position 4: ? stands alone in its field'],
    ['0 0 W15 * *', '4: day of month "W15" at position 4: W comes last; did you mean 15W?'],
    ['0 0 1-15W * *', '4: day of month "1-15W" at position 4: W goes with a single day'],
    ['0 0 L-31 * *', '4: day of month "L-31"'],
    ['0 0 2#1 * *', '4: day of month "2#1" at position 4: # goes with the day of week'],
    ['L * * * *', '0: minute "L" at position 0: "L" is no minute; L, W and # go with days only'],
    ['@every 5m', '0: @every is not cron; use the field "every"'],
    ['@reboot', '0: @reboot names no time'],
    [' @fortnightly', '1: "@fortnightly" is no macro; there are @hourly, @daily'],
    ['CRON_TZ=UTC 0 9 * * * *', '0: the time zone goes into the field "timezone"'],
    ['TZ=Europe/Berlin 0 9 * * *', '0: the time zone goes into the field "timezone"'],
    ['0 0 30 2 *', 'cron_never_fires -: "0 0 30 2 *" never fires: no such date exists in any year'],
    ['0 0 31 4,6,9,11 *', 'cron_never_fires'],
    ['0 0 31W 6 ?', 'cron_never_fires'],
    ['0 0 L-29 2 *', 'cron_never_fires'],
    [`${'1,'.repeat(600)}1 * * * *`, '1000: longer than 1000 characters'],
  ])('refuses %s', (text, expected) => {
    expect(refusal(text)).toContain(expected);
  });
});
