import { readFileSync } from 'node:fs';
import path from 'node:path';

import { ConnectionError } from './errors.ts';

const HINT = 'give `url`, set BELFRY_NATS_URL, or start one with `belfry dev`';

/**
 * The NATS address: what was given, else `BELFRY_NATS_URL`, else `natsUrl` of the nearest `.belfry/dev.json` from `folder` upward.
 * @throws ConnectionError when there is none.
 */
export function natsAddress(given: string | undefined, env = process.env, folder = process.cwd()): string {
  const named = given ?? env['BELFRY_NATS_URL'];
  if (named !== undefined && named !== '') return named;
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const found = readDevFile(path.join(at, '.belfry', 'dev.json'));
    if (found !== undefined) return found;
    if (at === path.dirname(at)) throw new ConnectionError(`no address of a Belfry: ${HINT}`);
  }
}

/** @throws ConnectionError when the file is there, but names no Belfry that runs. */
function readDevFile(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const { natsUrl, pid } = (value ?? {}) as { natsUrl?: unknown; pid?: unknown };
  if (typeof natsUrl !== 'string') throw new ConnectionError(`${file} does not hold a natsUrl: ${HINT}`);
  if (typeof pid === 'number' && !isAlive(pid)) {
    throw new ConnectionError(`the Belfry of ${file} does not run (pid ${pid}): ${HINT}`);
  }
  return natsUrl;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
