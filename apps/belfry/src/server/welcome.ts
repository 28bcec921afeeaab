import path from 'node:path';

export interface Welcome {
  readonly dataDir: string;
  readonly namespace: string;
  readonly worker: boolean;
  readonly allowShell: boolean;
  /** Undefined where servers were given. */
  readonly ports: { readonly nats?: number; readonly postgres?: number };
  readonly httpPort: number;
  /** How long it took. */
  readonly seconds: string;
}

/** What `belfry dev` says when it is ready: where everything listens, and the first commands to try, as they work with its flags. */
export function welcome({ dataDir, namespace, worker, allowShell, ports, httpPort, seconds }: Welcome): string {
  const where = (port: number | undefined): string => (port === undefined ? 'as given' : `127.0.0.1:${port}`);
  const devFile = path.join(dataDir, 'dev.json');
  const inNamespace = namespace === 'default' ? '' : ` --namespace ${namespace}`;
  const belfry = 'npm run belfry --';
  const commands = [
    ...(isFoundFromHere(dataDir)
      ? []
      : [`export BELFRY_NATS_URL=$(node -p "require('${path.resolve(devFile)}').natsUrl")`]),
    ...(worker ? [] : [`${belfry} worker${inNamespace}   # or one of yours; it stays, so in a terminal of its own`]),
    `${belfry} schedule --in 5s --handler echo --payload '{"hello":"world"}'${inNamespace}`,
    `${belfry} schedule --every 10s --handler echo --key my-first-interval${inNamespace}`,
    `${belfry} history${inNamespace}`,
  ];
  return `
Belfry is ready (${seconds} s).

  NATS       ${where(ports.nats)}
  Postgres   ${where(ports.postgres)}
  Health     http://127.0.0.1:${httpPort}/healthz
  Metrics    http://127.0.0.1:${httpPort}/metrics
  Worker     ${worker ? `the sample worker, queue default${allowShell ? ', runs shell commands' : ''}` : 'none'}
  Data       ${dataDir}   (addresses with credentials: ${devFile})

Try, in another terminal:

${commands.map((command) => `  ${command}\n`).join('')}
Ctrl-C stops it.
`;
}

/** Commands look for `.belfry` from their working directory upward. */
function isFoundFromHere(dataDir: string, here = process.cwd()): boolean {
  const folder = path.resolve(dataDir);
  const parent = path.dirname(folder);
  return path.basename(folder) === '.belfry' && (here === parent || here.startsWith(`${parent}${path.sep}`));
}
