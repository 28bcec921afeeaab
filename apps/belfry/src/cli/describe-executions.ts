import type { ExecutionView } from '@belfry/protocol';

import type { Cli } from './cli.ts';
import type { Paint } from './output.ts';
import { printable, table } from './table.ts';
import { duration, instant, relative } from './time.ts';

const COLOURS: { readonly [state: string]: Parameters<Paint>[0] } = {
  succeeded: 'green',
  failed: 'red',
  timed_out: 'red',
  lost: 'red',
  dead: ['bold', 'red'],
  cancelled: 'yellow',
  skipped: 'yellow',
  retrying: 'yellow',
};

export function stateText(state: string, paint: Paint): string {
  const colour = COLOURS[state];
  return colour === undefined ? state : paint(colour, state);
}

/** Executions as a table; the note is the error, or the result. */
export function executionTable(cli: Cli, executions: readonly ExecutionView[]): string[] {
  const rows = executions.map((execution) => {
    const scheduledAt = Date.parse(execution.scheduledAt);
    const last = execution.attempts.at(-1);
    const ran =
      last?.startedAt !== undefined && last.finishedAt !== undefined
        ? duration(Date.parse(last.finishedAt) - Date.parse(last.startedAt))
        : '-';
    return [
      execution.execution,
      `${instant(scheduledAt, cli.clock)} (${relative(scheduledAt, cli.now())})`,
      execution.handler,
      stateText(execution.state, cli.paint),
      String(execution.attempts.length),
      execution.latenessMs === undefined ? '-' : duration(execution.latenessMs),
      ran,
      printable(noteOf(execution)),
    ];
  });
  return table(
    [
      { title: 'EXECUTION' },
      { title: `SCHEDULED (${cli.clock.zone})` },
      { title: 'HANDLER' },
      { title: 'STATE' },
      { title: 'TRIES', align: 'right' },
      { title: 'LATE', align: 'right' },
      { title: 'RAN', align: 'right' },
      { title: 'NOTE', shrink: true },
    ],
    rows,
    cli.out.columns,
    cli.paint,
  );
}

function noteOf(execution: ExecutionView): string {
  const error = execution.error ?? execution.attempts.at(-1)?.error;
  if (error !== undefined) return error;
  return execution.result === undefined || execution.result === null ? '' : JSON.stringify(execution.result);
}
