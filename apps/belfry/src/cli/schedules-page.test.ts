import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';

import { lint, parseCalendar, parseSchedule, preview, type Calendar, type ScheduleSpec } from '@belfry/timing';
import { describe, expect, it } from 'vitest';

import { answersTo } from './preview-batch.ts';

// Computes what docs/schedules.md shows.

const PAGE = readFileSync(new URL('../../../../docs/schedules.md', import.meta.url), 'utf8');
const NOW = Date.parse('2026-11-27T00:00:00Z');

const calendars = new Map(
  [...PAGE.matchAll(/^```json calendar (\w+)\n(.*?)^```/gms)].map(([, name, text]): [string, Calendar] => {
    const reading = parseCalendar(JSON.parse(text as string));
    if (!reading.ok) throw new Error(reading.error.message);
    return [name as string, reading.calendar];
  }),
);

function read(text: string, nowMs: number): ReturnType<typeof parseSchedule> {
  return parseSchedule(JSON.parse(text) as ScheduleSpec, { nowMs });
}

describe('docs/schedules.md', () => {
  const blocks = [...PAGE.matchAll(/^```\n(\{[^\n]*\}) after (\S+)\n(.*?)^```/gms)].map((match) => match.slice(1, 4));

  it('has examples', () => expect(blocks.length).toBe(PAGE.split('} after 2').length - 1));

  it.each(blocks)('%s after %s', (text = '', after = '', fires = '') => {
    const afterMs = Date.parse(after);
    const reading = read(text, afterMs);
    if (!reading.ok) throw new Error(reading.error.message);
    const shown = fires.trim().split('\n');
    const task = { createdMs: afterMs, seed: 0, calendars: (name: string) => calendars.get(name) };
    const count = shown.length;
    const lines = preview(reading.schedule, afterMs, count, task).map(({ local, notes }) =>
      [local, ...notes].join('  '),
    );
    expect(lines.length < count ? [...lines, 'no more'] : lines).toEqual(shown);
  });

  it('shows what --batch answers', async () => {
    const [asked = '', answered = ''] = [...PAGE.matchAll(/^```ndjson\n(.*?)^```/gms)].map(
      ([, text]) => text as string,
    );
    let answers = '';
    for await (const text of answersTo(Readable.from([Buffer.from(asked)]), NOW)) answers += text;
    expect(answers).toBe(answered);
  });

  const warnings = [...PAGE.matchAll(/^\| `(\w+)` +\| `(\{.*?\})`/gm)].map((match) => match.slice(1, 3));

  it('shows warnings', () => expect(warnings.length).toBeGreaterThan(10));

  it.each(warnings)('%s of %s', (code = '', text = '') => {
    const reading = read(text, NOW);
    if (!reading.ok) throw new Error(reading.error.message);
    expect(lint(reading.schedule, NOW).map((warning) => warning.code)).toContain(code);
  });
});
