import { lint as lintSchedule } from '@belfry/timing';

import type { Cli, CommandResult } from '../cli.ts';
import { EXIT } from '../exit.ts';
import { readSchedule } from '../read-schedule.ts';
import { table } from '../table.ts';
import type { TaskFlags } from '../task-flags.ts';

export type LintOptions = TaskFlags;

export async function lint(cli: Cli, options: LintOptions): CommandResult {
  const warnings = lintSchedule(readSchedule(cli, options), cli.now());
  if (cli.json) cli.out.json({ warnings });
  else if (warnings.length === 0) cli.out.note('no warnings');
  else {
    const columns = [{ title: 'WARNING' }, { title: 'FIELD' }, { title: 'WHY' }];
    const rows = warnings.map(({ code, path, position, message }) => [
      code,
      position === undefined ? path : `${path}:${position}`,
      message,
    ]);
    for (const line of table(columns, rows, cli.out.columns, cli.paint)) cli.out.line(line);
  }
  return warnings.length === 0 ? EXIT.ok : EXIT.warnings;
}
