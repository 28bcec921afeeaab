import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { cacheDir } from './cache.ts';
import { EmbeddedError } from './errors.ts';
import { fetchNatsServer } from './nats-fetch.ts';

/** Atomic batches, TTL per key, and the fixes up to here (docs: NATS JetStream, durability). */
export const NATS_MINIMUM = '2.14.4';

const HOW_TO_GET_ONE = [
  `Belfry needs nats-server ${NATS_MINIMUM} or newer. Put one on PATH, or name it in BELFRY_NATS_SERVER; for example:`,
  '  macOS:              brew install nats-server',
  '  anywhere with Go:   go install github.com/nats-io/nats-server/v2@latest',
  'Or point BELFRY_NATS_URL at a NATS of your own.',
].join('\n');

export interface NatsBinary {
  readonly path: string;
  readonly version: string;
}

/**
 * A nats-server that is new enough: the one that BELFRY_NATS_SERVER names, else the one on PATH, else the one in the
 * cache folder, else one that is fetched into it.
 */
export async function natsBinary(
  onProgress: (line: string) => void,
  env: NodeJS.ProcessEnv = process.env,
): Promise<NatsBinary> {
  const named = env['BELFRY_NATS_SERVER'];
  if (named !== undefined && named !== '') return requireNew(named, await versionOf(named));

  const onPath = findOnPath('nats-server', env);
  if (onPath !== undefined) {
    const version = await versionOf(onPath);
    if (version !== undefined && isAtLeast(version, NATS_MINIMUM)) return { path: onPath, version };
    onProgress(
      `${onPath} is ${version ?? 'of unknown version'}, and Belfry needs ${NATS_MINIMUM} or newer: using another one`,
    );
  }

  const cached = path.join(cacheDir(env), `nats-server-${process.platform}-${process.arch}`);
  const cachedVersion = await versionOf(cached);
  if (cachedVersion !== undefined && isAtLeast(cachedVersion, NATS_MINIMUM))
    return { path: cached, version: cachedVersion };

  onProgress(`Fetching nats-server into ${path.dirname(cached)}`);
  await fetchNatsServer(cached, HOW_TO_GET_ONE);
  const fetched = requireNew(cached, await versionOf(cached));
  onProgress(`nats-server ${fetched.version} is there`);
  return fetched;
}

function requireNew(file: string, version: string | undefined): NatsBinary {
  if (version === undefined)
    throw new EmbeddedError('nats_missing', `${file} is not a nats-server that runs here.\n${HOW_TO_GET_ONE}`);
  if (isAtLeast(version, NATS_MINIMUM)) return { path: file, version };
  throw new EmbeddedError('nats_too_old', `${file} is nats-server ${version}.\n${HOW_TO_GET_ONE}`);
}

/** The version that a program says it has; undefined if it can't be run or says none. */
async function versionOf(file: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(file, ['--version'], { timeout: 10_000 });
    return /\bv(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  } catch {
    return undefined;
  }
}

/** Compares `1.2.3` numbers; a pre-release counts as its release. */
export function isAtLeast(version: string, minimum: string): boolean {
  const [left, right] = [version, minimum].map((text) => text.split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function findOnPath(program: string, env: NodeJS.ProcessEnv): string | undefined {
  for (const directory of (env['PATH'] ?? '').split(path.delimiter)) {
    if (directory === '') continue;
    const file = path.join(directory, program);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not there: look on.
    }
  }
  return undefined;
}
