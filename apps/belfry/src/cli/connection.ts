import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { CliError, EXIT } from './exit.ts';

/** What `belfry dev` writes to `.belfry/dev.json` once everything is ready; more fields than these. */
interface DevFile {
  readonly natsUrl: string;
  readonly pid?: number;
}

export interface Place {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly alive: (pid: number) => boolean;
}

const START = '`belfry dev` starts one; --url or BELFRY_NATS_URL names another.';

function readDevFile(path: string): DevFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const value = JSON.parse(text) as Partial<DevFile>;
    if (typeof value.natsUrl === 'string') return value as DevFile;
  } catch {
    // Told below.
  }
  throw new CliError(EXIT.cannotConnect, 'cannot_connect', `${path} cannot be read as JSON with a natsUrl`, {
    hint: START,
  });
}

/** The NATS address: `--url`, `BELFRY_NATS_URL`, or the nearest `.belfry/dev.json` from the working directory upward. */
export function findNatsUrl(flag: string | undefined, place: Place): string {
  const named = flag ?? place.env['BELFRY_NATS_URL'];
  if (named) return named;
  for (let folder = place.cwd; ; folder = dirname(folder)) {
    const path = join(folder, '.belfry', 'dev.json');
    const dev = readDevFile(path);
    if (dev) {
      if (dev.pid !== undefined && !place.alive(dev.pid)) {
        throw new CliError(
          EXIT.cannotConnect,
          'cannot_connect',
          `the Belfry of ${path} is not running (pid ${dev.pid})`,
          {
            hint: START,
          },
        );
      }
      return dev.natsUrl;
    }
    if (folder === dirname(folder)) break;
  }
  throw new CliError(EXIT.cannotConnect, 'cannot_connect', 'no running Belfry found from this folder upward', {
    hint: START,
  });
}

/** Whether a process of this id runs, of whatever user. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
