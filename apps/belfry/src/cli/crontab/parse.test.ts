import { describe, expect, it } from 'vitest';

import { type CrontabFormat, parseCrontab } from './parse.ts';

const USER: CrontabFormat = { system: false, seconds: false };
const SYSTEM: CrontabFormat = { system: true, seconds: false };
const SECONDS: CrontabFormat = { system: false, seconds: true };

function only(text: string, format = USER) {
  const { entries, problems } = parseCrontab(text, format);
  expect(problems).toEqual([]);
  expect(entries).toHaveLength(1);
  return entries[0]!;
}

function problem(text: string, format = USER) {
  const { entries, problems } = parseCrontab(text, format);
  expect(entries).toEqual([]);
  expect(problems).toHaveLength(1);
  return problems[0]!;
}

describe('a line of a crontab', () => {
  it('has five fields and a command, whatever blanks stand between them', () => {
    expect(only(' \t5  4\t* JAN-MAR,DEC   mon-fri \t  echo "a  b"  ')).toMatchObject({
      line: 1,
      schedule: '5 4 * JAN-MAR,DEC mon-fri',
      command: 'echo "a  b"',
      commandColumn: 35,
      env: {},
    });
  });

  it('may be a macro, in either case', () => {
    expect(only('@daily true').schedule).toBe('@daily');
    expect(only('@Hourly true')).toMatchObject({ schedule: '@hourly', fields: [{ text: '@hourly', column: 1 }] });
  });

  it('keeps a # that does not begin the line', () => {
    expect(only('* * * * * echo a # not a comment').command).toBe('echo a # not a comment');
  });

  it('is not ended by an = in its command', () => {
    expect(only('* * * * * A=1 env').command).toBe('A=1 env');
    expect(only('@daily A=1 env').command).toBe('A=1 env');
  });

  it('may begin with the minus that asks cron not to log', () => {
    expect(only('-*/5 * * * * true')).toMatchObject({
      schedule: '*/5 * * * *',
      fields: [{ column: 2 }, {}, {}, {}, {}],
    });
    expect(only('-@daily true').schedule).toBe('@daily');
  });

  it('takes a user name before the command in a system crontab', () => {
    expect(only('17 * * * *\troot\tcd / && run-parts /etc/cron.hourly', SYSTEM)).toMatchObject({
      user: 'root',
      command: 'cd / && run-parts /etc/cron.hourly',
    });
    expect(only('@weekly www-data true', SYSTEM)).toMatchObject({ user: 'www-data', command: 'true' });
  });

  it('has six fields, seconds first, when asked', () => {
    expect(only('*/10 * * * * * true', SECONDS)).toMatchObject({ schedule: '*/10 * * * * *', command: 'true' });
    expect(only('@daily true', SECONDS)).toMatchObject({ schedule: '@daily', command: 'true' });
  });
});

describe('comments, blank lines and line ends', () => {
  it('are left out, and do not move the line numbers', () => {
    const { entries, problems } = parseCrontab('\uFEFF# first\r\n\r\n   # indented\n\t\n* * * * * true\r\n', USER);
    expect(problems).toEqual([]);
    expect(entries.map(({ line, command }) => [line, command])).toEqual([[5, 'true']]);
  });

  it('need no line feed at the end of the file', () => {
    expect(only('* * * * * true').command).toBe('true');
  });

  it('allow an empty file', () => {
    expect(parseCrontab('', USER)).toEqual({ entries: [], problems: [] });
  });
});

describe('the percent sign', () => {
  it('ends the command and begins its input', () => {
    expect(only('* * * * * cat%hello%world')).toMatchObject({
      command: 'cat',
      stdin: 'hello\nworld\n',
      percentColumn: 14,
    });
  });

  it('gives one line feed at the end, not two', () => {
    expect(only('* * * * * cat%hello%').stdin).toBe('hello\n');
  });

  it('gives an empty line when nothing follows', () => {
    expect(only('* * * * * cat%').stdin).toBe('\n');
  });

  it('stands for itself after a backslash, in command and input', () => {
    expect(only('* * * * * date +\\%Y%100\\%')).toMatchObject({ command: 'date +%Y', stdin: '100%\n' });
  });

  it('leaves other backslashes alone', () => {
    expect(only('* * * * * printf "a\\n\\\\b"').command).toBe('printf "a\\n\\\\b"');
  });

  it('cannot begin the command', () => {
    expect(problem('* * * * * %input')).toMatchObject({
      severity: 'error',
      column: 11,
      message: 'no command before the %',
    });
  });
});

describe('assignments', () => {
  it('hold for the lines below them only', () => {
    const { entries } = parseCrontab('* * * * * a\nA=1\n* * * * * b\nA=2\nB=x\n* * * * * c\n', USER);
    expect(entries.map(({ env }) => env)).toEqual([{}, { A: '1' }, { A: '2', B: 'x' }]);
  });

  it.each([
    ['A=1', '1'],
    ['A = 1', '1'],
    ['  A=1  ', '1'],
    ['A=', ''],
    ['A=""', ''],
    ['A="  spaced  "', '  spaced  '],
    ["A='q'", 'q'],
    ['"A"=1', '1'],
    ["'A' = 1", '1'],
    ['A=x=y', 'x=y'],
    ['A=$HOME/bin', '$HOME/bin'],
    ['A="half', '"half'],
  ])('read %s', (text, value) => {
    expect(only(`${text}\n* * * * * true`).env).toEqual({ A: value });
  });

  it('CRON_TZ sets the zone of the lines below, until the next', () => {
    const { entries } = parseCrontab(
      '@daily a\nCRON_TZ=Europe/Berlin\n@daily b\nCRON_TZ="Asia/Tokyo"\n@daily c\nCRON_TZ=\n@daily d',
      USER,
    );
    expect(entries.map(({ timezone }) => timezone)).toEqual([undefined, 'Europe/Berlin', 'Asia/Tokyo', undefined]);
    expect(entries[1]!.env).toEqual({});
  });

  it('SHELL sets the shell and PATH goes into the environment', () => {
    expect(only('SHELL=/bin/bash\nPATH=/usr/bin:/bin\n@daily true')).toMatchObject({
      shell: '/bin/bash',
      env: { PATH: '/usr/bin:/bin' },
    });
  });

  it('TZ is for the commands, and says that it does not move the schedule', () => {
    const { entries, problems } = parseCrontab('TZ=Asia/Tokyo\n@daily true', USER);
    expect(entries[0]).toMatchObject({ env: { TZ: 'Asia/Tokyo' } });
    expect(entries[0]!.timezone).toBeUndefined();
    expect(problems).toMatchObject([{ severity: 'warning', line: 1 }]);
  });

  it('MAILTO goes nowhere, with a warning unless it is empty', () => {
    expect(only('MAILTO=""\n@daily true').env).toEqual({});
    expect(parseCrontab('MAILTO=ops@example.com', USER).problems).toMatchObject([{ severity: 'warning', line: 1 }]);
  });
});

describe('a line that is wrong', () => {
  it.each([
    ['@reboot true', 1, /@reboot has no time/],
    ['  @fortnightly true', 3, /@fortnightly is not known; known: @yearly/],
    ['* * * * *', 10, /no command after the schedule/],
    ['@daily', 7, /no command after the schedule/],
    ['* * *', 6, /3 of 5 time fields/],
    ['0 9 * * echo', 13, /no command after the schedule/],
    ['echo "hello"', 6, /not a time; field 2 of 5/],
    ['0 9 /usr/bin/x "y z"', 16, /not a time/],
    ['* * * * * tr\0ue', 13, /NUL/],
    ['* * * * * caf\uFFFD', 14, /not UTF-8/],
  ])('%j is told with its column', (text, column, message) => {
    expect(problem(text)).toMatchObject({
      severity: 'error',
      line: 1,
      column,
      message: expect.stringMatching(message),
    });
  });

  it('in a system crontab, lacks its user or its command', () => {
    expect(problem('* * * * *', SYSTEM).message).toMatch(/no user name and no command/);
    expect(problem('* * * * * root', SYSTEM)).toMatchObject({ column: 15, message: 'no command after the schedule' });
    expect(problem('* * * * * /usr/bin/true now', SYSTEM)).toMatchObject({
      column: 11,
      message: expect.stringMatching(/expected a user name/),
    });
  });

  it('does not keep the others', () => {
    const { entries, problems } = parseCrontab('@daily a\n@reboot b\nnonsense!\n@daily c', USER);
    expect(entries.map(({ command }) => command)).toEqual(['a', 'c']);
    expect(problems.map(({ line }) => line)).toEqual([2, 3]);
  });
});
