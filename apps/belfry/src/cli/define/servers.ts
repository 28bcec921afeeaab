import { type Command, Option } from 'commander';

import type { DevFlags, ServerFlags, WorkerFlags } from '../commands/processes.ts';
import type { CommonOptions, Run } from '../main.ts';
import { wholeNumber, withCommon } from '../program.ts';

const PORT = wholeNumber(0, 65_535);

function names(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(',').filter((name) => name !== '')];
}

export function addServers(belfry: Command, run: Run): void {
  const dev = belfry
    .command('dev')
    .description('everything on this machine: Postgres, NATS, all roles and a sample worker')
    .option('--data-dir <folder>', 'where the data is kept (default .belfry)')
    .option('--nats-port <port>', 'port of NATS (default 4222; 0: a free one)', PORT)
    .option('--postgres-port <port>', 'port of Postgres (default 5433; 0: a free one)', PORT)
    .option('--http-port <port>', 'port of HTTP: health, metrics (default 8080; 0: a free one)', PORT)
    .option('--shards <n>', 'shards of a new installation (default 256)', wholeNumber(1, 32_767))
    .option('--concurrency <n>', 'executions that the sample worker runs at the same time', wholeNumber(1, 10_000))
    .option('--allow-shell', 'the sample worker runs shell commands, as an imported crontab needs')
    .option('--no-worker', 'without the sample worker')
    .addHelpText(
      'after',
      '\nExamples:\n  belfry dev --allow-shell\n  BELFRY_NATS_URL=… BELFRY_POSTGRES_URL=… belfry dev   on servers that run already',
    );
  withCommon(dev).action((_options, command: Command) => {
    const options = command.optsWithGlobals<DevFlags & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/processes.ts')).dev(cli, options), true);
  });

  const server = belfry
    .command('server')
    .description('some roles of Belfry, on NATS and Postgres servers that run already')
    .addOption(
      new Option('--roles <list>', 'gateway, scheduler, supervisor, with commas (default: all)').argParser(names),
    )
    .option('--nats-url <url>', 'address of NATS (else BELFRY_NATS_URL)')
    .option('--postgres-url <url>', 'address of Postgres (else BELFRY_POSTGRES_URL)')
    .option('--http-port <port>', 'port of HTTP: health, metrics (default 8080; 0: a free one)', PORT)
    .option('--node-id <name>', "this process's name (default: host name and a random part)")
    .option('--shards <n>', 'shards of a new installation (default 256)', wholeNumber(1, 32_767))
    .option(
      '--replicas <n>',
      'copies of everything durable in NATS: 1, or 3 on a cluster (default 1)',
      wholeNumber(1, 5),
    )
    .option('--http-host <address>', 'address of HTTP (default 127.0.0.1)')
    .option(
      '--connect-timeout <seconds>',
      'how long to go on trying to reach NATS and Postgres at start (default 60)',
      wholeNumber(1, 86_400),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  belfry server --roles scheduler --nats-url nats://n1:4222 --postgres-url postgres://db/belfry',
    );
  withCommon(server).action((_options, command: Command) => {
    const options = command.optsWithGlobals<ServerFlags & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/processes.ts')).server(cli, options), true);
  });

  const worker = belfry
    .command('worker')
    .description('the sample worker: handlers echo, sleep, fail, noop, and shell if allowed')
    .option('--queue <name>', 'queue of the sample handlers (default: default)')
    .option('--allow-shell', 'run shell commands too; whoever may schedule then runs commands as you')
    .option('--shell-queue <name>', 'queue of the shell handler (default: shell)')
    .option('--concurrency <n>', 'executions at the same time (default 16)', wholeNumber(1, 10_000))
    .addHelpText('after', '\nExamples:\n  belfry worker\n  belfry worker --allow-shell --concurrency 4');
  withCommon(worker).action((_options, command: Command) => {
    const options = command.optsWithGlobals<WorkerFlags & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/processes.ts')).worker(cli, options), true);
  });

  belfry
    .command('bench')
    .description('measure this machine; `belfry bench --help` for its own flags')
    .argument('[args...]', 'given to tools/bench')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action((args: string[]) =>
      run({}, async (cli) => (await import('../commands/processes.ts')).bench(cli, args), true),
    );
}
