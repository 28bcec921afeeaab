import type { ForecastReply } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { table } from '../table.ts';
import { instantAndDistance } from '../time.ts';

export interface ForecastOptions {
  readonly window?: 'hour' | 'day' | 'month';
}

/** Lines of the chart: each sums up so many steps. */
const LINES = 24;
const BAR = 40;
const WORDS = { 1_000: 'second', 60_000: 'minute', 3_600_000: 'hour' } as const;

export async function forecast(cli: Cli, { window = 'day' }: ForecastOptions): CommandResult {
  const client = await cli.connect();
  const reply = await client.forecast(window);
  if (cli.json) return cli.out.json(reply);
  const rows = linesOf(reply);
  const columns = [
    { title: 'FROM (UTC)' },
    { title: 'FIRES', align: 'right' as const },
    {
      title: `BUSIEST ${(WORDS[reply.stepMs as keyof typeof WORDS] ?? 'step').toUpperCase()}`,
      align: 'right' as const,
    },
    { title: '' },
  ];
  for (const line of table(columns, rows, cli.out.columns, cli.paint)) cli.out.line(line);
  const leftOut =
    reply.leftOut === 0 ? '' : `; ${reply.leftOut} tasks are left out: there are too many different schedules`;
  cli.out.note(`${reply.tasks} tasks, as of ${instantAndDistance(reply.asOf, cli.clock, cli.now())}${leftOut}`);
}

function linesOf({ from, stepMs, fires }: ForecastReply): string[][] {
  const steps = Math.ceil(fires.length / LINES);
  const lines = Array.from({ length: Math.ceil(fires.length / steps) }, (_, i) => {
    const part = fires.slice(i * steps, (i + 1) * steps);
    return {
      at: new Date(Date.parse(from) + i * steps * stepMs).toISOString().slice(0, 19).replace('T', ' '),
      sum: part.reduce((sum, count) => sum + count, 0),
      most: Math.max(...part),
    };
  });
  const largest = Math.max(1, ...lines.map(({ sum }) => sum));
  return lines.map(({ at, sum, most }) => [at, shown(sum), shown(most), '█'.repeat(Math.round((sum / largest) * BAR))]);
}

function shown(count: number): string {
  return count >= 10 || Number.isInteger(count) ? String(Math.round(count)) : count.toFixed(1);
}
