import { parseExecutionId } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { CliError, EXIT } from '../exit.ts';
import { taskRef } from '../task-ref.ts';
import { waterfall } from '../waterfall.ts';

/** Shows one fire; for a task, its latest. */
export async function trace(cli: Cli, word: string): CommandResult {
  const client = await cli.connect();
  let execution = word;
  if (parseExecutionId(word) === undefined) {
    const [latest] = (await client.history({ ...taskRef(word), limit: 1 })).items;
    if (latest === undefined) throw new CliError(EXIT.notFound, 'not_found', `${word}: no execution of it is recorded`);
    execution = latest.execution;
  }
  const view = await client.trace(execution);
  if (cli.json) return cli.out.json(view);
  for (const line of waterfall(view, { columns: cli.out.columns, paint: cli.paint, clock: cli.clock }))
    cli.out.line(line);
}
