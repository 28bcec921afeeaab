import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { writePrivate } from './data-dir.ts';
import { isAlive } from './processes.ts';

/** What scripts are told about a running Belfry: `<data dir>/dev.json`, there once everything is ready. */
export interface DevFile {
  /** With credentials. */
  readonly natsUrl: string;
  /** With credentials. */
  readonly postgresUrl: string;
  /** The process of the program. */
  readonly pid: number;
  /** What listens where, by name: `nats`, `postgres`, `http` … */
  readonly ports: Readonly<Record<string, number>>;
}

function fileIn(dataDir: string): string {
  return path.join(dataDir, 'dev.json');
}

/** Mode 0600, for it holds credentials; appears whole. */
export function writeDevFile(dataDir: string, content: DevFile): void {
  writePrivate(fileIn(dataDir), `${JSON.stringify(content, null, 2)}\n`);
}

/** Undefined if there is none, or if it is left from a program that was killed. */
export function readDevFile(dataDir: string): DevFile | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(fileIn(dataDir), 'utf8'));
  } catch {
    return undefined;
  }
  if (value === null || typeof value !== 'object') return undefined;
  const { natsUrl, postgresUrl, pid, ports } = value as Record<string, unknown>;
  if (typeof natsUrl !== 'string' || typeof postgresUrl !== 'string' || typeof pid !== 'number') return undefined;
  if (ports === null || typeof ports !== 'object' || !isAlive(pid)) return undefined;
  const numbers = Object.entries(ports).filter((entry): entry is [string, number] => typeof entry[1] === 'number');
  return { natsUrl, postgresUrl, pid, ports: Object.fromEntries(numbers) };
}

export function removeDevFile(dataDir: string): void {
  rmSync(fileIn(dataDir), { force: true });
}
