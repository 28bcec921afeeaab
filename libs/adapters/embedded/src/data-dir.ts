import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { EmbeddedError, errnoOf, messageOf } from './errors.ts';

/** The files of one data directory. */
export interface DataDir {
  readonly root: string;
  readonly nats: string;
  readonly natsConf: string;
  readonly natsPid: string;
  readonly natsLog: string;
  readonly postgres: string;
  readonly postgresLog: string;
}

export interface Credentials {
  readonly user: string;
  readonly natsPassword: string;
  readonly postgresPassword: string;
}

export function openDataDir(directory: string): DataDir {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const root = realpathSync(directory);
    const nats = path.join(root, 'nats');
    mkdirSync(nats, { recursive: true, mode: 0o700 });
    return {
      root,
      nats,
      natsConf: path.join(root, 'nats.conf'),
      natsPid: path.join(root, 'nats.pid'),
      natsLog: path.join(root, 'nats.log'),
      postgres: path.join(root, 'postgres'),
      postgresLog: path.join(root, 'postgres.log'),
    };
  } catch (error) {
    throw new EmbeddedError(
      'data_dir_unusable',
      `the data directory ${path.resolve(directory)} cannot be used: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Writes aside and renames: readers see the old file or the new one. Mode 0600. */
export function writePrivate(file: string, content: string): void {
  const aside = `${file}.${process.pid}.tmp`;
  rmSync(aside, { force: true });
  writeFileSync(aside, content, { mode: 0o600, flush: true });
  renameSync(aside, file);
}

/** The passwords of this data directory, made at its first start. */
export function loadCredentials(dir: DataDir): Credentials {
  const file = path.join(dir.root, 'credentials.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT')
      throw new EmbeddedError('data_dir_unusable', `${file} cannot be read: ${messageOf(error)}`, { cause: error });
    if (existsSync(dir.postgres)) {
      throw new EmbeddedError(
        'data_dir_mismatch',
        `${file} is gone, and with it the password of the database beside it; restore the file, or remove ${dir.root} to start empty`,
      );
    }
    const made: Credentials = { user: 'belfry', natsPassword: password(), postgresPassword: password() };
    writePrivate(file, `${JSON.stringify(made, null, 2)}\n`);
    return made;
  }
  const found = parseCredentials(text);
  if (found !== undefined) return found;
  throw new EmbeddedError('data_dir_mismatch', `${file} is damaged; restore it, or remove ${dir.root} to start empty`);
}

/** URL-safe, so that it can stand in a connection URL as it is. */
function password(): string {
  return randomBytes(24).toString('base64url');
}

function parseCredentials(text: string): Credentials | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (value === null || typeof value !== 'object') return undefined;
  const { user, natsPassword, postgresPassword } = value as Record<string, unknown>;
  if (typeof user !== 'string' || typeof natsPassword !== 'string' || typeof postgresPassword !== 'string')
    return undefined;
  return { user, natsPassword, postgresPassword };
}
