import { LIMITS, type PreviewReply } from '@belfry/protocol';
import { preview as previewSchedule, zoneOf } from '@belfry/timing';

import type { Cli, CommandResult } from '../cli.ts';
import { usageError } from '../exit.ts';
import { answersTo } from '../preview-batch.ts';
import { readSchedule } from '../read-schedule.ts';
import { table } from '../table.ts';
import { instantFlag, scheduleFields, type TaskFlags } from '../task-flags.ts';

export interface PreviewOptions extends TaskFlags {
  readonly after?: string;
  readonly count?: number;
  readonly batch?: boolean;
}

const FIRES = 10;
const NOT_WITH_BATCH = ['at', 'in', 'every', 'cron', 'after', 'count'] as const;

export async function preview(cli: Cli, options: PreviewOptions): CommandResult {
  if (options.batch === true) {
    const beside = NOT_WITH_BATCH.find((flag) => options[flag] !== undefined);
    if (beside !== undefined) throw usageError(`--${beside} does not go with --batch: each line states its own`);
    return cli.pour(answersTo(cli.stdinChunks(), cli.now()));
  }
  const { after, count = FIRES } = options;
  const afterMs = after === undefined ? cli.now() : Date.parse(instantFlag('after', after, cli.clock.utc));
  const { timezone, items } = await previewed(cli, options, afterMs, count);
  if (cli.json) return cli.out.json({ timezone, items });
  if (items.length === 0) return cli.out.note('no more fires');
  const columns = [{ title: 'FIRE (UTC)' }, { title: `LOCAL (${timezone})` }, { title: 'WHY' }];
  const rows = items.map(({ at, local, notes }) => [at.replace('.000Z', 'Z'), local, notes.join('; ')]);
  for (const line of table(columns, rows, cli.out.columns, cli.paint)) cli.out.line(line);
}

/** What calendars exclude is known to a running Belfry only; everything else is told here. */
async function previewed(cli: Cli, options: PreviewOptions, after: number, count: number): Promise<PreviewReply> {
  const schedule = readSchedule(cli, options);
  if (schedule.kind === 'composed' && schedule.parts.calendars.length > 0) {
    const client = await cli.connect();
    const fields = scheduleFields(options, { now: cli.now(), utc: cli.clock.utc });
    return await client.preview(fields, { after, count: Math.min(count, LIMITS.previewFires) });
  }
  const fires = previewSchedule(schedule, after, count, { createdMs: cli.now(), seed: 0 });
  const items = fires.map(({ atMs, local, notes }) => ({ at: new Date(atMs).toISOString(), local, notes }));
  return { timezone: zoneOf(schedule).name, items };
}
