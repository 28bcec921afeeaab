import { createHash } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { EmbeddedError, errnoOf } from './errors.ts';
import { isAlive, startStamp } from './processes.ts';

/**
 * One process at a time uses a data directory.
 *
 * L1. The lock file appears whole: it is written aside and linked into place, which fails if there is one.
 * L2. A lock is stale when its holder is gone. A process id alone does not tell (it may be another's by now), so the
 *     lock also holds the start time of the process.
 * L3. Of several that find the same stale lock, one takes it over: who has the claim on it, a file named by the lock's
 *     content that appears as a lock does. A claim whose holder is gone is claimed in turn. The claim comes first, then a
 *     look whether the lock is still the stale one, then the new lock in its place, at once, and the claims go last: there is
 *     no moment without a lock, and who comes late finds another one.
 */
export class DataDirLock {
  readonly #file: string;
  readonly #content: string;

  private constructor(file: string, content: string) {
    this.#file = file;
    this.#content = content;
  }

  static acquire(dataDir: string): DataDirLock {
    const file = path.join(dataDir, 'lock');
    const content = `${process.pid} ${startStamp(process.pid) ?? ''} ${crypto.randomUUID()}\n`;
    for (let attempt = 0; attempt < 10; attempt++) {
      if (create(file, content)) return new DataDirLock(file, content);
      const held = read(file);
      if (held === undefined) continue;
      const holder = holderOf(held);
      if (holder !== undefined) {
        throw new EmbeddedError(
          'already_running',
          `${dataDir} is in use by process ${holder}; stop it, or give another data directory with --data-dir`,
        );
      }
      if (takeOver(file, held, content)) return new DataDirLock(file, content);
    }
    throw new EmbeddedError('already_running', `${dataDir} is being started by other processes; try again`);
  }

  /** Gives the lock back, unless it is no longer ours. */
  release(): void {
    if (read(this.#file) === this.#content) rmSync(this.#file, { force: true });
  }
}

function create(file: string, content: string): boolean {
  const aside = `${file}.${process.pid}.${crypto.randomUUID()}`;
  writeFileSync(aside, content, { mode: 0o600 });
  try {
    linkSync(aside, file); // L1
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The live process that holds a lock of this content, if it still lives. */
function holderOf(content: string): number | undefined {
  const [pidText = '', ...rest] = content.trim().split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined;
  return startStamp(pid) === rest.slice(0, -1).join(' ') ? pid : undefined; // L2
}

/** L3. False where another one takes it over, or has. */
function takeOver(file: string, stale: string, content: string): boolean {
  const claims: string[] = [];
  for (let claimed = stale; ;) {
    const claim = `${file}.${createHash('sha256').update(claimed).digest('hex').slice(0, 16)}`;
    if (claims.includes(claim)) {
      rmSync(claim, { force: true }); // two that a loss of power left empty name each other
      return false;
    }
    claims.push(claim);
    if (create(claim, content)) break;
    const held = read(claim);
    if (held === undefined || holderOf(held) !== undefined) return false;
    claimed = held;
  }
  const isStale = read(file) === stale;
  if (isStale) replace(file, content);
  for (const claim of claims) rmSync(claim, { force: true });
  return isStale;
}

function replace(file: string, content: string): void {
  const aside = `${file}.${process.pid}.${crypto.randomUUID()}`;
  writeFileSync(aside, content, { mode: 0o600 });
  renameSync(aside, file);
}
