import { preview as previewSchedule, zoneOf } from '@belfry/timing';

import type { Cli, CommandResult } from '../cli.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { answersTo } from '../preview-batch.ts';
import { readSchedule } from '../read-schedule.ts';
import { table } from '../table.ts';
import { instantFlag, type TaskFlags } from '../task-flags.ts';

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
  const schedule = readSchedule(cli, options);
  if (schedule.kind === 'composed' && schedule.parts.calendars.length > 0)
    throw new CliError(EXIT.refused, 'unsupported', 'what calendars exclude is known to a running Belfry only', {
      path: 'calendars',
      hint: 'Without --calendar the fires before any exclusion are shown.',
    });
  const { after, count = FIRES } = options;
  const afterMs = after === undefined ? cli.now() : Date.parse(instantFlag('after', after, cli.clock.utc));
  const fires = previewSchedule(schedule, afterMs, count, { createdMs: cli.now(), seed: 0 });
  const timezone = zoneOf(schedule).name;
  const items = fires.map(({ atMs, local, notes }) => ({ at: new Date(atMs).toISOString(), local, notes }));
  if (cli.json) return cli.out.json({ timezone, items });
  if (items.length === 0) return cli.out.note('no more fires');
  const columns = [{ title: 'FIRE (UTC)' }, { title: `LOCAL (${timezone})` }, { title: 'WHY' }];
  const rows = items.map(({ at, local, notes }) => [at.replace('.000Z', 'Z'), local, notes.join('; ')]);
  for (const line of table(columns, rows, cli.out.columns, cli.paint)) cli.out.line(line);
}
