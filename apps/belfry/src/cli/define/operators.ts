import { type Command, InvalidArgumentError, Option } from 'commander';

import type { DrainOptions, MoveOptions } from '../commands/cluster.ts';
import type { DrillOptions } from '../commands/drill.ts';
import { DEEDS, type DeedKind } from '../drill/deed.ts';
import type { CommonOptions, Run } from '../main.ts';
import { wholeNumber, withCommon } from '../program.ts';
import { parseDuration } from '../time.ts';

const SHARD = wholeNumber(0, 32_766);

function length(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0 || ms > 600_000)
    throw new InvalidArgumentError('It must be a length of time up to 10m, such as 5s.');
  return ms;
}

const DRILL_HELP = `
It creates one-time tasks in that shard, one due every 20 ms, in queue belfry-drill of the namespace, runs them itself, does the deed in
their midst, and tells the longest gap, the latest start, what was lost and what ran twice. Exit code 0: nothing was lost or doubled.
kill and pause work where the owner runs on this machine, and need --yes: all its shards stand still meanwhile.

Examples:
  belfry drill move                       the fullest shard goes to another node
  belfry drill kill --shard 17 --yes
  belfry drill pause --for 5s --yes --json`;

export function addOperators(belfry: Command, run: Run): void {
  const cluster = belfry
    .command('cluster')
    .description('processes with their roles, shards, lag and clocks; who leads')
    .addHelpText('after', '\nExamples:\n  belfry cluster\n  belfry cluster --json | jq .leader');
  withCommon(cluster).action((_options, command: Command) =>
    run(command.optsWithGlobals<CommonOptions>(), async (cli) => (await import('../commands/cluster.ts')).cluster(cli)),
  );

  const shards = belfry
    .command('shards')
    .description('shards with their owners, epochs, tasks and backlogs')
    .option('--node <name>', 'only those of this node')
    .addHelpText('after', '\nExamples:\n  belfry shards --node n1');
  withCommon(shards).action((_options, command: Command) => {
    const options = command.optsWithGlobals<{ readonly node?: string } & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/cluster.ts')).shards(cli, options));
  });

  const move = belfry
    .command('move')
    .description('hand a shard to another node, and keep it there')
    .argument('<shard>', 'its number', SHARD)
    .option('--to <node>', 'to this node (default: the one with the fewest shards for its cores)')
    .addOption(new Option('--unpin', 'keep it nowhere any more: it is placed like any other').conflicts('to'))
    .option('--no-wait', 'return when the order is taken, before the new owner has the shard')
    .addHelpText('after', '\nExamples:\n  belfry move 17 --to n2\n  belfry move 17 --unpin');
  withCommon(move).action((shard: number, _options, command: Command) => {
    const options = command.optsWithGlobals<MoveOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/cluster.ts')).move(cli, shard, options));
  });

  const drain = belfry
    .command('drain')
    .description('hand all shards of a node to the others; it gets none until that is undone')
    .argument('<node>', 'its name')
    .option('--undo', 'it may have shards again')
    .option('--no-wait', 'return when the order is taken, before the node is empty')
    .addHelpText('after', '\nExamples:\n  belfry drain n1\n  belfry drain n1 --undo');
  withCommon(drain).action((node: string, _options, command: Command) => {
    const options = command.optsWithGlobals<DrainOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/cluster.ts')).drain(cli, node, options));
  });

  const drill = belfry
    .command('drill')
    .description("kill or pause a shard's owner, or move the shard, on a live cluster, and measure what its tasks feel")
    .addArgument(belfry.createArgument('<deed>', 'what to do to it').choices(DEEDS))
    .option('--shard <n>', 'the shard (default: the one with the most tasks)', SHARD)
    .option('--to <node>', 'of a move: to this node')
    .option('--for <time>', 'of a pause: for how long (default 5s)', length)
    .option('--watch <time>', 'for how long to watch after it (default 3s after a move, else 10s)', length)
    .option('--yes', 'kill or pause it indeed')
    .addHelpText('after', DRILL_HELP);
  withCommon(drill).action((deed: DeedKind, _options, command: Command) => {
    const options = command.optsWithGlobals<DrillOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/drill.ts')).drill(cli, deed, options));
  });
}
