import { formatTaskId } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { errorJson, errorText, EXIT, reportOf } from '../exit.ts';
import { taskRef } from '../task-ref.ts';
import type { RefOptions } from './get.ts';

/** Cancels each; one that can't be does not keep the others. */
export async function cancel(cli: Cli, tasks: readonly string[], options: RefOptions): CommandResult {
  const client = await cli.connect();
  let exit: number = EXIT.ok;
  for (const [i, task] of tasks.entries()) {
    if (tasks.length > 20) cli.out.progress(`${i} of ${tasks.length} cancelled`);
    try {
      const reply = await client.cancel(taskRef(task, options.key));
      if (cli.json) cli.out.json(reply);
      else {
        cli.out.line(`cancelled  ${formatTaskId(reply.id)}`);
        for (const execution of reply.running) cli.out.line(`runs on    ${execution}`);
      }
    } catch (error) {
      const report = reportOf(error);
      if (report.exit === EXIT.cannotConnect || tasks.length === 1) throw error;
      cli.out.note(cli.json ? errorJson({ ...report, path: task }) : errorText({ ...report, path: task }));
      exit = exit === EXIT.ok || exit === report.exit ? report.exit : EXIT.refused;
    }
  }
  return exit;
}
